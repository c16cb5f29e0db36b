"""The files that survive a reboot, to the letter; and ifupdown's commands, run."""

import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from rtspdsr.errors import PreparationError
from rtspdsr.finding import Verdict
from rtspdsr.preparation import facts as machine
from rtspdsr.preparation import plan as planning
from rtspdsr.preparation.network import MAIN_TABLE, Facts, Hop, Link, Present, Route
from rtspdsr.preparation.persist import Manager, missing_files, render
from rtspdsr.preparation.plan import Request, plan

from .conftest import REQUEST, VIP4, VIP6, Wire

ETC = Path("/etc")
GATEWAY4, GATEWAY6 = ip_address("10.77.0.254"), ip_address("fe80::1")
FACTS = Facts(
    links=(Link(name="lo", up=True), Link(name="eth0", up=True)),
    routes=(
        Route(
            table=MAIN_TABLE,
            destination=ip_network("0.0.0.0/0"),
            hops=(Hop(interface="eth0", gateway=GATEWAY4),),
            mtu=1400,
        ),
        Route(
            table=MAIN_TABLE,
            destination=ip_network("10.5.0.0/16"),
            hops=(
                Hop(interface="eth0", gateway=GATEWAY4, weight=3),
                Hop(interface="eth0", gateway=ip_address("10.77.0.253")),
            ),
        ),
        Route(
            table=MAIN_TABLE,
            destination=ip_network("2001:db8:5::/48"),
            hops=(Hop(interface="eth0", gateway=GATEWAY6, onlink=True),),
            metric=1024,
        ),
    ),
    sysctls={
        "net/ipv4/conf/all/arp_ignore": "2",
        "net/ipv4/conf/all/arp_announce": "0",
        "net/ipv4/conf/eth0/arp_ignore": "0",
        "net/ipv4/conf/eth0/arp_announce": "2",
    },
    network_files={"eth0": "/run/systemd/network/20-wired.network"},
)
WANTED = Request(vips=(VIP4, VIP6), clients=(ip_network("0.0.0.0/0"), ip_network("2001:db8:5::/48")))

SYSCTL = """\
# Written by `rtspdsr backend prepare --persist`; `rtspdsr backend undo` removes it.

# ARP is answered only for addresses of the interface asked, so never for the VIP on lo
net/ipv4/conf/all/arp_ignore = 2
net/ipv4/conf/eth0/arp_ignore = 1

# ARP requests name a real address as sender, so no neighbour learns the VIP from them
net/ipv4/conf/all/arp_announce = 2
net/ipv4/conf/eth0/arp_announce = 2
"""

INTERFACES = """\
# Written by `rtspdsr backend prepare --persist`; `rtspdsr backend undo` removes it.

iface lo inet manual
    up ip address replace 10.77.0.100/32 dev lo scope host
    up ip address replace fd77::100/128 dev lo preferred_lft 0 nodad
    up ip -4 rule add priority 554 iif lo ipproto 17 dport 1024-65534 table 554
    down ip -4 rule del priority 554 iif lo ipproto 17 dport 1024-65534 table 554
    up ip -6 rule add priority 554 iif lo ipproto 17 dport 1024-65534 table 554
    down ip -6 rule del priority 554 iif lo ipproto 17 dport 1024-65534 table 554
    up ip -4 route replace throw 224.0.0.0/3 table 554
    down ip address del 10.77.0.100/32 dev lo
    down ip address del fd77::100/128 dev lo

iface eth0 inet manual
    up ip -4 route replace default table 554 src 10.77.0.100 mtu 1400 via 10.77.0.254 dev eth0
    up ip -4 route replace 10.5.0.0/16 table 554 src 10.77.0.100 \
nexthop via 10.77.0.254 dev eth0 weight 3 nexthop via 10.77.0.253 dev eth0 weight 1
    up ip -6 route replace 2001:db8:5::/48 table 554 src fd77::100 metric 1024 \
via inet6 fe80::1 dev eth0 onlink
"""

LOOPBACK = """\
# Written by `rtspdsr backend prepare --persist`; `rtspdsr backend undo` removes it.
[Match]
Name=lo

[Address]
Address=10.77.0.100/32
Scope=host

[Address]
Address=fd77::100/128
PreferredLifetime=0
DuplicateAddressDetection=none
"""

