"""Interfaces: what their drivers tell is judged for a balancer and for a media server."""

from dataclasses import replace

import pytest

from rtspdsr.doctor.machine import Interface, Interrupt, Share, XdpMode
from rtspdsr.doctor.nic import judge
from rtspdsr.finding import Verdict
from tests.doctor.builders import NIC, counters, found, machine


def with_features(**switched: bool) -> Interface:
    return replace(NIC, features={**NIC.features, **switched})


def interrupts(*rows: tuple[int, ...]) -> tuple[Interrupt, ...]:
    return tuple(Interrupt(number=40 + at, name=f"eth0-{at}", by_cpu=row) for at, row in enumerate(rows))


ONE_QUEUE = replace(NIC, queues=Share(used=1, most=1), steering=("0",))
VETH = replace(NIC, kind="veth", driver="veth", ring=None, queues=None, steering=None)

FORWARDING = {
    "down": (replace(NIC, up=False), "eth0: link", Verdict.WRONG, "ip link set dev eth0 up"),
    "half duplex": (
        replace(NIC, duplex="half"),
        "eth0: duplex",
        Verdict.WRONG,
        "ethtool -s eth0 duplex full",
    ),
    "generic": (replace(NIC, xdp=XdpMode.GENERIC), "eth0: XDP", Verdict.ADVICE, 'dataplane.mode = "native"'),
    "detached": (replace(NIC, xdp=None), "eth0: XDP", Verdict.UNKNOWN, "rtspdsr run"),
    "LRO in the way of native mode": (
        with_features(lro=True),
        "eth0: lro",
        Verdict.ADVICE,
        "ethtool -K eth0 lro off",
    ),
    "LRO before generic mode": (
        replace(with_features(lro=True), xdp=XdpMode.GENERIC),
        "eth0: lro",
        Verdict.WRONG,
        "ethtool -K eth0 lro off",
    ),
    "hardware GRO": (
        replace(NIC, features={**NIC.features, "rx-gro-hw": True}, xdp=XdpMode.GENERIC),
        "eth0: rx-gro-hw",
        Verdict.WRONG,
        "ethtool -K eth0 rx-gro-hw off",
    ),
    "tags hidden": (with_features(rxvlan=True), "eth0: VLAN", Verdict.ADVICE, "ethtool -K eth0 rxvlan off"),
    "tags hidden and used": (
        replace(with_features(rxvlan=True), uppers=("eth0.7",)),
        "eth0: VLAN",
        Verdict.WRONG,
        "ethtool -K eth0 rxvlan off",
    ),
    "few queues": (
        replace(NIC, queues=Share(used=2, most=16)),
        "eth0: queues",
        Verdict.ADVICE,
        "ethtool -L eth0 combined 4",
    ),
    "one CPU takes all": (
        replace(NIC, interrupts=interrupts((90_000, 1, 0, 0), (80_000, 0, 0, 0))),
        "eth0: queues",
        Verdict.ADVICE,
        "echo 1 > /proc/irq/41/smp_affinity_list",
    ),
    "one queue for XDP": (ONE_QUEUE, "eth0: queues", Verdict.ADVICE, "ethtool -l eth0"),
    "one queue, no steering": (
        replace(ONE_QUEUE, xdp=XdpMode.GENERIC),
        "eth0: queues",
        Verdict.ADVICE,
        "echo f > /sys/class/net/eth0/queues/rx-0/rps_cpus",
    ),
    "one queue, another /sys": (
        replace(ONE_QUEUE, xdp=XdpMode.GENERIC, steering=None),
        "eth0: queues",
        Verdict.UNKNOWN,
        "",
    ),
    "driver without rings": (replace(NIC, ring=None), "eth0: receive ring", Verdict.UNKNOWN, "ethtool -S"),
    "silent driver": (replace(NIC, queues=None), "eth0: queues", Verdict.UNKNOWN, "/proc/interrupts"),
}


@pytest.mark.parametrize(("nic", "about", "verdict", "mend"), FORWARDING.values(), ids=FORWARDING)
def test_what_is_broken_is_named(nic: Interface, about: str, verdict: Verdict, mend: str) -> None:
    finding = found(judge(nic, machine(nic), forwards=True), about)
    assert finding.verdict is verdict
    assert mend in finding.mend


