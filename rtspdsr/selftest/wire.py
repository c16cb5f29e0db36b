"""A client's namespace on the balancer, and its way through the XDP program in force.

                      this machine                              namespace
    uplink <-- redirect -- XDP at the near end of a veth pair <-- far end: client
    uplink --> nft ingress: what comes for the client's ports --> far end

The client has the balancer's own address and MAC address in the backends' network, so that backends answer
it as they answer a check; ports that this machine gives to nobody tell its packets apart. At the near end
runs the very program that the uplink has, with its maps. Nothing is added to the uplink but nft rules for
those ports, and everything goes when the ``Wire`` is left.
"""

import json
import os
import re
import socket
import subprocess
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from pyroute2 import netns

from rtspdsr.dataplane.bpffs import Home
from rtspdsr.dataplane.libbpf.programs import Link, Program
from rtspdsr.errors import RtspDsrError
from rtspdsr.model import Address

NAME = "rdself"  # of namespaces, tables and interfaces, with the pid: an interface has 15 characters
PORTS = 500  # that the client takes in turn; one play takes three
PORT_FIRST, PORT_LAST = 1024, 65_535  # below are those of services
PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
NAMESPACES = Path("/run/netns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """How this machine reaches a backend.

    source: its own address there, which the client takes
    """

    interface: str
    source: Address


class Wire:
    """One namespace with its way, from ``laid`` on."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._pid = os.getpid()
        self.namespace = f"{NAME}-{self._pid}"
        self._near, self._far = f"{NAME}{self._pid}n", f"{NAME}{self._pid}f"
        self.ports = free_ports(PORT_RANGE.read_text())

    @contextmanager
    def laid(self) -> Iterator[None]:
        """Make it, and remove it whatever happens. Raises RtspDsrError."""
        remove_left()
        with ExitStack() as made:
            run("ip", "netns", "add", self.namespace)
            made.callback(remove, self._pid)
            run(
                *("ip", "link", "add", "name", self._near, "type", "veth"),
                *("peer", "name", self._far, "netns", self.namespace),
            )
            silence = Path(f"/proc/sys/net/ipv6/conf/{self._near}/disable_ipv6")
            if silence.exists():  # nobody is to speak at the near end but the client
                silence.write_text("1")
            run("ip", "link", "set", self._near, "up")
            self._inside("ip", "link", "set", "lo", "up")
            first, last = self.ports
            self._inside("sysctl", "-qw", f"net.ipv4.ip_local_port_range={first} {last}")
            program = made.enter_context(self._program())
            made.enter_context(Link.attach(program, socket.if_nametoindex(self._near), "generic"))
            yield

    def lead(self, vip: Address, hop: Hop, sources: Collection[Address]) -> None:
        """Have the client reach the VIP, and what comes from there, or from these sources, reach it."""
        mac, mtu = _link(hop.interface)
        near_mac, _ = _link(self._near)
        host = f"{hop.source}/{hop.source.max_prefixlen}"
        family = f"-{vip.version}"
        self._inside("ip", "link", "set", self._far, "down")
        self._inside("ip", "link", "set", self._far, "address", mac, "mtu", mtu)
        self._inside("ip", "link", "set", self._far, "up")
        run("ip", "link", "set", self._near, "mtu", mtu)
        nodad = ["nodad"] if vip.version == 6 else []
        self._inside("ip", family, "address", "replace", host, "dev", self._far, *nodad)
        self._inside("ip", family, "neighbour", "replace", str(vip), "lladdr", near_mac, "dev", self._far)
        self._inside(
            *("ip", family, "route", "replace", f"{vip}/{vip.max_prefixlen}"),
            *("dev", self._far, "src", str(hop.source)),
        )
        run("nft", "-f", "-", text=self._rules(hop, vip, sources))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that are opened meanwhile, by this thread, are the client's."""
        netns.pushns(self.namespace)
        try:
            yield
        finally:
            netns.popns()

    def _rules(self, hop: Hop, vip: Address, sources: Collection[Address]) -> str:
        ip = "ip" if vip.version == 4 else "ip6"
        senders = ", ".join(sorted({str(vip), *(str(one) for one in sources if one.version == vip.version)}))
        first, last = self.ports
        between = f"{ip} daddr {hop.source} {ip} saddr {{ {senders} }}"
        rules = [f"{between} {proto} dport {first}-{last} fwd to {self._near}" for proto in ("tcp", "udp")]
        table = f"table netdev {NAME}_{self._pid}"
        hook = f'type filter hook ingress device "{hop.interface}" priority -500;'
        lines = [f"{table} {{}}", f"delete {table}", f"{table} {{", "chain back {", hook, *rules, "}", "}"]
        return "\n".join(lines) + "\n"

    def _program(self) -> Program:
        """The program in force, by its attachment."""
        pins = sorted(self._home.links.glob("*")) if self._home.links.exists() else []
        if not pins:
            raise RtspDsrError(
                f"no XDP program of ours is attached to {', '.join(self._home.interfaces)}; "
                "start the daemon (rtspdsr run)"
            )
        with Link.from_pin(pins[0]) as link:
            return Program.by_id(link.program_id)

    def _inside(self, *words: str) -> None:
        run("nsenter", f"--net={NAMESPACES / self.namespace}", *words)


def hop_to(backend: Address) -> Hop:
    """Ask the routing table. Raises RtspDsrError if there is no way, or the backend is this machine."""
    found = json.loads(run("ip", "-j", "route", "get", str(backend)))[0]
    if "prefsrc" not in found or found.get("type") == "local":
        raise RtspDsrError(f"{backend} is not reached from an address of this machine")
    return Hop(interface=found["dev"], source=ip_address(found["prefsrc"]))


def _link(interface: str) -> tuple[str, str]:
    """MAC address and MTU."""
    found = json.loads(run("ip", "-j", "link", "show", "dev", interface))[0]
    return found["address"], str(found["mtu"])


def free_ports(given: str) -> tuple[int, int]:
    """Ports that the kernel gives to nobody on this machine: behind its range, else before it.

    Raises RtspDsrError if there is no room for them: those of services that listen are not to be taken.
    """
    low, high = map(int, given.split())
    if high + PORTS <= PORT_LAST:
        return high + 1, high + PORTS
    if low - PORTS >= PORT_FIRST:
        return low - PORTS, low - 1
    raise RtspDsrError(
        f"net.ipv4.ip_local_port_range is {low} {high}, which leaves no {PORTS} ports to the client of the "
        f'selftest; meanwhile: sysctl -w net.ipv4.ip_local_port_range="{low} {PORT_LAST - PORTS}"'
    )


def remove_left() -> None:
    """Remove what runs that were killed have left."""
    for left in NAMESPACES.glob(f"{NAME}-*"):
        found = re.fullmatch(rf"{NAME}-(\d+)", left.name)
        if found and not Path(f"/proc/{found[1]}").exists():
            remove(int(found[1]))


def remove(pid: int) -> None:
    """Remove the rules, the pair and the namespace of a run; no matter what of it is there."""
    for words in (
        ("nft", "delete", "table", "netdev", f"{NAME}_{pid}"),
        ("ip", "link", "delete", f"{NAME}{pid}n"),
        ("ip", "netns", "delete", f"{NAME}-{pid}"),
    ):
        subprocess.run(words, capture_output=True, check=False)


def run(*words: str, text: str | None = None) -> str:
    """What a command prints. Raises RtspDsrError with what it complains of."""
    try:
        ran = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise RtspDsrError(f"{words[0]} is not installed; apt-get install iproute2 nftables") from error
    if ran.returncode:
        told = ran.stderr.strip().splitlines()
        raise RtspDsrError(f"{' '.join(words)} failed: {told[0] if told else ran.returncode}; run as root")
    return ran.stdout
