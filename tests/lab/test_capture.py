"""What a capture makes of packets: parsed as they are on the wire, and counted by where they went."""

import struct
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.packet import Raw

from rtspdsr.errors import LabError
from rtspdsr.lab.capture import ETHERNET, OUTGOING, SLL2, SLL2_LINKTYPE, Packet, delivery, read
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.topology import VIP4, topology
from rtspdsr.model import Proto, TcpFlag
from tests.lab.helpers import run_at, wait_for

CLIENT = ip_address("10.77.1.1")
REAL = ip_address("10.77.0.11")
PORTS = {5: "player", 6: "gst-a"}
RTP = bytes([0x80, 0x60]) + bytes(10) + b"media"
RTCP = bytes([0x80, 201]) + bytes(30)


def capture_file(
    path: Path, packets: Sequence[Any], ifindex: int = 5, kind: int = 0, snap: int = 256
) -> Path:
    """A capture as tcpdump writes it: one packet a second, cut to ``snap`` octets."""
    records = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snap, SLL2_LINKTYPE)]
    for second, packet in enumerate(packets):
        whole = SLL2.pack(0x0800, ifindex, 1, kind, 6) + bytes(packet)
        kept = whole[:snap]
        records.append(struct.pack("<IIII", second, 500_000, len(kept), len(whole)) + kept)
    path.write_bytes(b"".join(records))
    return path


def read_one(tmp_path: Path, packet: Any, **options: int) -> Packet:
    (parsed,) = read(capture_file(tmp_path / "one.pcap", [packet], **options), PORTS)
    return parsed


@pytest.mark.parametrize(
    ("ip", "octets"),
    [(IP(src="10.77.1.1", dst="10.77.0.100"), 20), (IPv6(src="fd77::1:1", dst="fd77::100"), 40)],
    ids=["IPv4", "IPv6"],
)
def test_a_datagram_is_read_whole_whatever_was_kept_of_it(tmp_path: Path, ip: Any, octets: int) -> None:
    packet = read_one(tmp_path, ip / UDP(sport=5000, dport=6000) / Raw(bytes(1000)), kind=OUTGOING)
    assert packet == Packet(
        at=0.5,
        node="player",
        to_node=True,
        length=ETHERNET + octets + 8 + 1000,
        source=ip_address(ip.src),
        destination=ip_address(ip.dst),
        proto=Proto.UDP,
        source_port=5000,
        destination_port=6000,
        payload=bytes(256 - SLL2.size - octets - 8),
        carried=1000,
    )


def test_options_of_ip_and_tcp_are_no_payload(tmp_path: Path) -> None:
    segment = TCP(sport=40000, dport=554, options=[("NOP", None)] * 4) / Raw(b"OPTIONS")
    packet = read_one(tmp_path, IP(options=[b"\x01"] * 4) / segment)
    assert (packet.destination_port, packet.payload, packet.carried) == (554, b"OPTIONS", 7)
    assert packet.flags == TcpFlag.SYN


def test_padding_of_a_short_frame_is_not_counted(tmp_path: Path) -> None:
    packet = read_one(tmp_path, bytes(IP() / TCP()) + bytes(6))
    assert (packet.length, packet.carried) == (ETHERNET + 40, 0)


def test_only_the_first_fragment_has_ports(tmp_path: Path) -> None:
    pieces = fragment(IP(src="10.77.1.1") / UDP(sport=5000, dport=6000) / Raw(bytes(4000)), 1480)
    parsed = list(read(capture_file(tmp_path / "fragments.pcap", pieces), PORTS))
    assert [one.source_port for one in parsed] == [5000, None, None]
    assert {one.proto for one in parsed} == {Proto.UDP}


