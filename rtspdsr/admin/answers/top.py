"""What stands out among all sessions."""

from typing_extensions import TypedDict

from rtspdsr.admin.answers.session import SessionAnswer
from rtspdsr.admin.answers.shape import answer


@answer
class DeliverySums(TypedDict):
    """What some sessions get together."""

    sessions: int
    delivered_bits_per_s: float
    """lately, past the balancer; over UDP an estimate from the packets that clients report"""
    waiting: int
    """so many of them began to play over UDP so lately that nothing is known of them yet"""
    untold: int
    """so many tell nothing, and play long enough: they send no receiver reports, or do not play"""


@answer
class UrlAnswer(DeliverySums):
    """All sessions of one URL."""

    service: str | None
    url: str


@answer
class DeliveryAnswer(DeliverySums):
    """All sessions at one backend."""

    service: str | None
    """null if it is configured no longer"""
    backend: str | None
    """null if it is configured no longer"""


@answer
class FailureAnswer(TypedDict):
    """Something that went wrong."""

    time: str
    """wall clock, ISO 8601, UTC"""
    event: str
    """as in the session log"""
    service: str | None
    backend: str | None
    client: str | None
    session: str | None
    details: dict[str, object]
    """the other keys that the event has in the session log"""


@answer
class TopAnswer(TypedDict):
    """What stands out among all sessions."""

    delivery: list[DeliveryAnswer]
    """by backend, of those that have sessions"""
    urls: list[UrlAnswer]
    """busiest first"""
    worst: list[SessionAnswer]
    """playing sessions that stand still or lose packets, worst first"""
    failures: list[FailureAnswer]
    """newest first"""
