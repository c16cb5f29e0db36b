"""Announcements: the frames octet by octet, and what a neighbour and the kernel make of them."""

import asyncio
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from socket import socket
from typing import Any

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from rtspdsr.model import Address
from rtspdsr.network.announcer import (
    ARP_REPLY,
    ARP_REQUEST,
    Announcer,
    announcements,
    gratuitous_arp,
    solicited_node,
    unsolicited_na,
)
from rtspdsr.network.links import LinkChange
from rtspdsr.network.netlink import Netlink
from tests.network.wire import FAR_MAC, NEAR_MAC, Wire, wire

VIP4, VIP6 = IPv4Address("10.9.0.80"), IPv6Address("fd09::abcd:80")
OTHER_VIP6 = IPv6Address("fd09:1::abcd:80")  # the same last 24 bits: the same group
GROUP6 = "ff02::1:ffcd:80"
MAC, NEW_MAC = bytes.fromhex("020000000001"), bytes.fromhex("0200000000ee")


def lines(packet: Any) -> list[str]:
    text: str = Ether(bytes(packet)).show2(dump=True)
    return text.splitlines()


@pytest.mark.parametrize(
    ("operation", "target"),
    [(ARP_REQUEST, "00:00:00:00:00:00"), (ARP_REPLY, "ff:ff:ff:ff:ff:ff")],
    ids=["request", "reply"],
)
def test_gratuitous_arp_is_what_scapy_builds(operation: int, target: str) -> None:
    expected = Ether(src=MAC.hex(":"), dst="ff:ff:ff:ff:ff:ff") / ARP(
        op=operation, hwsrc=MAC.hex(":"), psrc=str(VIP4), hwdst=target, pdst=str(VIP4)
    )
    sent = gratuitous_arp(VIP4, MAC, operation)
    assert sent == bytes(expected).ljust(60, b"\0")


@pytest.mark.parametrize("vip", [VIP6, IPv6Address("ffff::ffff"), IPv6Address("2001:db8::1")], ids=str)
def test_unsolicited_na_is_what_scapy_builds_checksum_included(vip: IPv6Address) -> None:
    expected = (
        Ether(src=MAC.hex(":"), dst="33:33:00:00:00:01")
        / IPv6(src=str(vip), dst="ff02::1", hlim=255)
        / ICMPv6ND_NA(R=0, S=0, O=1, tgt=str(vip))
        / ICMPv6NDOptDstLLAddr(lladdr=MAC.hex(":"))
    )
    assert lines(unsolicited_na(vip, MAC)) == lines(expected)


def test_the_group_is_made_of_the_last_24_bits() -> None:
    assert str(solicited_node(VIP6)) == GROUP6
    assert str(solicited_node(IPv6Address("2001:db8::1:2:3"))) == "ff02::1:ff02:3"


@pytest.fixture
def cable() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.fixture
async def near(cable: Wire) -> LinkChange:
    async with Netlink() as netlink:
        (link,) = [link for link in await netlink.links() if link.interface == "near"]
    return LinkChange(interface="near", ifindex=link.ifindex, mac=link.mac, up=True)


def joined(cable: Wire) -> bool:
    """Whether the kernel listens to the group, and the interface to the group's MAC address."""
    groups = cable.near("maddr show dev near")
    assert (f"inet6 {GROUP6}" in groups) == ("link  33:33:ff:cd:00:80" in groups)
    return GROUP6 in groups


def frames(sniffer: socket) -> list[bytes]:
    """Read what has come so far and names a VIP."""
    heard: list[bytes] = []
    while True:
        try:
            frame = sniffer.recv(2048)
        except BlockingIOError:
            return [one for one in heard if VIP4.packed in one or VIP6.packed in one]
        heard.append(frame)


async def await_frames(sniffer: socket, count: int, within_s: float) -> list[bytes]:
    got: list[bytes] = []
    deadline = time.monotonic() + within_s
    while len(got) < count and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
        got += frames(sniffer)
    return got


@pytest.mark.kernel
async def test_each_vip_is_announced_three_times_on_a_link(cable: Wire, near: LinkChange) -> None:
    with cable.sniffer() as far:
        async with Announcer() as announcer:
            await announcer.watch([VIP4, VIP6])
            await announcer.link(near)
            once = announcements(VIP4, NEAR_MAC) + announcements(VIP6, NEAR_MAC)
            assert sorted(await await_frames(far, 9, 30)) == sorted(3 * once)
            assert await await_frames(far, 1, 0.5) == []


@pytest.mark.kernel
async def test_a_neighbour_follows_the_vip_to_a_new_mac_address(cable: Wire, near: LinkChange) -> None:
    """A failover: the neighbour holds another machine's MAC address for the VIP, and must drop it."""
    for vip in (VIP4, VIP6):
        cable.far(f"neigh add {vip} lladdr {FAR_MAC.hex(':')} dev far nud reachable")

    def believed(vip: Address) -> str:
        return cable.far(f"neigh show {vip} dev far")

    async with Announcer() as announcer:
        await announcer.watch([VIP4, VIP6])
        for mac in (near.mac, NEW_MAC):
            await announcer.link(LinkChange(interface="near", ifindex=near.ifindex, mac=mac, up=True))
            await asyncio.sleep(1.3)  # the kernel locks an ARP entry for a second after a change
            assert f"lladdr {mac.hex(':')}" in believed(VIP4)
            assert f"lladdr {mac.hex(':')}" in believed(VIP6)


