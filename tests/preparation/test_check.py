"""Each thing that can be wrong is named, and the command named with it mends it."""

from collections import Counter
from ipaddress import ip_address, ip_network

import pytest

from rtspdsr.finding import Finding, Verdict
from rtspdsr.preparation.check import judge, judge_rtp
from rtspdsr.preparation.network import Facts, HeldAddress, Link, Lookup
from rtspdsr.preparation.plan import Request
from rtspdsr.preparation.wire import Emission, Observation

from .conftest import CLIENT4, REQUEST, SERVER4, VIP4, VIP6, Wire

CLIENT_ROUTE = f"10.77.0.0/24 table 554 src {VIP4} dev rdp-eth0"

BROKEN = {
    "the VIP is not on lo": (f"ip address del {VIP4}/32 dev lo", f"VIP {VIP4} on lo"),
    "the IPv6 VIP is not on lo": (f"ip address del {VIP6}/128 dev lo", f"VIP {VIP6} on lo"),
    "the VIP is on a real interface": (f"ip address add {VIP4}/24 dev rdp-eth0", f"VIP {VIP4} only on lo"),
    "the IPv6 VIP is on a real interface": (
        f"ip address add {VIP6}/128 dev rdp-eth0",
        f"VIP {VIP6} only on lo",
    ),
    "the VIP on lo makes a network local": (f"ip address add {VIP4}/24 dev lo", f"VIP {VIP4} only on lo"),
    "the VIP is an ordinary address": (
        f"ip address del {VIP4}/32 dev lo; ip address add {VIP4}/32 dev lo",
        f"VIP {VIP4} not chosen",
    ),
    "the IPv6 VIP is preferred": (
        f"ip address change {VIP6}/128 dev lo preferred_lft forever",
        f"VIP {VIP6} not chosen",
    ),
    "ARP is answered": (
        "echo 0 > /proc/sys/net/ipv4/conf/all/arp_ignore",
        "sysctl net/ipv4/conf/all/arp_ignore",
    ),
    "ARP is answered for any scope": (
        "echo 3 > /proc/sys/net/ipv4/conf/rdp-eth0/arp_ignore",
        "sysctl net/ipv4/conf/rdp-eth0/arp_ignore",
    ),
    "ARP requests tell of the VIP": (
        "echo 0 > /proc/sys/net/ipv4/conf/all/arp_announce",
        "sysctl net/ipv4/conf/all/arp_announce",
    ),
    "solicitations are proxied": (
        f"ip -6 neighbour add proxy {VIP6} dev rdp-eth0; cd /proc/sys/net/ipv6/conf;"
        "echo 1 > rdp-eth0/proxy_ndp; echo 1 > all/forwarding",
        f"neighbour solicitations for {VIP6}",
    ),
    "a client route is missing": (f"ip route del {CLIENT_ROUTE}", f"client route {CLIENT_ROUTE}"),
    "a client route has no source": (
        "ip route replace 10.77.0.0/24 table 554 dev rdp-eth0",
        f"client route {CLIENT_ROUTE}",
    ),
    "a client route is stale": (
        f"ip route add 10.66.0.0/16 table 554 via {CLIENT4}",
        f"client route 10.66.0.0/16 table 554 via {CLIENT4}",
    ),
    "the rule is missing": ("ip rule del priority 554", "IPv4 rule"),
    "the IPv6 rule is missing": ("ip -6 rule del priority 554", "IPv6 rule"),
}


def wrong(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.verdict is Verdict.WRONG]


