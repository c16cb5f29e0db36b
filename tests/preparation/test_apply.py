"""A preparation seen from the wire and in the kernel, and taken back."""

import select
import socket
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet
from scapy.utils6 import in6_getnsma, in6_getnsmac

from rtspdsr.errors import PreparationError
from rtspdsr.model import Address
from rtspdsr.preparation import apply, record
from rtspdsr.preparation.apply import Outcome
from rtspdsr.preparation.facts import read_sysctl
from rtspdsr.preparation.network import Hop, Route
from rtspdsr.preparation.plan import Request
from rtspdsr.preparation.steps import AddRoute, WriteFile

from .conftest import (
    CLIENT4,
    CLIENT6,
    ELSEWHERE4,
    ELSEWHERE6,
    REQUEST,
    SERVER4,
    SERVER6,
    VIP4,
    VIP6,
    Wire,
)

pytestmark = pytest.mark.kernel

WAIT_S = 0.4  # a veth answers within a millisecond
PORT = 6970


def exchange(interface: str, frame: Packet | None, wanted: Callable[[Packet], bool]) -> Packet | None:
    """Send a frame, or none, and give back the first frame that is wanted; None if none comes."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as tap:
        tap.bind((interface, 3))
        if frame is not None:
            tap.send(bytes(frame))
        end = time.monotonic() + WAIT_S
        while (left := end - time.monotonic()) > 0:
            if select.select([tap], [], [], left)[0]:
                data, origin = tap.recvfrom(2048)
                if origin[2] != 4 and wanted(packet := Ether(data)):
                    return packet
    return None


def answers_arp(wire: Wire, address: Address) -> bool:
    question = Ether(src=wire.neighbour_mac, dst="ff:ff:ff:ff:ff:ff") / ARP(
        op="who-has", hwsrc=wire.neighbour_mac, psrc=str(CLIENT4), pdst=str(address)
    )
    answer = wire.neighbour.call(
        exchange,
        wire.neighbour_interface,
        question,
        lambda packet: ARP in packet and packet[ARP].op == 2 and packet[ARP].psrc == str(address),
    )
    return answer is not None


def answers_solicitation(wire: Wire, address: Address, *, unicast: bool) -> bool:
    packed = socket.inet_pton(socket.AF_INET6, str(address))
    group = in6_getnsma(packed)
    question = (
        Ether(src=wire.neighbour_mac, dst=wire.mac if unicast else in6_getnsmac(group))
        / IPv6(
            src=str(CLIENT6),
            dst=str(address) if unicast else socket.inet_ntop(socket.AF_INET6, group),
            hlim=255,
        )
        / ICMPv6ND_NS(tgt=str(address))
        / ICMPv6NDOptSrcLLAddr(lladdr=wire.neighbour_mac)
    )
    answer = wire.neighbour.call(
        exchange,
        wire.neighbour_interface,
        question,
        lambda packet: ICMPv6ND_NA in packet and packet[ICMPv6ND_NA].tgt == str(address),
    )
    return answer is not None


def send_udp(source: str, destination: Address, port: int) -> None:
    """As a media server does: from a socket bound to a port and no address, unless one is given."""
    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.bind((source, PORT))
        sender.sendto(b"media", (str(destination), port))


def heard(wire: Wire, wanted: Callable[[Packet], bool], bound: str, to: Address, port: int = 5004) -> Packet:
    """The frame that the neighbour hears when the server sends a datagram."""
    waiting = wire.neighbour.start(exchange, wire.neighbour_interface, None, wanted)
    time.sleep(0.1)
    wire.server.call(send_udp, bound, to, port)
    packet = waiting.result()
    assert packet is not None
    return packet


def source_on_wire(wire: Wire, destination: Address, port: int = 5004, bound: str = "") -> str:
    """The source that the neighbour sees of a datagram that the server sends."""
    ip = "IP" if destination.version == 4 else "IPv6"
    packet = heard(
        wire,
        lambda packet: ip in packet and packet[ip].dst == str(destination) and "UDP" in packet,
        bound,
        destination,
        port,
    )
    return str(packet[ip].src)


def echo_once(address: str) -> tuple[str, str]:
    """A TCP server on the wildcard address: which address it was reached at, and by whom."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", 554))
        listener.listen()
        listener.settimeout(5)
        connection, peer = listener.accept()
        with connection:
            connection.sendall(connection.recv(100).upper())
            return str(connection.getsockname()[0]), str(peer[0])


def say(address: str) -> bytes:
    with socket.create_connection((address, 554), timeout=3) as connection:
        connection.sendall(b"options")
        return connection.recv(100)


