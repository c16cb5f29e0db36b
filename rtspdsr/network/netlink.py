"""The kernel's network tables, read and changed over netlink.

Handed addresses and interface indexes, it gives back frozen values, and decides nothing. What the kernel
refuses becomes ``DataplaneError``.

What is asked and heard of all the time goes by ``rtnetlink.py``, the rest by pyroute2. Every read there asks
for as little as the kernel can filter by itself: pyroute2 decodes a whole datagram at a stretch, and 4,000
routes in one dump held the loop for 30 ms.
"""

import asyncio
import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv6Address, ip_network
from socket import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    NETLINK_ROUTE,
    SO_RCVBUF,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_RAW,
    SOL_SOCKET,
    socket,
)
from types import TracebackType
from typing import Any, Self

from pyroute2 import AsyncIPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, rtnl
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from rtspdsr.errors import DataplaneError
from rtspdsr.model import Address
from rtspdsr.network import rtnetlink
from rtspdsr.network.values import (
    Hop,
    Link,
    Message,
    NeighbourEntry,
    Nud,
    Resync,
    StaticAddress,
    StaticRoute,
)

GROUPS = (
    rtnl.RTMGRP_LINK
    | rtnl.RTMGRP_NEIGH
    | rtnl.RTMGRP_IPV4_ROUTE
    | rtnl.RTMGRP_IPV6_ROUTE
    | rtnl.RTMGRP_IPV4_IFADDR
    | rtnl.RTMGRP_IPV6_IFADDR
)
LISTEN_BYTES = 4 << 20  # a storm of neighbour messages while the loop is busy; beyond it, all is read anew
DUMPS_MAX, DUMP_AGAIN_S = 20, 0.1  # how often a list is read that changes while it is read, and how far apart
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>, not in the socket module

NTF_USE = 0x1
IFA_F_NODAD = 0x02
IFA_F_PERMANENT = 0x80
IFA_F_NOPREFIXROUTE = 0x200
IFA_F_MCAUTOJOIN = 0x400
RTPROT_BOOT, RTPROT_STATIC = 3, 4  # by `ip route add`, and by what reads a network configuration
RTNH_F_ONLINK = 0x4
RT_SCOPE_UNIVERSE = 0
ROUTE_FIELDS = ("family", "dst_len", "src_len", "tos", "table", "proto", "scope", "type")


