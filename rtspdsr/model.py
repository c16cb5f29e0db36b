"""The values everything else passes around: frozen, host byte order, units in their names.

Nothing here does anything. An address is an ``IPv4Address`` or ``IPv6Address``, a choice is an enum,
and a ``str`` is only text.
"""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag, StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

Address = IPv4Address | IPv6Address


class Proto(IntEnum):
    """IP protocol numbers that a pin can carry."""

    TCP = 6
    UDP = 17


class TcpFlag(IntFlag):
    """Bits of the TCP header's flags octet (RFC 9293 section 3.1)."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10


@dataclass(frozen=True, slots=True)
class FlowKey:
    """The client half of a five-tuple, which is all that a balancer behind DSR sees.

    service_id:   the service whose VIP is the destination; with the client's family it names the VIP
    proto:        TCP or UDP
    client:       source address
    client_port:  source port
    service_port: the service's RTSP port for TCP; 0 for UDP, whose server port the client never tells
    """

    service_id: int
    proto: Proto
    client: Address
    client_port: int
    service_port: int = 0
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = (self.service_id, int(self.proto), self.client, self.client_port, self.service_port)
        object.__setattr__(self, "_hash", hash(words))

    def __hash__(self) -> int:
        """Reckoned once: a flow is looked up again and again as long as it lives."""
        return self._hash


class PinFlag(IntFlag):
    """How XDP treats a pinned flow (``enum pin_flag`` in shared.h)."""

    NONE = 0
    UNREAD = 1  #: forwarded without a detour: opaque or distrusted
    UPSTREAM = 2  #: the client sends media (RECORD interleaved): scan, detour only what holds a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A flow held to one backend.

    backend_id: key in the ``backends`` map, counted from 1
    """

    flow: FlowKey
    backend_id: int
    flags: PinFlag = PinFlag.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A TCP segment of a client, handed over by XDP: before its backend has seen it, if the tracker is alive.

    backend_id:      the backend that XDP would send it to
    sequence:        sequence number of the first payload byte (of the SYN itself if SYN is set)
    acknowledgement: what the client has received of the server's stream
    initial:         the client's initial sequence number, from the SYN; None if the SYN was not seen
    opened_at:       when the SYN passed, seconds on the monotonic clock; None if it was not seen
    passed_at:       when XDP sent it on by itself, as the tracker was not alive; None if it is to be sent on
    payload:         the bytes of RTSP in it; empty for a bare FIN or RST
    frame:           the whole Ethernet frame, to be sent on; empty for a notice (XDP sent it on itself)
    tcp_offset:      where the TCP header begins in the frame, octets
    ifindex:         interface that it came in by
    """

    flow: FlowKey
    backend_id: int
    sequence: int
    acknowledgement: int
    flags: TcpFlag
    payload: bytes
    initial: int | None = None
    opened_at: float | None = None
    passed_at: float | None = None
    frame: bytes = b""
    tcp_offset: int = 0
    ifindex: int = 0


class ReceiverReport(NamedTuple):
    """The first report block of a client's RTCP receiver report (RFC 3550 section 6.4.1).

    ssrc:            the source reported on
    fraction_lost:   lost since the previous report, 0 to 1
    cumulative_lost: packets lost since the beginning; negative when duplicates outnumber losses
    highest:         extended highest sequence number received
    jitter:          interarrival jitter in RTP timestamp units
    """

    ssrc: int
    fraction_lost: float
    cumulative_lost: int
    highest: int
    jitter: int

    @classmethod
    def from_block(cls, ssrc: int, lost: int, highest: int, jitter: int) -> "ReceiverReport":
        """The report of a block's words; the second holds the fraction, and the count with its sign."""
        fraction, cumulative = lost >> 24, lost & 0xFFFFFF
        return cls(
            ssrc,
            _FRACTIONS[fraction],
            cumulative - (1 << 24) if cumulative >> 23 else cumulative,
            highest,
            jitter,
        )


#: What 8 bits tell, each once: a hundred thousand sessions keep one.
_FRACTIONS = tuple(number / 256 for number in range(256))


class PinReading(NamedTuple):
    """What XDP has counted for one pin (``struct pin_statistics`` in shared.h).

    packets, bytes: from the client, whole frames
    heard_at:       last packet, seconds on the monotonic clock; 0 if none yet
    delivered:      TCP only: bytes of the backend's that the client has acknowledged
    acknowledged:   TCP only: the client's last acknowledgement number
    next_sequence:  TCP only: sequence number that the client will send next
    report:         last receiver report, None if none came
    reported_at:    when that came, seconds on the monotonic clock
    counted:        False while there is no room to count it, and nothing is known
    """

    packets: int
    bytes: int
    heard_at: float
    delivered: int = 0
    acknowledged: int = 0
    next_sequence: int = 0
    report: ReceiverReport | None = None
    reported_at: float = 0.0
    counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Packets and bytes from clients, whole frames."""

    packets: int
    bytes: int


class BackendState(StrEnum):
    """Whether a backend takes new clients."""

    UP = "up"
    UNRESOLVED = "unresolved"  #: it answers neither ARP nor ND
    DOWN = "down"  #: resolved, but not healthy
    DRAIN = "drain"  #: fit, but the operator lets its sessions finish and no new clients come
    MAINT = "maint"  #: the operator has taken it out; how it is nobody looks


class AdminState(StrEnum):
    """What the operator wants of a backend."""

    READY = "ready"
    DRAIN = "drain"
    MAINT = "maint"


class Schedule(StrEnum):
    """Which backend a new client goes to. Clients that have sessions follow them."""

    HASH = "hash"  #: by its address, the same on every balancer (weighted rendezvous)
    ROUND_ROBIN = "weighted-round-robin"
    LEAST_SESSIONS = "least-sessions"
    LEAST_BANDWIDTH = "least-bandwidth"


class PlaceBy(StrEnum):
    """What is placed on a backend as one."""

    CLIENT = "client"  #: an address, with all its connections and datagrams
    CONNECTION = "connection"  #: each connection by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A media server.

    backend_id: key in the ``backends`` map, counted from 1; kept as long as the address is configured
    addresses:  its real addresses, one a family at most; never the VIP
    weight:     its share of new clients, relative to the other backends of the service
    max_sessions: with so many it gets no new clients; 0 for any number
    """

    backend_id: int
    name: str
    addresses: tuple[Address, ...]
    weight: float = 100
    max_sessions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One VIP (or one of each family), its RTSP ports, and the backends behind it.

    service_id: key of its slot table, counted from 0; kept as long as the name is configured
    ports:      TCP ports on which the VIP speaks RTSP
    opaque:     those of ``ports`` that carry TLS (rtsps), which checks only connect to
    slow_start_s: how long the share of a backend that comes back takes to grow whole, seconds
    """

    service_id: int
    name: str
    vips: tuple[Address, ...]
    ports: tuple[int, ...] = (554,)
    opaque: tuple[int, ...] = ()
    backends: tuple[Backend, ...] = field(default=())
    schedule: Schedule = Schedule.HASH
    place_by: PlaceBy = PlaceBy.CLIENT
    slow_start_s: float = 0.0
