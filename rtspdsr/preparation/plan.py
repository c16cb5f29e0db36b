"""What a media server behind the VIP needs, and which steps are still missing.

Handed a request and facts; gives back values. Pure: no kernel, no files, no clock.

The VIP is on lo, and no other machine learns of it: the server neither answers ARP for it nor uses it as
the sender of its own ARP requests. (IPv6 needs no such setting: the kernel answers a neighbour
solicitation only for addresses of the interface it came in by, and never joins the solicited-node group
of an address on lo.)

Media servers send RTP from a socket bound to no address, so the kernel chooses the source by the route.
A table of its own repeats the main table's routes towards the clients with the VIP as source. The rule
that leads there takes only UDP that this machine sends itself, to ports from 1024 up: TCP connections,
DNS, NTP and syslog keep the real address. Multicast keeps it too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from itertools import chain, islice
from socket import IPPROTO_UDP

from rtspdsr.model import Address
from rtspdsr.preparation.network import (
    LOOPBACK,
    MAIN_TABLE,
    Facts,
    HeldAddress,
    Network,
    Route,
    RouteKind,
    Rule,
)
from rtspdsr.preparation.steps import AddAddress, AddRoute, AddRule, DropRoute, SetSysctl, Step

DEFAULT_TABLE = 554  #: RTSP's port, easy to remember; any unused number will do
DEFAULT_PRIORITY = 554  #: after the local table (0), before the main one (32766)
CLIENT_PORTS = (
    1024,
    65534,
)  #: where players receive RTP, above DNS, NTP, syslog; no rule may name 65535

EVERYONE = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
NEVER_CLIENTS = {
    4: (ip_network("224.0.0.0/3"),),  # multicast and broadcast
    6: (ip_network("fe80::/10"),),  # link-local; multicast is in the local table already
}
SAMPLES = {  # addresses that nobody has (RFC 5737, RFC 3849), to ask a default route about
    4: tuple(ip_address(text) for text in ("192.0.2.1", "198.51.100.1", "203.0.113.1")),
    6: tuple(ip_address(text) for text in ("2001:db8::1", "2001:db8:ffff::1")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the operator asks for.

    vips:      one a family at most
    clients:   networks the players and the balancers are in; a family without one means everyone
    interface: where the balancer's frames arrive; None means wherever client routes leave
    """

    vips: tuple[Address, ...]
    clients: tuple[Network, ...] = ()
    interface: str | None = None
    table: int = DEFAULT_TABLE
    priority: int = DEFAULT_PRIORITY

    def networks(self, version: int) -> tuple[Network, ...]:
        named = tuple(network for network in self.clients if network.version == version)
        return named or (EVERYONE[version],)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A sysctl that must have one of the accepted values; ``value`` is written if it has none of them."""

    key: str
    value: str
    accepted: frozenset[str]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """All that must be so on a prepared server, in the order in which it is made so."""

    settings: tuple[Setting, ...]
    vips: tuple[Address, ...]
    routes: tuple[Route, ...]
    rules: tuple[Rule, ...]


def plan(request: Request, facts: Facts) -> Preparation:
    routes = tuple(chain.from_iterable(client_routes(request, vip, facts) for vip in request.vips))
    interfaces = (request.interface,) if request.interface else outward(routes)
    return Preparation(
        settings=(*_silence(request, interfaces), *_reverse_path(request, interfaces, routes, facts)),
        vips=request.vips,
        routes=routes,
        rules=tuple(
            Rule(
                version=vip.version,
                priority=request.priority,
                table=request.table,
                incoming=LOOPBACK,
                protocol=IPPROTO_UDP,
                ports=CLIENT_PORTS,
            )
            for vip in request.vips
        ),
    )


def missing(preparation: Preparation, facts: Facts) -> list[Step]:
    """The steps from what is there to what must be; none on a prepared server."""
    steps: list[Step] = [
        SetSysctl(key=setting.key, old=facts.sysctls[setting.key], new=setting.value, why=setting.why)
        for setting in preparation.settings
        if facts.sysctls[setting.key] not in setting.accepted
    ]
    steps += [
        AddAddress(vip=vip, why="packets for the VIP are taken in, and answered from it")
        for vip in preparation.vips
        if not any(held.interface == LOOPBACK for held in facts.holders(vip))
    ]
    tables = {rule.table for rule in preparation.rules}
    present = {route for route in facts.routes if route.table in tables}
    steps += [
        DropRoute(route=route, why="the main table has no such route")
        for route in facts.routes
        if route in present and route not in preparation.routes
    ]
    steps += [
        AddRoute(route=route, why=_why_route(route)) for route in preparation.routes if route not in present
    ]
    steps += [
        AddRule(rule=rule, why="UDP of this machine to clients looks there; all else does not")
        for rule in preparation.rules
        if rule not in facts.rules
    ]
    return steps


def obstacles(request: Request, facts: Facts, *, prepared: bool) -> list[str]:
    """Why this server cannot be prepared as it stands, each with what to do about it.

    prepared: there is a record of this very preparation, so the table is ours, whatever stands in it
    """
    return [
        *_unusable_vips(request.vips),
        *_unusable_links(request, facts),
        *(
            f"the VIP {vip} is on {held.interface} as /{held.prefix_length}; it may only be on {LOOPBACK} as "
            f"/{vip.max_prefixlen}, or this server takes it from the balancer: `{mend}`"
            for vip in request.vips
            for held, mend in misplaced(vip, facts)
        ),
        *unroutable(request, facts),
        *_taken(request, facts, prepared),
    ]


def client_routes(request: Request, vip: Address, facts: Facts) -> Iterator[Route]:
    """The main table's routes to clients of the VIP's family, with the VIP as source."""
    networks = request.networks(vip.version)
    found: dict[tuple[Network, int], Route] = {}
    for network in networks:
        for route in _towards(network, facts):
            if route.destination == ip_network(vip):
                continue
            kind = RouteKind.UNICAST if route.kind is RouteKind.UNICAST else RouteKind.THROW
            found[route.destination, route.metric] = replace(
                route,
                table=request.table,
                kind=kind,
                hops=route.hops if kind is RouteKind.UNICAST else (),
                source=vip if kind is RouteKind.UNICAST else None,
            )
    for never in NEVER_CLIENTS[vip.version]:
        if any(_inside(never, network) for network in networks):
            metric = 0 if vip.version == 4 else 1024
            found[never, metric] = Route(
                table=request.table, destination=never, kind=RouteKind.THROW, metric=metric
            )
    yield from found.values()


def outward(routes: Iterable[Route]) -> tuple[str, ...]:
    """The interfaces by which client routes leave."""
    return tuple(dict.fromkeys(hop.interface for route in routes for hop in route.hops))


def sample(route: Route, routes: Iterable[Route], facts: Facts) -> Address | None:
    """An address that takes this route and no narrower one, and is not the machine's own."""
    narrower = [
        other.destination
        for other in routes
        if other.destination != route.destination and _inside(other.destination, route.destination)
    ]
    own = {held.address for held in facts.addresses}
    network = route.destination
    if network.prefixlen == network.max_prefixlen:
        candidates: Iterable[Address] = (network.network_address,)
    elif network.prefixlen == 0:
        candidates = SAMPLES[network.version]
    else:
        candidates = islice(network.hosts(), 16)
    return next(
        (
            candidate
            for candidate in candidates
            if candidate not in own and not any(candidate in inner for inner in narrower)
        ),
        None,
    )


