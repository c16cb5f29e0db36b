"""A machine that is well, to be broken in one place by each test."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from rtspdsr.doctor.balancer import Balancer, Member
from rtspdsr.doctor.machine import Clock, Counters, Echo, Interface, Machine, Process, Share, Way, XdpMode
from rtspdsr.finding import Finding
from rtspdsr.preparation.network import HeldAddress

VIP4, VIP6 = ip_address("192.0.2.10"), ip_address("2001:db8::10")
OWN = ip_address("192.0.2.2")
BACKEND = ip_address("192.0.2.21")
STRANGER = "02:00:00:00:00:99"

NIC = Interface(
    name="eth0",
    mac="02:00:00:00:00:02",
    up=True,
    mtu=1500,
    driver="ice",
    queue="mq",
    xdp=XdpMode.NATIVE,
    features={"rxvlan": False, "gro": True, "lro": False, "rx-gro-hw": False, "tso": True, "gso": True},
    ring=Share(used=512, most=4096),
    queues=Share(used=4, most=4),
    duplex="full",
    steering=("0", "0", "0", "0"),
)
SYSCTLS = {
    "net/core/bpf_jit_enable": "1",
    "net/core/netdev_max_backlog": "1000",
    "net/core/rmem_default": "212992",
    "net/core/wmem_default": "212992",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/eth0/rp_filter": "1",
    "net/ipv4/tcp_slow_start_after_idle": "0",
    "net/ipv4/tcp_wmem": "4096\t16384\t4194304",
    "net/netfilter/nf_conntrack_count": "12",
    "net/netfilter/nf_conntrack_max": "262144",
}
STATUS = {"uptime_s": 12.0, "pins": 10, "pins_max": 1000, "pins_refused": 0, "faults": 0}


def counters(first: dict[str, int] | None = None, last: dict[str, int] | None = None) -> Counters:
    """``last`` alone: all of it was there before."""
    last = last or {}
    return Counters(first=last if first is None else first, last=last, seconds=1.0)


def machine(*nics: Interface, sysctls: dict[str, str] | None = None, **changes: Any) -> Machine:
    made = Machine(
        release="6.1.0-18-amd64",
        cpus=4,
        interfaces={nic.name: nic for nic in nics or (NIC,)},
        sysctls={**SYSCTLS, **(sysctls or {})},
        counters=counters(),
        clock=Clock(synchronised=True, error_s=0.02),
    )
    return replace(made, **changes)


def balancer(**changes: Any) -> Balancer:
    made = Balancer(
        names=("eth0",),
        vips=(VIP4,),
        members=(Member(name="cams/cam-a", addresses=(BACKEND,)),),
        checked=True,
        held=(HeldAddress(interface="eth0", address=OWN, prefix_length=24),),
        ways={VIP4: Way(interface="eth0"), BACKEND: Way(interface="eth0")},
        echoes=(echo(),),
        known={"02:00:00:00:00:21": [BACKEND], STRANGER: [ip_address("192.0.2.77")]},
        attached=frozenset({"eth0"}),
        status=STATUS,
        backends=({"service": "cams", "name": "cam-a", "state": "up", "problem": "", "checks": {}},),
        process=Process(pid=7, name="rtspdsr", descriptors=Share(used=40, most=65536)),
    )
    return replace(made, **changes)


def echo(**changes: Any) -> Echo:
    made = Echo(name="cams/cam-a", address=BACKEND, interface="eth0", mtu=1500, answered=True, largest=1500)
    return replace(made, **changes)


def found(findings: Iterable[Finding], about: str) -> Finding:
    """The one finding of that name."""
    (one,) = [finding for finding in findings if finding.about.startswith(about)]
    return one
