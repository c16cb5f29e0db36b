"""What leaves a server, and who its clients are, read from packets and the socket table."""

import socket
import time
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP, IPOption
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from rtspdsr.finding import Verdict
from rtspdsr.model import Address
from rtspdsr.preparation.check import judge_rtp
from rtspdsr.preparation.wire import Emission, observe, parse_clients, parse_udp

from .conftest import CLIENT4, CLIENT6, REQUEST, SERVER4, SERVER6, VIP4, VIP6, Wire

UDP_V4 = IP(src=str(VIP4), dst=str(CLIENT4)) / UDP(sport=6970, dport=5004) / b"rtp"
UDP_V6 = IPv6(src=str(VIP6), dst=str(CLIENT6)) / UDP(sport=6970, dport=5004) / b"rtp"
SENT4 = Emission(source=VIP4, source_port=6970, destination=CLIENT4, destination_port=5004)
SENT6 = Emission(source=VIP6, source_port=6970, destination=CLIENT6, destination_port=5004)
OPTIONS = IP(src=str(VIP4), dst=str(CLIENT4), options=[IPOption(b"\x94\x04\x00\x00")])


@pytest.mark.parametrize(
    ("packet", "emission"),
    [
        (UDP_V4, SENT4),
        (UDP_V6, SENT6),
        (OPTIONS / UDP(sport=6970, dport=5004), SENT4),
        (IP(frag=10, proto=17) / b"later piece of a datagram", None),
        (IP() / TCP(), None),
        (IPv6() / TCP(), None),
    ],
    ids=["IPv4", "IPv6", "IPv4 with an option", "a later fragment", "TCP", "TCP over IPv6"],
)
def test_a_packet_is_read_as_what_it_is(packet: Packet, emission: Emission | None) -> None:
    assert parse_udp(bytes(packet)) == emission


@pytest.mark.parametrize("packet", [UDP_V4, UDP_V6], ids=["IPv4", "IPv6"])
def test_a_packet_cut_short_is_nothing(packet: Packet) -> None:
    ports_end = len(bytes(packet)) - len(b"rtp") - 4
    for length in range(ports_end):
        assert parse_udp(bytes(packet)[:length]) is None


def test_clients_are_those_connected_to_the_vip() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.9", 0)):
            table = Path("/proc/thread-self/net/tcp").read_text()
    assert ip_address("127.0.0.9") in set(parse_clients(table, [ip_address("127.0.0.1")]))
    assert set(parse_clients(table, [VIP4])) == set()


def test_an_ipv4_client_of_a_dual_stack_server_is_an_ipv4_client() -> None:
    words = "0000000000000000FFFF0000{}"
    line = f"0: {words.format('64004D0A')}:022A {words.format('02004D0A')}:C350 01 0"
    assert list(parse_clients(f"header\n{line}", [VIP4])) == [CLIENT4]


def stream(client: Address, source: str, seconds: float) -> None:
    """A media server that was told to bind an address, or to bind none."""
    family = socket.AF_INET if client.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 6970))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sender.sendto(b"rtp", (str(client), 5004))
            time.sleep(0.02)


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("client", "vip", "real"), [(CLIENT4, VIP4, SERVER4), (CLIENT6, VIP6, SERVER6)], ids=["IPv4", "IPv6"]
)
def test_rtp_from_the_real_address_is_seen_on_the_wire(
    wire: Wire, client: Address, vip: Address, real: Address
) -> None:
    wire.prepare()
    wire.neighbour.run(
        f"ip neighbour replace {vip} lladdr {wire.mac} dev {wire.neighbour_interface} nud permanent"
    )
    family = socket.AF_INET if vip.version == 4 else socket.AF_INET6
    listener = wire.server.call(lambda: socket.create_server(("", 554), family=family))
    player = wire.neighbour.call(socket.create_connection, (str(vip), 554), 3)
    with listener, player:
        for source, verdict in (("", Verdict.OK), (str(real), Verdict.WRONG)):
            seen = wire.server.start(observe, [wire.interface], REQUEST.vips, 0.6)
            wire.server.beside(stream, client, source, 1.0)
            finding = judge_rtp(REQUEST, seen.result())
            assert finding.verdict is verdict, finding
            assert seen.result().clients == {client}
    assert f"from {real} port 6970 to {client} port 5004" in finding.measured
