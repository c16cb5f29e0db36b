"""What maps, programs and links have in common: a file descriptor, and a pin in bpffs."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from rtspdsr.dataplane.libbpf.binding import library


class Descriptor:
    """A file descriptor of a BPF thing, closed with its owner."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def pin(self, path: Path) -> None:
        """Make it outlive this process under a name in bpffs."""
        library().check(library().bpf_obj_pin(self.fd, os.fsencode(path)), f"pin {path}")

    @classmethod
    def from_pin(cls, path: Path) -> Self:
        """The thing pinned at ``path``; ``DataplaneError`` if there is none."""
        return cls(library().check(library().bpf_obj_get(os.fsencode(path)), f"open the pin {path}"))

    def close(self) -> None:
        """Let go of it; a pin or an attachment keeps it alive."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