def _towards(network: Network, facts: Facts) -> Iterator[Route]:
    """Main-table routes inside the network, and the one that covers the rest of it, cut to the network."""
    usable = [
        route
        for route in facts.routes
        if route.table == MAIN_TABLE
        and route.destination.version == network.version
        and route.kind is not RouteKind.OTHER
        and not any(hop.interface == LOOPBACK for hop in route.hops)
        and not any(_inside(route.destination, never) for never in NEVER_CLIENTS[network.version])
    ]
    inside = [route for route in usable if _inside(route.destination, network)]
    yield from inside
    if any(route.destination == network for route in inside):
        return
    covering = [route for route in usable if _inside(network, route.destination)]
    longest = max((route.destination.prefixlen for route in covering), default=0)
    for route in covering:
        if route.destination.prefixlen == longest:
            yield replace(route, destination=network)


def _inside(inner: Network, outer: Network) -> bool:
    return (
        inner.version == outer.version
        and inner.prefixlen >= outer.prefixlen
        and inner.network_address in outer
    )


def _silence(request: Request, interfaces: tuple[str, ...]) -> Iterator[Setting]:
    """No ARP about the VIP; the kernel uses the greater of ``all`` and the interface's own value."""
    if all(vip.version == 6 for vip in request.vips):
        return
    for interface in ("all", *interfaces):
        yield Setting(
            key=f"net/ipv4/conf/{interface}/arp_ignore",
            value="1",
            accepted=frozenset({"1", "2", "8"}),
            why="ARP is answered only for addresses of the interface asked, so never for the VIP on lo",
        )
        yield Setting(
            key=f"net/ipv4/conf/{interface}/arp_announce",
            value="2",
            accepted=frozenset({"2"}),
            why="ARP requests name a real address as sender, so no neighbour learns the VIP from them",
        )


