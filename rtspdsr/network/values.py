"""What the kernel's network tables hold, as values: links, neighbours, hops, static routes and addresses.

Nothing here does anything; ``netlink.py`` reads and changes the tables themselves.
"""

from dataclasses import dataclass, field
from enum import IntFlag
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Any

from rtspdsr.model import Address

RT_TABLE_MAIN = 254

Network = IPv4Network | IPv6Network


class Nud(IntFlag):
    """State of a neighbour entry (``NUD_*``)."""

    NONE = 0
    INCOMPLETE = 0x01
    REACHABLE = 0x02
    STALE = 0x04
    DELAY = 0x08
    PROBE = 0x10
    FAILED = 0x20
    NOARP = 0x40
    PERMANENT = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface.

    enabled: set up by the operator
    running: has a carrier, and can send
    """

    ifindex: int
    interface: str
    mac: bytes
    enabled: bool
    running: bool

    @property
    def up(self) -> bool:
        """Whether frames go through it."""
        return self.enabled and self.running


@dataclass(frozen=True, slots=True)
class LinkGone:
    """An interface was removed, or left this network namespace."""

    ifindex: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourEntry:
    """One entry of the ARP or ND cache; state ``NONE`` if it was removed."""

    address: Address
    ifindex: int
    state: Nud
    mac: bytes | None


@dataclass(frozen=True, slots=True)
class RoutesChanged:
    """A route or an address of this machine came or went; which one is not decoded."""


@dataclass(frozen=True, slots=True)
class Resync:
    """Messages were lost, or none was read yet: read everything that matters anew."""


Message = Link | LinkGone | NeighbourEntry | RoutesChanged | Resync


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """Where the kernel would send a packet.

    gateway: the router it would go through; None if the destination is on the link
    local:   the destination is an address of this machine
    """

    ifindex: int
    gateway: Address | None = None
    local: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticAddress:
    """An IPv6 address that somebody configured, in distinction from one of the kernel's making."""

    address: IPv6Address
    prefix_length: int
    flags: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"address {self.address}/{self.prefix_length}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticRoute:
    """A route that somebody configured. ``message`` is the kernel's own form of it, to put it back."""

    network: Network
    table: int
    metric: int
    tos: int
    gateway: str
    message: Any = field(compare=False, repr=False)

    def __str__(self) -> str:
        via = f" via {self.gateway}" if self.gateway else ""
        table = f" table {self.table}" if self.table != RT_TABLE_MAIN else ""
        metric = f" metric {self.metric}" if self.metric else ""
        return f"route {self.network}{via}{table}{metric}"
