"""rtnetlink(7) in octets: links, neighbours and the hop to an address, asked for and heard of all the time.

Handed octets, it gives values, and the other way round; ``Kernel`` is a socket to ask by. What comes seldom
is left to pyroute2, whose messages refer to themselves: only a search for reference cycles frees them.
"""

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count
from socket import AF_INET, AF_INET6
from struct import Struct
from sys import byteorder
from typing import Self

from rtspdsr.model import Address
from rtspdsr.network.values import Hop, Link, LinkGone, Message, NeighbourEntry, Nud, RoutesChanged

# <linux/netlink.h>
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_DUMP_INTR = 0x10  # of an answer: what is dumped has changed meanwhile
NLM_F_REPLACE, NLM_F_CREATE = 0x100, 0x400
NLA_TYPE_MASK = 0x3FFF

# <linux/rtnetlink.h>, <linux/if_link.h>, <linux/neighbour.h>
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_GETROUTE = 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
IFLA_ADDRESS, IFLA_IFNAME = 1, 3
NDA_DST, NDA_LLADDR = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_VIA = 1, 4, 5, 18
RTN_UNICAST = 1
IFF_UP, IFF_RUNNING = 0x1, 0x40

_HEADER = Struct("=IHHII")  # length, type, flags, sequence number, port
_ERROR = Struct("=i")
_ATTRIBUTE = Struct("=HH")  # length, type
_LINK = Struct("=BxHiII")  # family, type, index, flags, changed flags
_NEIGHBOUR = Struct("=BxHiHBB")  # family, padding, interface, state, flags, type
_ROUTE = Struct("=8BI")  # family, lengths of both prefixes, tos, table, protocol, scope, type; flags

DATAGRAM_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class Raw:
    """One message.

    kind:  ``RTM_*``
    flags: ``NLM_F_*``
    body:  what follows the header
    """

    kind: int
    flags: int
    sequence: int
    body: bytes


def split(datagram: bytes) -> Iterator[Raw]:
    """The messages of a datagram."""
    at = 0
    while at + _HEADER.size <= len(datagram):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, at)
        if length < _HEADER.size:
            return
        yield Raw(kind, flags, sequence, datagram[at + _HEADER.size : at + length])
        at += _aligned(length)


def message(raw: Raw) -> Message | None:
    """What a message tells; None for what concerns nobody (bridges speak in the same groups)."""
    if raw.kind in (RTM_NEWNEIGH, RTM_DELNEIGH):
        return neighbour(raw)
    if raw.kind in (RTM_NEWLINK, RTM_DELLINK):
        if raw.body[0] != socket.AF_UNSPEC:
            return None
        return link(raw) if raw.kind == RTM_NEWLINK else LinkGone(_LINK.unpack_from(raw.body)[2])
    return RoutesChanged()


def link(raw: Raw) -> Link:
    """An interface."""
    _, _, ifindex, flags, _ = _LINK.unpack_from(raw.body)
    attributes = _attributes(raw.body, _LINK.size)
    return Link(
        ifindex=ifindex,
        interface=attributes[IFLA_IFNAME].rstrip(b"\0").decode(errors="replace"),
        mac=attributes.get(IFLA_ADDRESS, b""),
        enabled=bool(flags & IFF_UP),
        running=bool(flags & IFF_RUNNING),
    )


def neighbour(raw: Raw) -> NeighbourEntry | None:
    """An entry of the ARP or ND cache; None if it is of another one."""
    family, _, ifindex, state, _, _ = _NEIGHBOUR.unpack_from(raw.body)
    attributes = _attributes(raw.body, _NEIGHBOUR.size)
    if family not in (AF_INET, AF_INET6) or NDA_DST not in attributes:
        return None
    return NeighbourEntry(
        address=ip_address(attributes[NDA_DST]),
        ifindex=ifindex,
        state=Nud.NONE if raw.kind == RTM_DELNEIGH else Nud(state),
        mac=attributes.get(NDA_LLADDR),
    )