@pytest.mark.kernel
async def test_a_neighbour_that_believed_a_foreign_claim_comes_back(cable: Wire, near: LinkChange) -> None:
    claims = [gratuitous_arp(VIP4, NEW_MAC, ARP_REQUEST), unsolicited_na(VIP6, NEW_MAC)]

    def believed() -> set[str]:
        lines = [cable.far(f"neigh show {vip} dev far").split() for vip in (VIP4, VIP6)]
        return {line[line.index("lladdr") + 1] for line in lines}

    async with Announcer() as announcer:
        await announcer.watch([VIP4, VIP6])
        for vip in (VIP4, VIP6):
            cable.far(f"neigh add {vip} lladdr {FAR_MAC.hex(':')} dev far nud reachable")
        await announcer.link(near)
        await asyncio.sleep(4.5)  # its burst is over, and so is the time in which the kernel locks an entry
        assert believed() == {near.mac.hex(":")}
        with cable.near_sniffer() as another_machine:
            for claim in claims:
                another_machine.send(claim)
        assert believed() == {NEW_MAC.hex(":")}
        assert announcer.defend("near")
        assert not announcer.defend("near")
        await asyncio.sleep(2.0)
        assert believed() == {near.mac.hex(":")}


@pytest.mark.kernel
async def test_a_new_vip_alone_begins_a_burst_and_one_that_left_falls_silent(
    cable: Wire, near: LinkChange
) -> None:
    async with Announcer() as announcer:
        await announcer.link(near)
        with cable.sniffer() as far:
            assert await await_frames(far, 1, 0.3) == []
            await announcer.watch([VIP4])
            assert await await_frames(far, 2, 0.5) == announcements(VIP4, NEAR_MAC)
            await announcer.watch([])
            assert await await_frames(far, 1, 1.5) == []


@pytest.mark.kernel
async def test_a_link_that_is_down_is_announced_on_when_it_is_up(cable: Wire, near: LinkChange) -> None:
    async with Announcer() as announcer:
        await announcer.watch([VIP4, VIP6])
        cable.near("link set near down")
        await announcer.link(LinkChange(interface="near", ifindex=near.ifindex, mac=near.mac, up=False))
        assert not joined(cable)
        cable.near("link set near up")
        with cable.sniffer() as far:
            await announcer.link(near)
            assert len(await await_frames(far, 3, 1.5)) >= 3
        assert joined(cable)


@pytest.mark.kernel
async def test_the_group_is_joined_until_it_is_left_and_outlives_the_process(
    cable: Wire, near: LinkChange
) -> None:
    async with Announcer() as announcer:
        await announcer.watch([VIP6, OTHER_VIP6])
        assert await announcer.link(near) == []
        assert joined(cable)
        await announcer.watch([VIP6])  # the other VIP shared its group
        assert joined(cable)
    assert joined(cable)
    async with Announcer() as another:
        await another.link(near)
        await another.watch([VIP6])
        assert joined(cable)
        await another.leave([VIP6])
        assert not joined(cable)


@pytest.mark.kernel
async def test_detach_leaves_the_group_of_an_earlier_process_without_announcing(
    cable: Wire, near: LinkChange
) -> None:
    async with Announcer() as announcer:
        await announcer.watch([VIP6])
        await announcer.link(near)
    with cable.sniffer() as far:
        async with Announcer() as detaching:
            await detaching.link(near)
            await detaching.leave([VIP4, VIP6])
            assert await await_frames(far, 1, 0.3) == []
    assert not joined(cable)


@pytest.mark.kernel
async def test_the_group_survives_link_down_and_up(cable: Wire, near: LinkChange) -> None:
    async with Announcer() as announcer:
        await announcer.watch([VIP6])
        await announcer.link(near)
        cable.near("link set near down", "link set near up")
        assert await announcer.link(near) == []
        assert joined(cable)


@pytest.mark.kernel
async def test_a_solicitation_for_the_vip_reaches_our_end_through_a_switch_that_prunes(
    cable: Wire, near: LinkChange
) -> None:
    """The neighbour's end becomes a port of a switch that sends a group only to ports that joined it."""
    cable.far(
        "link add switch type bridge mcast_snooping 1 mcast_querier 1 mcast_startup_query_interval 10",
        "addr del fd09::2/64 dev far",
        "link set far master switch",
        "link set switch up",
        "addr add fd09::2/64 dev switch nodad",
    )
    async with Announcer() as announcer:
        await announcer.watch([VIP6])
        await announcer.link(near)
        for _ in range(100):
            if GROUP6 in cable.far_bridge("mdb show"):
                break
            await asyncio.sleep(0.1)
        assert f"port far grp {GROUP6}" in cable.far_bridge("mdb show")
        with cable.near_sniffer() as ours:
            cable.far(f"neigh add {VIP6} dev switch nud none use")
            (solicitation, *_) = await await_frames(ours, 1, 2.0)
    assert solicitation[:6] == bytes.fromhex("3333ffcd0080")
    assert Ether(solicitation)[ICMPv6ND_NS].tgt == str(VIP6)


@pytest.mark.kernel
async def test_a_group_that_the_kernel_refuses_is_told_and_the_rest_goes_on(
    cable: Wire, near: LinkChange
) -> None:
    cable.without_ipv6()
    async with Announcer() as announcer:
        await announcer.watch([VIP4, VIP6])
        with cable.sniffer() as far:
            (problem,) = await announcer.link(near)
            assert len(await await_frames(far, 3, 0.5)) == 3
    assert problem.startswith("near: the kernel refused to add group")
    assert "disable_ipv6" in problem
