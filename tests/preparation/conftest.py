"""A media server and its neighbour in network namespaces of their own, joined by one cable.

    neighbour 10.77.0.2/24 fd77::2/64 -------- server 10.77.0.1/24 fd77::1/64
      is also 10.88.0.2   fd88::2               (default routes via the neighbour)

The neighbour plays the balancer and all clients: it addresses frames by the server's MAC.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import pytest
from pyroute2.netns import setns

from rtspdsr.finding import Finding
from rtspdsr.preparation import apply, facts, plan, record
from rtspdsr.preparation.check import judge, samples
from rtspdsr.preparation.plan import Request
from rtspdsr.preparation.steps import Step

VIP4, VIP6 = ip_address("10.77.0.100"), ip_address("fd77::100")
SERVER4, SERVER6 = ip_address("10.77.0.1"), ip_address("fd77::1")
CLIENT4, CLIENT6 = ip_address("10.77.0.2"), ip_address("fd77::2")
ELSEWHERE4, ELSEWHERE6 = ip_address("10.88.0.2"), ip_address("fd88::2")
REQUEST = Request(vips=(VIP4, VIP6))

T = TypeVar("T")


class Namespace:
    """A network namespace, and a thread that lives in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True)
        self._thread = ThreadPoolExecutor(1, initializer=setns, initargs=(name,))
        self.run("ip link set lo up; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad")

    def run(self, script: str) -> str:
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.name}", "sh", "-ec", script],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{script}: {done.stderr}"
        return done.stdout

    def call(self, function: Callable[..., T], *arguments: object) -> T:
        return self.start(function, *arguments).result(timeout=60)

    def start(self, function: Callable[..., T], *arguments: object) -> Future[T]:
        """The same beside other work: the answer comes later."""
        return self._thread.submit(function, *arguments)

    def beside(self, function: Callable[..., T], *arguments: object) -> T:
        """A call while another, started before, still runs."""
        with ThreadPoolExecutor(1, initializer=setns, initargs=(self.name,)) as thread:
            return thread.submit(function, *arguments).result(timeout=60)

    def close(self) -> None:
        self._thread.shutdown()
        subprocess.run(["ip", "netns", "del", self.name], check=True)


@dataclass(frozen=True)
class Wire:
    """Both ends; ``interface`` is the server's, ``mac`` its address."""

    server: Namespace
    neighbour: Namespace
    interface: str
    neighbour_interface: str
    mac: str
    neighbour_mac: str
    state: Path

    def missing(self, request: Request = REQUEST) -> list[Step]:
        found = self.server.call(facts.read_facts)
        return plan.missing(plan.plan(request, found), found)

    def prepare(self, request: Request = REQUEST) -> list[Step]:
        earlier = record.load(self.state)
        found = self.server.call(facts.read_facts)
        assert plan.obstacles(request, found, prepared=earlier is not None) == []
        steps = self.missing(request)
        self.server.call(apply.prepare, earlier or record.Record(request=request), steps, self.state)
        return steps

    def undo(self) -> list[apply.Undone]:
        recorded = record.load(self.state)
        assert recorded is not None
        return self.server.call(apply.undo, recorded, self.state)

    def judge(self, request: Request = REQUEST) -> list[Finding]:
        found = self.server.call(facts.read_facts)
        lookups = [self.server.call(facts.look_up, address) for address in samples(request, found)]
        return judge(request, found, lookups)

    def snapshot(self) -> str:
        """All that a preparation could touch, as the system's own tools print it."""
        return self.server.run(
            "ip address; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; "
            "ip -6 neighbour show proxy; grep -rs . /proc/sys/net/ipv4 /proc/sys/net/ipv6 "
            "| grep -v -e /neigh/ -e ipfrag_ -e inet_peer -e tcp_fastopen_key -e _mem: | sort"
        )


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    tag = f"rdp-{os.getpid()}"
    made: list[Namespace] = []
    try:
        made.append(server := Namespace(f"{tag}s"))
        made.append(neighbour := Namespace(f"{tag}n"))
        inner, outer = "rdp-eth0", "rdp-eth1"
        server.run(
            f"ip link add {inner} type veth peer name {outer} netns {neighbour.name};"
            f"ip address add {SERVER4}/24 dev {inner}; ip address add {SERVER6}/64 dev {inner} nodad;"
            f"ip link set {inner} up"
        )
        neighbour.run(
            f"ip address add {CLIENT4}/24 dev {outer}; ip address add {CLIENT6}/64 dev {outer} nodad;"
            f"ip address add {ELSEWHERE4}/32 dev lo; ip address add {ELSEWHERE6}/128 dev lo;"
            f"ip link set {outer} up"
        )
        server.run(
            f"ip route add default via {CLIENT4}; ip -6 route add default via {CLIENT6};"
            f"until ip -6 address show dev {inner} scope link | grep -q inet6; do sleep 0.05; done;"
            f"while ip -6 address show tentative | grep -q inet6; do sleep 0.05; done"
        )
        yield Wire(
            server=server,
            neighbour=neighbour,
            interface=inner,
            neighbour_interface=outer,
            mac=_mac(server, inner),
            neighbour_mac=_mac(neighbour, outer),
            state=tmp_path / "state" / "preparation.json",
        )
    finally:
        for namespace in made:
            namespace.close()


def _mac(namespace: Namespace, interface: str) -> str:
    return namespace.run(f"ip -o link show {interface} | sed 's/.*link.ether \\([^ ]*\\).*/\\1/'").strip()