def test_an_unprepared_server_answers_arp_for_a_vip_on_lo_and_a_prepared_one_does_not(wire: Wire) -> None:
    wire.server.run(f"ip address add {VIP4}/32 dev lo")
    assert answers_arp(wire, VIP4)
    wire.server.run(f"ip address del {VIP4}/32 dev lo")
    wire.prepare()
    assert not answers_arp(wire, VIP4)
    assert answers_arp(wire, SERVER4)


@pytest.mark.parametrize("unicast", [False, True], ids=["to its group", "to the server's MAC"])
def test_neighbour_solicitations_for_the_vip_stay_unanswered(wire: Wire, unicast: bool) -> None:
    wire.server.run(f"ip address add {VIP6}/128 dev {wire.interface} nodad")
    assert answers_solicitation(wire, VIP6, unicast=unicast)
    wire.server.run(f"ip address del {VIP6}/128 dev {wire.interface}")
    wire.server.run(f"ip link set {wire.interface} allmulticast on promisc on")
    wire.prepare()
    assert not answers_solicitation(wire, VIP6, unicast=unicast)
    assert answers_solicitation(wire, SERVER6, unicast=unicast)


def test_a_forwarding_server_keeps_silent_as_well(wire: Wire) -> None:
    wire.server.run("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
    wire.prepare()
    assert not answers_solicitation(wire, VIP6, unicast=False)
    assert not answers_solicitation(wire, VIP6, unicast=True)


def test_the_servers_own_arp_requests_do_not_tell_of_the_vip(wire: Wire) -> None:
    stranger = ip_address("10.77.0.9")

    def sender_of_request() -> str:
        wire.server.run("ip neighbour flush all")
        asks = heard(
            wire, lambda packet: ARP in packet and packet[ARP].pdst == str(stranger), str(VIP4), stranger
        )
        return str(asks[ARP].psrc)

    wire.server.run(f"ip address add {VIP4}/32 dev lo")
    assert sender_of_request() == str(VIP4)
    wire.server.run(f"ip address del {VIP4}/32 dev lo")
    wire.prepare()
    assert sender_of_request() == str(SERVER4)


def test_the_servers_own_solicitations_do_not_tell_of_the_vip(wire: Wire) -> None:
    stranger = ip_address("fd77::9")
    wire.prepare()
    asks = heard(
        wire,
        lambda packet: ICMPv6ND_NS in packet and packet[ICMPv6ND_NS].tgt == str(stranger),
        str(VIP6),
        stranger,
    )
    assert asks[IPv6].src != str(VIP6)


@pytest.mark.parametrize(
    ("client", "elsewhere", "vip", "real"),
    [(CLIENT4, ELSEWHERE4, VIP4, SERVER4), (CLIENT6, ELSEWHERE6, VIP6, SERVER6)],
    ids=["IPv4", "IPv6"],
)
class TestSource:
    def test_rtp_leaves_as_the_vip_towards_named_clients_only(
        self, wire: Wire, client: Address, elsewhere: Address, vip: Address, real: Address
    ) -> None:
        assert source_on_wire(wire, client) == str(real)
        wire.prepare(
            Request(vips=(VIP4, VIP6), clients=(ip_network("10.77.0.0/24"), ip_network("fd77::/64")))
        )
        assert source_on_wire(wire, client) == str(vip)
        assert source_on_wire(wire, elsewhere) == str(real)

    def test_without_named_clients_all_are_clients_but_dns_keeps_the_real_address(
        self, wire: Wire, client: Address, elsewhere: Address, vip: Address, real: Address
    ) -> None:
        wire.prepare()
        assert source_on_wire(wire, client) == str(vip)
        assert source_on_wire(wire, elsewhere) == str(vip)
        assert source_on_wire(wire, elsewhere, port=53) == str(real)

    def test_a_socket_bound_to_the_real_address_keeps_it(
        self, wire: Wire, client: Address, elsewhere: Address, vip: Address, real: Address
    ) -> None:
        wire.prepare()
        assert source_on_wire(wire, client, bound=str(real)) == str(real)

    def test_tcp_reaches_the_vip_by_mac_and_own_connections_come_from_the_real_address(
        self, wire: Wire, client: Address, elsewhere: Address, vip: Address, real: Address
    ) -> None:
        wire.prepare()
        wire.neighbour.run(
            f"ip neighbour replace {vip} lladdr {wire.mac} dev {wire.neighbour_interface} nud permanent"
        )
        reached = wire.server.start(echo_once, str(vip))
        time.sleep(0.1)
        assert wire.neighbour.call(say, str(vip)) == b"OPTIONS"
        assert reached.result() == (str(vip), str(client))
        asked = wire.neighbour.start(echo_once, str(client))
        time.sleep(0.1)
        assert wire.server.call(say, str(client)) == b"OPTIONS"
        assert asked.result()[1] == str(real)


def test_multicast_keeps_the_real_address(wire: Wire) -> None:
    wire.prepare()
    assert source_on_wire(wire, ip_address("239.1.2.3")) == str(SERVER4)


def test_undo_leaves_everything_as_it_was(wire: Wire) -> None:
    wire.server.run(
        "ip route add 10.99.0.0/16 nexthop via 10.77.0.2 weight 3 nexthop via 10.77.0.3 weight 1;"
        "ip route add 10.98.0.0/16 via 10.77.0.3 mtu 1400 metric 5; ip route add blackhole 10.97.0.0/16;"
        "ip route add 10.96.0.0/16 via 10.55.0.1 dev rdp-eth0 onlink;"
        "ip route add 10.95.0.0/16 via inet6 fd77::2 dev rdp-eth0"
    )
    before = wire.snapshot()
    wire.prepare()
    prepared = wire.snapshot()
    assert prepared != before
    assert wire.prepare() == []
    assert wire.snapshot() == prepared
    assert {result.outcome for result in wire.undo()} == {Outcome.UNDONE}
    assert wire.snapshot() == before
    assert not wire.state.exists()


def test_a_step_that_fails_takes_back_those_before_it(wire: Wire) -> None:
    before = wire.snapshot()
    lost = Route(
        table=554,
        destination=ip_network("10.66.0.0/16"),
        hops=(Hop(interface=wire.interface, gateway=ip_address("203.0.113.1")),),
    )
    steps = [*wire.missing(), AddRoute(route=lost, why="its gateway is out of reach")]
    with pytest.raises(PreparationError, match=r"10\.66\.0\.0/16.*all steps before it were taken back"):
        wire.server.call(apply.prepare, record.Record(request=REQUEST), steps, wire.state)
    assert wire.snapshot() == before
    assert not wire.state.exists()


def test_undo_after_a_crash_in_the_middle_takes_back_what_was_done(wire: Wire) -> None:
    before = wire.snapshot()
    steps = wire.missing()
    half = record.Record(request=REQUEST)
    wire.server.call(apply.prepare, half, steps[: len(steps) // 2], wire.state)
    crashed = record.load(wire.state)
    assert crashed is not None
    record.save(crashed.with_step(steps[len(steps) // 2]), wire.state)  # recorded, never performed
    assert [result.outcome for result in wire.undo()][:2] == [Outcome.GONE, Outcome.UNDONE]
    assert wire.snapshot() == before


def test_an_undo_that_fails_in_part_keeps_the_rest_recorded_and_can_be_repeated(
    wire: Wire, tmp_path: Path
) -> None:
    before = wire.snapshot()
    path = tmp_path / "rtspdsr.conf"
    file = WriteFile(path=path, text="text\n", before=None, made=(), why="a test")
    wire.server.call(apply.prepare, record.Record(request=REQUEST), [*wire.missing(), file], wire.state)
    path.unlink()
    path.mkdir()
    with pytest.raises(PreparationError, match="1 steps could not be undone"):
        wire.undo()
    left = record.load(wire.state)
    assert left is not None
    assert left.steps == (file,)
    path.rmdir()
    assert [result.outcome for result in wire.undo()] == [Outcome.GONE]
    assert wire.snapshot() == before


def test_what_someone_else_changed_since_is_left_alone(wire: Wire) -> None:
    wire.prepare()
    key = f"net/ipv4/conf/{wire.interface}/arp_ignore"
    wire.server.run(f"echo 2 > /proc/sys/{key}; ip address del {VIP6}/128 dev lo")
    outcomes = {result.step.subject: result.outcome for result in wire.undo()}
    assert outcomes[key] is Outcome.CHANGED
    assert outcomes[str(VIP6)] is Outcome.GONE
    assert wire.server.call(read_sysctl, key) == "2"


def test_preparing_again_follows_the_main_table_and_undo_still_undoes_all(wire: Wire) -> None:
    before = wire.snapshot()
    wire.prepare()
    wire.server.run(f"ip route add 10.99.0.0/16 via {CLIENT4}; ip route del default via {CLIENT4}")
    wire.prepare()
    table = wire.server.run("ip route show table 554")
    assert "10.99.0.0/16 via 10.77.0.2" in table
    assert "default" not in table
    wire.server.run(f"ip route del 10.99.0.0/16; ip route add default via {CLIENT4}")
    wire.undo()
    assert wire.snapshot() == before
