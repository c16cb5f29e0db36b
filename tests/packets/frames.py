"""Frames as scapy layers: what clients send to the VIP, and what must leave the balancer for it.

Every builder takes ``to``, the machine that the frame is addressed to: ``LB`` as a client sends it, a
backend as the balancer must send it on. Nothing here touches the kernel.
"""

from dataclasses import dataclass

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

VIP = "192.0.2.10"
VIP6 = "2001:db8::10"
CLIENT = "198.51.100.7"
CLIENT6 = "2001:db8:c::7"
ROUTER = "203.0.113.1"
ROUTER6 = "2001:db8:f::1"
ELSEWHERE = "192.0.2.99"
ELSEWHERE6 = "2001:db8::99"
CLIENT_PORT = 51000
RTSP_PORT = 554
TLS_PORT = 322

CLIENT_MAC = "02:00:00:00:00:c1"
FOREIGN_MAC = "02:00:00:00:00:66"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a frame goes to, and the MAC address that it then comes from."""

    mac: str
    source: str


LB = Machine("02:00:00:00:00:01", CLIENT_MAC)
BACKEND_A = Machine("02:00:00:00:0a:0a", LB.mac)
BACKEND_B = Machine("02:00:00:00:0b:0b", LB.mac)
BACKEND_C = Machine("02:00:00:00:0c:0c", "02:00:00:00:00:02")  # on the balancer's other interface


def ether(to: Machine, tags: int = 0) -> Packet:
    """The link layer: no tag, one (802.1Q), or two (802.1ad outside)."""
    link: Packet = Ether(src=to.source, dst=to.mac)
    if tags == 2:
        link = link / Dot1AD(vlan=7, prio=3)
    if tags:
        link = link / Dot1Q(vlan=42, prio=5)
    return link


def ip(version: int, client: str | None = None, vip: str | None = None) -> Packet:
    """The network layer, client to VIP."""
    if version == 4:
        return IP(src=client or CLIENT, dst=vip or VIP, ttl=57, id=4660)
    return IPv6(src=client or CLIENT6, dst=vip or VIP6, hlim=57, fl=0x12345, tc=0x20)


def rtsp(
    to: Machine = LB,
    *,
    version: int = 4,
    tags: int = 0,
    network: Packet | None = None,
    sport: int = CLIENT_PORT,
    dport: int = RTSP_PORT,
    flags: str = "A",
    seq: int = 1000,
    ack: int = 5000,
    payload: bytes = b"",
) -> Packet:
    """A TCP segment of a control connection, with a timestamp option as real ones have."""
    options = [("NOP", None), ("NOP", None), ("Timestamp", (77, 88))]
    tcp = TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack, window=502, options=options)
    frame = ether(to, tags) / (network or ip(version)) / tcp
    return frame / Raw(payload) if payload else frame


def media(
    to: Machine = LB,
    *,
    version: int = 4,
    tags: int = 0,
    network: Packet | None = None,
    sport: int = CLIENT_PORT,
    dport: int = 6971,
    payload: bytes = b"\xce\xfa\xed\xfe",
) -> Packet:
    """A datagram of a client: a punch, or RTCP."""
    return ether(to, tags) / (network or ip(version)) / UDP(sport=sport, dport=dport) / Raw(payload)


def ping(to: Machine = LB, *, tags: int = 0) -> Packet:
    """An ICMP echo request to the VIP."""
    return ether(to, tags) / ip(4) / ICMP(type=8, id=9, seq=3) / Raw(b"0123456789")


def built(frame: Packet) -> bytes:
    """A frame's octets, every length and checksum filled in."""
    return bytes(frame)


def layers(frame: bytes) -> list[str]:
    """A frame as lines of text, so that a failed assert names the field that differs."""
    return str(Ether(frame).show2(dump=True)).splitlines()
