"""Judges a media server by its facts: what is right, what is wrong, why it matters, how to mend it.

Handed a request, facts and what was looked up or observed; gives back findings. Pure: nothing is read or
changed here. Each command named as a remedy can be run as it stands.
"""

from collections.abc import Iterable, Iterator, Sequence

from rtspdsr.finding import Finding, Verdict, judged
from rtspdsr.model import Address
from rtspdsr.preparation.network import LOOPBACK, Facts, Lookup, Route, RouteKind
from rtspdsr.preparation.persist import held_as
from rtspdsr.preparation.plan import (
    CLIENT_PORTS,
    Preparation,
    Request,
    Setting,
    misplaced,
    outward,
    plan,
    sample,
    unroutable,
)
from rtspdsr.preparation.wire import Emission, Observation


def samples(request: Request, facts: Facts) -> list[Address]:
    """The addresses to look up: one for each client route."""
    routes = plan(request, facts).routes
    found = (sample(route, routes, facts) for route in routes if route.kind is RouteKind.UNICAST)
    return list(dict.fromkeys(address for address in found if address is not None))


def judge(request: Request, facts: Facts, lookups: Sequence[Lookup]) -> list[Finding]:
    """Everything that can be told without listening."""
    preparation = plan(request, facts)
    findings = [_loopback(facts)]
    for vip in request.vips:
        findings += [*_held(vip, facts), *_proxied(vip, facts)]
    findings += [_setting(setting, facts) for setting in preparation.settings]
    findings += _reverse_path(request, preparation, facts)
    findings += _unreachable(request, facts)
    findings += _routes(preparation, facts)
    findings += _rules(preparation, facts)
    findings += (_looked_up(lookup, request) for lookup in lookups)
    return findings


def judge_rtp(request: Request, observation: Observation) -> Finding:
    """Whether media that was seen leaving had the VIP as source."""
    about = f"source of RTP, watched for {observation.seconds:g} s"
    why = "players behind a NAT or a firewall drop RTP that does not come from the VIP"
    if not observation.clients:
        return Finding(
            about=about,
            verdict=Verdict.UNKNOWN,
            measured="no client had a connection to the VIP",
            why=why,
            mend="play something through the VIP over UDP meanwhile",
        )
    media = {
        emission: packets
        for emission, packets in observation.packets.items()
        if emission.destination in observation.clients
        and CLIENT_PORTS[0] <= emission.destination_port <= CLIENT_PORTS[1]
    }
    wrong = {emission: packets for emission, packets in media.items() if emission.source not in request.vips}
    if wrong:
        return Finding(
            about=about,
            verdict=Verdict.WRONG,
            measured=", ".join(_told(emission, packets) for emission, packets in wrong.items()),
            why=why,
            mend="mend what is wrong above (`rtspdsr backend prepare`); if nothing is, the media server "
            "binds its RTP to that address: configure it to bind the VIP or no address, and restart it",
        )
    if not media:
        return Finding(
            about=about,
            verdict=Verdict.UNKNOWN,
            measured=f"no UDP to {', '.join(map(str, sorted(observation.clients, key=str)))}",
            why=why,
            mend="play over UDP meanwhile; interleaved RTP travels in the TCP connection, always right",
        )
    seen = f"{sum(media.values())} packets to {len({one.destination for one in media})} clients"
    return Finding(about=about, verdict=Verdict.OK, measured=f"{seen}, all from the VIP", why=why)


def _told(emission: Emission, packets: int) -> str:
    source = f"{emission.source} port {emission.source_port}"
    return f"{packets} packets from {source} to {emission.destination} port {emission.destination_port}"


def _finding(about: str, right: bool, measured: str, why: str, mend: str) -> Finding:
    return judged(about, Verdict.OK if right else Verdict.WRONG, measured, why, mend)


def _loopback(facts: Facts) -> Finding:
    link = facts.link(LOOPBACK)
    up = link is not None and link.up
    return _finding(LOOPBACK, up, "up" if up else "down", "the VIP lives there", f"ip link set {LOOPBACK} up")