def hop(raw: Raw, address: Address) -> Hop:
    """Where the route to an address leads."""
    attributes = _attributes(raw.body, _ROUTE.size)
    via = attributes.get(RTA_GATEWAY) or attributes.get(RTA_VIA, b"")[2:]  # RTA_VIA begins with its family
    gateway = ip_address(via) if via else None
    return Hop(
        ifindex=int.from_bytes(attributes[RTA_OIF], byteorder),
        gateway=None if gateway == address else gateway,
        local=_ROUTE.unpack_from(raw.body)[7] != RTN_UNICAST,
    )


def _attributes(body: bytes, at: int) -> dict[int, bytes]:
    """By their types; of several of one type the last."""
    found = {}
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & NLA_TYPE_MASK] = body[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return found


def _attribute(kind: int, value: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(length, kind) + value.ljust(_aligned(len(value)), b"\0")


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _family(address: Address) -> int:
    return AF_INET if address.version == 4 else AF_INET6


class Kernel:
    """A socket to ask by, in the namespace in which it is made. The kernel answers before ``send`` returns.

    Every method raises OSError with the kernel's number where it refuses.
    """

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._numbers = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def links(self) -> Iterator[list[Link]]:
        """Every interface, in pieces. Raises InterruptedError after the last one if some may be missing."""
        for piece in self._ask(RTM_GETLINK, NLM_F_DUMP, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            yield [link(raw) for raw in piece if raw.kind == RTM_NEWLINK]

    def link(self, ifindex: int) -> Link:
        """One interface."""
        return link(self._one(RTM_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, ifindex, 0, 0)))

    def neighbour(self, address: Address, ifindex: int) -> NeighbourEntry | None:
        """One entry of the ARP or ND cache."""
        return neighbour(self._one(RTM_GETNEIGH, _neighbour(address, ifindex, Nud.NONE, 0)))

    def set_neighbour(
        self, address: Address, ifindex: int, state: Nud, flags: int = 0, *, create: bool
    ) -> None:
        """Change one, or make it."""
        how = NLM_F_ACK | NLM_F_REPLACE | (NLM_F_CREATE if create else 0)
        for _ in self._ask(RTM_NEWNEIGH, how, _neighbour(address, ifindex, state, flags)):
            pass

    def hop(self, address: Address) -> Hop:
        """Where a packet to an address would go."""
        fixed = _ROUTE.pack(_family(address), address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
        return hop(self._one(RTM_GETROUTE, fixed + _attribute(RTA_DST, address.packed)), address)

    def _one(self, kind: int, body: bytes) -> Raw:
        return next(raw for piece in self._ask(kind, 0, body) for raw in piece)

    def _ask(self, kind: int, flags: int, body: bytes) -> Iterator[list[Raw]]:
        """Send a request; give its answers, a datagram at a time."""
        number = next(self._numbers)
        length = _HEADER.size + len(body)
        self._socket.send(_HEADER.pack(length, kind, NLM_F_REQUEST | flags, number, 0) + body)
        interrupted = False
        while True:
            answers: list[Raw] = []
            for raw in split(self._socket.recv(DATAGRAM_MAX)):
                if raw.sequence != number:
                    continue  # of a request that was given up
                if flags & NLM_F_DUMP:
                    interrupted |= bool(raw.flags & NLM_F_DUMP_INTR)
                if raw.kind in (NLMSG_ERROR, NLMSG_DONE):
                    if (code := -_ERROR.unpack_from(raw.body)[0]) > 0:
                        raise OSError(code, errno.errorcode.get(code, str(code)))
                    if interrupted:
                        raise InterruptedError(errno.EINTR, "changed while it was read")
                    if answers:
                        yield answers
                    return
                answers.append(raw)
            yield answers
            if answers and not flags:
                return


def _neighbour(address: Address, ifindex: int, state: Nud, flags: int) -> bytes:
    fixed = _NEIGHBOUR.pack(_family(address), 0, ifindex, state, flags, 0)
    return fixed + _attribute(NDA_DST, address.packed)
