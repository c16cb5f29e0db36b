"""Makes the namespaces, links and addresses of a topology, and removes them.

Handed a ``Topology``. What is done inside each namespace is a list of shell lines that pure functions
render, run by one shell per namespace, so that the lab can be read and repeated by hand.
"""

import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rtspdsr.errors import LabError
from rtspdsr.lab.topology import (
    BRIDGE,
    INSIDE,
    SEGMENT4,
    SWITCH,
    UPLINK,
    Nat,
    Node,
    Role,
    Topology,
    namespace_of,
)

NETNS = Path("/run/netns")


def inside(namespace: str) -> list[str]:
    """The beginning of a command that is to run in a namespace, with mounts and /sys as they are here."""
    return ["nsenter", f"--net={NETNS / namespace}"]


def make(topology: Topology) -> None:
    """Make every namespace of the lab, wired and addressed. LabError leaves what was made to ``remove``."""
    _batch(f"netns add {namespace}" for namespace in topology.namespaces)
    _batch(_cables(topology))
    scripts = {SWITCH: switch_script(topology)}
    scripts |= {node.name: node_script(topology, node) for node in topology.nodes}
    with ThreadPoolExecutor(4) as pool:  # each waits for some ten small programs
        jobs = [pool.submit(_run_in, topology.namespace(name), lines) for name, lines in scripts.items()]
    for job in jobs:
        job.result()


def standing(name: str) -> list[str]:
    """The namespaces that are there of the lab of that name, of whatever topology."""
    return sorted(path.name for path in NETNS.glob(f"{namespace_of(name, '*')}"))


def remove(name: str) -> None:
    """Remove those namespaces; links and addresses go with them."""
    _batch(f"netns delete {namespace}" for namespace in standing(name))


def _cables(topology: Topology) -> list[str]:
    """One veth pair a node: its uplink, and the port of the switch that bears its name."""
    switch = topology.namespace(SWITCH)
    cables = [
        f"link add name {UPLINK} address {node.mac} netns {topology.namespace(node.name)}"
        f" type veth peer name {node.name} netns {switch}"
        for node in topology.wired
    ]
    return cables + [
        f"link add name {UPLINK} netns {topology.namespace(node.name)}"
        f" type veth peer name {INSIDE} netns {topology.namespace(node.router)}"
        for node in topology.nodes
        if node.router
    ]


def switch_script(topology: Topology) -> list[str]:
    """The bridge. It floods multicast, and begins with every MAC address known.

    So no frame to a node that has been silent is flooded, which captures would count as misrouted. A static
    entry still moves when its address is heard at another port: a balancer that kept the client's source
    address would be seen to mislead the switch.
    """
    lines = [
        "sysctl -qw net.ipv6.conf.default.disable_ipv6=1",
        f"ip link add {BRIDGE} type bridge mcast_snooping 0",
        f"ip link set {BRIDGE} up",
    ]
    for node in topology.wired:
        lines += [
            f"ip link set {node.name} master {BRIDGE} up",
            f"bridge fdb replace {node.mac} dev {node.name} master static",
        ]
    # Frames towards XDP must carry whole checksums: in native mode their offload is lost. Without it the
    # kernel also cuts super-packets before XDP sees them.
    return [*lines, f"ethtool -K {topology.balancer.name} tx off"]


def node_script(topology: Topology, node: Node) -> list[str]:
    """What a node's namespace needs before anything runs in it."""
    lines = [
        # addresses are ours alone: detecting duplicates would delay every start by a second
        "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0",
        "ip link set lo up",
        # super-packets on a wire would be counted as one packet
        f"ethtool -K {UPLINK} tso off gso off",
        f"ip link set {UPLINK} up",
        f"ip address add {node.v4} dev {UPLINK}",
    ]
    if node.v6:
        lines.append(f"ip address add {node.v6} dev {UPLINK} nodad")
    if node.role in (Role.PLAYER, Role.BACKEND):
        lines.append(f"ip route add 224.0.0.0/4 dev {UPLINK}")
    if node.router:
        lines.append(f"ip route add {SEGMENT4} via {node.v4.network[1]}")
    if node.nat:
        player = next(player for player in topology.nodes if player.router == node.name)
        lines += _router_lines(player, node.nat)
    return lines


def _router_lines(player: Node, nat: Nat) -> list[str]:
    network = player.v4.network
    masquerade = "masquerade random,fully-random" if nat is Nat.RANDOM else "masquerade"
    return [
        f"ip link set {INSIDE} up",
        f"ip address add {network[1]}/{network.prefixlen} dev {INSIDE}",
        "sysctl -qw net.ipv4.ip_forward=1",
        "nft add table ip nat",
        "nft 'add chain ip nat post { type nat hook postrouting priority srcnat; }'",
        f"nft add rule ip nat post oifname {UPLINK} {masquerade}",
        # Dropped unheard, as home routers do: an accepted packet would take the port that the player's own
        # flow needs in the table of translations.
        "nft 'add chain ip nat unsolicited { type filter hook input priority filter; }'",
        f"nft add rule ip nat unsolicited iifname {UPLINK} ip protocol udp ct state new drop",
    ]


def _batch(lines: Iterable[str]) -> None:
    _run(["ip", "-batch", "-"], "".join(f"{line}\n" for line in lines))


def _run_in(namespace: str, lines: Sequence[str]) -> None:
    _run([*inside(namespace), "sh", "-ex"], "\n".join(lines))


def _run(command: list[str], text: str) -> None:
    ran = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if ran.returncode:
        told = "; ".join(ran.stderr.splitlines()[-3:])  # sh -x: the line that failed, and its complaint
        raise LabError(
            f"cannot build the lab's network: {told} (exit {ran.returncode} of {' '.join(command)}); "
            "run as root, with the packages of apt/packages.txt (make setup)"
        )