DROP_IN = """\
# Written by `rtspdsr backend prepare --persist`; `rtspdsr backend undo` removes it.
[Route]
Destination=0.0.0.0/0
Table=554
PreferredSource=10.77.0.100
MTUBytes=1400
Gateway=10.77.0.254

[Route]
Destination=10.5.0.0/16
Table=554
PreferredSource=10.77.0.100
MultiPathRoute=10.77.0.254@eth0 3
MultiPathRoute=10.77.0.253@eth0 1

[Route]
Destination=224.0.0.0/3
Table=554
Type=throw

[Route]
Destination=2001:db8:5::/48
Table=554
PreferredSource=fd77::100
Metric=1024
Gateway=fe80::1
GatewayOnLink=yes

[RoutingPolicyRule]
Family=ipv4
Priority=554
Table=554
IncomingInterface=lo
IPProtocol=17
DestinationPort=1024-65534

[RoutingPolicyRule]
Family=ipv6
Priority=554
Table=554
IncomingInterface=lo
IPProtocol=17
DestinationPort=1024-65534
"""


def test_ifupdown_files() -> None:
    assert render(Manager.IFUPDOWN, plan(WANTED, FACTS), FACTS, ETC) == {
        ETC / "sysctl.d/60-rtspdsr.conf": SYSCTL,
        ETC / "network/interfaces.d/rtspdsr": INTERFACES,
    }


def test_networkd_files_with_a_drop_in_for_the_file_that_is_in_force() -> None:
    assert render(Manager.NETWORKD, plan(WANTED, FACTS), FACTS, ETC) == {
        ETC / "sysctl.d/60-rtspdsr.conf": SYSCTL,
        ETC / "systemd/network/10-rtspdsr-lo.network": LOOPBACK,
        ETC / "systemd/network/20-wired.network.d/rtspdsr.conf": DROP_IN,
    }


def test_a_file_that_networkd_has_for_lo_gets_a_drop_in_and_ours_does_not() -> None:
    def files(lo_file: str) -> set[str]:
        known = {**FACTS.network_files, "lo": lo_file}
        facts = Facts(links=FACTS.links, routes=FACTS.routes, sysctls=FACTS.sysctls, network_files=known)
        made = render(Manager.NETWORKD, plan(WANTED, facts), facts, ETC)
        return {
            path.relative_to(ETC / "systemd/network").as_posix() for path in made if "systemd" in path.parts
        }

    wired = "20-wired.network.d/rtspdsr.conf"
    assert files("/etc/systemd/network/05-lo.network") == {"05-lo.network.d/rtspdsr.conf", wired}
    assert files("/etc/systemd/network/10-rtspdsr-lo.network") == {"10-rtspdsr-lo.network", wired}


def test_an_interface_that_networkd_does_not_know_is_refused() -> None:
    unknown = Facts(links=FACTS.links, routes=FACTS.routes, sysctls=FACTS.sysctls)
    with pytest.raises(PreparationError, match=r"no \.network file in force for eth0"):
        render(Manager.NETWORKD, plan(WANTED, unknown), unknown, ETC)


def test_a_file_that_is_there_already_needs_no_step() -> None:
    path, other = Path("/etc/a"), Path("/etc/b")
    present = {path: Present(text="text", missing=()), other: Present(text="old", missing=())}
    steps = missing_files({path: "text", other: "new"}, present)
    assert [(step.path, step.before) for step in steps] == [(other, "old")]


@pytest.mark.kernel
def test_the_commands_for_ifupdown_prepare_a_server_and_take_it_back(wire: Wire) -> None:
    before = wire.snapshot()
    found = wire.server.call(machine.read_facts)
    files = render(Manager.IFUPDOWN, planning.plan(REQUEST, found), found, ETC)
    stanzas, sysctls = files[ETC / "network/interfaces.d/rtspdsr"], files[ETC / "sysctl.d/60-rtspdsr.conf"]
    settings = re.findall(r"^(net/\S+) = (\S+)$", sysctls, re.MULTILINE)
    wire.server.run("\n".join(f"echo {value} > /proc/sys/{key}" for key, value in settings))
    wire.server.run("\n".join(re.findall(r"^    up (.*)$", stanzas, re.MULTILINE)))
    assert {finding.verdict for finding in wire.judge()} == {Verdict.OK}
    wire.server.run("\n".join(re.findall(r"^    down (.*)$", stanzas, re.MULTILINE)))
    wire.server.run("ip route flush table 554; ip -6 route flush table 554")
    wire.server.run("\n".join(f"echo {found.sysctls[key]} > /proc/sys/{key}" for key, _ in settings))
    assert wire.snapshot() == before