def test_fragments_of_ipv6_are_known_by_what_they_carry(tmp_path: Path) -> None:
    udp = bytes(UDP(sport=5000, dport=6000) / Raw(bytes(16)))
    later = read_one(tmp_path, IPv6(nh=44) / IPv6ExtHdrFragment(nh=17, offset=3) / Raw(bytes(8)))
    first = read_one(tmp_path, IPv6(nh=44) / IPv6ExtHdrFragment(nh=17, offset=0, m=1) / Raw(udp))
    assert (later.proto, later.source_port) == (Proto.UDP, None)
    assert (first.proto, first.source_port, first.carried) == (Proto.UDP, 5000, 16)


def test_packets_at_other_interfaces_and_an_unfinished_one_are_left_out(tmp_path: Path) -> None:
    file = capture_file(tmp_path / "a.pcap", [IP() / ICMP()] * 2)
    assert list(read(file, {99: "other"})) == []
    file.write_bytes(file.read_bytes()[:-1])
    assert len(list(read(file, PORTS))) == 1


def test_what_is_no_capture_of_ours_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "empty.pcap"
    file.touch()
    with pytest.raises(LabError, match=r"empty.pcap is no capture of a lab"):
        list(read(file, PORTS))


@pytest.mark.parametrize(
    ("payload", "expected"), [(RTP, True), (RTCP, False), (RTP[:12], False), (b"\xce\xfa\xed\xfe" * 4, False)]
)
def test_rtp_is_told_from_rtcp_and_punches(tmp_path: Path, payload: bytes, expected: bool) -> None:
    assert read_one(tmp_path, IP() / UDP() / Raw(payload)).is_rtp is expected


# --- counting

UP = Packet(0.0, "player", False, 100, CLIENT, VIP4, Proto.UDP, 5000, 6000, RTCP, 32)
DOWN = Packet(0.0, "player", True, 1000, VIP4, CLIENT, Proto.UDP, 6000, 5000, RTP, 17)


def test_a_packet_is_counted_where_it_was_sent_where_it_crossed_and_where_it_arrived() -> None:
    crossing = [
        UP,
        replace(UP, node="balancer", to_node=True),
        replace(UP, node="balancer"),
        replace(UP, node="gst-b", to_node=True),
    ]
    counted = delivery(crossing, topology(), CLIENT, VIP4)
    assert counted.sent == {"udp": 1}
    assert counted.balancer_bytes == 100
    assert counted.backends == ("gst-b",)
    assert counted.reached["gst-b"] == {"udp": 1}


def test_media_is_counted_at_the_player_and_told_by_its_source() -> None:
    media = [DOWN, replace(DOWN, node="gst-a", to_node=False), replace(DOWN, source=REAL)]
    counted = delivery(media, topology(), CLIENT, VIP4)
    assert (counted.delivered_bytes, counted.rtp_packets) == (2000, 2)
    assert set(counted.media_sources) == {VIP4, REAL}


def test_media_that_crosses_the_balancer_is_counted_as_returned() -> None:
    counted = delivery([replace(DOWN, node="balancer")], topology(), CLIENT, VIP4)
    assert (counted.returned_packets, counted.delivered_bytes) == (1, 0)


def test_what_another_client_sends_is_not_counted() -> None:
    stranger = ip_address("10.77.1.2")
    counted = delivery([replace(UP, source=stranger)], topology(), CLIENT, VIP4)
    assert (counted.sent.total(), counted.backends, counted.ratio) == (0, (), 0.0)


# --- on a wire


def test_a_capture_sees_a_ping_leave_one_port_and_arrive_at_another(lab: Lab) -> None:
    target = lab.topology.node("gst-a").address(4)
    with lab.capture("ping") as capture:
        run_at(lab, "player", "ping", "-c", "1", "-s", "600", str(target))
        wait_for(lambda: len(pings(capture.packets())) == 4, "request and reply")
        seen = pings(capture.packets())
    assert [(one.node, one.to_node) for one in seen] == [
        ("player", False),
        ("gst-a", True),
        ("gst-a", False),
        ("player", True),
    ]
    assert {one.length for one in seen} == {ETHERNET + 20 + 8 + 600}


def pings(packets: Sequence[Packet]) -> list[Packet]:
    return [packet for packet in packets if packet.proto == 1]
