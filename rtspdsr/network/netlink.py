"""The kernel's network tables, read and changed over netlink.

Handed addresses and interface indexes, it gives back frozen values, and decides nothing. What the kernel
refuses becomes ``DataplaneError``.

Every read asks for as little as the kernel can filter by itself: pyroute2 decodes a whole datagram at a
stretch, and 4,000 routes in one dump held the loop for 30 ms.
"""

import errno
from collections.abc import AsyncIterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address, ip_network
from socket import AF_INET, AF_INET6, AF_UNSPEC, SOL_SOCKET
from types import TracebackType
from typing import Any, Self

from pyroute2 import AsyncIPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, rtnl
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from rtspdsr.errors import DataplaneError
from rtspdsr.model import Address
from rtspdsr.network.values import (
    Hop,
    Link,
    LinkGone,
    Message,
    NeighbourEntry,
    Nud,
    Resync,
    RoutesChanged,
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
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>, not in the socket module

IFF_UP = 0x1
IFF_RUNNING = 0x40
NTF_USE = 0x1
IFA_F_NODAD = 0x02
IFA_F_PERMANENT = 0x80
IFA_F_NOPREFIXROUTE = 0x200
IFA_F_MCAUTOJOIN = 0x400
RTN_UNICAST = 1
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
            self._requests = AsyncIPRoute()
            self._dumps = AsyncIPRoute(strict_check=True)
        except OSError as error:
            raise refused("open a netlink socket", error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._requests.close()
        self._dumps.close()

    async def messages(self) -> AsyncIterator[Message]:
        """Yield what changes, for ever. A ``Resync`` comes first, and again whenever messages were lost."""
        while True:
            with AsyncListener(self._listen_bytes) as listener:
                await listener.bind()
                yield Resync()
                try:
                    while True:
                        async for raw in listener.get():
                            message = _message(raw)
                            if message is not None:
                                yield message
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise refused("report changes of the network", error) from error

    async def links(self) -> list[Link]:
        """Read every interface."""
        try:
            return [_link(raw) async for raw in await self._requests.link("dump")]
        except (NetlinkError, OSError) as error:
            raise refused("list the interfaces", error) from error

    async def link(self, ifindex: int) -> Link | None:
        """Read one interface; None if there is none of this index."""
        try:
            return _link((await self._requests.link("get", index=ifindex))[0])
        except NetlinkError:
            return None

    async def hop(self, address: Address) -> Hop | None:
        """Ask where a packet to ``address`` would go; None if there is no route."""
        try:
            raw = (await self._requests.route("get", dst=str(address), family=_family(address)))[0]
        except NetlinkError:  # unreachable, prohibited, blackhole: all mean that nothing would be sent
            return None
        attributes = dict(raw["attrs"])
        gateway = attributes.get("RTA_GATEWAY") or attributes.get("RTA_VIA", {}).get("addr")
        return Hop(
            ifindex=attributes["RTA_OIF"],
            gateway=ip_address(gateway) if gateway and ip_address(gateway) != address else None,
            local=raw["type"] != RTN_UNICAST,
        )

    async def neighbour(self, address: Address, ifindex: int) -> NeighbourEntry:
        """Read one entry of the ARP or ND cache."""
        try:
            raw = await self._requests.neigh("get", dst=str(address), ifindex=ifindex)
            entry = _neighbour(raw[0])
        except NetlinkError:  # no such entry, or no such interface any more
            entry = None
        return entry or NeighbourEntry(address=address, ifindex=ifindex, state=Nud.NONE, mac=None)

    async def solicit(self, address: Address, ifindex: int) -> None:
        """Make the kernel resolve ``address``. An entry set by hand loses that standing (kernel 5.16 on)."""
        await self._neighbour_change("replace", address, ifindex, state=Nud.NONE, flags=NTF_USE)

    async def probe(self, address: Address, ifindex: int) -> None:
        """Make the kernel ask the known MAC address whether it is still there."""
        await self._neighbour_change("change", address, ifindex, state=Nud.PROBE, flags=0)

    async def _neighbour_change(
        self, command: str, address: Address, ifindex: int, *, state: Nud, flags: int
    ) -> None:
        try:
            await self._requests.neigh(
                command, dst=str(address), ifindex=ifindex, state=int(state), flags=flags
            )
        except (NetlinkError, OSError) as error:
            if _code(error) == errno.EPERM:
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


class AsyncListener:
    """A netlink socket in the groups of ``GROUPS``. After an overrun it is dead, and must be opened anew."""

    def __init__(self, receive_bytes: int) -> None:
        try:
            self._socket = AsyncIPRoute(rcvbuf=receive_bytes)
            with suppress(OSError):  # beyond net.core.rmem_max only with CAP_NET_ADMIN
                self._socket.setsockopt(SOL_SOCKET, SO_RCVBUFFORCE, receive_bytes)
        except OSError as error:
            raise refused("open a netlink socket", error) from error
        for kind in (rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE, rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR):
            del self._socket.marshal.msg_map[kind]  # header only: a routing daemon may send 100,000 of these

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    async def bind(self) -> None:
        """Join the groups."""
        try:
            await self._socket.bind(GROUPS)
        except (NetlinkError, OSError, KeyError) as error:
            raise refused("report changes of the network", error) from error

    def get(self) -> AsyncIterator[Any]:
        """Yield the messages of one datagram."""
        answers: AsyncIterator[Any] = self._socket.get()
        return answers


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


def _family(address: Address) -> int:
    return AF_INET if address.version == 4 else AF_INET6


def _message(raw: Any) -> Message | None:
    """Parse one message; None for what concerns nobody (bridges speak in the same groups)."""
    kind = raw["header"]["type"]
    if kind in (rtnl.RTM_NEWNEIGH, rtnl.RTM_DELNEIGH):
        return _neighbour(raw)
    if kind in (rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK):
        if raw["family"] != AF_UNSPEC:
            return None
        return _link(raw) if kind == rtnl.RTM_NEWLINK else LinkGone(raw["index"])
    return RoutesChanged()


def _link(raw: Any) -> Link:
    return Link(
        ifindex=raw["index"],
        interface=raw.get_attr("IFLA_IFNAME"),
        mac=_mac(raw.get_attr("IFLA_ADDRESS")) or b"",
        enabled=bool(raw["flags"] & IFF_UP),
        running=bool(raw["flags"] & IFF_RUNNING),
    )


def _neighbour(raw: Any) -> NeighbourEntry | None:
    if raw["family"] not in (AF_INET, AF_INET6):
        return None
    return NeighbourEntry(
        address=ip_address(raw.get_attr("NDA_DST")),
        ifindex=raw["ifindex"],
        state=Nud.NONE if raw["header"]["type"] == rtnl.RTM_DELNEIGH else Nud(raw["state"]),
        mac=_mac(raw.get_attr("NDA_LLADDR")),
    )


def _route(raw: Any) -> StaticRoute:
    attributes = dict(raw["attrs"])
    anywhere = "0.0.0.0" if raw["family"] == AF_INET else "::"
    return StaticRoute(
        network=ip_network(f"{attributes.get('RTA_DST', anywhere)}/{raw['dst_len']}"),
        table=attributes.get("RTA_TABLE", raw["table"]),
        metric=attributes.get("RTA_PRIORITY", 0),
        tos=raw["tos"],
        gateway=attributes.get("RTA_GATEWAY", ""),
        message=raw,
    )


def _mac(text: str | None) -> bytes | None:
    return bytes.fromhex(text.replace(":", "")) if text else None
