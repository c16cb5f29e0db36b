"""Packs and unpacks the structs of shared.h: model values on one side, octets of maps and rings on the other.

Handed values it gives back bytes, and the other way round; it never touches the kernel. A ``Layout``
names the members as shared.h does, and a test holds every one of them against the BTF of the object.
"""

import struct
from collections.abc import Callable, Sequence
from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Address
from mmap import mmap
from typing import Any

from rtspdsr.model import (
    Address,
    FlowKey,
    Pin,
    PinFlag,
    PinReading,
    Proto,
    ReceiverReport,
    Segment,
    Service,
    TcpFlag,
    Traffic,
)

LAYOUT_VERSION = 4
SERVICE_PORTS = 8
SLOT_COUNT = 65537
TURN_COUNT = 4096
VIP_PLACES = 4096
VIP_PROBES = 16
CHUNK_PINS = 16384

_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96 (RFC 4291 section 2.5.5.2)
_NANO = 1e-9
# To find an enum's member by its value takes longer than all else that is unpacked.
_TCP_FLAGS = tuple(map(TcpFlag, range(0x20)))
_PROTOS = {int(one): one for one in Proto}


class Verdict(IntEnum):
    """Why a packet left the XDP program (``enum verdict``)."""

    NOT_IP = 0
    NOT_A_VIP = 1
    UNPARSED = 2
    VIP_CLAIMED = 3
    ARP_ANSWERED = 4
    ND_ANSWERED = 5
    ECHO_ANSWERED = 6
    DETOURED = 7
    PINNED = 8
    BY_FLOW = 9
    BY_CLIENT = 10
    BY_NEWCOMER = 11
    BY_SLOT = 12
    BY_TURN = 13
    ICMP_ERROR = 14
    TRACKER_DEAD = 15
    RING_FULL = 16
    TRUNCATED = 17
    NOT_SERVED = 18
    NO_BACKEND = 19
    NO_ROOM = 20
    FROM_BACKEND = 21


MEANINGS: dict[Verdict, str] = {
    Verdict.NOT_IP: "not ours: neither IP nor an ARP request for a VIP",
    Verdict.NOT_A_VIP: "not ours: another destination",
    Verdict.UNPARSED: "not ours: cut short, or too many tags, before a destination is known",
    Verdict.VIP_CLAIMED: "alarm: a foreign machine answers for a VIP",
    Verdict.ARP_ANSWERED: "answered: ARP request for a VIP",
    Verdict.ND_ANSWERED: "answered: neighbour solicitation for a VIP",
    Verdict.ECHO_ANSWERED: "answered: ping of a VIP",
    Verdict.DETOURED: "read by the tracker, which sends it on",
    Verdict.PINNED: "forwarded: pinned to its backend",
    Verdict.BY_FLOW: "forwarded: a connection that has not spoken RTSP yet",
    Verdict.BY_CLIENT: "forwarded: where its client was placed, by its sessions or by an operator",
    Verdict.BY_NEWCOMER: "forwarded: follows its client, placed a moment ago",
    Verdict.BY_SLOT: "forwarded: placed by the slot table",
    Verdict.BY_TURN: "forwarded: a new client, placed by its turn",
    Verdict.ICMP_ERROR: "forwarded: ICMP error, to the backend of the tuple in it",
    Verdict.TRACKER_DEAD: "forwarded before it was read: the tracker's deadline has passed",
    Verdict.RING_FULL: "forwarded unread: no room to hand it to the tracker",
    Verdict.TRUNCATED: "dropped: to a VIP, a header is cut short",
    Verdict.NOT_SERVED: "dropped: to a VIP, but no service there; or an IPv4 address in IPv6",
    Verdict.NO_BACKEND: "dropped: no backend is resolved",
    Verdict.NO_ROOM: "dropped: a new client, and every backend is full (max_sessions)",
    Verdict.FROM_BACKEND: "dropped: sent by a backend, it would loop",
}


class BackendFlag(IntEnum):
    """``enum backend_flag``."""

    RESOLVED = 1
    UP = 2


class ScheduleFlag(IntFlag):
    """``enum schedule_flag``."""

    BY_TURN = 1
    REPEATS = 2
    BY_CONNECTION = 4


class VipState(IntEnum):
    """``enum vip_state``."""

    FREE = 0
    SERVED = 1
    LEFT = 2


