"""A flood of SYNs from clients that there are not: 131,072 addresses, any port, at a chosen rate.

The frames come out of the kernel (live frames of BPF_PROG_TEST_RUN) as if the switch had heard them at the
port of a player, so that a flood costs little more than what it floods. What servers answer goes to that
player, which has no use for it.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path
from socket import if_nametoindex
from threading import Event
from types import TracebackType
from typing import Self

from pyroute2.netns import setns
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from rtspdsr.dataplane.layout import index
from rtspdsr.dataplane.libbpf.programs import Program
from rtspdsr.lab.capture import ETHERNET
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.topology import RTSP_PORT, SWITCH, UPLINK, VIP4
from tests.bench.programs import Loaded
from tests.lab.helpers import run_at

SOURCES = ip_network("198.18.0.0/15")
BURST = 1_024  # frames that are sent at once: each call costs the kernel some 20 ms, whatever their number
LATE_MAX = 4_096  # frames that are made up for, if the machine was busy
LOOK_S = 0.25
CALM_S = 2.0  # without a drop, after which a rate is one that the machine carries
ATTEMPTS = 3
RATE_MIN = 1_000.0
SOFTNET = Path("/proc/net/softnet_stat")


def dropped() -> int:
    """Packets that the machine's own queues had no room for, whoever they were for: no balancer's doing."""
    return sum(int(line.split()[1], 16) for line in SOFTNET.read_text().splitlines())


class SynFlood:
    """A flood from one player's port, while it is entered.

    rate: SYNs a second to begin with; halved whenever the machine's own queues overflow
    """

    def __init__(self, lab: Lab, node: str, rate: float) -> None:
        self._lab, self._node = lab, node
        self.rate = self._wanted = rate
        self._over = Event()
        self._calm_since = time.monotonic()
        self._stack = ExitStack()
        self.sent = 0

    def settle(self) -> None:
        """Find the rate that the machine carries; drops that others cause may mislead one attempt."""
        found = []
        for _ in range(ATTEMPTS):
            self.rate, self._calm_since = self._wanted, time.monotonic()
            while time.monotonic() < self._calm_since + CALM_S:
                time.sleep(LOOK_S)
            found.append(self.rate)
            if self.rate == self._wanted:
                break
        self.rate = max(found)

    def _send(self, program: Program, frame: bytes) -> None:
        port, seen = if_nametoindex(self._node), dropped()
        looked_at = sent_at = time.monotonic()
        owed = 0.0
        while not self._over.is_set():
            now = time.monotonic()
            owed, sent_at = min(owed + (now - sent_at) * self.rate, LATE_MAX), now
            if owed >= BURST:
                program.transmit(frame, port, BURST)
                owed -= BURST
                self.sent += BURST
            else:
                time.sleep(BURST / self.rate / 2)
            if now > looked_at + LOOK_S:
                looked_at, before, seen = now, seen, dropped()
                if seen > before and self.rate > RATE_MIN:
                    self.rate = max(self.rate / 2, RATE_MIN)
                    self._calm_since = now

    def __enter__(self) -> Self:
        topology = self._lab.topology
        attacker = topology.node(self._node)
        for node in topology.backends:
            run_at(self._lab, node.name, "ip", "route", "replace", str(SOURCES), "via", str(attacker.v4.ip))
            self._stack.callback(
                run_at, self._lab, node.name, "ip", "route", "del", str(SOURCES), "dev", UPLINK
            )
        loaded = Loaded(str(Path(__file__).with_name("synflood.bpf.c")))
        self._stack.callback(loaded.close)
        frame = bytes(
            Ether(src=attacker.mac, dst=topology.balancer.mac)
            / IP(src=str(SOURCES[1]), dst=str(VIP4))
            / TCP(sport=1, dport=RTSP_PORT, flags="S", options=[("MSS", 1460)])
        )
        loaded.maps["link"].update(index(0), frame[:ETHERNET])
        thread = ThreadPoolExecutor(1, initializer=setns, initargs=(topology.namespace(SWITCH),))
        sending = thread.submit(self._send, self._stack.enter_context(loaded.program("synflood")), frame)
        self._stack.callback(sending.result)
        self._stack.callback(self._over.set)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
