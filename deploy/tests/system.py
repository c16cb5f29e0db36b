"""A clean Debian 12 in a directory, and the same booted with systemd, in a network namespace of its own.

Made with mmdebstrap, booted with systemd-nspawn. Nothing outside the directory is touched.
"""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 60.0

Ran = subprocess.CompletedProcess[str]


class System:
    """One Debian in a directory; ``run`` works whether it is booted or not."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._container: subprocess.Popen[bytes] | None = None
        self._init = 0

    @classmethod
    def make(cls, root: Path, packages: list[str]) -> "System":
        """Install the smallest Debian 12, and some packages, from the mirrors that mmdebstrap knows."""
        subprocess.run(
            [
                *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"),
                *("--skip=cleanup/apt/lists", "bookworm", str(root)),
            ],
            check=True, stdin=subprocess.DEVNULL, timeout=600,
        )  # fmt: skip
        return cls(root)

    def boot(self) -> bool:
        """Start systemd in it, with a BPF file system and a wire ``eth0`` to nowhere. Whether it did."""
        self._container = subprocess.Popen(
            [
                *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot"),
                *("--private-network", "--capability=all", "--system-call-filter=bpf perf_event_open"),
                f"--directory={self.root}",
            ],
            env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        if not wait_for(self._booted):
            return False
        self.run("mkdir", "-p", "/sys/fs/bpf")
        self.run("mount", "-t", "bpf", "-o", "mode=700", "bpf", "/sys/fs/bpf")
        self.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far")
        for interface in ("eth0", "far"):
            self.run("ip", "link", "set", interface, "up")
        self.run("ip", "address", "add", "192.0.2.2/24", "dev", "eth0")
        self.run("ip", "route", "add", "default", "via", "192.0.2.1")
        return True

    def halt(self) -> None:
        """End it, if it was booted."""
        if not self._container:
            return
        if self._init:
            self.run("systemctl", "poweroff", "--no-block", check=False)
        try:
            self._container.wait(20)
        except subprocess.TimeoutExpired:
            for pid in (*_children(self._container.pid), self._container.pid):
                subprocess.run(["kill", "-KILL", str(pid)], check=False)
            self._container.wait()
        self._init = 0

    def run(self, *command: str, check: bool = True) -> Ran:
        """Run a command in it, to its end."""
        if self._init:
            into = ["nsenter", f"--target={self._init}", "--all"]
        else:
            script = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
            into = ["unshare", "--mount", "sh", "-c", script, str(self.root)]
        ran = subprocess.run(
            [*into, *command], capture_output=True, text=True, check=False, timeout=180,
            stdin=subprocess.DEVNULL, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        )  # fmt: skip
        assert not check or ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
        return ran

    def show(self, unit: str, key: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--property", key, "--value", unit).stdout.strip()

    def journal(self, unit: str) -> str:
        """What a unit has said."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}").stdout

    def _booted(self) -> bool:
        assert self._container
        if not (children := _children(self._container.pid)):
            return False
        self._init = children[0]
        said = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return said in ("running", "degraded")


def wait_for(come: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + patience_s
    while not come():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []
