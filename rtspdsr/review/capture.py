"""A packet capture as a session log: ``python -m rtspdsr.review.capture FILE PORT...`` prints its lines.

Handed a capture of clients' packets to a VIP, it feeds the tracker of the daemon with segments and with
what the forwarding core would have counted, at the times of the capture. A process of its own, because
scapy is GPL-2.0-only and nothing else here imports it. The service is named by the VIP, the backend by the
destination MAC address, which tells backends apart if the capture was made behind the balancer.

Sessions that have not ended with the capture get their summary all the same, with the reason
``capture_ended``, which no daemon writes.
"""

import json
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any

from rtspdsr.core.events import CloseReason, Effect, Event, PinMade, PinReleased
from rtspdsr.core.rtcp import first_report
from rtspdsr.core.tracker import Tracker, TrackerLimits
from rtspdsr.model import Address, FlowKey, PinReading, Proto, Segment, TcpFlag
from rtspdsr.sessionlog import Lines

READ_EVERY_S = 1.0  # between two looks at what was counted, as in the daemon
READINGS = 500  # flows at one look
SYNS_MAX = 262_144  # connections whose beginning is remembered; dataplane.flows_max by default
SILENCE_S = 200.0  # after which nothing is left to wait for: tracker.idle_s, linger_s and some more
SAME_S = 0.05  # so soon the same packet again is another sight of it, at another interface
HALF = 1 << 31
NO_FLAGS = TcpFlag(0)
NO_SCAPY, UNREADABLE = 3, 4  # exit codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A packet from a client to a VIP.

    at:      seconds since 1970
    size:    of the whole frame on the wire
    carried: payload on the wire, of which ``payload`` may be the beginning
    identity: the same for all sights of one packet
    """

    at: float
    proto: Proto
    client: Address
    client_port: int
    vip: Address
    vip_port: int
    mac: str
    size: int
    payload: bytes
    carried: int
    identity: int
    sequence: int = 0
    acknowledgement: int = 0
    flags: TcpFlag = NO_FLAGS


class Numbers:
    """Names for services (their VIP) and backends (their MAC), counted as they come."""

    def __init__(self) -> None:
        self._services: dict[Address, int] = {}
        self._backends: dict[str, int] = {}

    def of_service(self, vip: Address) -> int:
        """The number of a VIP."""
        return self._services.setdefault(vip, len(self._services))

    def knows(self, vip: Address) -> bool:
        """Whether RTSP was spoken to this address."""
        return vip in self._services

    def of_backend(self, mac: str) -> int:
        """The number of a MAC address."""
        return self._backends.setdefault(mac, len(self._backends) + 1)

    def service(self, service_id: int) -> str | None:
        """The VIP of a number."""
        return str(list(self._services)[service_id])

    def backend(self, backend_id: int) -> str | None:
        """The MAC address of a number."""
        return list(self._backends)[backend_id - 1]


@dataclass(slots=True)
class Replay:
    """The tracker, with a forwarding core that only counts.

    ports: of RTSP; a TCP connection to one of them makes its destination a VIP
    """

    ports: frozenset[int]
    numbers: Numbers = field(default_factory=Numbers)
    tracker: Tracker = field(
        default_factory=lambda: Tracker(TrackerLimits(), (f"capture-{number}" for number in count(1)))
    )
    now: float = 0.0
    _readings: dict[FlowKey, PinReading] = field(default_factory=dict)
    _syns: OrderedDict[FlowKey, tuple[int, float]] = field(default_factory=OrderedDict)
    _seen: OrderedDict[int, float] = field(default_factory=OrderedDict)
    _read_at: float = 0.0

    def take(self, packet: Captured) -> Iterator[Event]:
        """Take in a packet; packets come in the order of time, as far as captures have them so."""
        yield from self._pass_time(packet.at)
        if self._is_known(packet):
            return
        if packet.proto is Proto.TCP:
            if packet.vip_port in self.ports:
                yield from self._take_tcp(packet)
        elif self.numbers.knows(packet.vip):
            flow = FlowKey(self.numbers.of_service(packet.vip), Proto.UDP, packet.client, packet.client_port)
            self._count_udp(flow, packet)

    def end(self) -> Iterator[Event]:
        """The capture is over: the account of each session that is not."""
        yield from self._applied(self.tracker.measure(dict(self._readings), self.now))
        for session in list(self.tracker.sessions.values()):
            asked_at = session.asked_at
            if asked_at is not None:
                yield session.summary(CloseReason.TEARDOWN, asked_at, self.now)
            else:
                yield session.summary(CloseReason.EXPIRED, self.now, self.now)

    # --- packets -----------------------------------------------------------------------------------

    def _take_tcp(self, packet: Captured) -> Iterator[Event]:
        service_id = self.numbers.of_service(packet.vip)
        flow = FlowKey(service_id, Proto.TCP, packet.client, packet.client_port, packet.vip_port)
        if TcpFlag.SYN in packet.flags:
            self._syns[flow] = packet.sequence, packet.at
            self._syns.move_to_end(flow)
            if len(self._syns) > SYNS_MAX:
                self._syns.popitem(last=False)
        pinned = flow in self._readings
        self._count_tcp(flow, packet)
        notice = pinned and packet.flags & (TcpFlag.FIN | TcpFlag.RST | TcpFlag.SYN)
        if packet.payload or notice:
            initial, opened_at = self._syns.get(flow, (None, None))
            segment = Segment(
                flow=flow,
                backend_id=self.numbers.of_backend(packet.mac),
                sequence=packet.sequence,
                acknowledgement=packet.acknowledgement,
                flags=packet.flags,
                payload=packet.payload,
                initial=initial,
                opened_at=opened_at,
            )
            yield from self._applied(self.tracker.receive(segment, self.now))

    def _count_tcp(self, flow: FlowKey, packet: Captured) -> None:
        """As ``count_tcp`` in statistics.h."""
        old = self._readings.get(flow)
        if old is None:
            return
        delivered, acknowledged = old.delivered, old.acknowledged
        progress = (packet.acknowledgement - acknowledged) & 0xFFFFFFFF
        if TcpFlag.SYN in packet.flags:
            acknowledged = 0
        elif TcpFlag.ACK in packet.flags and not acknowledged:
            acknowledged = packet.acknowledgement
        elif TcpFlag.ACK in packet.flags and 0 < progress < HALF:
            delivered, acknowledged = delivered + progress, packet.acknowledgement
        self._readings[flow] = old._replace(
            packets=old.packets + 1,
            bytes=old.bytes + packet.size,
            heard_at=self.now,
            delivered=delivered,
            acknowledged=acknowledged,
            next_sequence=(packet.sequence + packet.carried) & 0xFFFFFFFF,
        )

    def _count_udp(self, flow: FlowKey, packet: Captured) -> None:
        old = self._readings.get(flow)
        if old is None:
            return
        report = first_report(packet.payload)
        self._readings[flow] = old._replace(
            packets=old.packets + 1,
            bytes=old.bytes + packet.size,
            heard_at=self.now,
            report=report or old.report,
            reported_at=self.now if report else old.reported_at,
        )

    def _is_known(self, packet: Captured) -> bool:
        """Whether this is another sight of a packet, for example on its way out of the balancer."""
        while self._seen and next(iter(self._seen.values())) < packet.at - SAME_S:
            self._seen.popitem(last=False)
        if packet.identity in self._seen:
            return True
        self._seen[packet.identity] = packet.at
        return False

    # --- time --------------------------------------------------------------------------------------

    def _pass_time(self, until: float) -> Iterator[Event]:
        """Let the time between two packets pass in the steps of the daemon; of a long silence its end."""
        self._read_at = max(self._read_at, until - SILENCE_S)
        while self._read_at + READ_EVERY_S <= until:
            self._read_at = self.now = self._read_at + READ_EVERY_S
            yield from self._read()
            yield from self._tick()
        self.now = max(self.now, until)
        yield from self._tick()

    def _tick(self) -> Iterator[Event]:
        while (timer := self.tracker.next_timer()) is not None and timer <= self.now:
            yield from self._applied(self.tracker.tick(self.now))

    def _read(self) -> Iterator[Event]:
        while flows := self.tracker.due(self.now, READINGS):
            readings = {flow: self._readings[flow] for flow in flows if flow in self._readings}
            yield from self._applied(self.tracker.measure(readings, self.now))

    def _applied(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            match event:
                case PinMade():
                    self._readings.setdefault(event.pin.flow, PinReading(packets=0, bytes=0, heard_at=0.0))
                case PinReleased():
                    self._readings.pop(event.flow, None)
            yield event


def lines(packets: Iterable[Captured], ports: Iterable[int]) -> Iterator[str]:
    """The lines of the log."""
    replay = Replay(frozenset(ports))
    wording = Lines(replay.numbers, wall_offset=lambda: 0.0)
    for packet in packets:
        yield from (wording.line(event) for event in replay.take(packet) if not isinstance(event, Effect))
    for event in replay.end():
        record = json.loads(wording.line(event))
        if record.get("reason") == CloseReason.EXPIRED:
            record["reason"] = "capture_ended"
        yield json.dumps(record, separators=(",", ":"))


# --- scapy --------------------------------------------------------------------------------------------


def read(file: Path) -> Iterator[Captured]:
    """The TCP and UDP packets of a capture, pcap or pcapng, without fragments."""
    from scapy.layers import l2  # noqa: F401  # registers what frames there are
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.utils import PcapReader

    with PcapReader(str(file)) as reader:
        for frame in reader:
            ip = frame.getlayer(IP) or frame.getlayer(IPv6)
            if ip is None or (ip.version == 4 and (ip.frag or "MF" in ip.flags)):
                continue
            if TCP in ip or UDP in ip:
                yield _captured(frame, ip, ip[TCP] if TCP in ip else ip[UDP])


def _captured(frame: Any, ip: Any, transport: Any) -> Captured:
    tcp = transport.name == "TCP"
    whole = ip.len if ip.version == 4 else ip.plen + 40
    header = (ip.ihl * 4 if ip.version == 4 else 40) + (transport.dataofs * 4 if tcp else 8)
    carried = max(whole - header, 0)
    payload = bytes(transport.payload)[:carried]  # what follows is padding of a short frame
    seen = (ip.src, ip.dst, getattr(ip, "id", 0), transport.sport, transport.dport, payload)
    control = (transport.seq, transport.ack, int(transport.flags)) if tcp else (0, 0, 0)
    return Captured(
        at=float(frame.time),
        proto=Proto.TCP if tcp else Proto.UDP,
        client=ip_address(ip.src),
        client_port=transport.sport,
        vip=ip_address(ip.dst),
        vip_port=transport.dport,
        mac=getattr(frame, "dst", "") if frame.name == "Ethernet" else "(unknown)",
        size=frame.wirelen or len(frame),
        payload=payload,
        carried=carried,
        identity=hash((*seen, *control)),
        sequence=control[0],
        acknowledgement=control[1],
        flags=TcpFlag(control[2] & 0x1F),
    )


def main(arguments: list[str]) -> int:
    """Print the lines of a capture; gives back the exit code."""
    try:
        import scapy  # noqa: F401
    except ImportError:
        return NO_SCAPY
    from scapy.config import conf
    from scapy.error import Scapy_Exception
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether
    from scapy.packet import Raw

    # nothing above these is dissected, which takes most of the time
    conf.layers.filter([Ether, Dot1Q, Dot1AD, CookedLinux, CookedLinuxV2, IP, IPv6, TCP, UDP, Raw])
    file, ports = Path(arguments[0]), map(int, arguments[1:])
    try:
        for line in lines(read(file), ports):
            print(line)
    except (Scapy_Exception, EOFError) as error:
        print(f"is no capture that can be read: {error}", file=sys.stderr)
        return UNREADABLE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
