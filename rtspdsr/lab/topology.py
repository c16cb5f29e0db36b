"""What a lab consists of: nodes, addresses and the links between them.

Pure: handed a name and the number of players, it gives back frozen values, and makes nothing.
``network.py`` makes what is described here. All labs have the same addresses, because each has a switch
of its own; only the names of the namespaces differ.

    player ... player6   router-keep - player-keep   router-random - player-random
          |                   |                            |
    ======+======= switch (one bridge, 10.77.0.0/16, fd77::/64) =======+======
          |                          |          |          |
      balancer (VIP)               gst-a      gst-b       vlc
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from rtspdsr.errors import LabError
from rtspdsr.model import Address

SEGMENT4 = IPv4Network("10.77.0.0/16")
SEGMENT6 = IPv6Network("fd77::/64")
#: where players and NAT routers are; ``rtspdsr backend prepare --clients`` is told of them
CLIENTS4 = IPv4Network("10.77.1.0/24")
CLIENTS6 = IPv6Network("fd77::1:0/112")
VIP4 = IPv4Address("10.77.0.100")
VIP6 = IPv6Address("fd77::100")
RTSP_PORT = 554

UPLINK = "eth0"  #: a node's interface towards the switch
INSIDE = "lan0"  #: a router's interface towards its player
SWITCH = "switch"  #: the namespace of the bridge, whose ports are named after the nodes
BRIDGE = "br0"

PLAYERS_MAX = 200  # a lab's players and routers share CLIENTS4


class Role(StrEnum):
    """What a node does."""

    PLAYER = "player"
    ROUTER = "router"
    BALANCER = "balancer"
    BACKEND = "backend"


class ServerKind(StrEnum):
    """The recipes in ``backends/`` that the lab runs."""

    GST = "gst-rtsp-server"
    VLC = "vlc"


class Nat(StrEnum):
    """How a router maps the ports of its player; both filter by remote address and port."""

    KEEP = "keep"  #: the same port outside as inside, where that is free
    RANDOM = "random"  #: another port for each remote address and port


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One namespace.

    v4, v6: on its uplink; a player behind a router has a private v4 alone
    mac:    of its uplink; None behind a router, where nobody counts packets
    server: what a backend runs
    weight: a backend's share of new clients
    nat:    how a router translates
    router: the router a player is behind
    """

    name: str
    role: Role
    v4: IPv4Interface
    v6: IPv6Interface | None = None
    mac: str | None = None
    server: ServerKind | None = None
    weight: int = 100
    nat: Nat | None = None
    router: str | None = None

    def address(self, version: int) -> Address:
        """Its own address of that family; LabError if it has none."""
        if version == 4:
            return self.v4.ip
        if self.v6 is None:
            raise LabError(f"node {self.name} has no IPv6 address; use a player that is not behind a NAT")
        return self.v6.ip


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """All nodes of one lab, in the order in which they are made."""

    name: str
    nodes: tuple[Node, ...]

    def namespace(self, node: str) -> str:
        """The namespace of a node, or of the switch."""
        return namespace_of(self.name, node)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Every namespace of the lab."""
        return tuple(self.namespace(name) for name in (SWITCH, *(node.name for node in self.nodes)))

    def node(self, name: str) -> Node:
        """The node of that name; LabError names those that there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise LabError(f"the lab has no node {name!r}; it has {known}")

    def role(self, role: Role) -> tuple[Node, ...]:
        """The nodes of one role."""
        return tuple(node for node in self.nodes if node.role is role)

    @property
    def backends(self) -> tuple[Node, ...]:
        """The media servers."""
        return self.role(Role.BACKEND)

    @property
    def balancer(self) -> Node:
        """The balancer."""
        return self.role(Role.BALANCER)[0]

    @property
    def wired(self) -> tuple[Node, ...]:
        """The nodes with a port of the switch."""
        return tuple(node for node in self.nodes if node.router is None)

    def wire(self, player: str) -> Node:
        """The node at whose port of the switch a player's packets are seen: itself, or its router."""
        node = self.node(player)
        return self.node(node.router) if node.router else node


def namespace_of(lab: str, node: str) -> str:
    """The namespace of a node; a lab's name holds no hyphen, so no lab's names begin another's."""
    return f"rd-{lab}-{node}"


def url(path: str, host: Address = VIP4) -> str:
    """An RTSP URL, at the VIP unless another host is given."""
    text = f"[{host}]" if host.version == 6 else str(host)
    return f"rtsp://{text}/{path}"


def topology(name: str = "lab", players: int = 6) -> Topology:
    """Describe a lab: so many players, one more behind each kind of NAT, a balancer, three backends."""
    if not re.fullmatch(r"[a-z0-9]{1,12}", name):
        raise LabError(f"lab name {name!r} is not usable; take 1 to 12 small letters or digits")
    if not 1 <= players <= PLAYERS_MAX:
        raise LabError(f"a lab has 1 to {PLAYERS_MAX} players, not {players}")
    return Topology(
        name=name,
        nodes=(
            *(_player(number) for number in range(1, players + 1)),
            *_behind_nat(Nat.KEEP, 1),
            *_behind_nat(Nat.RANDOM, 2),
            _wired("balancer", Role.BALANCER, 2),
            _wired("gst-a", Role.BACKEND, 11, server=ServerKind.GST),
            _wired("gst-b", Role.BACKEND, 12, server=ServerKind.GST),
            _wired("vlc", Role.BACKEND, 13, server=ServerKind.VLC, weight=50),
        ),
    )


def _wired(
    name: str,
    role: Role,
    host: int,
    *,
    clients: bool = False,
    server: ServerKind | None = None,
    weight: int = 100,
    nat: Nat | None = None,
) -> Node:
    """Make a node at the switch; its number shows in all of its addresses."""
    net4, net6 = (CLIENTS4, CLIENTS6) if clients else (SEGMENT4, SEGMENT6)
    return Node(
        name=name,
        role=role,
        v4=IPv4Interface((net4[host], SEGMENT4.prefixlen)),
        v6=IPv6Interface((net6[int(str(host), 16)], SEGMENT6.prefixlen)),
        mac=f"02:77:00:00:{int(clients):02x}:{host:02x}",
        server=server,
        weight=weight,
        nat=nat,
    )


def _player(number: int) -> Node:
    return _wired("player" if number == 1 else f"player{number}", Role.PLAYER, number, clients=True)


def _behind_nat(nat: Nat, number: int) -> tuple[Node, Node]:
    """A router at the switch and the player behind it, IPv4 alone."""
    router = _wired(f"router-{nat}", Role.ROUTER, PLAYERS_MAX + number, clients=True, nat=nat)
    inside = IPv4Interface(f"192.168.{number}.2/24")
    return router, Node(name=f"player-{nat}", role=Role.PLAYER, v4=inside, router=router.name)
