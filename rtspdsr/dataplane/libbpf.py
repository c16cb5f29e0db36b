"""libbpf through ctypes: objects, maps, programs, links and ring buffers as Python values.

Handed bytes and file names, it gives back bytes; it knows nothing of what a map means (``layout.py``
does). The only ctypes of the project: no maintained libbpf binding is on PyPI. Needs libbpf 1.x and a
kernel from 5.18. Every refusal of the kernel becomes a ``DataplaneError`` that names what was refused.
"""

import ctypes
import errno
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from ctypes import c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rtspdsr.errors import DataplaneError

BPF_XDP = 37  # enum bpf_attach_type
XDP_MODES = {"native": 4, "generic": 2}  # XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE
_ENOUGH = -errno.ECANCELED  # ends a ring_buffer__consume, which hands it back; the record counts as read
BATCH = 4096  # entries of one batch system call: some 0.4 us each

_SampleCallback = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)
_PrintCallback = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)

# What libbpf exports and we call: name -> (result, arguments).
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "libbpf_set_print": (c_void_p, [_PrintCallback]),
    "libbpf_num_possible_cpus": (c_int, []),
    "bpf_object__open_file": (c_void_p, [c_char_p, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_object__next_map": (c_void_p, [c_void_p, c_void_p]),
    "bpf_object__find_program_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_program__fd": (c_int, [c_void_p]),
    "bpf_map__name": (c_char_p, [c_void_p]),
    "bpf_map__fd": (c_int, [c_void_p]),
    "bpf_map__set_max_entries": (c_int, [c_void_p, c_uint32]),
    "bpf_map__set_pin_path": (c_int, [c_void_p, c_char_p]),
    "bpf_map_create": (c_int, [c_int, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p]),
    "bpf_map_get_fd_by_id": (c_int, [c_uint32]),
    "bpf_map_lookup_elem": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map_update_elem": (c_int, [c_int, c_void_p, c_void_p, c_uint64]),
    "bpf_map_delete_elem": (c_int, [c_int, c_void_p]),
    "bpf_map_get_next_key": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map_lookup_batch": (c_int, [c_int] + [c_void_p] * 6),
    "bpf_map_update_batch": (c_int, [c_int] + [c_void_p] * 4),
    "bpf_obj_pin": (c_int, [c_int, c_char_p]),
    "bpf_obj_get": (c_int, [c_char_p]),
    "bpf_obj_get_info_by_fd": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_prog_load": (c_int, [c_int, c_char_p, c_char_p, c_void_p, c_size_t, c_void_p]),
    "bpf_prog_test_run_opts": (c_int, [c_int, c_void_p]),
    "bpf_link_create": (c_int, [c_int, c_int, c_int, c_void_p]),
    "bpf_link_update": (c_int, [c_int, c_int, c_void_p]),
    "ring_buffer__new": (c_void_p, [c_int, _SampleCallback, c_void_p, c_void_p]),
    "ring_buffer__add": (c_int, [c_void_p, c_int, _SampleCallback, c_void_p]),
    "ring_buffer__epoll_fd": (c_int, [c_void_p]),
    "ring_buffer__consume": (c_int, [c_void_p]),
    "ring_buffer__free": (None, [c_void_p]),
}


class MapType(IntEnum):
    """``enum bpf_map_type``, those we make."""

    ARRAY = 2


class MapFlag(IntEnum):
    """Flags of map creation (linux/bpf.h), those we use."""

    MMAPABLE = 1 << 10


class _Options(ctypes.Structure):
    """An ``..._opts`` of which we use the flags alone; libbpf takes what lies beyond as zero."""

    _fields_ = (("sz", c_size_t), ("flags", c_uint32), ("pad", c_uint32))


class _MapCreateOptions(ctypes.Structure):
    _fields_ = (
        ("sz", c_size_t),
        *(
            (name, c_uint32)
            for name in ("btf_fd", "btf_key", "btf_value", "btf_vmlinux", "inner_fd", "map_flags")
        ),
    )


class _MapInfo(ctypes.Structure):
    _fields_ = (
        *((name, c_uint32) for name in ("type", "id", "key_size", "value_size", "max_entries", "flags")),
        ("name", ctypes.c_char * 16),
    )


class _LinkInfo(ctypes.Structure):
    _fields_ = (
        *((name, c_uint32) for name in ("type", "id", "prog_id", "pad", "ifindex")),
        ("rest", ctypes.c_ubyte * 44),
    )


class _TestRunOptions(ctypes.Structure):
    _fields_ = (
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )


class _Library:
    """The shared library with typed functions, and the messages it prints kept for our errors."""

    def __init__(self) -> None:
        try:
            self._dll = ctypes.CDLL("libbpf.so.1", use_errno=True)
        except OSError as error:
            raise DataplaneError("libbpf.so.1 is not there; install it: apt-get install libbpf1") from error
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._dll, name)
            function.restype, function.argtypes = result, arguments
        self.messages: list[str] = []
        self._libc = ctypes.CDLL(None)
        self._print = _PrintCallback(self._keep)  # must outlive the library's pointer to it
        self._dll.libbpf_set_print(self._print)

    def _keep(self, level: int, template: bytes, arguments: int) -> int:
        text = ctypes.create_string_buffer(8192)
        self._libc.vsnprintf(text, c_size_t(len(text)), c_char_p(template), c_void_p(arguments))
        if level < 2:  # 2 is LIBBPF_DEBUG
            self.messages = [*self.messages[-20:], text.value.decode(errors="replace").rstrip()]
        return 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dll, name)

    def check(self, result: int, doing: str) -> int:
        """Give back a result that is not negative; else raise ``DataplaneError`` for the errno in it."""
        if result >= 0:
            return result
        raise self.refusal(-result if result != -1 else ctypes.get_errno(), doing)

    def refusal(self, code: int, doing: str) -> DataplaneError:
        """The error for a refused call, with an ``OSError`` as its cause for callers that look at errno."""
        why = os.strerror(code)
        if code == errno.EPERM:
            why += "; run as root, or with CAP_BPF and CAP_NET_ADMIN"
        detail = "".join(f"\n  {line}" for line in self.messages)
        self.messages = []
        error = DataplaneError(f"cannot {doing}: {why}{detail}")
        error.__cause__ = OSError(code, os.strerror(code))
        return error


