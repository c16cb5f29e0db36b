"""Each thing that can be wrong at the balancer's place in the network is named, with what mends it."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from rtspdsr.doctor.balancer import judge
from rtspdsr.doctor.machine import Claim, Interface, Way, XdpMode
from rtspdsr.finding import Verdict
from rtspdsr.preparation.network import HeldAddress
from tests.doctor.builders import (
    BACKEND,
    NIC,
    OWN,
    STATUS,
    STRANGER,
    VIP4,
    balancer,
    counters,
    echo,
    found,
    machine,
)

DOWN = {"service": "cams", "name": "cam-a", "state": "down", "problem": "connection refused", "checks": {}}
ROUTER = ip_address("192.0.2.1")
ON_ETH1 = HeldAddress(interface="eth1", address=ip_address("192.0.2.3"), prefix_length=24)

CASES: dict[str, tuple[dict[str, Any], str, Verdict, str, str]] = {
    "VIP on an interface": (
        {"held": (HeldAddress(interface="lo", address=VIP4, prefix_length=32),)},
        "VIP 192.0.2.10",
        Verdict.WRONG,
        "an address of lo",
        "ip address del 192.0.2.10/32 dev lo",
    ),
    "VIP elsewhere": (
        {"ways": {VIP4: Way(interface="eth0", gateway=ROUTER), BACKEND: Way(interface="eth0")}},
        "way to VIP",
        Verdict.ADVICE,
        "by eth0 via 192.0.2.1",
        "ip -4 route add 192.0.2.10 dev eth0",
    ),
    "strict filter, VIP elsewhere": (
        {"ways": {VIP4: Way(interface="eth9"), BACKEND: Way(interface="eth0")}},
        "eth0: reverse-path",
        Verdict.WRONG,
        "1 in effect",
        "sysctl -w net.ipv4.conf.eth0.rp_filter=2",
    ),
    "filter, no way to the VIP": (
        {"ways": {VIP4: None, BACKEND: Way(interface="eth0")}},
        "eth0: reverse-path",
        Verdict.WRONG,
        "unknown",
        "ip route add 192.0.2.10 dev eth0",
    ),
    "the same without checks": (
        {"ways": {VIP4: Way(interface="eth9"), BACKEND: Way(interface="eth0")}, "checked": False},
        "eth0: reverse-path",
        Verdict.ADVICE,
        "1 in effect",
        "rp_filter=2",
    ),
    "a backend answers for the VIP": (
        {"claims": (Claim(vip=VIP4, interface="eth0", mac="02:00:00:00:00:21"),)},
        "who else",
        Verdict.WRONG,
        "02:00:00:00:00:21 (cams/cam-a) on eth0",
        "on cams/cam-a: rtspdsr backend check",
    ),
    "a stranger answers for the VIP": (
        {"claims": (Claim(vip=VIP4, interface="eth0", mac=STRANGER),)},
        "who else",
        Verdict.WRONG,
        f"{STRANGER} (192.0.2.77) on eth0",
        "on 192.0.2.77: ip -o address show to 192.0.2.10",
    ),
    "a backend behind a router": (
        {"ways": {VIP4: Way(interface="eth0"), BACKEND: Way(interface="eth0", gateway=ROUTER)}},
        "backend cams/cam-a",
        Verdict.WRONG,
        "behind the router 192.0.2.1",
        "ip -4 route get 192.0.2.21",
    ),
    "a backend on another interface": (
        {"ways": {VIP4: Way(interface="eth0"), BACKEND: Way(interface="eth5")}},
        "backend cams/cam-a",
        Verdict.WRONG,
        "by eth5, where nothing is forwarded",
        "name eth5 in dataplane.interfaces",
    ),
    "a backend without a way": (
        {"ways": {VIP4: Way(interface="eth0"), BACKEND: None}},
        "backend cams/cam-a",
        Verdict.WRONG,
        "no way leads to",
        "ip address add",
    ),
    "a backend that is this machine": (
        {"ways": {VIP4: Way(interface="eth0"), BACKEND: Way(interface="lo", local=True)}},
        "backend cams/cam-a",
        Verdict.WRONG,
        "an address of this machine",
        "ip address show",
    ),
    "a backend that nobody heard of": (
        {"known": {}, "backends": ()},
        "backend cams/cam-a",
        Verdict.WRONG,
        "nobody answers ARP or ND for 192.0.2.21",
        "ping -c 3 192.0.2.21",
    ),
    "a backend down": (
        {"backends": (DOWN,)},
        "backend cams/cam-a",
        Verdict.WRONG,
        "connection refused",
        "ping",
    ),
    "a narrow way": (
        {"echoes": (echo(largest=1400),)},
        "MTU to",
        Verdict.WRONG,
        "1400",
        f"on cams/cam-a: ip link set dev $(ip -o route get {OWN} ",
    ),
    "a router with less": (
        {"echoes": (echo(name="the router", largest=1480),)},
        "MTU to the router",
        Verdict.WRONG,
        "1480 were seen",
        "ip link set dev eth0 mtu 1480",
    ),
    "no pings": (
        {"echoes": (echo(answered=False, largest=0),)},
        "MTU to",
        Verdict.UNKNOWN,
        "no ping",
        "ping -M do -s 1472 192.0.2.21",
    ),
    "no daemon": (
        {"status": None, "silence": "no daemon answers"},
        "daemon",
        Verdict.WRONG,
        "no daemon",
        "systemctl start rtspdsr",
    ),
    "never started": (
        {"status": None, "silence": "no daemon answers", "attached": frozenset()},
        "daemon",
        Verdict.UNKNOWN,
        "configuration alone",
        "systemctl start rtspdsr",
    ),
    "pins nearly used up": (
        {"status": {**STATUS, "pins": 900}},
        "pins",
        Verdict.ADVICE,
        "900 of 1,000",
        "dataplane.pins_max = 2000",
    ),
    "pins used up": (
        {"status": {**STATUS, "pins_refused": 3}},
        "pins",
        Verdict.WRONG,
        "3 refused",
        "dataplane.pins_max",
    ),
    "log lines dropped": (
        {"status": {**STATUS, "lines_dropped": 5}},
        "log lines",
        Verdict.ADVICE,
        "5",
        "df -h",
    ),
    "another's program": (
        {"attached": frozenset()},
        "eth0: program",
        Verdict.WRONG,
        "another XDP program",
        "ip link set dev eth0 xdp off",
    ),
}


@pytest.mark.parametrize(("broken", "about", "verdict", "measured", "mend"), CASES.values(), ids=CASES)
def test_what_is_broken_is_named(
    broken: dict[str, Any], about: str, verdict: Verdict, measured: str, mend: str
) -> None:
    finding = found(judge(balancer(**broken), machine()), about)
    assert finding.verdict is verdict
    assert measured in finding.measured
    assert mend in finding.mend
    assert finding.why


def test_all_is_well_when_nothing_is_broken() -> None:
    assert {finding.verdict for finding in judge(balancer(), machine())} == {Verdict.OK}


PROGRAM = {
    "not there": ((replace(NIC, name="eth7"),), STATUS, Verdict.WRONG, "no such interface"),
    "detached under the daemon": ((replace(NIC, xdp=None),), STATUS, Verdict.WRONG, "no program is attached"),
    "not attached yet": ((replace(NIC, xdp=None),), None, Verdict.UNKNOWN, "no daemon has been started"),
    "ours": ((replace(NIC, xdp=XdpMode.GENERIC),), STATUS, Verdict.OK, "ours"),
}


@pytest.mark.parametrize(("nics", "status", "verdict", "measured"), PROGRAM.values(), ids=PROGRAM)
def test_whose_program_is_attached(
    nics: tuple[Interface, ...], status: dict[str, Any] | None, verdict: Verdict, measured: str
) -> None:
    finding = found(judge(balancer(status=status), machine(*nics)), "eth0: program")
    assert finding.verdict is verdict
    assert measured in finding.measured


def test_frames_that_do_not_fit_from_one_interface_through_the_other() -> None:
    nics = (NIC, replace(NIC, name="eth1", mtu=9000))
    wide = balancer(names=("eth0", "eth1"), attached=frozenset({"eth0", "eth1"}))
    finding = found(judge(wide, machine(*nics)), "MTU of the interfaces")
    assert finding.verdict is Verdict.WRONG
    assert finding.mend == "ip link set dev eth0 mtu 9000"


@pytest.mark.parametrize(("ignore", "verdict"), [("0", Verdict.ADVICE), ("1", Verdict.OK)])
def test_two_interfaces_in_one_network(ignore: str, verdict: Verdict) -> None:
    several = balancer(names=("eth0", "eth1"), held=(*balancer().held, ON_ETH1))
    made = machine(NIC, replace(NIC, name="eth1"), sysctls={"net/ipv4/conf/all/arp_ignore": ignore})
    assert found(judge(several, made), "ARP of several").verdict is verdict


@pytest.mark.parametrize("name", ["RING_FULL", "TRACKER_DEAD", "NO_BACKEND", "FROM_BACKEND"])
def test_verdicts_that_should_not_be_are_wrong_while_they_grow(name: str) -> None:
    key = f"xdp.{name}"
    past = machine(counters=counters(last={key: 4}))
    (told,) = [one for one in judge(balancer(), past) if one.verdict is not Verdict.OK]
    assert (told.verdict, told.measured) == (Verdict.ADVICE, "4")
    growing = machine(counters=counters({key: 1}, {key: 4}))
    (told,) = [one for one in judge(balancer(), growing) if one.verdict is not Verdict.OK]
    assert (told.verdict, told.measured) == (Verdict.WRONG, "4, 3 in the last 1.0 s")
    assert told.mend