def _reverse_path(
    request: Request, interfaces: tuple[str, ...], routes: tuple[Route, ...], facts: Facts
) -> Iterator[Setting]:
    """Strict filtering drops a client's packet unless the route back leaves where the packet came in."""
    if request.interface is None and len(interfaces) < 2:
        return
    ways = {hop.interface for route in routes if route.destination.version == 4 for hop in route.hops}
    everywhere = facts.sysctls.get("net/ipv4/conf/all/rp_filter", "0")
    accepted = {"0": {"0", "2"}, "1": {"2"}, "2": {"0", "1", "2"}}.get(everywhere, {"2"})
    for interface in interfaces:
        if ways - {interface}:
            yield Setting(
                key=f"net/ipv4/conf/{interface}/rp_filter",
                value="2",
                accepted=frozenset(accepted),
                why=f"clients' packets come in by {interface}, but some routes to clients leave elsewhere",
            )


def _why_route(route: Route) -> str:
    if route.kind is RouteKind.UNICAST:
        return f"RTP to {route.destination} leaves with the VIP as source"
    return f"{route.destination} is left to the main table"


def _unusable_vips(vips: tuple[Address, ...]) -> Iterator[str]:
    for version in (4, 6):
        same = [str(vip) for vip in vips if vip.version == version]
        if len(same) > 1:
            yield (
                f"{' and '.join(same)} are both IPv{version}: the kernel can choose only one source towards "
                "a client; serve the second VIP from another machine or network namespace"
            )
    for vip in vips:
        if vip.is_unspecified or vip.is_multicast or vip.is_loopback or vip.is_link_local:
            yield f"{vip} cannot be a VIP: name the address that clients connect to"


def _unusable_links(request: Request, facts: Facts) -> Iterator[str]:
    loopback = facts.link(LOOPBACK)
    if loopback is None or not loopback.up:
        yield f"{LOOPBACK} is down, so the VIP on it would be deaf: `ip link set {LOOPBACK} up`, then again"
    if request.interface is not None and facts.link(request.interface) is None:
        there = ", ".join(link.name for link in facts.links)
        yield f"there is no interface {request.interface!r}; there are {there}"
    if any(vip.version == 6 for vip in request.vips) and (
        facts.sysctls.get(f"net/ipv6/conf/{LOOPBACK}/disable_ipv6", "1") == "1"
    ):
        yield f"IPv6 is disabled on {LOOPBACK}: `sysctl -w net.ipv6.conf.{LOOPBACK}.disable_ipv6=0`"


def misplaced(vip: Address, facts: Facts) -> Iterator[tuple[HeldAddress, str]]:
    """Where the VIP is but must not be, and the command that takes it away."""
    for held in facts.holders(vip):
        if held.interface != LOOPBACK or held.prefix_length != vip.max_prefixlen:
            yield held, f"ip address del {vip}/{held.prefix_length} dev {held.interface}"


def unroutable(request: Request, facts: Facts) -> Iterator[str]:
    """Clients that the main table does not reach, or that have no VIP of their family."""
    versions = {vip.version for vip in request.vips}
    for client in request.clients:
        if client.version not in versions:
            yield f"clients {client} need an IPv{client.version} VIP, and none is named"
    for version in sorted(versions):
        for network in request.networks(version):
            if not any(route.kind is RouteKind.UNICAST for route in _towards(network, facts)):
                yield (
                    f"the main table has no route to clients in {network}; add one, or name the clients' "
                    "networks with --clients"
                )


def _taken(request: Request, facts: Facts, prepared: bool) -> Iterator[str]:
    wanted = plan(request, facts)
    for route in facts.routes:
        if not prepared and route.table == request.table and route not in wanted.routes:
            yield (
                f"routing table {request.table} holds a route that is not ours ({route}); "
                "choose another with --table"
            )
    for rule in facts.rules:
        if rule.priority == request.priority and rule not in wanted.rules:
            yield f"a rule with that priority is there already ({rule}); choose another with --priority"
