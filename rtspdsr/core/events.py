"""What the deciding code says: effects to perform, and facts for the session log.

An ``Effect`` asks the shell to change the forwarding core. Every other event is a fact, and one line of
the session log: its name there is the class name in snake case, its keys are the field names (the list
of keys is in ``sessionlog.py``). Times are seconds on the monotonic clock; the log turns them into
wall-clock time.
"""

from dataclasses import dataclass
from enum import Flag, StrEnum, auto

from rtspdsr.model import Address, FlowKey, Pin


class CloseReason(StrEnum):
    """Why a session ended, as far as half a conversation can tell."""

    TEARDOWN = "teardown"
    EXPIRED = "expired"  #: neither control connection nor UDP heard for ``idle``
    CONNECTION_CLOSED = "connection_closed"  #: FIN or RST, and nothing heard for a linger after it
    BACKEND_DOWN = "backend_down"
    DRAINED = "drained"  #: ended at the deadline of a drain, or because its backend went into maintenance


class OpaqueKind(StrEnum):
    """Why a connection cannot be read."""

    TLS = "tls"
    HTTP_TUNNEL = "http_tunnel"
    NOT_RTSP = "not_rtsp"


class Guess(StrEnum):
    """What is inferred from the client's half alone (design rule 13); always logged as inferred."""

    UNAUTHORIZED = "unauthorized"  #: the same request again, now with Authorization
    REFUSED = "refused"  #: DESCRIBE, and the connection ended without SETUP


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something the deciding code said at ``at``."""

    at: float


# --- effects -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect(Event):
    """A change of the forwarding core, to be made before the segment that caused it is sent on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinMade(Effect):
    """Make or replace a pin.

    provisional: the client's ACKs have not moved yet; from a budget of its own
    """

    pin: Pin
    provisional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PinReleased(Effect):
    """Delete a pin and its statistics."""

    flow: FlowKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPlaced(Effect):
    """New flows of this client go to this backend while it has sessions."""

    service_id: int
    client: Address
    backend_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientReleased(Effect):
    """The client's last session ended, and its linger passed: it is placed anew."""

    service_id: int
    client: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowForgotten(Effect):
    """Delete what XDP noted of a connection at its SYN, so that what follows goes where its client goes."""

    flow: FlowKey


class Ends(Flag):
    """Of a control connection."""

    CLIENT = auto()
    BACKEND = auto()
    BOTH = CLIENT | BACKEND


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetOrdered(Effect):
    """Reset a control connection: its client as the VIP, and its backend as the client.

    sequence:      what the client expects next of the server's stream, which makes the reset valid
    next_sequence: what the backend expects next of the client's
    ends:          who is reset
    """

    flow: FlowKey
    backend_id: int
    sequence: int
    next_sequence: int
    ends: Ends = Ends.BOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class TeardownOrdered(Effect):
    """Have a backend end sessions: requests in the client's name, on its connection.

    sequence, next_sequence: as of ``ResetOrdered``; what is sent begins at ``next_sequence``
    requests:                one TEARDOWN or more, as on the wire
    """

    flow: FlowKey
    backend_id: int
    sequence: int
    next_sequence: int
    requests: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LoneTeardownOrdered(Effect):
    """Have a backend end a session that its own connection can say nothing of: on one of ours."""

    service_id: int
    backend_id: int
    request: bytes


