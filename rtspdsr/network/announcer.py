"""Tells the network where a VIP is: gratuitous ARP, unsolicited neighbour advertisements, and group joins.

Handed the VIPs and each ``LinkChange``; sends frames of its own making on a raw socket, and has the kernel
join the solicited-node group of each IPv6 VIP, without which a real network card would not hear who asks
for it. Answering is the forwarding core's; this module never reads a packet.

Joins outlast the process, as forwarding does; ``leave()`` undoes them.
"""

import asyncio
import struct
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from socket import AF_PACKET, SOCK_RAW, socket
from types import TracebackType
from typing import Self

from rtspdsr.errors import DataplaneError
from rtspdsr.model import Address
from rtspdsr.network.links import LinkChange
from rtspdsr.network.netlink import Netlink, refused

#: When to announce: a port that has just come up may swallow the first ones, and Linux believes nothing new
#: of an address within a second of the last word about it.
BURST_S = (0.0, 1.1, 3.0)
DEFEND_S = 10.0  # between two defences: DEFEND_INTERVAL of RFC 5227, or two owners would shout for ever

ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD
BROADCAST = b"\xff" * 6
ARP_REQUEST, ARP_REPLY = 1, 2
ALL_NODES = IPv6Address("ff02::1")
ALL_NODES_MAC = bytes.fromhex("333300000001")
ICMPV6 = 58
NEIGHBOUR_ADVERTISEMENT = 136
NA_OVERRIDE = 0x20000000
TARGET_LINK_LAYER = bytes((2, 1))  # type, and length in units of 8 octets


def gratuitous_arp(vip: IPv4Address, mac: bytes, operation: int) -> bytes:
    """Build a broadcast frame: ``mac`` has ``vip`` (RFC 5227 section 3; some listen for one form only)."""
    target_mac = BROADCAST if operation == ARP_REPLY else bytes(6)
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + vip.packed + target_mac + vip.packed
    return _ethernet(BROADCAST, mac, ETH_P_ARP, body)


def unsolicited_na(vip: IPv6Address, mac: bytes) -> bytes:
    """Build a frame to all nodes: ``mac`` has ``vip``, whatever they believed (RFC 4861 section 7.2.6)."""
    message = vip.packed + TARGET_LINK_LAYER + mac
    unsummed = struct.pack("!BBHI", NEIGHBOUR_ADVERTISEMENT, 0, 0, NA_OVERRIDE) + message
    pseudo_header = vip.packed + ALL_NODES.packed + struct.pack("!II", len(unsummed), ICMPV6)
    checksum = _internet_checksum(pseudo_header + unsummed)
    icmp = struct.pack("!BBHI", NEIGHBOUR_ADVERTISEMENT, 0, checksum, NA_OVERRIDE) + message
    # Hop limit 255 proves to the receiver that no router forwarded it.
    header = struct.pack("!IHBB", 6 << 28, len(icmp), ICMPV6, 255) + vip.packed + ALL_NODES.packed
    return _ethernet(ALL_NODES_MAC, mac, ETH_P_IPV6, header + icmp)


def solicited_node(vip: IPv6Address) -> IPv6Address:
    """Return the group that is asked for ``vip`` (RFC 4291 section 2.7.1)."""
    return IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + vip.packed[13:])


def announcements(vip: Address, mac: bytes) -> list[bytes]:
    """Return the frames that announce ``vip`` at ``mac``."""
    if isinstance(vip, IPv4Address):
        return [gratuitous_arp(vip, mac, ARP_REQUEST), gratuitous_arp(vip, mac, ARP_REPLY)]
    return [unsolicited_na(vip, mac)]


