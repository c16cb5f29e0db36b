"""What the network stack of a media server holds, as frozen values.

Nothing here reads or changes the kernel: ``facts.py`` fills these in, ``plan.py`` compares them with what
a media server needs, and ``apply.py`` hands them to the kernel. An interface is named, never numbered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from rtspdsr.model import Address

Network = IPv4Network | IPv6Network

MAIN_TABLE = 254
LOOPBACK = "lo"


class RouteKind(StrEnum):
    """What the kernel does with a packet that a route matches."""

    UNICAST = "unicast"
    THROW = "throw"  #: leave this table, go on with the next rule
    BLACKHOLE = "blackhole"
    UNREACHABLE = "unreachable"
    PROHIBIT = "prohibit"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface."""

    name: str
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAddress:
    """An address that an interface holds.

    host_scope: IPv4: the kernel never picks it as the source of a packet that leaves the machine
    deprecated: IPv6: the same, as long as there is another address
    """

    interface: str
    address: Address
    prefix_length: int
    host_scope: bool = False
    deprecated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One way on: an interface and, unless the destination is on that link, a gateway."""

    interface: str
    gateway: Address | None = None
    onlink: bool = False
    weight: int = 1

    def __str__(self) -> str:
        """As iproute2 takes it."""
        family = "inet6 " if self.gateway and self.gateway.version == 6 else ""
        via = f"via {family}{self.gateway} " if self.gateway else ""
        return f"{via}dev {self.interface}" + (" onlink" if self.onlink else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An entry of a routing table.

    source: the address that a socket bound to none gets when it sends by this route
    metric: the kernel's own default is written out (IPv4 0, IPv6 1024), so that routes compare equal
    mtu:    path MTU set on the route by hand, in bytes
    """

    table: int
    destination: Network
    kind: RouteKind = RouteKind.UNICAST
    hops: tuple[Hop, ...] = ()
    source: Address | None = None
    metric: int = 0
    mtu: int | None = None

    def __str__(self) -> str:
        """As iproute2 takes it."""
        text = "" if self.kind is RouteKind.UNICAST else f"{self.kind} "
        text += "default" if self.destination.prefixlen == 0 else str(self.destination)
        text += f" table {self.table}"
        text += f" src {self.source}" if self.source else ""
        text += f" metric {self.metric}" if self.metric else ""
        text += f" mtu {self.mtu}" if self.mtu else ""
        if len(self.hops) == 1:
            return f"{text} {self.hops[0]}"
        return text + "".join(f" nexthop {hop} weight {hop.weight}" for hop in self.hops)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A policy routing rule: which packets look into which table.

    version:  4 or 6
    incoming: ``lo`` selects what this machine sends itself
    protocol: IP protocol number
    ports:    first and last destination port
    other:    names of selectors that are set but not modelled here; empty for a rule of ours
    """

    version: int
    priority: int
    table: int
    incoming: str | None = None
    protocol: int | None = None
    ports: tuple[int, int] | None = None
    other: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As iproute2 takes it."""
        text = f"priority {self.priority}"
        text += f" iif {self.incoming}" if self.incoming else ""
        text += f" ipproto {self.protocol}" if self.protocol else ""
        text += f" dport {self.ports[0]}-{self.ports[1]}" if self.ports else ""
        text += f" {' '.join(self.other)}" if self.other else ""
        return f"{text} table {self.table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is there now.

    sysctls:       path below /proc/sys -> value
    proxied:       IPv6 addresses that this machine answers neighbour solicitations for as a proxy,
                   with the interface
    network_files: interface -> the .network file that systemd-networkd uses for it
    """

    links: tuple[Link, ...]
    addresses: tuple[HeldAddress, ...] = ()
    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    proxied: frozenset[tuple[str, Address]] = frozenset()
    network_files: Mapping[str, str] = field(default_factory=dict)

    def link(self, name: str) -> Link | None:
        return next((link for link in self.links if link.name == name), None)

    def holders(self, address: Address) -> tuple[HeldAddress, ...]:
        return tuple(held for held in self.addresses if held.address == address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """The sources that the kernel chooses for UDP towards an address.

    to_client: to a port of a player
    own:       to port 53, as for the server's own questions
    """

    destination: Address
    to_client: Address | None
    own: Address | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What is where a file shall go: its text if there is one, and the directories that are missing."""

    text: str | None
    missing: tuple[Path, ...]
