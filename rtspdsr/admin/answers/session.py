"""Sessions: a row of each, and the story of one."""

from typing_extensions import TypedDict

from rtspdsr.admin.answers.shape import answer


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
