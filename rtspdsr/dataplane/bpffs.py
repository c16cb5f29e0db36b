"""Where the pinned program and maps live: the BPF file system, its directories, and the one lock.

Handed paths and names, it gives back directories to pin in. A set of interfaces has one home,
``BPFFS/rtspdsr/<interfaces>``; in it stands one directory a layout version, so that a daemon never
mistakes another layout's maps for its own.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtspdsr.dataplane.layout import LAYOUT_VERSION
from rtspdsr.errors import AlreadyRunning, DataplaneError

_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Home:
    """The directory of one set of interfaces.

    bpffs: where the BPF file system is, or is to be, mounted
    """

    bpffs: Path
    interfaces: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Its place in bpffs, which allows no dots in a name."""
        return self.bpffs / "rtspdsr" / "+".join(self.interfaces).replace(".", "_")

    @property
    def pins(self) -> Path:
        """The directory of this layout version."""
        return self.path / f"v{LAYOUT_VERSION}"

    @property
    def next_pins(self) -> Path:
        """Where a new set of maps is built before it takes the place of another."""
        return self.path / f"v{LAYOUT_VERSION}-next"

    @property
    def in_force(self) -> Path:
        """Where the maps of a daemon that has loaded are: still beside others, or in their place."""
        return self.next_pins if self.next_pins.exists() else self.pins

    @property
    def links(self) -> Path:
        """The directory of attachments, which no layout changes."""
        return self.path / "links"

    def standing(self) -> list[Path]:
        """The directories of maps that are there, of any layout version, the newest last."""
        found = [one for one in self.path.glob("v*") if one.name[1:].isdigit()]
        return sorted(found, key=lambda one: int(one.name[1:]))

    def make(self) -> None:
        """Mount bpffs if nothing is, and make the directory.

        Raises DataplaneError if bpffs cannot be mounted.
        """
        if not is_bpffs(self.bpffs):
            mount(self.bpffs)
        self.links.mkdir(parents=True, exist_ok=True)

    def lock(self) -> int:
        """Hold it for this process; the descriptor is the lock. Raises AlreadyRunning."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise AlreadyRunning(
                f"another rtspdsr daemon serves {', '.join(self.interfaces)} (it holds {self.path}); "
                "stop it first, or give this one another interface"
            ) from error
        return descriptor

    def remove(self) -> bool:
        """Remove every pin, which detaches the program and frees the maps; False if none was there."""
        if not self.path.exists():
            return False
        shutil.rmtree(self.path)
        return True


def is_bpffs(path: Path) -> bool:
    """Whether a BPF file system is mounted at ``path``."""
    wanted = str(path)
    for line in _MOUNTS.read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split()[4] == wanted and rest.split()[0] == "bpf":
            return True
    return False


def mount(path: Path) -> None:
    """Mount a BPF file system at ``path``."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "bpf", "bpf", str(path)], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise DataplaneError(f"cannot mount bpffs at {path}: {error.stderr.strip()}; run as root") from error
    except OSError as error:
        raise DataplaneError(f"cannot mount bpffs at {path}: {error.strerror}; run as root") from error


def chunk_pin(directory: Path, number: int) -> Path:
    """Where a chunk of statistics is pinned; to open it by its id would take CAP_SYS_ADMIN."""
    return directory / f"chunk-{number}"


def remove_pins(directory: Path, names: Sequence[str] = ()) -> None:
    """Unpin ``names`` in a directory, or the whole of it."""
    for name in names:
        (directory / name).unlink(missing_ok=True)
    if not names:
        shutil.rmtree(directory, ignore_errors=True)
