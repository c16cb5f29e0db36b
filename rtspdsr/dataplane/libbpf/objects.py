"""BPF object files: opened, their maps sized and pinned, loaded."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from rtspdsr.dataplane.libbpf.binding import library
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.dataplane.libbpf.programs import Program
from rtspdsr.errors import DataplaneError


class Object:
    """A BPF object file: opened, sized, loaded."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise DataplaneError(f"{path.name} is missing; build it: make build")
        self._pointer = library().bpf_object__open_file(os.fsencode(path), None)
        if not self._pointer:
            raise library().refusal(ctypes.get_errno(), f"read {path}")

    def resize(self, sizes: dict[str, int]) -> None:
        """Set how many entries maps have, by name, before ``load``."""
        for name, size in sizes.items():
            result = library().bpf_map__set_max_entries(self._map(name), size)
            library().check(result, f"size map {name!r} to {size}")

    def pin_maps(self, directory: Path) -> None:
        """Let ``load`` adopt the maps pinned in ``directory``, and pin there those that are not."""
        for name, pointer in self._maps():
            result = library().bpf_map__set_pin_path(pointer, os.fsencode(directory / name))
            library().check(result, f"pin map {name!r}")

    def load(self) -> None:
        """Make the maps and have the kernel verify the programs."""
        library().check(library().bpf_object__load(self._pointer), "load the XDP program")

    def maps(self) -> dict[str, Map]:
        """Every map by its name, after ``load``; the caller owns them."""
        return {name: Map(os.dup(library().bpf_map__fd(pointer))) for name, pointer in self._maps()}

    def program(self, name: str) -> Program:
        """A program by its function's name, after ``load``; the caller owns it."""
        pointer = library().bpf_object__find_program_by_name(self._pointer, name.encode())
        if not pointer:
            raise DataplaneError(f"the BPF object holds no program {name!r}; build it anew: make build")
        return Program(os.dup(library().check(library().bpf_program__fd(pointer), f"find {name!r}")))

    def close(self) -> None:
        """Let go of it; what was taken from it lives on."""
        if self._pointer:
            library().bpf_object__close(self._pointer)
            self._pointer = None

    def _maps(self) -> Iterator[tuple[str, int]]:
        pointer = None
        while pointer := library().bpf_object__next_map(self._pointer, pointer):
            name = library().bpf_map__name(pointer).decode()
            if not name.startswith("."):  # .rodata and the like are not ours
                yield name, pointer

    def _map(self, name: str) -> int:
        for found, pointer in self._maps():
            if found == name:
                return pointer
        raise DataplaneError(f"the BPF object holds no map {name!r}; build it anew: make build")