@pytest.mark.kernel
class TestOnTheServer:
    def test_a_prepared_server_is_fine(self, wire: Wire) -> None:
        wire.prepare()
        assert {finding.verdict for finding in wire.judge()} == {Verdict.OK}

    @pytest.mark.parametrize(("command", "about"), BROKEN.values(), ids=BROKEN)
    def test_what_is_broken_is_named_and_its_remedy_works(self, wire: Wire, command: str, about: str) -> None:
        wire.prepare()
        wire.server.run(command)
        found = wrong(wire.judge())
        assert any(finding.about.startswith(about) for finding in found), found
        for finding in found:
            wire.server.run(finding.mend)
        assert wrong(wire.judge()) == []

    def test_a_rule_that_comes_first_is_told_by_the_source_it_yields(self, wire: Wire) -> None:
        wire.prepare()
        wire.server.run("ip rule add priority 100 ipproto udp table main")
        found = wrong(wire.judge())
        assert {finding.about for finding in found} == {
            "source towards 192.0.2.1",
            f"source towards {CLIENT4}",
        }
        assert f"RTP from {SERVER4}" in found[0].measured

    def test_strict_reverse_path_filtering_is_wrong_where_clients_leave_elsewhere(self, wire: Wire) -> None:
        """Frames come in by a second cable; the way to the clients is the first."""
        wire.server.run(
            f"ip link add rdp-in type veth peer name rdp-out netns {wire.neighbour.name};"
            "ip link set rdp-in up; echo 1 > /proc/sys/net/ipv4/conf/rdp-in/rp_filter"
        )
        wire.neighbour.run("ip link set rdp-out up")
        before = wire.snapshot()
        request = Request(vips=REQUEST.vips, interface="rdp-in")
        key = "net/ipv4/conf/rdp-in/rp_filter"
        assert f"sysctl {key}" in {finding.about for finding in wrong(wire.judge(request))}
        wire.prepare(request)
        assert wrong(wire.judge(request)) == []
        assert wire.server.run(f"cat /proc/sys/{key}").strip() == "2"
        wire.undo()
        assert wire.snapshot() == before


def test_a_server_with_lo_down_and_no_way_to_clients_is_told_so() -> None:
    facts = Facts(
        links=(Link(name="lo", up=False), Link(name="eth0", up=True)),
        addresses=(HeldAddress(interface="eth0", address=SERVER4, prefix_length=24),),
    )
    request = Request(vips=(VIP4,), clients=(ip_network("192.0.2.0/24"),))
    found = {finding.about: finding for finding in wrong(judge(request, facts, []))}
    assert found["lo"].mend == "ip link set lo up"
    assert "192.0.2.0/24" in found["routes to clients"].measured


def test_own_questions_from_the_vip_are_wrong() -> None:
    lookup = Lookup(destination=CLIENT4, to_client=VIP4, own=VIP4)
    found = wrong(judge(REQUEST, Facts(links=()), [lookup]))
    assert found[-1].measured == f"RTP from {VIP4}, own questions from {VIP4}"


def observation(*, connected: bool, source: str | None) -> Observation:
    packets: Counter[Emission] = Counter()
    if source:
        emission = Emission(
            source=ip_address(source), source_port=6970, destination=CLIENT4, destination_port=5004
        )
        packets[emission] = 7
    return Observation(
        clients=frozenset({CLIENT4}) if connected else frozenset(), packets=packets, seconds=2.0
    )


@pytest.mark.parametrize(
    ("seen", "verdict", "measured"),
    [
        (
            observation(connected=True, source=str(SERVER4)),
            Verdict.WRONG,
            f"7 packets from {SERVER4} port 6970 to {CLIENT4} port 5004",
        ),
        (
            observation(connected=True, source=str(VIP4)),
            Verdict.OK,
            "7 packets to 1 clients, all from the VIP",
        ),
        (observation(connected=True, source=None), Verdict.UNKNOWN, f"no UDP to {CLIENT4}"),
        (
            observation(connected=False, source=str(SERVER4)),
            Verdict.UNKNOWN,
            "no client had a connection to the VIP",
        ),
    ],
    ids=["from the real address", "from the VIP", "nothing seen", "no client"],
)
def test_rtp_is_judged_by_its_source(seen: Observation, verdict: Verdict, measured: str) -> None:
    finding = judge_rtp(REQUEST, seen)
    assert (finding.verdict, finding.measured) == (verdict, measured)
