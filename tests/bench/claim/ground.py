"""Where a side is measured: a lab whose one media server is the light source.

What the kernel does for the balancer is put where its CPU time can be read: the receive work of every
interface is a kernel thread of its own there (threaded NAPI). So what the balancer's interface takes, XDP
included, is counted apart from what players, switch and source take, and is not charged to whichever process
it interrupted.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rtspdsr.errors import LabError
from rtspdsr.lab import server
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.process import Process
from rtspdsr.lab.topology import RTSP_PORT, SWITCH, UPLINK
from tests.bench.claim import native
from tests.bench.claim.stream import Stream

BACKEND = "gst-a"  # the node of the source
PLAYER = "player"  # the node of all players
SOURCE = "source"
PRIORITY = 10  # of the kernel threads of the switch's ports
KEEPERS = "keeper"  # a process in a namespace, whose /proc tells of the namespace


class Ground:
    """One lab, furnished. ``balancer_threads``: the kernel threads of the balancer's interface.

    offloads: whether that interface leaves the cutting of large segments to the last moment
    """

    def __init__(self, lab: Lab, *, offloads: bool = False) -> None:
        self.lab = lab
        self._program = native.build(SOURCE, lab.state)
        for name in (node.name for node in lab.topology.backends):
            lab.processes[name].stop()
        for node in (PLAYER, lab.topology.balancer.name):
            self._run_at(node, f"{KEEPERS}-{node}", ["sleep", "infinity"])
        self.balancer_threads = self._give_threads(offloads)

    @property
    def balancer(self) -> str:
        """The balancer's node."""
        return self.lab.topology.balancer.name

    @property
    def source(self) -> Process:
        """The source, whose log has a line for each session that has ended."""
        return self.lab.processes[SOURCE]

    @contextmanager
    def serving(self, stream: Stream) -> Iterator[None]:
        """The source plays a stream."""
        self.source.log.unlink(missing_ok=True)
        command = [str(self._program), str(RTSP_PORT), str(stream.packets)]
        with self.running(SOURCE, BACKEND, command) as process:
            server.ready(process)
            yield

    @contextmanager
    def running(self, name: str, node: str, command: Sequence[str]) -> Iterator[Process]:
        """Something runs at a node."""
        process = self._run_at(node, name, command)
        try:
            yield process
        finally:
            process.stop()

    def counters(self, node: str) -> dict[str, int]:
        """What the uplink of the balancer or the player has carried: octets and packets, rx and tx."""
        pid = self.lab.processes[f"{KEEPERS}-{node}"].pid
        lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()
        fields = next(line.split() for line in lines if line.strip().startswith(f"{UPLINK}:"))
        named = {"rx_octets": 1, "rx_packets": 2, "tx_octets": 9, "tx_packets": 10}
        return {name: int(fields[at]) for name, at in named.items()}

    def _run_at(self, node: str, name: str, command: Sequence[str]) -> Process:
        return self.lab.processes.start(name, self.lab.topology.namespace(node), command)

    def _give_threads(self, offloads: bool) -> list[int]:
        """A kernel thread to every interface, with precedence as interrupts have; gives back the balancer's.

        The further down the way to a player, the sooner its turn, or the short queues between them overflow.
        """
        earlier = _interface_threads("")
        wired = [node.name for node in self.lab.topology.wired]
        for port in wired:  # those towards the balancer cut before it, as a wire does
            self._set(SWITCH, port, "tso off" if port == self.balancer else "")
        for name in wired:
            if name != self.balancer:
                self._set(name, UPLINK)
        before = _interface_threads(UPLINK)
        self._set(self.balancer, UPLINK, "gso on" if offloads else "")
        made = sorted(_interface_threads(UPLINK) - before)
        if not made:
            raise LabError(
                f"{self.lab.topology.namespace(self.balancer)} has no thread for {UPLINK}: this kernel "
                "cannot thread the NAPI of a veth; take Linux 5.12 or newer"
            )
        ends = _interface_threads(UPLINK) - earlier
        for pid in _interface_threads("") - earlier:
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(PRIORITY + (pid in ends)))
        return made

    def _set(self, node: str, interface: str, offloads: str = "") -> None:
        namespace = self.lab.topology.namespace(node)
        lines = [
            f"ethtool -K {interface} gro on {offloads}",  # a veth has a NAPI only with GRO or XDP
            f"echo 1 >/sys/class/net/{interface}/threaded",
        ]
        command = ["ip", "netns", "exec", namespace, "sh", "-ec", "\n".join(lines)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise LabError(f"cannot set {interface} in {namespace}: {ran.stderr.strip()}")


def _interface_threads(name: str) -> set[int]:
    """Kernel threads of all interfaces of this machine whose name begins so."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/comm"):
        try:
            if re.match(rf"napi/{name}", file.read_text()):
                found.add(int(file.parent.name))
        except OSError:  # it has ended
            continue
    return found