def _held(vip: Address, facts: Facts) -> Iterator[Finding]:
    on_lo = [
        held
        for held in facts.holders(vip)
        if held.interface == LOOPBACK and held.prefix_length == vip.max_prefixlen
    ]
    yield _finding(
        f"VIP {vip} on {LOOPBACK}",
        bool(on_lo),
        "there" if on_lo else "missing",
        "without it the server drops what the balancer sends",
        f"ip address add {held_as(vip)}",
    )
    for held, mend in misplaced(vip, facts):
        yield Finding(
            about=f"VIP {vip} only on {LOOPBACK}, as /{vip.max_prefixlen}",
            verdict=Verdict.WRONG,
            measured=f"{vip}/{held.prefix_length} on {held.interface}",
            why="a real interface answers ARP and ND for it; a shorter prefix makes a whole network local",
            mend=mend,
        )
    for held in on_lo:
        quiet = held.host_scope if vip.version == 4 else held.deprecated
        if vip.version == 4:
            old = f"{vip}/{held.prefix_length} dev {LOOPBACK}"
            mend = f"ip address del {old} && ip address add {held_as(vip)}"
        else:
            mend = f"ip address change {held_as(vip)}"
        yield _finding(
            f"VIP {vip} not chosen as source by itself",
            quiet,
            ("scope host" if vip.version == 4 else "deprecated") if quiet else "an ordinary address",
            "answers to the server's own questions would go to the balancer",
            mend,
        )


def _proxied(vip: Address, facts: Facts) -> Iterator[Finding]:
    for interface, address in facts.proxied:
        if address == vip:
            yield Finding(
                about=f"neighbour solicitations for {vip}",
                verdict=Verdict.WRONG,
                measured=f"proxied on {interface}",
                why="the server takes the VIP from the balancer",
                mend=f"ip -6 neighbour del proxy {vip} dev {interface}",
            )


def _setting(setting: Setting, facts: Facts) -> Finding:
    current = facts.sysctls.get(setting.key, "missing")
    return _finding(
        f"sysctl {setting.key}",
        current in setting.accepted,
        current,
        setting.why,
        f"sysctl -w {setting.key}={setting.value}",
    )


def _reverse_path(request: Request, preparation: Preparation, facts: Facts) -> Iterator[Finding]:
    """Where the plan asks nothing of rp_filter, say why its value does no harm."""
    asked = {setting.key for setting in preparation.settings}
    for interface in (request.interface,) if request.interface else outward(preparation.routes):
        key = f"net/ipv4/conf/{interface}/rp_filter"
        if key not in asked and key in facts.sysctls and any(vip.version == 4 for vip in request.vips):
            value = max(facts.sysctls["net/ipv4/conf/all/rp_filter"], facts.sysctls[key])
            yield Finding(
                about=f"sysctl {key}",
                verdict=Verdict.OK,
                measured=f"{value} in effect",
                why=f"every client route leaves by {interface}, so no value drops a client's packet",
            )


def _unreachable(request: Request, facts: Facts) -> Iterator[Finding]:
    for problem in unroutable(request, facts):
        yield Finding(
            about="routes to clients",
            verdict=Verdict.WRONG,
            measured=problem,
            why="the server could not answer them",
            mend="ip route add default via GATEWAY",
        )


def _routes(preparation: Preparation, facts: Facts) -> Iterator[Finding]:
    tables = {rule.table for rule in preparation.rules}
    present = [route for route in facts.routes if route.table in tables]
    for wanted in preparation.routes:
        rival = _rival(wanted, present)
        measured = "there" if wanted in present else f"instead: {rival}" if rival else "missing"
        yield _finding(
            f"client route {wanted}",
            wanted in present,
            measured,
            "RTP to these clients takes its source, and its way, from this route",
            f"ip -{wanted.destination.version} route replace {wanted}",
        )
    replaced = [_rival(wanted, present) for wanted in preparation.routes]
    versions = {vip.version for vip in preparation.vips}
    for route in present:
        stale = route not in preparation.routes and route not in replaced
        if stale and route.destination.version in versions:
            yield Finding(
                about=f"client route {route}",
                verdict=Verdict.WRONG,
                measured="there",
                why="the main table has no such route, or these are not clients",
                mend=f"ip -{route.destination.version} route del {route}",
            )


def _rival(wanted: Route, present: Iterable[Route]) -> Route | None:
    """The route that stands where the wanted one should."""
    place = (wanted.destination, wanted.metric)
    return next((route for route in present if (route.destination, route.metric) == place), None)


def _rules(preparation: Preparation, facts: Facts) -> Iterator[Finding]:
    for rule in preparation.rules:
        yield _finding(
            f"IPv{rule.version} rule {rule}",
            rule in facts.rules,
            "there" if rule in facts.rules else "missing",
            "without it nothing looks at the client routes",
            f"ip -{rule.version} rule add {rule}",
        )


def _looked_up(lookup: Lookup, request: Request) -> Finding:
    vip = next(vip for vip in request.vips if vip.version == lookup.destination.version)
    right = lookup.to_client == vip and lookup.own != vip
    measured = f"RTP from {lookup.to_client or 'nowhere'}, own questions from {lookup.own or 'nowhere'}"
    return _finding(
        f"source towards {lookup.destination}",
        right,
        measured,
        f"RTP must come from {vip}, the server's own DNS and the like must not",
        f"ip -{vip.version} rule  # if all above is ok, a rule with a lower number comes first",
    )