class Announcer:
    """Announces VIPs on every link it is told of. A burst is one task; a newer one replaces it."""

    def __init__(self) -> None:
        self._netlink = Netlink()
        self._vips: frozenset[Address] = frozenset()
        self._links: dict[str, LinkChange] = {}
        self._bursts: dict[str, asyncio.Task[None]] = {}
        self._defended_at: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        await self._netlink.__aenter__()
        try:
            self._socket = socket(AF_PACKET, SOCK_RAW, 0)  # protocol 0: sends, never receives
        except OSError as error:
            await self._netlink.__aexit__(None, None, None)
            raise refused("open a packet socket", error) from error
        self._socket.setblocking(False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        bursts = list(self._bursts.values())
        for burst in bursts:
            burst.cancel()
        await asyncio.gather(*bursts, return_exceptions=True)
        self._socket.close()
        await self._netlink.__aexit__(kind, error, trace)

    async def watch(self, vips: Iterable[Address]) -> list[str]:
        """Announce these VIPs and no others: joins and announces the new ones, leaves those that went.

        Returns what the kernel refused, in words; announcing goes on without it.
        """
        wanted = frozenset(vips)
        await self.leave(self._vips - wanted)
        new, self._vips = wanted - self._vips, wanted
        problems = []
        for link in self._links.values():
            if link.up and new:
                problems += await self._join(new, link)
                self._announce(link)
        return problems

    async def link(self, link: LinkChange) -> list[str]:
        """Take in an interface of the forwarding core; announces on it if it is up. Returns as ``watch``."""
        self._links[link.interface] = link
        if not link.up or not self._vips:
            return []
        self._announce(link)
        return await self._join(self._vips, link)

    def defend(self, interface: str) -> bool:
        """Announce anew where another machine has claimed a VIP (RFC 5227 section 2.4, RFC 4861 7.2.6).

        Its neighbours believe it until somebody says otherwise. False within ``DEFEND_S`` of the last time.
        """
        link, now = self._links.get(interface), asyncio.get_running_loop().time()
        if link is None or not link.up or now - self._defended_at.get(interface, -DEFEND_S) < DEFEND_S:
            return False
        self._defended_at[interface] = now
        self._announce(link)
        return True

    async def leave(self, vips: Iterable[Address]) -> None:
        """Announce these no more, and leave their groups, also those that an earlier process joined."""
        gone = frozenset(vips)
        self._vips -= gone
        for group in _groups(gone) - _groups(self._vips):  # two VIPs may share one
            for link in self._links.values():
                if link.ifindex:
                    await self._netlink.leave(group, link.ifindex)

    async def _join(self, vips: Iterable[Address], link: LinkChange) -> list[str]:
        problems = []
        for group in _groups(vips):
            try:
                await self._netlink.join(group, link.ifindex)
            except DataplaneError as error:  # e.g. IPv6 is off on an interface that only backends are on
                problems.append(f"{link.interface}: {error}")
        return problems

    def _announce(self, link: LinkChange) -> None:
        """Begin a burst, in place of one that is under way."""
        earlier = self._bursts.get(link.interface)
        if earlier:
            earlier.cancel()
        self._bursts[link.interface] = asyncio.create_task(
            self._burst(link), name=f"announce on {link.interface}"
        )

    async def _burst(self, link: LinkChange) -> None:
        slept_s = 0.0
        for at_s in BURST_S:
            await asyncio.sleep(at_s - slept_s)
            slept_s = at_s
            for vip in self._vips:
                for frame in announcements(vip, link.mac):
                    with suppress(OSError):  # the link went down: its coming up begins another burst
                        self._socket.sendto(frame, (link.interface, 0))


def _groups(vips: Iterable[Address]) -> set[IPv6Address]:
    return {solicited_node(vip) for vip in vips if isinstance(vip, IPv6Address)}


def _ethernet(destination: bytes, source: bytes, ethertype: int, payload: bytes) -> bytes:
    return (destination + source + struct.pack("!H", ethertype) + payload).ljust(60, b"\0")


def _internet_checksum(data: bytes) -> int:
    """Sum an even number of octets as RFC 1071 says."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
