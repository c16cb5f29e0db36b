"""Renders what survives a reboot: files of systemd-networkd or ifupdown, and of sysctl.d.

Handed a preparation and facts; gives back texts by path. Pure: the files are written as steps, by
``apply.py``, and removed by undo. The gateways written down are those of today. (systemd-networkd 252,
started on these files in an empty namespace, brought all of it back: `backend check` found nothing wrong.)
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import groupby
from pathlib import Path

from rtspdsr.errors import PreparationError
from rtspdsr.model import Address
from rtspdsr.preparation.network import LOOPBACK, Facts, Present, Route, RouteKind, Rule
from rtspdsr.preparation.plan import Preparation, outward
from rtspdsr.preparation.steps import WriteFile

HEADER = "# Written by `rtspdsr backend prepare --persist`; `rtspdsr backend undo` removes it.\n"
SYSCTL_FILE = "sysctl.d/60-rtspdsr.conf"
INTERFACES_FILE = "network/interfaces.d/rtspdsr"
LOOPBACK_FILE = "systemd/network/10-rtspdsr-lo.network"


class Manager(StrEnum):
    """What sets the network up at boot."""

    NETWORKD = "systemd-networkd"
    IFUPDOWN = "ifupdown"


def render(manager: Manager, preparation: Preparation, facts: Facts, etc: Path) -> dict[Path, str]:
    files = {etc / SYSCTL_FILE: _sysctls(preparation, facts)}
    if manager is Manager.IFUPDOWN:
        files[etc / INTERFACES_FILE] = _interfaces(preparation)
        return files
    lo_file = Path(facts.network_files.get(LOOPBACK, LOOPBACK_FILE)).name
    if lo_file == Path(LOOPBACK_FILE).name:
        files[etc / LOOPBACK_FILE] = f"{HEADER}[Match]\nName={LOOPBACK}\n\n{_addresses(preparation)}"
    else:
        files[_drop_in(etc, lo_file)] = HEADER + _addresses(preparation)
    for number, interface in enumerate(outward(preparation.routes)):
        if interface not in facts.network_files:
            raise PreparationError(
                f"systemd-networkd has no .network file in force for {interface} (see `networkctl status "
                f"{interface}`); give it one, or use --persist ifupdown"
            )
        routes = [route for route in preparation.routes if _by(route, interface, first=number == 0)]
        rules = preparation.rules if number == 0 else ()
        files[_drop_in(etc, Path(facts.network_files[interface]).name)] = HEADER + "\n".join(
            [*map(_route_section, routes), *map(_rule_section, rules)]
        )
    return files


def missing_files(files: Mapping[Path, str], present: Mapping[Path, Present]) -> list[WriteFile]:
    """The steps that are left until all files are there; none if they are."""
    return [
        WriteFile(
            path=path,
            text=text,
            before=present[path].text,
            made=present[path].missing,
            why="the next boot makes it so again",
        )
        for path, text in files.items()
        if present[path].text != text
    ]


def _sysctls(preparation: Preparation, facts: Facts) -> str:
    """Grouped under their reasons; a value that will do as it is stays."""
    text = HEADER
    for why, settings in groupby(
        sorted(preparation.settings, key=lambda setting: setting.why), lambda setting: setting.why
    ):
        text += f"\n# {why}\n"
        for setting in settings:
            current = facts.sysctls[setting.key]
            text += f"{setting.key} = {current if current in setting.accepted else setting.value}\n"
    return text


def _by(route: Route, interface: str, *, first: bool) -> bool:
    """Whether a route is written down with that interface; one that leads nowhere goes with the first."""
    return route.hops[0].interface == interface if route.hops else first


def _drop_in(etc: Path, network_file: str) -> Path:
    return etc / "systemd/network" / f"{network_file}.d" / "rtspdsr.conf"


def _addresses(preparation: Preparation) -> str:
    return "\n".join(_address_section(vip) for vip in preparation.vips)


def _address_section(vip: Address) -> str:
    lines = ["[Address]", f"Address={vip}/{vip.max_prefixlen}"]
    if vip.version == 4:
        lines.append("Scope=host")
    else:
        lines += ["PreferredLifetime=0", "DuplicateAddressDetection=none"]
    return "\n".join(lines) + "\n"


def _route_section(route: Route) -> str:
    lines = ["[Route]", f"Destination={route.destination}", f"Table={route.table}"]
    if route.kind is not RouteKind.UNICAST:
        lines.append(f"Type={route.kind}")
    if route.source:
        lines.append(f"PreferredSource={route.source}")
    if route.metric:
        lines.append(f"Metric={route.metric}")
    if route.mtu:
        lines.append(f"MTUBytes={route.mtu}")
    if len(route.hops) > 1:
        lines += [f"MultiPathRoute={hop.gateway}@{hop.interface} {hop.weight}" for hop in route.hops]
    elif route.hops and route.hops[0].gateway:
        lines.append(f"Gateway={route.hops[0].gateway}")
        lines += ["GatewayOnLink=yes"] if route.hops[0].onlink else []
    return "\n".join(lines) + "\n"


def _rule_section(rule: Rule) -> str:
    lines = ["[RoutingPolicyRule]", f"Family=ipv{rule.version}", f"Priority={rule.priority}"]
    lines.append(f"Table={rule.table}")
    if rule.incoming:
        lines.append(f"IncomingInterface={rule.incoming}")
    if rule.protocol:
        lines.append(f"IPProtocol={rule.protocol}")
    if rule.ports:
        lines.append(f"DestinationPort={rule.ports[0]}-{rule.ports[1]}")
    return "\n".join(lines) + "\n"


def _interfaces(preparation: Preparation) -> str:
    text = f"{HEADER}\niface {LOOPBACK} inet manual\n"
    text += "".join(f"    up ip address replace {held_as(vip)}\n" for vip in preparation.vips)
    text += "".join(
        f"    {when} ip -{rule.version} rule {verb} {rule}\n"
        for rule in preparation.rules
        for when, verb in (("up", "add"), ("down", "del"))
    )
    text += "".join(_up(route) for route in preparation.routes if not route.hops)
    text += "".join(
        f"    down ip address del {vip}/{vip.max_prefixlen} dev {LOOPBACK}\n" for vip in preparation.vips
    )
    for interface in outward(preparation.routes):
        routes = "".join(_stanza(interface, preparation.routes))
        text += f"\niface {interface} inet manual\n{routes}" if routes else ""
    return text


def _stanza(interface: str, routes: tuple[Route, ...]) -> Iterator[str]:
    for route in routes:
        if _by(route, interface, first=False):
            yield _up(route)


def _up(route: Route) -> str:
    return f"    up ip -{route.destination.version} route replace {route}\n"


def held_as(vip: Address) -> str:
    """The VIP on lo, as iproute2's ``ip address`` takes it."""
    quiet = "scope host" if vip.version == 4 else "preferred_lft 0 nodad"
    return f"{vip}/{vip.max_prefixlen} dev {LOOPBACK} {quiet}"
