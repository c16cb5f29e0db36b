"""What is on the lab's wires: one tcpdump at the switch hears every port of it, both ways.

Handed a lab's processes, a ``Capture`` gives back packets, each with the node at whose port it was seen.
Everything that counts is a pure function over packets, so that a test can narrow them down first, for
example to the ports of one session.
"""

import json
import signal
import struct
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self

from rtspdsr.errors import LabError
from rtspdsr.lab.network import inside
from rtspdsr.lab.process import Process, Processes, stop_all, wait_until
from rtspdsr.lab.topology import RTSP_PORT, SWITCH, Topology
from rtspdsr.model import Address, Proto

SNAP = 256  # octets kept of a packet: two headers of an ICMPv6 error and what is embedded fit
ETHERNET = 14
SLL2 = struct.Struct("!HxxIHBB8x")  # linktype 276: protocol, ifindex, ARPHRD, packet type, address length
SLL2_LINKTYPE = 276
OUTGOING = 4  # PACKET_OUTGOING: from the switch to the node
FRAGMENT6 = 44
LISTEN_WAIT_S = 10.0
FLUSH_S = 5.0
EVERYTHING = "ip or ip6"


@dataclass(frozen=True, slots=True)
class Packet:
    """One IP packet at one port of the switch.

    at:      seconds since 1970
    node:    whose port it is; ``to_node`` says which way it went
    length:  octets of the whole frame
    proto:   IP protocol number
    source_port, destination_port: None in later fragments and without ports
    payload: what follows the TCP or UDP header (or the IP header, with another protocol), cut short
    carried: octets of that payload on the wire
    flags:   ``TcpFlag``; 0 where there are none
    """

    at: float
    node: str
    to_node: bool
    length: int
    source: Address
    destination: Address
    proto: int
    source_port: int | None
    destination_port: int | None
    payload: bytes
    carried: int
    flags: int = 0

    @property
    def is_rtp(self) -> bool:
        """UDP that has the form of RTP, not of RTCP (RFC 5761 section 4) nor of an RTP header alone."""
        return (
            self.proto == Proto.UDP
            and len(self.payload) > 12
            and self.payload[0] >> 6 == 2
            and not 192 <= self.payload[1] <= 223
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What the wires saw of one client and the VIP.

    client:           its address at the switch (its router's, if it is behind one)
    reached:          packets from the client, by backend and ``tcp``, ``udp`` or ``other``
    sent:             packets from the client, by protocol: what should have been reached
    delivered_bytes:  frames to the client
    balancer_bytes:   frames of the client that crossed the balancer
    returned_packets: packets to the client that crossed the balancer: none, behind DSR
    rtp_packets:      RTP over UDP to the client
    media_sources:    source addresses of that RTP; without any, of TCP with payload
    """

    client: Address
    reached: dict[str, Counter[str]]
    sent: Counter[str]
    delivered_bytes: int
    balancer_bytes: int
    returned_packets: int
    rtp_packets: int
    media_sources: tuple[Address, ...]

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends that packets of the client reached; one, unless something went wrong."""
        return tuple(name for name, packets in self.reached.items() if packets.total())

    @property
    def ratio(self) -> float:
        """Bytes delivered for each byte that crossed the balancer."""
        return self.delivered_bytes / self.balancer_bytes if self.balancer_bytes else 0.0


class Capture:
    """Hears all wires between ``start`` and ``stop``; also a context manager.

    heard: which packets, as tcpdump takes it (pcap-filter(7)); IP alone
    """

    def __init__(self, topology: Topology, processes: Processes, file: Path, heard: str = EVERYTHING) -> None:
        self._heard = heard
        self._namespace = topology.namespace(SWITCH)
        self._processes = processes
        self._process: Process | None = None
        self.file = file

    def start(self) -> Self:
        """Return once packets are being heard."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._process = self._processes.start(
            f"capture-{self.file.stem}",
            self._namespace,
            # --immediate-mode and -U: what was heard is in the file at once; -Z: keep root's own file
            [
                *["tcpdump", "-i", "any", "-y", "LINUX_SLL2", "-s", str(SNAP), "-B", "32768"],
                *["--immediate-mode", "-U", "-Z", "root", "-w", str(self.file), self._heard],
            ],
        )
        log = self._process.log
        wait_until(lambda: "listening on" in log.read_text(), LISTEN_WAIT_S, "tcpdump", self._process)
        return self

    def stop(self) -> None:
        """Hear no more. LabError if packets went unheard: nothing could be concluded from the rest."""
        if not self._process:
            return
        process, self._process = self._process, None
        process.signal(signal.SIGINT)
        wait_until(lambda: process.pid is None, FLUSH_S, "tcpdump to end")
        stop_all([process])
        told = process.log.read_text()
        if "\n0 packets dropped by kernel" not in told:
            raise LabError(
                f"the capture {self.file} is not whole: {told.splitlines()[-1]}; see {process.log}"
            )

    def packets(self) -> list[Packet]:
        """Everything heard so far, in order of time; works while the capture goes on."""
        return list(read(self.file, ports(self._namespace)))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
        elif self._process:
            stop_all([self._process])


def delivery(packets: Iterable[Packet], topology: Topology, client: Address, vip: Address) -> Delivery:
    """Count what the wires saw between a client and the VIP, in either direction."""
    backends = {node.name for node in topology.backends}
    balancer = topology.balancer.name
    reached: dict[str, Counter[str]] = {name: Counter() for name in sorted(backends)}
    sent: Counter[str] = Counter()
    delivered = through = returned = rtp = 0
    udp_sources: Counter[Address] = Counter()
    tcp_sources: Counter[Address] = Counter()
    for packet in packets:
        if packet.source == client and packet.destination == vip:
            kind = _kind(packet)
            if packet.node in backends and packet.to_node:
                reached[packet.node][kind] += 1
            elif packet.node == balancer and not packet.to_node:
                through += packet.length
            elif packet.node not in backends and packet.node != balancer and not packet.to_node:
                sent[kind] += 1
        elif packet.destination == client and packet.to_node:
            if packet.node == balancer:
                returned += 1
            elif packet.node not in backends:
                delivered += packet.length
                rtp += packet.is_rtp
                if packet.is_rtp:
                    udp_sources[packet.source] += 1
                elif packet.proto == Proto.TCP and packet.source_port == RTSP_PORT and packet.carried:
                    tcp_sources[packet.source] += 1
    return Delivery(
        client=client,
        reached=reached,
        sent=sent,
        delivered_bytes=delivered,
        balancer_bytes=through,
        returned_packets=returned,
        rtp_packets=rtp,
        media_sources=tuple(sorted(udp_sources or tcp_sources, key=str)),
    )


def ports(switch: str) -> dict[int, str]:
    """The switch's ports: node by interface index."""
    listed = subprocess.run(
        [*inside(switch), "ip", "-json", "link", "show", "type", "veth"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {link["ifindex"]: link["ifname"] for link in json.loads(listed.stdout)}


def read(file: Path, nodes: dict[int, str]) -> Iterator[Packet]:
    """The IP packets of a capture at the switch's ports, in order of time."""
    data = memoryview(file.read_bytes())
    if len(data) < 24 or struct.unpack_from("<I", data, 20)[0] != SLL2_LINKTYPE:
        raise LabError(f"{file} is no capture of a lab; was tcpdump stopped before it began?")
    at = 24
    while at + 16 <= len(data):
        seconds, micros, kept, length = struct.unpack_from("<IIII", data, at)
        record = data[at + 16 : at + 16 + kept]
        at += 16 + kept
        if len(record) < kept:
            return  # tcpdump is still writing this one
        _, ifindex, _, kind, _ = SLL2.unpack_from(record)
        if ifindex in nodes:
            octets = length - SLL2.size
            packet = _parse(record[SLL2.size :], seconds + micros / 1e6, nodes[ifindex], kind, octets)
            if packet:
                yield packet


def _parse(ip: memoryview, at: float, node: str, kind: int, octets: int) -> Packet | None:
    """One IP packet of ``octets`` on the wire, of which the beginning is at hand."""
    if ip[0] >> 4 == 4:
        header = (ip[0] & 15) * 4
        proto, source, destination = ip[9], ip[12:16], ip[16:20]
        later = bool((ip[6] << 8 | ip[7]) & 0x1FFF)
        octets = ip[2] << 8 | ip[3]  # the rest is padding of a short frame
    else:
        header, proto, source, destination, later = 40, ip[6], ip[8:24], ip[24:40], False
        if proto == FRAGMENT6:
            later = bool((ip[42] << 8 | ip[43]) & 0xFFF8)
            header, proto = 48, ip[40]
    first, second, flags = None, None, 0
    if proto in (Proto.TCP, Proto.UDP) and not later:
        first, second = struct.unpack_from("!HH", ip, header)
        if proto == Proto.TCP:
            flags = ip[header + 13]
        header += 8 if proto == Proto.UDP else (ip[header + 12] >> 4) * 4
    return Packet(
        at=at,
        node=node,
        to_node=kind == OUTGOING,
        length=octets + ETHERNET,
        source=_address(bytes(source)),
        destination=_address(bytes(destination)),
        proto=proto,
        source_port=first,
        destination_port=second,
        payload=bytes(ip[header:]),
        carried=max(octets - header, 0),
        flags=flags,
    )


@lru_cache(maxsize=1024)
def _address(octets: bytes) -> Address:
    return ip_address(octets)


def _kind(packet: Packet) -> str:
    if packet.proto == Proto.UDP:
        return "udp"
    return "tcp" if packet.proto == Proto.TCP else "other"
