"""Facts as the kernel tells them: files captured from a virtual machine, and this machine's own network."""

import os
import socket
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import pytest
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from rtspdsr.doctor import facts, reach, sockets
from rtspdsr.doctor.machine import Interrupt

CAPTURED = Path(__file__).parent / "captured"  # kernel 6.18, two CPUs, a virtio interface

HARDWARE = """\
            CPU0       CPU1       CPU2       CPU3
   8:          0          0          0          0  IR-IO-APIC    8-edge      rtc0
 120:        100          0          0          7  IR-PCI-MSIX-0000:17:00.0   1-edge      ens1f0-TxRx-0
 121:          0        200          0          0  IR-PCI-MSIX-0000:17:00.0   2-edge      ens1f0-TxRx-1
 122:          9          0          0          0  IR-PCI-MSIX-0000:17:00.1   1-edge      ens1f1-TxRx-0
 123:          1          0          0          0  IR-PCI-MSI 9439232-edge      mlx5_async0@pci:0000:3b:00.0
 124:          0          0        300          0  IR-PCI-MSI 9439233-edge      mlx5_comp0@pci:0000:3b:00.0
 NMI:          0          0          0          0   Non-maskable interrupts
"""


def captured(name: str) -> str:
    return (CAPTURED / name).read_text()


def test_interrupts_of_a_virtual_machine() -> None:
    found = list(facts.parse_interrupts(captured("interrupts"), "eth0", "virtio2"))
    assert found == [Interrupt(number=38, name="virtio2-input.0", by_cpu=found[0].by_cpu)]
    assert len(found[0].by_cpu) == 2


@pytest.mark.parametrize(
    ("interface", "parent", "numbers"),
    [
        ("ens1f0", "0000:17:00.0", [120, 121]),
        ("ens1f1", "0000:17:00.1", [122]),
        ("ens2", "0000:3b:00.0", [124]),
        ("ens1", "0000:99:00.0", []),
    ],
)
def test_interrupts_are_told_apart(interface: str, parent: str, numbers: list[int]) -> None:
    found = list(facts.parse_interrupts(HARDWARE, interface, parent))
    assert [one.number for one in found] == numbers


def test_counters() -> None:
    softnet = facts.parse_softnet(captured("softnet_stat"))
    assert set(softnet) == {"processed", "dropped", "squeezed"}
    assert softnet["processed"] > 10**6
    counted = {
        key: value
        for name in ("snmp", "snmp6", "netstat")
        for key, value in facts.parse_snmp(captured(name)).items()
    }
    for key in ("udp.SndbufErrors", "ip6.Udp6SndbufErrors", "ip.FragCreates", "ip6.Ip6FragCreates"):
        assert counted[key] == 0, f"{key} of a machine that had no trouble"
    assert counted["tcp.OutSegs"] > counted["tcp.RetransSegs"]


def test_connection_tracking_counts_each_cpu() -> None:
    names = captured("nf_conntrack").splitlines()[0]
    columns = names.split()
    row = ["00000000"] * len(columns)
    row[columns.index("invalid")] = "0000000a"
    text = "\n".join([names, " ".join(row), " ".join(row)])
    assert facts.parse_conntrack(text)["conntrack.invalid"] == 20


def test_sys_is_believed_only_of_the_same_interface(tmp_path: Path) -> None:
    """Entering another network namespace leaves /sys as it was, with interfaces of the same names."""
    (tmp_path / "queues" / "rx-0").mkdir(parents=True)
    (tmp_path / "queues" / "rx-0" / "rps_cpus").write_text("f\n")
    (tmp_path / "ifindex").write_text("4\n")
    (tmp_path / "address").write_text("02:00:00:00:00:02\n")
    assert facts.read_steering(tmp_path, 4, "02:00:00:00:00:02") == ("f",)
    assert facts.read_steering(tmp_path, 5, "02:00:00:00:00:02") is None
    assert facts.read_steering(tmp_path, 4, "02:00:00:00:00:03") is None
    assert facts.read_steering(tmp_path / "none", 4, "02:00:00:00:00:02") is None


def test_who_listens() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        (found,) = sockets.listeners([listening.getsockname()[1]])
        assert found.pid == os.getpid()
        assert 0 < found.descriptors.used < found.descriptors.most
        port = listening.getsockname()[1]
    assert sockets.listeners([port]) == []


@pytest.mark.parametrize("vip", ["192.0.2.10", "2001:db8::10"])
def test_questions_for_a_vip(vip: str) -> None:
    own, source = bytes.fromhex("020000000002"), IPv6Address("fe80::2")
    frame = Ether(reach.question(ip_address(vip), own, source))
    if ARP in frame:
        assert (frame[ARP].op, frame[ARP].psrc, frame[ARP].pdst) == (1, "0.0.0.0", vip)
        assert frame.dst == "ff:ff:ff:ff:ff:ff"
        return
    assert (frame.dst, frame[IPv6].src, frame[IPv6].hlim) == ("33:33:ff:00:00:10", str(source), 255)
    asked = frame[ICMPv6ND_NS]
    assert (asked.tgt, asked[ICMPv6NDOptSrcLLAddr].lladdr) == (vip, "02:00:00:00:00:02")
    sent, asked.cksum = asked.cksum, None
    assert IPv6(bytes(frame[IPv6]))[ICMPv6ND_NS].cksum == sent


def test_answers_of_neighbours() -> None:
    mac, vip = "02:00:00:00:00:99", ip_address("192.0.2.10")
    octets = bytes.fromhex(mac.replace(":", ""))
    reply = (
        bytes(12) + b"\x08\x06" + reach.ARP.pack(1, 0x0800, 6, 4, 2, octets, vip.packed, bytes(6), bytes(4))
    )
    assert reach.parse_arp(reply) == (vip, mac)
    question = (
        bytes(12) + b"\x08\x06" + reach.ARP.pack(1, 0x0800, 6, 4, 1, octets, vip.packed, bytes(6), bytes(4))
    )
    assert reach.parse_arp(question) is None
    assert reach.parse_arp(reply[:30]) is None
    vip6 = ip_address("2001:db8::10")
    advertisement = bytes([reach.NA, 0, 0, 0, 0x60, 0, 0, 0]) + vip6.packed + b"\x02\x01" + octets
    assert reach.parse_advertisement(advertisement) == (vip6, mac)
    assert reach.parse_advertisement(advertisement[:24]) is None