# --- facts about a connection --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionEvent(Event):
    """A fact about one TCP control connection."""

    service_id: int
    backend_id: int
    client: Address
    client_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaqueConnection(ConnectionEvent):
    """Pinned and forwarded, but not readable: no session can be followed in it."""

    kind: OpaqueKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ReassemblyGap(ConnectionEvent):
    """Bytes of the client's stream were never seen; requests in them are unknown."""

    missing_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDistrusted(ConnectionEvent):
    """A retransmission carried other bytes than before: the flow is forwarded, and no longer read."""

    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMalformed(ConnectionEvent):
    """Bytes that are no request; the parser went on at the next one. ``problem`` is printable text."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInferred(ConnectionEvent):
    """What the answer to a request probably was."""

    guess: Guess
    method: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerFull(ConnectionEvent):
    """A limit of the tracker was reached: the connection is forwarded, and not read.

    At ``pins_max`` or ``provisional_max`` it may be read; what is not pinned goes by client address. So does
    all of a client beyond its ``client_connections_max``.

    limit: the configuration key of that limit, or the name of a fixed one
    """

    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClaimed(ConnectionEvent):
    """A client named the server's id of another client's session: nothing of that session changed.

    other:  the session whose id it is
    claims: such requests since the last such line, which comes once a second at most
    """

    method: str
    other: str
    claims: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionReset(ConnectionEvent):
    """Its backend is down and nothing moved on it any more: the client was told by a RST, to try again.

    still_s: seconds without any sign of progress
    problem: what is wrong with the backend
    """

    still_s: float
    problem: str


# --- facts about a session -----------------------------------------------------------------------


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


# --- facts about backends, the daemon and the forwarding core ----------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendResolved(Event):
    """A backend's MAC address is known, or has changed."""

    service_id: int
    backend_id: int
    mac: str
    interface: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendLost(Event):
    """A backend answers neither ARP nor ND: it gets no new clients. ``problem`` says what to look at."""

    service_id: int
    backend_id: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChanged(Event):
    """A check of a backend passes or fails now, by rise and fall."""

    service_id: int
    backend_id: int
    check: str
    passing: bool
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendDown(Event):
    """A backend fails a check that another of its service passes: it gets no new clients.

    problem: what the check found
    """

    service_id: int
    backend_id: int
    check: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendUp(Event):
    """A backend passes its checks again, after ``down_s`` seconds: it gets new clients."""

    service_id: int
    backend_id: int
    down_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFailing(Event):
    """No backend of a service passes its checks: none is taken out, for the fault may be ours.

    backends: how many it has
    problem:  what the checks found
    """

    service_id: int
    backends: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingChanged(Event):
    """What clients tell of a backend is worse than what they tell of the others, or is so no more.

    standing: ``good`` or ``poor``; it takes no backend out
    """

    service_id: int
    backend_id: int
    standing: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainBegun(Event):
    """The operator drains a backend: it gets no new clients, and its sessions finish.

    sessions:   how many it has
    deadline_s: after so many seconds the rest are ended; null without a deadline
    """

    service_id: int
    backend_id: int
    sessions: int
    deadline_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainDeadlinePassed(Event):
    """The deadline of a drain has come: the sessions that are left are ended from now on."""

    service_id: int
    backend_id: int
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceBegun(Event):
    """The operator takes a backend out at once: its sessions are ended, and it is not checked any more.

    sessions: how many it has
    """

    service_id: int
    backend_id: int
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendDrained(Event):
    """Nothing is left at a backend in drain or maintenance: it can be stopped.

    finished:  sessions that came to an end by themselves since
    ended:     sessions that were ended
    drained_s: how long that took
    """

    service_id: int
    backend_id: int
    finished: int
    ended: int
    drained_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendReadied(Event):
    """The operator has given a backend back: it gets new clients if it is fit."""

    service_id: int
    backend_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetsWithheld(Event):
    """So many backends of a service are down at once that no client is reset: the fault may be ours.

    backends_down: of ``backends``
    """

    service_id: int
    backends_down: int
    backends: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksHindered(Event):
    """Checks cannot be made as they should: something of the balancer's own is in the way."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFilled(Event):
    """A service's slot table was filled anew.

    shares: slots by backend name; empty when no backend is usable, and the last table stays, or when the
            operator has taken out all of them, and new clients get no answer
    """

    service_id: int
    shares: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendFull(Event):
    """A backend has its ``max_sessions``, and gets no new clients; told once a minute at most.

    sessions: with the connections that cannot be read
    """

    service_id: int
    backend_id: int
    sessions: int
    sessions_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFull(Event):
    """Every backend of a service that takes clients is full: new ones get no answer (verdict ``no_room``).

    backends: how many they are
    """

    service_id: int
    backends: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VipClaimed(Event):
    """Another machine answers for a VIP: two owners of one address.

    defended: the VIP was announced anew at once; at most every ten seconds (RFC 5227 section 2.4)
    """

    vip: Address
    mac: str
    interface: str
    defended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VipUnheard(Event):
    """An interface may not hear solicitations for an IPv6 VIP: the kernel refused its multicast group."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFilling(Event):
    """A map of the forwarding core fills up. Full, it refuses: new sessions go by client address.

    map:             its name; ``dataplane.<map>_max`` sets its size
    entries:         how many stand, of ``entries_max``
    entries_refused: how many were refused since the daemon started
    """

    map: str
    entries: int
    entries_max: int
    entries_refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonFault(Event):
    """A fault of ours that was survived; a segment in hand was sent on all the same.

    faults: how many since the daemon started
    """

    problem: str
    faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRestored(Event):
    """Static routes and addresses that a link took with it were put back when it came up again.

    refused: what could not be put back and must be added by hand
    """

    interface: str
    restored: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigReloaded(Event):
    """A new configuration is in force. ``changes`` in words, one a difference."""

    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigRefused(Event):
    """A reload failed; the old configuration stays in force."""

    mistakes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStarted(Event):
    """Forwarding is attached.

    mode:    ``native`` or ``generic`` XDP, per interface
    adopted: pins found from an earlier daemon
    """

    mode: dict[str, str]
    adopted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachNotice(Event):
    """Forwarding is attached to an interface that is not as it should be. ``problem`` says what to do."""

    interface: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogWithheld(Event):
    """The daemon does not do its work, and gives the service manager no sign of life: a restart mends it."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStopped(Event):
    """The daemon ends. ``forwarding`` says what goes on without it."""

    forwarding: str
