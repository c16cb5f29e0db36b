"""Where packets of a client go, and why."""

from typing_extensions import TypedDict

from rtspdsr.admin.answers.shape import answer


@answer
class StepAnswer(TypedDict):
    """A tier of the XDP program that was asked where a packet goes."""

    tier: str
    """``pin``, ``flow``, ``client``, ``newcomer``, ``turn`` or ``slot``"""
    backend: str | None
    """the backend that it names"""
    problem: str
    """why it is passed over; empty if it settles the matter"""
    taken: bool


@answer
class ExplanationAnswer(TypedDict):
    """What becomes of one kind of packet of a client."""

    kind: str
    """``new connection``, ``connection``, ``datagram`` (UDP), or without a port ``fragment``: of UDP"""
    service: str | None
    vip: str
    client_port: int | None
    service_port: int | None
    """null for UDP"""
    backend: str | None
    """where it goes; null if it is dropped"""
    verdict: str
    """the rule, as ``rtspdsr verdicts`` counts it; what holds a request is read first"""
    meaning: str
    steps: list[StepAnswer]
    """what was asked, in the program's order"""


@answer
class Placed(TypedDict):
    """Where a client's new connections go."""

    client: str
    backend: str
