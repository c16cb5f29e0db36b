"""What the API answers: plain dicts, whose types here make the OpenAPI document.

mypy holds them where they are filled. Times are in seconds, sizes in bytes.
"""

from typing import TypeVar

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

T = TypeVar("T")


def answer(described: type[T]) -> type[T]:
    """An answer: no key but those described, each by the text below it."""
    return with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))(described)


@answer
class ServiceBackend(TypedDict):
    """A backend in the status of its service."""

    name: str
    addresses: list[str]
    state: str
    """``up`` takes new clients; ``unresolved`` answers neither ARP nor ND; ``down`` fails its checks;
    ``drain`` and ``maint``: the operator has taken it out"""
    admin_state: str
    """what the operator wants: ``ready``, ``drain`` or ``maint``"""
    problem: str
    """what is wrong with it, in words; empty if nothing is"""
    weight: int
    """its share of new clients, relative to the others"""
    share: float
    """how much of its weight counts now: less than 1 in a slow start"""
    max_sessions: int
    """with so many it gets no new clients; 0 for any number"""
    full: bool
    """whether it gets none for that"""
    sessions: int
    client_packets: int
    """packets from clients that were sent to it"""
    client_bytes: int
    """bytes of those packets, whole frames"""
    delivered_bytes: int
    """sent to clients, past the balancer, since the daemon started: over TCP what they acknowledged,
    over UDP an estimate from the packets that they report"""
    delivered_packets: int
    """RTP packets over UDP since the daemon started, by clients' receiver reports, lost ones too"""
    lost_packets: int
    """of those"""
    jitter: int | None
    """mean of what clients reported lately, RTP timestamp units; null without a report"""


@answer
class ServiceAnswer(TypedDict):
    """A service and its backends."""

    name: str
    vips: list[str]
    ports: list[int]
    schedule: str
    """how new clients are placed: ``hash``, ``weighted-round-robin``, ``least-sessions`` or
    ``least-bandwidth``"""
    place_by: str
    """what is placed as one: ``client`` or ``connection``"""
    client_packets: int
    """packets from clients to its VIPs"""
    client_bytes: int
    """bytes of those packets, whole frames"""
    backends: list[ServiceBackend]


@answer
class StatusAnswer(TypedDict):
    """How the daemon stands."""

    uptime_s: float
    modes: dict[str, str]
    """how XDP is attached, by interface: ``native`` or ``generic``"""
    pins: int
    pins_max: int
    pins_refused: int
    """changes that the forwarding core refused, because a map was full or otherwise"""
    sessions: int
    faults: int
    """faults of our own that were survived"""
    reinjections_failed: int
    """segments that could not be sent on once they were read"""
    lines_dropped: int
    """lines of the session log that were lost"""
    journal_failed: int
    """records of the journal that could not be written"""
    services: list[ServiceAnswer]


@answer
class SessionAnswer(TypedDict):
    """One live session."""

    session: str
    """our name of it, as in the session log"""
    client: str
    """the client's address"""
    service: str | None
    """null if it is configured no longer"""
    backend: str | None
    """null if it is configured no longer"""
    url: str
    """without credentials"""
    state: str
    """what the client has asked for: ``init``, ``ready``, ``playing``, ``recording`` or ``ending``"""
    transports: list[str]
    """of its tracks, each once: ``udp``, ``tcp`` (interleaved) or ``multicast``"""
    age_s: float
    """since its first SETUP; of one that has ended, how long it lasted"""
    reason: str | None
    """why it ended, as in the session log; null while it lives"""
    delivered_bytes_per_s: float | None
    """lately, over TCP, by the client's acknowledgements; null if that is not known"""
    delivered_packets_per_s: float | None
    """lately, over UDP, by the client's receiver reports; null if that is not known"""
    last_loss: float | None
    """fraction of the last receiver report, 0 to 1; null without one"""
    worst_loss: float | None
    """the largest of all its receiver reports"""
    jitter: int | None
    """of the last receiver reports, RTP timestamp units"""
    stalls: int
    """how often delivery stopped"""
    waiting: bool
    """it began to play over UDP so lately that nothing can be known yet: that takes two receiver reports"""


@answer
class DeliverySums(TypedDict):
    """What some sessions get together."""

    sessions: int
    delivered_bits_per_s: float
    """lately, past the balancer; over UDP an estimate from the packets that clients report"""
    waiting: int
    """so many of them began to play over UDP so lately that nothing is known of them yet"""


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


@answer
class TrackAnswer(TypedDict):
    """One stream of a session, as its last SETUP asked for it."""

    url: str
    transport: str
    """``udp``, ``tcp`` (interleaved) or ``multicast``"""
    client_ports: list[int]
    """pinned UDP ports of the client, RTP first"""
    channels: list[int]
    """interleaved channels, RTP first"""


