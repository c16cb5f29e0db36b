"""Maps of fixed-size keys and values: read, written, dumped, mapped into memory."""

import ctypes
import errno
import mmap
from collections.abc import Iterator
from ctypes import c_size_t, c_uint32
from enum import IntEnum

from rtspdsr.dataplane.libbpf.binding import library, possible_cpus
from rtspdsr.dataplane.libbpf.descriptors import Descriptor
from rtspdsr.errors import DataplaneError

BATCH = 4096  # entries of one batch system call: some 0.4 us each


class MapType(IntEnum):
    """``enum bpf_map_type``, those we make."""

    ARRAY = 2


class MapFlag(IntEnum):
    """Flags of map creation (linux/bpf.h), those we use."""

    MMAPABLE = 1 << 10


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


class Map(Descriptor):
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
