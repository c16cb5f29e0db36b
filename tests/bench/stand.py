"""A daemon to be measured, in a network namespace of its own, with one backend that takes what it is sent.

Handed what its configuration is to say, it starts the daemon as a process, kills it, starts it anew, and
reads from outside what it uses: CPU of all its threads, memory, and what its maps take in the kernel.
"""

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from os import getpid
from pathlib import Path
from typing import Any

from pyroute2 import netns

from rtspdsr.balancer.journal import Journal
from rtspdsr.dataplane.bpffs import Home
from rtspdsr.dataplane.counters import verdicts
from rtspdsr.dataplane.layout import Verdict
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.dataplane.libbpf.programs import Link, Program
from rtspdsr.errors import LabError

VIP, PORT = "192.0.2.10", 554  # those of the recorded dialogs
NEAR, FAR = "near", "far"  # the balancer's end of a veth pair, and the backend's
NEAR_MAC, FAR_MAC = "02:00:00:00:00:01", "02:00:00:00:0a:0a"
NEAR_ADDRESS, FAR_ADDRESS = "198.18.0.1", "198.18.0.2"
RECEIVE_BYTES = 64 << 20
READY_S = 600.0  # a million pins, on a busy machine

_numbers = count(1)  # several may stand at once

_CONFIG = """
[daemon]
state_dir = "{directory}/state"
run_dir = "{directory}/run"
[dataplane]
interfaces = ["{near}"]
mode = "generic"
bpffs = "{directory}/bpffs"
[tracker]
linger_s = {linger_s}
[log]
file = "{directory}/sessions.log"
[[service]]
name = "cams"
vips = ["{vip}"]
ports = [{port}]
health = {{ check = "none" }}
[[service.backend]]
name = "cam-a"
addresses = ["{far}"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the daemon says of itself.

    stretches: CPU seconds of the longest step of its loop since it was last asked, by what ran
    """

    sessions: int
    pins: int
    stretches: dict[str, float]

    @property
    def longest_s(self) -> float:
        """The longest step of all."""
        return max(self.stretches.values(), default=0.0)


class Stand:
    """One daemon, whether it runs or not, and what it keeps.

    backend: a packet socket that sees every frame that reaches the backend
    """

    def __init__(self, directory: Path, namespace: str, backend: socket.socket) -> None:
        self._directory, self._namespace = directory, namespace
        self.backend = backend
        self.home = Home(directory / "bpffs", (NEAR,))
        self._process: subprocess.Popen[bytes] | None = None
        self._talk: Connection | None = None

    def start(self, *, logged: bool = True, linger_s: float = 10.0) -> float:
        """Start the daemon; how long it took until it forwarded, seconds."""
        config = self._directory / "rtspdsr.toml"
        config.write_text(
            _CONFIG.format(
                directory=self._directory, near=NEAR, linger_s=linger_s, vip=VIP, port=PORT, far=FAR_ADDRESS
            )
        )
        self._talk, theirs = Pipe()
        what = [self._namespace, str(config), "logged" if logged else "unlogged", str(theirs.fileno())]
        begun = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.timed", *what], pass_fds=[theirs.fileno()]
        )
        theirs.close()
        self._hear()
        return time.monotonic() - begun

    def kill(self) -> None:
        """End it by SIGKILL."""
        assert self._process is not None
        assert self._talk is not None
        self._process.kill()
        self._process.wait()
        self._talk.close()

    def ask(self) -> Told:
        """How it is."""
        assert self._talk is not None
        self._talk.send(None)
        return Told(**self._hear())

    def _hear(self) -> Any:
        assert self._talk is not None
        if not self._talk.poll(READY_S):
            raise LabError(f"the daemon says nothing for {READY_S:.0f} s")
        try:
            return self._talk.recv()
        except EOFError as error:
            raise LabError("the daemon has ended; what it said stands above") from error

    # --- what it uses

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def cpu_s(self) -> float:
        """CPU that it has used so far, user and system, all threads."""
        return time.clock_gettime(~self._pid << 3 | 2)  # CPUCLOCK_SCHED of a process

    def memory_bytes(self) -> int:
        """Memory of its own."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        found = re.search(r"RssAnon:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) << 10

    def map_bytes(self) -> int:
        """What its maps take in the kernel."""
        return sum(map(_map_bytes, self.home.pins.iterdir()))

    def verdicts(self) -> dict[Verdict, int]:
        """Packets by verdict."""
        return verdicts(self.home)

    def program(self) -> Program:
        """The program in force."""
        with Link.from_pin(next(self.home.links.iterdir())) as link:
            return Program.by_id(link.program_id)

    def journal(self) -> Journal:
        """Its journal, to be read and written while it is dead."""
        return Journal(self._directory / "state" / NEAR)

    def close(self) -> None:
        """End whatever runs."""
        if self._process is not None:
            self.kill()
        self.backend.close()


def _map_bytes(path: Path) -> int:
    with Map.from_pin(path) as one:
        told = Path(f"/proc/self/fdinfo/{one.fd}").read_text()
    found = re.search(r"memlock:\s+(\d+)", told)
    return int(found[1]) if found else 0


@contextmanager
def standing() -> Iterator[Stand]:
    """A stand; whoever uses it is in the balancer's namespace meanwhile. Nothing of it is left behind."""
    near = f"rdb-{getpid()}-{next(_numbers)}"
    far = f"{near}-far"
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for one in (near, far):
            netns.create(one)
        try:
            _wire(near, far)
            backend = _packet_socket(far)
            netns.pushns(near)
            stand = Stand(directory, near, backend)
            try:
                yield stand
            finally:
                stand.close()
                netns.popns()
        finally:
            subprocess.run(["umount", str(directory / "bpffs")], check=False, capture_output=True)
            for one in (near, far):
                netns.remove(one)


def _wire(near: str, far: str) -> None:
    lines = [
        f"link add {NEAR} address {NEAR_MAC} netns {near} type veth peer {FAR} address {FAR_MAC} netns {far}",
        *(
            line
            for namespace, end, address in ((near, NEAR, NEAR_ADDRESS), (far, FAR, FAR_ADDRESS))
            for line in (
                f"-n {namespace} address add {address}/24 dev {end}",
                f"-n {namespace} link set {end} up",
                f"-n {namespace} link set lo up",
            )
        ),
    ]
    for line in lines:
        subprocess.run(["ip", *line.split()], check=True)


def _packet_socket(namespace: str) -> socket.socket:
    netns.pushns(namespace)
    try:
        found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        found.setsockopt(socket.SOL_SOCKET, 33, RECEIVE_BYTES)  # SO_RCVBUFFORCE
        found.bind((FAR, 0x0800))
        return found
    finally:
        netns.popns()
