"""Detoured frames on a real wire: only MAC addresses change, checksums are judged and completed."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from rtspdsr.dataplane.reinjection import Checksum, Reinjector, checksum_of
from rtspdsr.model import FlowKey, Proto, Segment, TcpFlag
from tests.dataplane.conftest import Wire

BACKEND, BALANCER = b"\x02\0\0\0\0\x0b", b"\x02\0\0\0\0\x01"
REQUEST = b"OPTIONS rtsp://192.0.2.1/x RTSP/1.0\r\nCSeq: 1\r\n\r\n"
ETHERNET = Ether(src="02:00:00:00:00:07", dst="02:00:00:00:00:01")
IP4 = IP(src="198.51.100.7", dst="192.0.2.1")
IP6 = IPv6(src="2001:db8::7", dst="2001:db8::1")
TCP4 = TCP(sport=51000, dport=554, flags="PA", seq=1000, ack=1)


def segment(packet: Packet, payload: bytes = REQUEST) -> Segment:
    """The segment that XDP would hand over for a packet."""
    frame = bytes(packet / Raw(payload))
    tcp = len(frame) - len(payload) - 20
    return Segment(
        flow=FlowKey(0, Proto.TCP, ip_address(packet.getlayer(1 + (Dot1Q in packet)).src), 51000, 554),
        backend_id=1,
        sequence=1000,
        acknowledgement=1,
        flags=TcpFlag.ACK,
        payload=payload,
        frame=frame,
        tcp_offset=tcp,
    )


def partial(whole: Segment) -> Segment:
    """The same with the checksum of the pseudo-header alone, as a local sender leaves it to its hardware."""
    frame, tcp = bytearray(whole.frame), whole.tcp_offset
    size = 4 if whole.flow.client.version == 4 else 16
    addresses = bytes(frame[tcp - 2 * size : tcp])
    pseudo = addresses + (6).to_bytes(4) + (len(frame) - tcp).to_bytes(4)
    total = sum(int.from_bytes(pseudo[at : at + 2]) for at in range(0, len(pseudo), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    frame[tcp + 16 : tcp + 18] = total.to_bytes(2)
    return changed(whole, bytes(frame))


def changed(one: Segment, frame: bytes) -> Segment:
    """A segment with another frame."""
    return Segment(
        **{name: getattr(one, name) for name in one.__slots__ if name != "frame"},
        frame=frame,
    )


PACKETS = {
    "IPv4": ETHERNET / IP4 / TCP4,
    "IPv6": ETHERNET / IP6 / TCP4,
    "IPv4 with a tag": ETHERNET / Dot1Q(vlan=7) / IP4 / TCP4,
}
packets = pytest.mark.parametrize("packet", PACKETS.values(), ids=PACKETS.keys())


@packets
@pytest.mark.parametrize("payload", [REQUEST, REQUEST + b"x"], ids=["even", "odd"])
def test_a_good_checksum_is_valid(packet: Packet, payload: bytes) -> None:
    assert checksum_of(segment(packet, payload)) is Checksum.VALID


@packets
def test_a_checksum_left_to_hardware_is_partial(packet: Packet) -> None:
    assert checksum_of(partial(segment(packet))) is Checksum.PARTIAL


@packets
def test_a_flipped_bit_makes_it_wrong(packet: Packet) -> None:
    good = segment(packet)
    for at in (good.tcp_offset, good.tcp_offset + 8, len(good.frame) - 1):
        frame = bytearray(good.frame)
        frame[at] ^= 0x10
        assert checksum_of(changed(good, bytes(frame))) is Checksum.WRONG


def test_ethernet_padding_is_not_part_of_the_segment() -> None:
    short = segment(ETHERNET / IP4 / TCP4, b"x")
    padded = changed(short, short.frame + b"\xa5" * 5)
    assert checksum_of(padded) is Checksum.VALID


@pytest.fixture
def far_end(wire: Wire) -> Iterator[socket.socket]:
    """What arrives at the other end of the wire."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as raw:
        raw.bind((wire.far, 3))
        raw.settimeout(2)
        yield raw


def received(far_end: socket.socket) -> bytes:
    """The next frame of the test's sender; the kernel's own chatter is passed over."""
    while True:
        frame = far_end.recv(65536)
        if frame[6:12] == BALANCER:
            return frame


@packets
def test_only_mac_addresses_change(wire: Wire, far_end: socket.socket, packet: Packet) -> None:
    reinjector = Reinjector()
    sent = segment(packet)
    reinjector.send(sent, Checksum.VALID, BACKEND, BALANCER, socket.if_nametoindex(wire.near))
    frame = received(far_end)
    if Dot1Q in packet:  # the kernel hands the receiver a tag beside the frame
        assert frame == BACKEND + BALANCER + sent.frame[16:]
    else:
        assert frame == BACKEND + BALANCER + sent.frame[12:]
    reinjector.close()


@pytest.mark.parametrize("ip", [IP4, IP6])
def test_a_packet_of_our_own_reaches_the_backend_as_it_is(
    wire: Wire, far_end: socket.socket, ip: Packet
) -> None:
    reinjector = Reinjector()
    sent = bytes(ip / TCP4 / Raw(REQUEST))
    reinjector.inject(sent, BACKEND, BALANCER, socket.if_nametoindex(wire.near))
    assert received(far_end) == bytes(Ether(src=BALANCER, dst=BACKEND) / ip / TCP4 / Raw(REQUEST))
    reinjector.close()


def test_a_super_packet_is_cut_to_the_mtu(wire: Wire, far_end: socket.socket) -> None:
    payload = bytes(range(256)) * 12
    sent = partial(segment(ETHERNET / IP4 / TCP4, payload))
    near = socket.if_nametoindex(wire.near)
    reinjector = Reinjector()
    reinjector.send(sent, Checksum.PARTIAL, BACKEND, BALANCER, near)
    assert reinjector.failed == 0
    carried = b""
    while len(carried) < len(payload):
        carried += bytes(Ether(received(far_end))[TCP].payload)
    assert carried == payload
    reinjector.close()


def test_a_frame_for_an_interface_that_is_gone_is_counted() -> None:
    reinjector = Reinjector()
    reinjector.send(segment(PACKETS["IPv4"]), Checksum.VALID, BACKEND, BALANCER, 999_999)
    assert reinjector.failed == 1