class Netlink:
    """Requests to the kernel and the stream of its messages, for the network namespace it is opened in."""

    def __init__(self, *, listen_bytes: int = LISTEN_BYTES) -> None:
        self._listen_bytes = listen_bytes

    async def __aenter__(self) -> Self:
        try:
            self._kernel = rtnetlink.Kernel()
            self._requests = AsyncIPRoute()
            self._dumps = AsyncIPRoute(strict_check=True)
        except OSError as error:
            raise refused("open a netlink socket", error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kernel.close()
        self._requests.close()
        self._dumps.close()

    async def messages(self) -> AsyncIterator[Message]:
        """Yield what changes, for ever. A ``Resync`` comes first, and again whenever messages were lost."""
        loop = asyncio.get_running_loop()
        while True:
            with _listener(self._listen_bytes) as listener:
                yield Resync()
                try:
                    while True:
                        for raw in rtnetlink.split(await loop.sock_recv(listener, rtnetlink.DATAGRAM_MAX)):
                            if (message := rtnetlink.message(raw)) is not None:
                                yield message
                        await asyncio.sleep(0)  # a storm of them would never wait
                except OSError as error:
                    # After an overrun what the socket still holds is older than what is read anew.
                    if error.errno != errno.ENOBUFS:
                        raise refused("report changes of the network", error) from error

    async def links(self) -> list[Link]:
        """Read every interface."""
        attempts = 0
        while True:
            attempts += 1
            found: list[Link] = []
            try:
                for piece in self._kernel.links():
                    found += piece
                    await asyncio.sleep(0)
            except OSError as error:
                if not isinstance(error, InterruptedError) or attempts == DUMPS_MAX:
                    raise refused("list the interfaces", error) from error
            else:
                return found
            await asyncio.sleep(DUMP_AGAIN_S)

    def link(self, ifindex: int) -> Link | None:
        """Read one interface; None if there is none of this index."""
        try:
            return self._kernel.link(ifindex)
        except OSError:
            return None

    def hop(self, address: Address) -> Hop | None:
        """Ask where a packet to ``address`` would go; None if there is no route."""
        try:
            return self._kernel.hop(address)
        except OSError:  # unreachable, prohibited, blackhole: all mean that nothing would be sent
            return None

    def neighbour(self, address: Address, ifindex: int) -> NeighbourEntry:
        """Read one entry of the ARP or ND cache."""
        entry = None
        with suppress(OSError):  # no such entry, or no such interface any more
            entry = self._kernel.neighbour(address, ifindex)
        return entry or NeighbourEntry(address=address, ifindex=ifindex, state=Nud.NONE, mac=None)

    def solicit(self, address: Address, ifindex: int) -> None:
        """Make the kernel resolve ``address``. An entry set by hand loses that standing (kernel 5.16 on)."""
        self._set_neighbour(address, ifindex, Nud.NONE, NTF_USE, create=True)

    def probe(self, address: Address, ifindex: int) -> None:
        """Make the kernel ask the known MAC address whether it is still there."""
        self._set_neighbour(address, ifindex, Nud.PROBE, 0, create=False)

    def _set_neighbour(self, address: Address, ifindex: int, state: Nud, flags: int, *, create: bool) -> None:
        try:
            self._kernel.set_neighbour(address, ifindex, state, flags, create=create)
        except OSError as error:
            if error.errno == errno.EPERM:
                raise refused(f"resolve {address}", error) from error
            # Else the entry or the interface went away meanwhile, or the table is full: it is asked again.

    async def static_addresses(self, ifindex: int) -> list[StaticAddress]:
        """Read the configured global IPv6 addresses of an interface; the kernel drops them with the link."""
        try:
            raws = [
                raw async for raw in await self._dumps.addr("dump", family=AF_INET6, match={"index": ifindex})
            ]
        except NetlinkError:
            return []
        return [
            StaticAddress(
                address=IPv6Address(raw.get_attr("IFA_ADDRESS")),
                prefix_length=raw["prefixlen"],
                flags=raw.get_attr("IFA_FLAGS") & (IFA_F_NODAD | IFA_F_NOPREFIXROUTE),
            )
            for raw in raws
            if raw.get_attr("IFA_FLAGS") & IFA_F_PERMANENT and raw["scope"] == RT_SCOPE_UNIVERSE
        ]

    async def static_routes(self, ifindex: int) -> list[StaticRoute]:
        """Read the configured routes through an interface, of both families and all tables."""
        routes = []
        for family in (AF_INET, AF_INET6):
            for protocol in (RTPROT_BOOT, RTPROT_STATIC):
                request = rtmsg()
                request["family"], request["proto"] = family, protocol
                request["attrs"] = [["RTA_OIF", ifindex]]
                try:
                    answers = await self._dumps.nlm_request(
                        request, rtnl.RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP
                    )
                    routes += [_route(raw) async for raw in answers if raw.get_attr("RTA_OIF") == ifindex]
                except NetlinkError:  # the interface is gone
                    return []
        return routes

    async def restore_address(self, address: StaticAddress, ifindex: int) -> None:
        """Put an address back as it was."""
        await self._add_address(address.address, address.prefix_length, ifindex, address.flags, str(address))

    async def restore_route(self, route: StaticRoute) -> None:
        """Put a route back as it was."""
        request = rtmsg()
        for name in ROUTE_FIELDS:
            request[name] = route.message[name]
        request["flags"] = route.message["flags"] & RTNH_F_ONLINK
        request["attrs"] = [
            [name, value]
            for name, value in route.message["attrs"]
            if name not in ("RTA_CACHEINFO", "UNKNOWN")
        ]
        flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
        try:
            async for _ in await self._requests.nlm_request(request, rtnl.RTM_NEWROUTE, flags):
                pass
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise refused(f"restore {route}", error) from error

    async def join(self, group: IPv6Address, ifindex: int) -> None:
        """Join a multicast group for as long as the interface exists, whatever becomes of this process."""
        try:
            await self._add_address(group, 128, ifindex, IFA_F_MCAUTOJOIN | IFA_F_NODAD, f"group {group}")
        except DataplaneError as error:
            # The address goes when the link is set down, the membership stays: then it is "in use".
            if _code(error.__cause__) not in (errno.EADDRINUSE, errno.ENODEV):
                raise

    async def leave(self, group: IPv6Address, ifindex: int) -> None:
        """Leave a group that was joined.

        If the link was set down since, the kernel has no way to leave before the interface is removed; what
        remains is a membership that nobody listens to.
        """
        try:
            await self._requests.addr("del", index=ifindex, address=str(group), prefixlen=128)
        except NetlinkError as error:
            if error.code not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                raise refused(f"leave group {group}", error) from error

    async def _add_address(
        self, address: IPv6Address, prefix_length: int, ifindex: int, flags: int, what: str
    ) -> None:
        try:
            await self._requests.addr(
                "add", index=ifindex, address=str(address), prefixlen=prefix_length, flags=flags
            )
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise refused(f"add {what}", error) from error


@contextmanager
def _listener(receive_bytes: int) -> Iterator[socket]:
    """A socket in the groups of ``GROUPS``."""
    try:
        made = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE)
        made.setsockopt(SOL_SOCKET, SO_RCVBUF, receive_bytes)
        with suppress(OSError):  # beyond net.core.rmem_max only with CAP_NET_ADMIN
            made.setsockopt(SOL_SOCKET, SO_RCVBUFFORCE, receive_bytes)
        made.bind((0, GROUPS))
    except OSError as error:
        raise refused("report changes of the network", error) from error
    with made:
        yield made


def refused(what: str, error: Exception) -> DataplaneError:
    """Say what the kernel refused, and what to do about it."""
    advice = "look at the kernel log (dmesg)"
    if _code(error) in (errno.EPERM, errno.EACCES):
        advice = (
            "run as root, or with CAP_NET_ADMIN and CAP_NET_RAW; "
            "for IPv6, look at the sysctl net.ipv6.conf.*.disable_ipv6"
        )
    return DataplaneError(f"the kernel refused to {what}: {error}; {advice}")


def _code(error: BaseException | None) -> int | None:
    """Return the kernel's error number: pyroute2 tells some as ``NetlinkError``, some as ``OSError``."""
    return error.code if isinstance(error, NetlinkError) else getattr(error, "errno", None)


def _route(raw: Any) -> StaticRoute:
    attributes = dict(raw["attrs"])
    anywhere = "0.0.0.0" if raw["family"] == AF_INET else "::"
    return StaticRoute(
        network=ip_network(f"{attributes.get('RTA_DST', anywhere)}/{raw['dst_len']}"),
        table=attributes.get("RTA_TABLE", raw["table"]),
        metric=attributes.get("RTA_PRIORITY", 0),
        tos=raw["tos"],
        gateway=attributes.get("RTA_GATEWAY", ""),
        message=raw.dump(),  # else it refers to itself, and is kept until routes change
    )