@cache
def library() -> _Library:
    """libbpf, loaded at the first use."""
    return _Library()


def refused_with(error: DataplaneError) -> int:
    """The errno behind a ``DataplaneError`` of this module, 0 if there is none."""
    cause = error.__cause__
    return cause.errno or 0 if isinstance(cause, OSError) else 0


def possible_cpus() -> int:
    """How many values an entry of a per-CPU map has."""
    return library().check(library().libbpf_num_possible_cpus(), "count processors")


class _Descriptor:
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


class Map(_Descriptor):
    """A BPF map of fixed-size keys and values, as bytes."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        info = _MapInfo()
        length = c_uint32(ctypes.sizeof(info))
        result = library().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(length))
        library().check(result, "ask about a map")
        self.name: str = info.name.decode()
        self.type: int = info.type
        self.id: int = info.id
        self.key_size: int = info.key_size
        self.value_size: int = info.value_size
        self.max_entries: int = info.max_entries

    @classmethod
    def create_array(cls, name: str, value_size: int, max_entries: int) -> "Map":
        """A new array map that can be mapped into memory."""
        options = _MapCreateOptions(sz=ctypes.sizeof(_MapCreateOptions), map_flags=MapFlag.MMAPABLE)
        fd = library().bpf_map_create(
            MapType.ARRAY, name.encode(), 4, value_size, max_entries, ctypes.byref(options)
        )
        return cls(library().check(fd, f"create map {name!r} with {max_entries} entries"))

    @classmethod
    def from_id(cls, map_id: int) -> "Map":
        """The map with this id, as an entry of a map of maps names it."""
        return cls(library().check(library().bpf_map_get_fd_by_id(map_id), f"open map {map_id}"))

    def lookup(self, key: bytes) -> bytes | None:
        """The value of ``key``, None if there is none."""
        return self._lookup(key, self.value_size)

    def lookup_percpu(self, key: bytes) -> list[bytes]:
        """The values of ``key``, one a possible CPU."""
        stride = (self.value_size + 7) & ~7
        values = self._lookup(key, stride * possible_cpus()) or b""
        return [values[at : at + self.value_size] for at in range(0, len(values), stride)]

    def _lookup(self, key: bytes, size: int) -> bytes | None:
        value = ctypes.create_string_buffer(size)
        result = library().bpf_map_lookup_elem(self.fd, key, value)
        if result == -errno.ENOENT:
            return None
        library().check(result, f"read map {self.name!r}")
        return value.raw

    def update(self, key: bytes, value: bytes) -> None:
        """Make or replace an entry; ``DataplaneError`` with E2BIG behind it when the map is full."""
        result = library().bpf_map_update_elem(self.fd, key, value, 0)
        if result < 0:
            library().check(result, f"write map {self.name!r}")

    def update_batch(self, keys: bytes, values: bytes) -> None:
        """Write many entries, keys and values each back to back."""
        count = c_uint32(len(keys) // self.key_size)
        result = library().bpf_map_update_batch(self.fd, keys, values, ctypes.byref(count), None)
        library().check(result, f"write map {self.name!r}")

    def delete(self, key: bytes) -> bool:
        """Delete an entry; False if there was none."""
        result = library().bpf_map_delete_elem(self.fd, key)
        if result == -errno.ENOENT:
            return False
        library().check(result, f"delete from map {self.name!r}")
        return True

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Every entry of a hash or array map, in batches; an entry made meanwhile may be missed."""
        capacity = min(BATCH, self.max_entries)
        cursor, following = ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
        started = False
        while True:
            keys = ctypes.create_string_buffer(self.key_size * capacity)
            values = ctypes.create_string_buffer(self.value_size * capacity)
            count = c_uint32(capacity)
            result = library().bpf_map_lookup_batch(
                self.fd, cursor if started else None, following, keys, values, ctypes.byref(count), None
            )
            if result == -errno.ENOSPC:  # one bucket holds more than the room we gave
                capacity *= 2
                continue
            if result not in (0, -errno.ENOENT):
                library().check(result, f"dump map {self.name!r}")
            yield from zip(
                _cut(keys.raw, self.key_size, count.value),
                _cut(values.raw, self.value_size, count.value),
                strict=True,
            )
            if result == -errno.ENOENT:
                return
            cursor, following, started = following, cursor, True

    def memory(self) -> mmap.mmap:
        """An array map's values in this process's memory, each rounded up to 8 octets."""
        length = self.max_entries * ((self.value_size + 7) & ~7)
        length = (length + mmap.PAGESIZE - 1) & ~(mmap.PAGESIZE - 1)
        try:
            return mmap.mmap(self.fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except OSError as error:
            raise DataplaneError(f"cannot map {self.name!r} into memory: {error.strerror}") from error


def _cut(data: bytes, size: int, count: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, size * count, size))


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a program did with a frame in BPF_PROG_TEST_RUN.

    nanoseconds: mean of one run
    """

    action: int
    frame: bytes
    nanoseconds: int


class Program(_Descriptor):
    """A loaded XDP program."""

    def test_run(self, frame: bytes, ifindex: int = 0, repeat: int = 1) -> TestRun:
        """Run it on a frame of 14 octets or more, without an interface (BPF_PROG_TEST_RUN).

        ifindex: the interface the frame seems to come in by; it must exist
        """
        room = ctypes.create_string_buffer(len(frame) + 512)
        context = (c_uint32 * 6)(0, len(frame), 0, ifindex, 0, 0)  # struct xdp_md
        options = _TestRunOptions(
            sz=ctypes.sizeof(_TestRunOptions),
            data_in=ctypes.cast(c_char_p(frame), c_void_p),
            data_out=ctypes.cast(room, c_void_p),
            data_size_in=len(frame),
            data_size_out=len(room),
            repeat=repeat,
        )
        if ifindex:
            options.ctx_in, options.ctx_size_in = ctypes.addressof(context), ctypes.sizeof(context)
        result = library().bpf_prog_test_run_opts(self.fd, ctypes.byref(options))
        library().check(result, f"test a program with a frame of {len(frame)} octets")
        return TestRun(options.retval, room.raw[: options.data_size_out], options.duration)


class Link(_Descriptor):
    """An XDP program attached to an interface."""

    @classmethod
    def attach(cls, program: Program, ifindex: int, mode: str) -> "Link":
        """Attach in mode ``native`` or ``generic``; EBUSY is behind the error if something is attached."""
        options = _Options(sz=ctypes.sizeof(_Options), flags=XDP_MODES[mode])
        fd = library().bpf_link_create(program.fd, ifindex, BPF_XDP, ctypes.byref(options))
        return cls(library().check(fd, f"attach to interface {ifindex} in {mode} mode"))

    def replace(self, program: Program) -> None:
        """Swap the program atomically. Blocks some 10 ms: not for the event loop."""
        library().check(library().bpf_link_update(self.fd, program.fd, None), "replace the program")

    @property
    def ifindex(self) -> int:
        """The interface it is attached to; 0 when that is gone."""
        info = _LinkInfo()
        length = c_uint32(ctypes.sizeof(info))
        result = library().bpf_obj_get_info_by_fd(self.fd, ctypes.byref(info), ctypes.byref(length))
        library().check(result, "ask about a link")
        return int(info.ifindex)


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


class RingBuffers:
    """Ring buffers of one reader, consumed in the order they were given: the first goes first."""

    def __init__(self, readers: list[tuple[Map, Callable[[bytes], None]]]) -> None:
        self._callbacks = [_SampleCallback(self._sampler(receive)) for _, receive in readers]
        self._taken, self._limit = 0, 0
        self._pointer: int | None = None
        for (ring, _), callback in zip(readers, self._callbacks, strict=True):
            if self._pointer is None:
                self._pointer = library().ring_buffer__new(ring.fd, callback, None, None)
                if not self._pointer:
                    raise library().refusal(ctypes.get_errno(), f"read ring {ring.name!r}")
            else:
                result = library().ring_buffer__add(self._pointer, ring.fd, callback, None)
                library().check(result, f"read ring {ring.name!r}")

    def fileno(self) -> int:
        """An epoll descriptor that is readable when a ring holds something."""
        return int(library().ring_buffer__epoll_fd(self._pointer))

    def consume(self, limit: int | None = None) -> int:
        """Hand over what the rings hold, ``limit`` records (1 or more) at most; the number of records.

        Without a limit it ends when it finds the rings empty: not for rings that are being written.
        """
        self._taken, self._limit = 0, sys.maxsize if limit is None else limit
        result = library().ring_buffer__consume(self._pointer)
        if result != _ENOUGH:
            library().check(result, "read the rings")
        return self._taken

    def close(self) -> None:
        """Unmap the rings."""
        if self._pointer is not None:
            library().ring_buffer__free(self._pointer)
            self._pointer = None

    def _sampler(self, receive: Callable[[bytes], None]) -> Callable[[int | None, int, int], int]:
        def sample(_context: int | None, data: int, size: int) -> int:
            receive(ctypes.string_at(data, size))
            self._taken += 1
            return 0 if self._taken < self._limit else _ENOUGH

        return sample


def pass_program() -> Program:
    """An XDP program that passes everything: what the peer of a veth needs to receive a native XDP_TX."""
    instructions = bytes.fromhex("b7000000020000009500000000000000")  # r0 = XDP_PASS; exit
    fd = library().bpf_prog_load(6, b"pass", b"Dual BSD/GPL", instructions, 2, None)
    return Program(library().check(fd, "load a program"))
