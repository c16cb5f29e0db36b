"""The balancer of a lab: ``rtspdsr run`` in its namespace, with everything it keeps in the lab's directory.

Handed a topology, processes and a directory. The lab mounts a BPF file system of its own there, so that the
machine's /sys/fs/bpf is never touched and all of it is gone when the lab is.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from rtspdsr.errors import AdminError, DataplaneError, LabError
from rtspdsr.lab.process import Process, Processes, wait_until
from rtspdsr.lab.topology import RTSP_PORT, SWITCH, UPLINK, VIP4, VIP6, Topology

SERVICE = "lab"  #: name of the one service
NAME = "balancer"  #: the daemon among the lab's processes
READY_WAIT_S = 20.0
PEER_PIN = "pass"  # in the lab's bpffs
NO_CHECKS = 'health = { check = "none" }'  # a machine at its limits answers late; who wants checks says so


class XdpMode(StrEnum):
    """How XDP attaches in a lab, which says so itself: ``auto`` would take either."""

    NATIVE = "native"
    GENERIC = "generic"


class Daemon:
    """The daemon of one lab, whether it runs or not."""

    def __init__(self, topology: Topology, processes: Processes, state: Path) -> None:
        self._topology, self._processes = topology, processes
        self.bpffs = state / "bpf"
        self.config = state / "rtspdsr.toml"
        self.log = state / "sessions.log"
        self.run_dir = state / "run"
        self.state_dir = state / "state"

    @property
    def process(self) -> Process:
        """The process, whether it lives or not."""
        return self._processes[NAME]

    def install(self, mode: XdpMode) -> None:
        """Write its configuration, mount bpffs, and in native mode make the wire carry what XDP sends."""
        from rtspdsr.dataplane.bpffs import is_bpffs, mount

        for directory in (self.run_dir, self.state_dir):
            directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text("\n".join(self._config_lines(mode)))
        try:
            if not is_bpffs(self.bpffs):
                mount(self.bpffs)
        except DataplaneError as error:
            raise LabError(str(error)) from error
        if mode is XdpMode.NATIVE:
            self._pass_at_peer()

    @property
    def socket(self) -> Path:
        """Where its admin API listens."""
        from rtspdsr.admin.server import SOCKET

        return self.run_dir / SOCKET

    @property
    def command(self) -> list[str]:
        """What runs it."""
        return [sys.executable, "-m", "rtspdsr", "run", "--config", str(self.config)]

    def start(self, under: Sequence[str] = ()) -> None:
        """Start it; return once it forwards and every backend is up.

        under: a command that becomes the one behind it, such as ``setpriv`` with its arguments
        """
        command = [*under, *self.command]
        namespace = self._topology.namespace(self._topology.balancer.name)
        self._processes.start(NAME, namespace, command)
        wait_until(self._serves, READY_WAIT_S, "the daemon to serve all backends", self.process)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the daemon answers its operator; AdminError if it does not."""
        from rtspdsr.admin import ask

        return asyncio.run(ask(self.run_dir, method, path, body))

    def place(self, client: str, backend: str) -> None:
        """Send a client's new connections to a backend, as ``rtspdsr place`` does."""
        self.ask("PUT", f"/v1/services/{SERVICE}/clients/{client}", {"backend": backend})

    def remove(self) -> None:
        """Unmount bpffs, which takes program, maps and pins with it. The process must have ended."""
        while _mounted(self.bpffs):
            ran = subprocess.run(["umount", str(self.bpffs)], capture_output=True, text=True, check=False)
            if ran.returncode:
                raise LabError(f"cannot unmount {self.bpffs}: {ran.stderr.strip()}; end what uses it")

    def _serves(self) -> bool:
        try:
            services = self.ask("GET", "/v1/status")["services"]
        except AdminError:
            time.sleep(0.1)  # asking costs more than the daemon's own start
            return False
        backends = [one for service in services for one in service["backends"]]
        return all(one["state"] == "up" or one["admin_state"] != "ready" for one in backends)

    def _config_lines(self, mode: XdpMode) -> Iterator[str]:
        yield "[daemon]"
        yield f'state_dir = "{self.state_dir}"'
        yield f'run_dir = "{self.run_dir}"'
        yield "\n[dataplane]"
        yield f'interfaces = ["{UPLINK}"]'
        yield f'mode = "{mode}"'
        yield f'bpffs = "{self.bpffs}"'
        yield "pins_max = 10000"
        yield "\n[log]"
        yield f'file = "{self.log}"'
        yield "\n[[service]]"
        yield f'name = "{SERVICE}"'
        yield f'vips = ["{VIP4}", "{VIP6}"]'
        yield f"ports = [{RTSP_PORT}]"
        yield NO_CHECKS
        for node in self._topology.backends:
            yield "\n[[service.backend]]"
            yield f'name = "{node.name}"'
            yield f'addresses = ["{node.address(4)}", "{node.address(6)}"]'
            yield f"weight = {node.weight}"
        yield ""

    def _pass_at_peer(self) -> None:
        """Let the switch's port receive what native XDP sends: a veth drops it without a program there."""
        port = self._topology.balancer.name
        pin = self.bpffs / PEER_PIN
        if pin.exists():
            return
        switch = self._topology.namespace(SWITCH)
        attach = [sys.executable, "-m", "rtspdsr.lab.peer", port, str(pin)]
        self._processes.run("attach-peer", switch, attach)
        # Attaching turned GRO on, which would merge segments into super-packets again.
        self._processes.run("set-peer", switch, ["ethtool", "-K", port, "gro", "off"])


def _mounted(path: Path) -> bool:
    from rtspdsr.dataplane.bpffs import is_bpffs

    return is_bpffs(path)