@answer
class EntryAnswer(TypedDict):
    """A request of a session, or what came of it."""

    time: str
    """wall clock, ISO 8601, UTC"""
    event: str
    """``request``, or the name of an event of the session log"""
    method: str | None
    """of a request"""
    url: str | None
    """of a request, without credentials"""
    times: int
    """how often the request came, with nothing in between"""
    until: str
    """when it came last"""
    details: dict[str, object]
    """the other keys that the event has in the session log"""


@answer
class PointAnswer(TypedDict):
    """How media arrived for a while. Points follow one another without a gap; null: nothing was told."""

    begun_at: str
    """wall clock, ISO 8601, UTC"""
    ended_at: str
    client_bytes_per_s: float
    """from the client, whole frames"""
    delivered_bytes_per_s: float | None
    """over TCP, by the client's acknowledgements"""
    delivered_packets_per_s: float | None
    """over UDP, by the client's receiver reports"""
    loss: float | None
    """worst fraction of a receiver report, 0 to 1"""
    jitter: int | None
    """worst of a receiver report, RTP timestamp units"""


@answer
class StoryAnswer(TypedDict):
    """A session and all that is known of it, since the daemon was started."""

    session: str
    client: str
    client_port: int
    """of its control connection, the last it was heard on"""
    service: str | None
    backend: str | None
    state: str
    """as in the list of sessions, or ``ended``"""
    url: str
    user_agent: str
    server_session: str | None
    """the server's Session id, as the client repeated it"""
    opened_at: str
    """first SETUP: wall clock, ISO 8601, UTC"""
    played_at: str | None
    """first PLAY or RECORD"""
    closed_at: str | None
    """null while it lives"""
    age_s: float
    reason: str | None
    """why it ended, as in the session log; null while it lives"""
    setup_s: float | None
    """from the connection's SYN to the first PLAY or RECORD"""
    first_delivery_s: float | None
    """from the SYN to the first sign of delivery, at the latest"""
    client_packets: int
    client_bytes: int
    """whole frames from the client"""
    delivered_bytes: int | None
    """acknowledged over TCP"""
    delivered_packets: int | None
    """RTP packets by the client's receiver reports"""
    lost_packets: int | None
    worst_loss: float | None
    last_loss: float | None
    jitter: int | None
    """of the last receiver reports, RTP timestamp units"""
    stalls: int
    """how often delivery stopped"""
    stalled_s: float
    tracks: list[TrackAnswer]
    entries: list[EntryAnswer]
    """what happened to it, oldest first: its beginning and what came last"""
    entries_first: int
    """so many of them are the beginning"""
    entries_omitted: int
    """so many are missing after those"""
    course: list[PointAnswer]
    """how its media arrived, oldest first: 40 points at most over its whole life"""


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


@answer
class Placed(TypedDict):
    """Where a client's new connections go."""

    client: str
    backend: str


@answer
class ErrorAnswer(TypedDict):
    """Why something was refused."""

    error: str
    """what failed, the value at fault, what to do next"""


@answer
class LoggedIn(TypedDict):
    """A login."""

    expires_s: int | None
    """how long it lasts from now on; null where no token is needed"""


@answer
class BackendTotals(TypedDict):
    """What changes of a backend. What is delivered is as old as the last readings, five seconds at most."""

    name: str
    state: str
    sessions: int
    client_packets: int
    client_bytes: int
    delivered_bytes: int
    """past the balancer since the daemon started: as acknowledged over TCP, and over UDP estimated"""
    delivered_packets: int
    """RTP over UDP, as clients report, lost ones too, since the daemon started"""
    lost_packets: int
    """RTP packets lost, as clients report, since the daemon started"""


@answer
class ServiceTotals(TypedDict):
    """What changes of a service."""

    name: str
    client_packets: int
    """packets from clients to its VIPs"""
    client_bytes: int
    """bytes of those packets, whole frames"""
    backends: list[BackendTotals]


@answer
class TotalsAnswer(TypedDict):
    """What changes all the time; the difference of two gives rates."""

    uptime_s: float
    """when this was, since the start of the daemon"""
    pins: int
    pins_max: int
    services: list[ServiceTotals]


@answer
class LivenessAnswer(TypedDict):
    """Whether the daemon does its work."""

    alive: bool
    """the tracker's deadline is ahead, so that requests are read"""
    deadline_s: float
    """how far ahead"""
    uptime_s: float


@answer
class ServiceReadiness(TypedDict):
    """Whether a service takes new clients."""

    name: str
    backends: int
    usable: int
    """backends that take new clients"""


@answer
class ReadinessAnswer(TypedDict):
    """Whether clients are served."""

    ready: bool
    problems: list[str]
    """what is in the way, in words"""
    modes: dict[str, str]
    """how XDP is attached, by interface"""
    services: list[ServiceReadiness]
