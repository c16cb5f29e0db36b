"""Reads what the network stack holds: netlink through pyroute2, sysctls from /proc/sys.

Handed nothing; gives back ``Facts``. Never changes anything. Everything is that of the calling process's
network namespace: /proc/sys/net follows the reader, whoever mounted /proc.
"""

import errno
import socket
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTM_GETNEIGH
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from rtspdsr.errors import PreparationError
from rtspdsr.model import Address
from rtspdsr.preparation.network import (
    Facts,
    HeldAddress,
    Hop,
    Link,
    Lookup,
    Network,
    Present,
    Route,
    RouteKind,
    Rule,
)

PROC_SYS = Path("/proc/sys")
NETWORKD_LINKS = Path("/run/systemd/netif/links")

CLIENT_PORT = 5004  #: RTP's own; any port that players use will do
OWN_PORT = 53

IFF_UP = 0x1
IFA_F_DEPRECATED = 0x20
RTM_F_CLONED = 0x200
RTNH_F_ONLINK = 0x4
NTF_PROXY = 0x8
PROXY_SEQUENCE = 1  #: below those that pyroute2 counts up from (256)
SCOPE_HOST = 254
KINDS = {
    1: RouteKind.UNICAST,
    6: RouteKind.BLACKHOLE,
    7: RouteKind.UNREACHABLE,
    8: RouteKind.PROHIBIT,
    9: RouteKind.THROW,
}
PLAIN_RULE = {  # what a rule of ours may carry; anything else is a selector that we do not model
    "FRA_TABLE",
    "FRA_PRIORITY",
    "FRA_PROTOCOL",
    "FRA_SUPPRESS_PREFIXLEN",
    "FRA_IIFNAME",
    "FRA_IP_PROTO",
    "FRA_DPORT_RANGE",
}


def read_facts() -> Facts:
    try:
        with IPRoute() as netlink:
            names = {int(link["index"]): str(link.get_attr("IFLA_IFNAME")) for link in netlink.get_links()}
            links = tuple(
                Link(name=names[link["index"]], up=bool(link["flags"] & IFF_UP))
                for link in netlink.get_links()
                if link["index"] in names
            )
            addresses = tuple(_address(held, names) for held in netlink.get_addr())
            routes = tuple(
                _route(message, names)
                for family in (socket.AF_INET, socket.AF_INET6)
                for message in netlink.get_routes(family=family)
                if not message["flags"] & RTM_F_CLONED
            )
            rules = tuple(
                _rule(message)
                for family in (socket.AF_INET, socket.AF_INET6)
                for message in netlink.get_rules(family=family)
            )
            proxied = _proxied(netlink, names)
    except NetlinkError as error:
        raise PreparationError(f"the kernel's network state is not readable: {error}; run as root") from error
    return Facts(
        links=links,
        addresses=addresses,
        routes=routes,
        rules=rules,
        sysctls=_sysctls([link.name for link in links]),
        proxied=proxied,
        network_files=_network_files(names),
    )


def source_towards(destination: Address, port: int) -> Address | None:
    """The source that an unbound UDP socket gets towards that address and port; None if there is no route.

    Connecting a datagram socket makes the kernel choose, by the very rules and routes that sending would
    use, and sends nothing.
    """
    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(destination), port))
        except OSError as error:
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EACCES):
                return None
            raise
        return ip_address(probe.getsockname()[0])


def look_up(destination: Address) -> Lookup:
    return Lookup(
        destination=destination,
        to_client=source_towards(destination, CLIENT_PORT),
        own=source_towards(destination, OWN_PORT),
    )


def read_file(path: Path) -> Present:
    """What is where that file shall go."""
    absent = [directory for directory in path.parents if not directory.exists()]
    try:
        text = path.read_text()
    except FileNotFoundError:
        return Present(text=None, missing=tuple(reversed(absent)))
    except OSError as error:
        raise PreparationError(f"{path} cannot be read: {error.strerror}; run as root") from error
    return Present(text=text, missing=())


def read_sysctl(key: str) -> str:
    return (PROC_SYS / key).read_text().strip()


def _sysctls(interfaces: list[str]) -> dict[str, str]:
    keys = [
        f"net/ipv4/conf/{interface}/{name}"
        for interface in ("all", *interfaces)
        for name in ("arp_ignore", "arp_announce", "rp_filter")
    ]
    keys += [f"net/ipv6/conf/{interface}/disable_ipv6" for interface in ("all", *interfaces)]
    return {key: read_sysctl(key) for key in keys if (PROC_SYS / key).exists()}


