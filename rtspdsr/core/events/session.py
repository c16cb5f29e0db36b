"""Facts about RTSP sessions, from their first SETUP to the summary."""

from dataclasses import dataclass
from enum import StrEnum

from rtspdsr.core.events.connection import ConnectionEvent


class CloseReason(StrEnum):
    """Why a session ended, as far as half a conversation can tell."""

    TEARDOWN = "teardown"
    EXPIRED = "expired"  #: neither control connection nor UDP heard for ``idle``
    CONNECTION_CLOSED = "connection_closed"  #: FIN or RST, and nothing heard for a linger after it
    BACKEND_DOWN = "backend_down"
    DRAINED = "drained"  #: ended at the deadline of a drain, or because its backend went into maintenance


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent(ConnectionEvent):
    """A fact about one RTSP session.

    session: our own name of it, unique in the log; the server's Session id is seldom known at first
    """

    session: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(SessionEvent):
    """A first SETUP. ``url`` without credentials."""

    url: str
    user_agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackPinned(SessionEvent):
    """A SETUP of one track: its flows are pinned.

    transport:    ``udp``, ``tcp`` (interleaved) or ``multicast``
    client_ports: UDP ports that were pinned, RTP first
    channels:     interleaved channels, RTP first
    """

    url: str
    transport: str
    client_ports: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlaying(SessionEvent):
    """The client asked for PLAY."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPaused(SessionEvent):
    """The client asked for PAUSE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecording(SessionEvent):
    """The client asked for RECORD: media flows from it to the backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnding(SessionEvent):
    """The client asked for TEARDOWN: the session is closed after a linger, unless it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRevived(SessionEvent):
    """The client went on after its TEARDOWN: the server has probably refused it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMovedToTcp(SessionEvent):
    """A track that was set up over UDP was set up again interleaved, in the same session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStalled(SessionEvent):
    """Delivery stopped while the session plays: neither ACKs nor sequence numbers move.

    silent_s: seconds since the last progress
    """

    silent_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResumed(SessionEvent):
    """Delivery goes on after a stall of ``stalled_s`` seconds."""

    stalled_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAdopted(SessionEvent):
    """Taken over: from an earlier daemon by a restarted one, or from its client, who began it unheard."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOutOfTurn(SessionEvent):
    """A request that the session's state does not allow; the server will judge it."""

    method: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRefused(SessionEvent):
    """``destination=`` or a foreign ``dest_addr`` in a Transport header: logged, never followed."""

    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PinContested(SessionEvent):
    """Two sessions claim one client port; the later one has it (a client reuses a port it has freed).

    other: the session that had it
    """

    client_ports: tuple[int, ...]
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(SessionEvent):
    """The session has ended, or was last heard so long ago that its server has ended it."""

    reason: CloseReason


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary(SessionEvent):
    """The one record per session that reviews are made from. ``null``: not known.

    transports:          of its tracks, in the order of SETUP, e.g. ("udp", "udp")
    opened_at:           first SETUP
    played_at:           first PLAY or RECORD
    closed_at:           when its client ended it by TEARDOWN or FIN, else when it was given up
    setup_s:             from the connection's SYN to the first PLAY or RECORD
    first_delivery_s:    from the SYN to the first sign of delivery (ACK progress after PLAY, or a receiver
                         report); an upper bound, as fine as the statistics are read
    client_bytes:        whole frames from the client, from its first request on, control and media
    delivered_bytes:     TCP: acknowledged by the client, responses included
    delivered_packets:   UDP: progress of the highest sequence number between the first and the last receiver
                         report, all tracks
    lost_packets:        cumulative, last report, all tracks
    worst_loss, last_loss: fraction of one report interval, 0 to 1, any track
    jitter:              last report, RTP timestamp units, largest of the tracks
    stalls, stalled_s:   how often delivery stopped, and how long in all
    """

    server_session: str | None
    url: str
    user_agent: str
    transports: tuple[str, ...]
    client_ports: tuple[int, ...]
    opened_at: float
    played_at: float | None
    closed_at: float
    setup_s: float | None
    first_delivery_s: float | None
    client_packets: int
    client_bytes: int
    delivered_bytes: int | None
    delivered_packets: int | None
    lost_packets: int | None
    worst_loss: float | None
    last_loss: float | None
    jitter: int | None
    stalls: int
    stalled_s: float
    reason: CloseReason