class Layout:
    """One struct of shared.h: its members in order, as (name, struct format) pairs; ``x`` is padding."""

    def __init__(self, name: str, *members: tuple[str, str]) -> None:
        self.name = name
        self.members = members
        self._struct = struct.Struct("=" + "".join(code for _, code in members))
        self.size = self._struct.size
        self.pack = self._struct.pack
        self.unpack = self._struct.unpack
        self.unpack_from = self._struct.unpack_from

    def named(self, packed: bytes) -> dict[str, Any]:
        """The members of a packed struct by name, padding left out."""
        names = (name for name, code in self.members if not code.endswith("x"))
        return dict(zip(names, self.unpack(packed), strict=True))

    def offsets(self) -> dict[str, int]:
        """Where each member begins, octets."""
        found, at = {}, 0
        for name, code in self.members:
            found[name] = at
            at += struct.calcsize("=" + code)
        return found


SERVICE = Layout("service", ("id", "I"), ("ports", "16s"), ("pad", "4x"))
VIP = Layout("vip", ("address", "16s"), ("service", "24s"), ("state", "I"), ("pad", "20x"))
SLOT_TABLE = Layout("slot_table", ("base", "I"), ("filled", "I"))
SCHEDULE = Layout("schedule", ("begins", "Q"), ("base", "I"), ("count", "I"), ("flags", "I"), ("pad", "4x"))
ROOM = Layout("room", ("until", "Q"), ("limited", "Q"))
FLOW_KEY = Layout(
    "flow_key",
    ("client", "16s"),
    ("client_port", "2s"),
    ("service_port", "2s"),
    ("service", "H"),
    ("proto", "B"),
    ("pad", "x"),
)
CLIENT_KEY = Layout("client_key", ("client", "16s"), ("service", "I"))
PIN = Layout("pin", ("statistics", "I"), ("backend", "H"), ("flags", "H"))
PIN_STATISTICS = Layout(
    "pin_statistics",
    ("packets", "Q"),
    ("bytes", "Q"),
    ("heard_ticks", "Q"),
    ("delivered", "Q"),
    ("acknowledged", "I"),
    ("next_sequence", "I"),
    ("ssrc", "I"),
    ("lost", "I"),
    ("highest", "I"),
    ("jitter", "I"),
    ("reported_ticks", "Q"),
)
FLOW = Layout("flow", ("opened_at", "Q"), ("initial", "I"), ("backend", "H"), ("pad", "2x"))
NEWCOMER = Layout("newcomer", ("placed_at", "Q"), ("backend", "I"), ("pad", "4x"))
BACKEND = Layout(
    "backend",
    ("mac", "6s"),
    ("source", "6s"),
    ("ifindex", "I"),
    ("flags", "H"),
    ("service", "H"),
    ("addresses", "32s"),
)
MAC_KEY = Layout("mac_key", ("octets", "6s"), ("pad", "2x"))
INTERFACE = Layout("interface", ("mac", "6s"), ("pad", "2x"))
TRAFFIC = Layout("traffic", ("packets", "Q"), ("bytes", "Q"))
CONTROL = Layout("control", ("alive_until", "Q"))
SEGMENT = Layout(
    "segment",
    ("flow", "24s"),
    ("opened_at", "Q"),
    ("passed_at", "Q"),
    ("initial", "I"),
    ("sequence", "I"),
    ("acknowledgement", "I"),
    ("ifindex", "I"),
    ("frame_length", "I"),
    ("payload_offset", "H"),
    ("payload_length", "H"),
    ("backend", "H"),
    ("tcp_offset", "H"),
    ("tcp_flags", "B"),
    ("pad", "3x"),
)
VIP_CLAIM = Layout("vip_claim", ("vip", "16s"), ("mac", "6s"), ("pad", "2x"), ("ifindex", "I"))

LAYOUTS: tuple[Layout, ...] = (
    SERVICE,
    VIP,
    SLOT_TABLE,
    SCHEDULE,
    ROOM,
    FLOW_KEY,
    CLIENT_KEY,
    PIN,
    PIN_STATISTICS,
    FLOW,
    NEWCOMER,
    BACKEND,
    MAC_KEY,
    INTERFACE,
    TRAFFIC,
    CONTROL,
    SEGMENT,
    VIP_CLAIM,
)


