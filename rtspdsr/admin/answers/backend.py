"""Backends: what checks found, how their counters went, what holds one that is taken out."""

from typing_extensions import TypedDict

from rtspdsr.admin.answers.shape import answer


@answer
class CheckAnswer(TypedDict):
    """What one kind of check found last; null where it did not come so far."""

    passing: bool
    """by rise and fall"""
    age_s: float
    problem: str
    """why it failed, in words; empty if it passed"""
    response_s: float | None
    """from the first SYN to the first response; of ``tcp``, to the connection"""
    first_rtp_s: float | None
    """from PLAY to the first RTP packet"""
    bits_per_s: float | None
    """of RTP"""
    lost: float | None
    """fraction of the RTP packets, 0 to 1"""
    jitter_s: float | None
    source: str | None
    """address that RTP came from"""


@answer
class HistoryAnswer(TypedDict):
    """How a backend's counters went lately: of each list one value a reading, the oldest first."""

    service: str
    name: str
    ages_s: list[float]
    """how long ago each reading was"""
    client_bytes: list[int]
    """as in the status, and so the others"""
    delivered_bytes: list[int]
    delivered_packets: list[int]
    lost_packets: list[int]


@answer
class BackendAnswer(TypedDict):
    """A backend, its checks, and what its clients tell."""

    service: str
    name: str
    addresses: list[str]
    state: str
    """``up`` takes new clients; ``unresolved`` answers neither ARP nor ND; ``down`` fails its checks;
    ``drain`` and ``maint``: the operator has taken it out"""
    admin_state: str
    """what the operator wants: ``ready``, ``drain`` or ``maint``"""
    problem: str
    """what is wrong with it, in words; empty if nothing is"""
    sessions: int
    standing: str
    """``good`` or ``poor``, by what clients tell of it compared with the others"""
    standing_problem: str
    checks: dict[str, CheckAnswer]
    """by kind: ``tcp``, ``options``, ``describe`` or ``play``"""


@answer
class DrainAnswer(TypedDict):
    """How far a backend is that the operator has taken out."""

    since_s: float
    deadline_in_s: float | None
    """until the sessions that are left are ended; null: never"""
    closed: bool
    """the deadline has come: what is left is being ended, and nobody begins anything there"""
    connections: int
    """on which there is no session: opened and silent, or not readable"""
    followed: int
    """sessions that began since: of clients that have others there"""
    finished: int
    """sessions that came to an end by themselves since"""
    ended: int
    """sessions that were ended since"""
    empty: bool
    """nothing is left, and it can be stopped"""
    empty_in_s: float | None
    """an estimate, from how long its sessions last; null if none has ended yet and there is no deadline"""


@answer
class UrlCount(TypedDict):
    """How many sessions of a URL."""

    url: str
    sessions: int


@answer
class ClientCount(TypedDict):
    """How many sessions of a client."""

    client: str
    sessions: int


@answer
class SessionLeft(TypedDict):
    """A session that holds a backend."""

    session: str
    """our name of it, as in the session log"""
    client: str
    url: str
    """without credentials"""
    state: str
    """what the client has asked for"""
    age_s: float


@answer
class BackendDetail(TypedDict):
    """A backend, and what is left there. Of each list the first twenty are told."""

    service: str
    name: str
    addresses: list[str]
    state: str
    """as in the list of backends"""
    admin_state: str
    """what the operator wants: ``ready``, ``drain`` or ``maint``"""
    problem: str
    """what is wrong with it, in words; empty if nothing is"""
    weight: int
    """its share of new clients, relative to the others"""
    sessions: int
    drain: DrainAnswer | None
    """null if it is ready"""
    urls: list[UrlCount]
    """those with the most sessions first"""
    clients: list[ClientCount]
    """likewise"""
    oldest: list[SessionLeft]
    """the oldest first"""