def _address(message: Any, names: dict[int, str]) -> HeldAddress:
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    return HeldAddress(
        interface=names.get(message["index"], str(message["index"])),
        address=ip_address(message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")),
        prefix_length=message["prefixlen"],
        host_scope=message["scope"] == SCOPE_HOST,
        deprecated=bool(flags & IFA_F_DEPRECATED),
    )


def _route(message: Any, names: dict[int, str]) -> Route:
    version = 4 if message["family"] == socket.AF_INET else 6
    source = message.get_attr("RTA_PREFSRC")
    metrics = message.get_attr("RTA_METRICS")
    return Route(
        table=message.get_attr("RTA_TABLE") or message["table"],
        destination=_destination(message, version),
        kind=KINDS.get(message["type"], RouteKind.OTHER),
        hops=_hops(message, names) if message["type"] == 1 else (),
        source=ip_address(source) if source else None,
        metric=message.get_attr("RTA_PRIORITY") or 0,
        mtu=metrics.get_attr("RTAX_MTU") if metrics else None,
    )


def _destination(message: Any, version: int) -> Network:
    zero = "0.0.0.0" if version == 4 else "::"
    return ip_network(f"{message.get_attr('RTA_DST') or zero}/{message['dst_len']}")


def _hops(message: Any, names: dict[int, str]) -> tuple[Hop, ...]:
    several = message.get_attr("RTA_MULTIPATH")
    if several:
        return tuple(_hop(hop, hop["oif"], hop["flags"], hop["hops"] + 1, names) for hop in several)
    index = message.get_attr("RTA_OIF")
    return (_hop(message, index, message["flags"], 1, names),) if index else ()


def _hop(message: Any, index: int, flags: int, weight: int, names: dict[int, str]) -> Hop:
    gateway = message.get_attr("RTA_GATEWAY")
    via = message.get_attr("RTA_VIA")  # an IPv6 gateway of an IPv4 route
    if via:
        gateway = via["addr"]
    return Hop(
        interface=names.get(index, str(index)),
        gateway=ip_address(gateway) if gateway else None,
        onlink=bool(flags & RTNH_F_ONLINK),
        weight=weight,
    )


def _rule(message: Any) -> Rule:
    ports = message.get_attr("FRA_DPORT_RANGE")
    first, last = (int(port) for port in str(ports).split(":")) if ports else (0, 0)
    return Rule(
        version=4 if message["family"] == socket.AF_INET else 6,
        priority=message.get_attr("FRA_PRIORITY") or 0,
        table=message.get_attr("FRA_TABLE") or message["table"],
        incoming=message.get_attr("FRA_IIFNAME"),
        protocol=message.get_attr("FRA_IP_PROTO"),
        ports=(first, last) if ports else None,
        other=tuple(
            name.removeprefix("FRA_").lower() for name, _ in message["attrs"] if name not in PLAIN_RULE
        ),
    )


def _proxied(netlink: IPRoute, names: dict[int, str]) -> frozenset[tuple[str, Address]]:
    """Addresses with a proxy entry, on interfaces that are set to answer for such."""
    question = ndmsg()
    question["family"], question["flags"] = socket.AF_INET6, NTF_PROXY
    # pyroute2's own dump leaves the flag out, and the kernel then lists ordinary neighbours.
    netlink.put(question, RTM_GETNEIGH, NLM_F_DUMP | NLM_F_REQUEST, msg_seq=PROXY_SEQUENCE)
    return frozenset(
        (names[message["ifindex"]], ip_address(message.get_attr("NDA_DST")))
        for message in netlink.get(msg_seq=PROXY_SEQUENCE)
        if message["flags"] & NTF_PROXY and _answers_as_proxy(names.get(message["ifindex"], ""))
    )


def _answers_as_proxy(interface: str) -> bool:
    conf = "net/ipv6/conf"
    return (
        (PROC_SYS / conf / interface).is_dir()
        and read_sysctl(f"{conf}/{interface}/forwarding") == "1"
        and "1" in (read_sysctl(f"{conf}/{name}/proxy_ndp") for name in ("all", interface))
    )


def _network_files(names: dict[int, str]) -> dict[str, str]:
    """What systemd-networkd says of each interface it manages, in /run/systemd/netif/links/INDEX."""
    files: dict[str, str] = {}
    for index, name in names.items():
        state = NETWORKD_LINKS / str(index)
        for line in state.read_text().splitlines() if state.exists() else ():
            key, _, value = line.partition("=")
            if key == "NETWORK_FILE" and value:
                files[name] = value
    return files