def index(number: int) -> bytes:
    """The key of an array map."""
    return struct.pack("=I", number)


def octets(address: Address) -> bytes:
    """An address as 16 octets, IPv4 mapped into IPv6."""
    return address.packed if isinstance(address, IPv6Address) else _MAPPED + address.packed


def address(packed: bytes) -> Address:
    """The address in 16 octets."""
    return IPv4Address(packed[12:]) if packed[:12] == _MAPPED else IPv6Address(packed)


def pack_flow(flow: FlowKey) -> bytes:
    """A flow as a key of ``pins`` and ``flows``."""
    return FLOW_KEY.pack(
        octets(flow.client),
        flow.client_port.to_bytes(2),
        flow.service_port.to_bytes(2),
        flow.service_id,
        flow.proto,
    )


def unpack_flow(key: bytes) -> FlowKey:
    """The flow in a key of ``pins`` and ``flows``."""
    client, client_port, service_port, service_id, proto = FLOW_KEY.unpack(key)
    return FlowKey(
        service_id, _PROTOS[proto], address(client), int.from_bytes(client_port), int.from_bytes(service_port)
    )


def pack_client(service_id: int, client: Address) -> bytes:
    """A client of a service as a key of ``clients`` and ``newcomers``."""
    return CLIENT_KEY.pack(octets(client), service_id)


def unpack_pin(key: bytes, value: bytes) -> tuple[Pin, int]:
    """A pin from its entry, and its place in the statistics."""
    place, backend_id, flags = PIN.unpack(value)
    marked = PinFlag(flags) if flags else PinFlag.NONE
    return Pin(flow=unpack_flow(key), backend_id=backend_id, flags=marked), place


def pack_service(service: Service) -> bytes:
    """A service as the value of each of its VIPs."""
    ports = b"".join(port.to_bytes(2) for port in service.ports)
    return SERVICE.pack(service.service_id, ports)


def pack_addresses(addresses: Sequence[Address]) -> bytes:
    """A backend's real addresses, IPv4 first, zero where there is none."""
    places = [bytes(16), bytes(16)]
    for one in addresses:
        places[one.version == 6] = octets(one)
    return b"".join(places)


def unpack_addresses(packed: bytes) -> tuple[Address, ...]:
    """The addresses that ``pack_addresses`` packed."""
    return tuple(address(part) for part in (packed[:16], packed[16:]) if any(part))


def unpack_statistics(values: bytes | mmap, offset: int, seconds: Callable[[int], float]) -> PinReading:
    """What XDP has counted at one place of the statistics; ``seconds`` turns its ticks into ours."""
    packets, size, heard, delivered, acked, following, ssrc, lost, highest, jitter, reported = (
        PIN_STATISTICS.unpack_from(values, offset)
    )
    report = ReceiverReport.from_block(ssrc, lost, highest, jitter) if reported else None
    return PinReading(packets, size, seconds(heard), delivered, acked, following, report, seconds(reported))


def unpack_segment(record: bytes) -> Segment:
    """A segment, or a notice, from its ring record: the struct, then the frame."""
    (key, opened, passed, initial, sequence, ack, ifindex, length, offset, size, backend, tcp, flags) = (
        SEGMENT.unpack_from(record)
    )
    frame = record[SEGMENT.size : SEGMENT.size + length]
    return Segment(
        flow=unpack_flow(key),
        backend_id=backend,
        sequence=sequence,
        acknowledgement=ack,
        flags=_TCP_FLAGS[flags & 0x1F],
        payload=frame[offset : offset + size],
        initial=initial if opened else None,
        opened_at=opened * _NANO if opened else None,
        passed_at=passed * _NANO if passed else None,
        frame=frame,
        tcp_offset=tcp,
        ifindex=ifindex,
    )


def unpack_claim(record: bytes) -> tuple[Address, bytes, int]:
    """Who claims a VIP: the VIP, the MAC address, the interface's index."""
    vip, mac, ifindex = VIP_CLAIM.unpack(record)
    return address(vip), mac, ifindex


def sum_traffic(values: Sequence[bytes]) -> Traffic:
    """The traffic of all CPUs together."""
    counted: list[tuple[Any, ...]] = [TRAFFIC.unpack(value) for value in values]
    return Traffic(packets=sum(one[0] for one in counted), bytes=sum(one[1] for one in counted))