WELL = {
    "as it should be": NIC,
    "interrupts spread": replace(NIC, interrupts=interrupts((50_000, 0, 0, 0), (0, 60_000, 0, 0))),
    "an idle interface": replace(NIC, interrupts=interrupts((90, 0, 0, 0), (80, 0, 0, 0))),
    "one queue, steered": replace(ONE_QUEUE, xdp=XdpMode.GENERIC, steering=("f",)),
}


@pytest.mark.parametrize("nic", [one for name, one in WELL.items() if "steered" not in name])
def test_what_is_well_is_not_complained_of(nic: Interface) -> None:
    assert {one.verdict for one in judge(nic, machine(nic), forwards=True)} == {Verdict.OK}
    assert {one.verdict for one in judge(nic, machine(nic), forwards=False)} == {Verdict.OK}


def test_packet_steering_spreads_one_queue() -> None:
    nic = WELL["one queue, steered"]
    assert found(judge(nic, machine(nic), forwards=True), "eth0: queues").verdict is Verdict.OK


SERVING = {
    "no offload": (with_features(tso=False), "eth0: segmentation", Verdict.ADVICE, "ethtool -K eth0 tso on"),
    "shaped": (
        replace(NIC, queue="tbf"),
        "eth0: queueing",
        Verdict.ADVICE,
        "tc qdisc del dev eth0 root",
    ),
    "short queue": (replace(NIC, length=10), "eth0: transmit", Verdict.ADVICE, "txqueuelen 1000"),
}


@pytest.mark.parametrize(("nic", "about", "verdict", "mend"), SERVING.values(), ids=SERVING)
def test_what_hurts_sending_is_named(nic: Interface, about: str, verdict: Verdict, mend: str) -> None:
    finding = found(judge(nic, machine(nic), forwards=False), about)
    assert finding.verdict is verdict
    assert mend in finding.mend


@pytest.mark.parametrize("about", ["eth0: queues", "eth0: receive ring"])
def test_what_an_interface_cannot_have_is_nothing_to_mend(about: str) -> None:
    finding = found(judge(VETH, machine(VETH), forwards=True), about)
    assert finding.measured.startswith("not applicable: a veth has no")
    assert (finding.verdict, finding.mend) == (Verdict.OK, "")


LOSSES = {
    "missed": ("rx_missed_errors", "eth0: receive ring", "ethtool -G eth0 rx 4096", True),
    "damaged": ("rx_crc_errors", "eth0: damaged", "cable", True),
    "not sent": ("unsent", "eth0: frames that XDP", "ethtool -S eth0", True),
    "queue overrun": ("queue_drops", "eth0: dropped", "txqueuelen 10000", False),
}


@pytest.mark.parametrize(("key", "about", "mend", "forwards"), LOSSES.values(), ids=LOSSES)
def test_losses_are_wrong_while_they_grow(key: str, about: str, mend: str, forwards: bool) -> None:
    past, growing = (
        machine(counters=counters(first, {f"eth0.{key}": 7})) for first in (None, {f"eth0.{key}": 5})
    )
    assert found(judge(NIC, past, forwards=forwards), about).verdict is Verdict.ADVICE
    finding = found(judge(NIC, growing, forwards=forwards), about)
    assert finding.verdict is Verdict.WRONG
    assert "7, 2 in the last 1.0 s" in finding.measured
    assert mend in finding.mend


def test_a_ring_at_its_largest_is_not_to_be_made_larger() -> None:
    nic = replace(NIC, ring=Share(used=256, most=256))
    made = machine(nic, counters=counters(last={"eth0.rx_missed_errors": 7}))
    assert "ethtool -L" in found(judge(nic, made, forwards=True), "eth0: receive ring").mend


@pytest.mark.parametrize("nic", [replace(NIC, master="br0"), replace(NIC, name="br0", kind="bridge")])
def test_the_packet_filter_on_a_bridge(nic: Interface) -> None:
    on = machine(nic, sysctls={"net/bridge/bridge-nf-call-iptables": "1"})
    finding = found(judge(nic, on, forwards=False), f"{nic.name}: bridge")
    assert finding.verdict is Verdict.WRONG
    assert finding.mend == "sysctl -w net.bridge.bridge-nf-call-iptables=0"
    off = machine(nic, sysctls={"net/bridge/bridge-nf-call-iptables": "0"})
    assert found(judge(nic, off, forwards=False), f"{nic.name}: bridge").verdict is Verdict.OK
