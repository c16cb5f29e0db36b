"""Two ends joined by one veth pair, each in a network namespace of its own, each served by a CPU of its own.

    near (generator and counter, first CPU) ======= far (forwarder, second CPU)

Both ends poll in threads of the kernel (threaded NAPI), so that what the far end costs can be told from what
the near end costs, and so that it has a name: the CPU time of those threads. The namespaces have no names;
they, and whatever is in them, go when this process ends, however it ends.
"""

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyroute2.netns import setns

from rtspdsr.errors import LabError
from rtspdsr.lab.process import wait_until

URGENT = 50  # real-time priority of polling
NEAR_MAC, FAR_MAC = "02:00:00:00:0a:0a", "02:00:00:00:00:01"
STARTED_S = 5.0


@dataclass(frozen=True, slots=True)
class End:
    """One end of the pair.

    holder: a process that does nothing but keep its namespace
    """

    interface: str
    cpu: int
    holder: int

    @property
    def namespace(self) -> Path:
        """What is entered."""
        return Path(f"/proc/{self.holder}/ns/net")

    def run(self, *command: str, text: str = "") -> None:
        """Run a program here. LabError if it fails."""
        inside = ["nsenter", f"--net={self.namespace}", *command]
        ran = subprocess.run(inside, input=text, capture_output=True, text=True, check=False)
        if ran.returncode:
            told = "; ".join(ran.stderr.splitlines()[-3:])
            raise LabError(f"cannot make the way of the packets: {told} ({' '.join(command)})")

    @contextmanager
    def entered(self) -> Iterator[int]:
        """This thread is here meanwhile, in the namespace and on the CPU. Gives the interface's index."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        cpus = os.sched_getaffinity(0)
        try:
            with self.namespace.open() as namespace:
                setns(namespace.fileno())
            os.sched_setaffinity(0, {self.cpu})
            yield socket.if_nametoindex(self.interface)
        finally:
            os.sched_setaffinity(0, cpus)
            setns(home)
            os.close(home)

    @contextmanager
    def running(self, command: Sequence[str]) -> Iterator[int]:
        """A program that runs here meanwhile, on the CPU. Gives its pid."""
        with _child(["nsenter", f"--net={self.namespace}", *command]) as child:
            os.sched_setaffinity(child.pid, {self.cpu})
            yield child.pid

    def pollers(self) -> list[int]:
        """The threads of the kernel that poll the interface."""
        return [int(one.parent.name) for one in Path("/proc").glob("[0-9]*/comm") if self._polls(one)]

    def _polls(self, comm: Path) -> bool:
        try:
            return comm.read_text().startswith(f"napi/{self.interface}-"[:15])
        except OSError:
            return False

    def poll_in_thread(self) -> None:
        """Have the interface polled by threads. They come and go as it is brought up and down."""
        shown = f"mount -t sysfs none /sys && echo 1 >/sys/class/net/{self.interface}/threaded"
        self.run("unshare", "--mount", "sh", "-ec", shown)

    def settle(self) -> None:
        """Have these threads run on the CPU, before all processes, as an interrupt would."""
        pollers = self.pollers()
        if not pollers:
            raise LabError(f"no thread polls {self.interface}; this needs Linux 5.12 or later")
        for pid in pollers:
            os.sched_setaffinity(pid, {self.cpu})
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(URGENT))


@contextmanager
def laid() -> Iterator[tuple[End, End]]:
    """The near end and the far end. LabError if they cannot be made."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise LabError("packets need two CPUs, one for the generator and one for the forwarder")
    with ExitStack() as made:
        holders = [made.enter_context(_child(["unshare", "--net", "sleep", "infinity"])) for _ in range(2)]
        near, far = (
            End(f"{side}{os.getpid()}", cpu, holder.pid)
            for side, cpu, holder in zip("nf", cpus, holders, strict=False)
        )
        for end in (near, far):
            wait_until(lambda end=end: _is_apart(end), STARTED_S, "a namespace")  # type: ignore[misc]
        _join(near, far)
        yield near, far


def _join(near: End, far: End) -> None:
    """Without IPv6, which would speak unasked. GRO has packets of the generator taken in without XDP, too."""
    for end in (near, far):
        end.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    near.run(
        *("ip", "link", "add", near.interface, "address", NEAR_MAC, "type", "veth"),
        *("peer", "name", far.interface, "address", FAR_MAC, "netns", str(far.holder)),
    )
    for end in (near, far):
        end.run("ip", "link", "set", end.interface, "up")
        end.run("ethtool", "-K", end.interface, "gro", "on")  # one that is down does not tell its peer
        end.poll_in_thread()


def _is_apart(end: End) -> bool:
    return end.namespace.exists() and end.namespace.stat().st_ino != Path("/proc/self/ns/net").stat().st_ino


@contextmanager
def _child(command: Sequence[str]) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that ends with this one, at the latest."""
    log = subprocess.DEVNULL
    child = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command],
        stdin=log,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
