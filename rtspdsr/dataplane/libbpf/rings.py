"""Ring buffers: what XDP has written, handed over record by record, and no more than was asked for."""

import ctypes
import errno
import sys
from collections.abc import Callable

from rtspdsr.dataplane.libbpf.binding import SampleCallback, library
from rtspdsr.dataplane.libbpf.maps import Map

_ENOUGH = -errno.ECANCELED  # ends a ring_buffer__consume, which hands it back; the record counts as read


class RingBuffers:
    """Ring buffers of one reader, consumed in the order they were given: the first goes first."""

    def __init__(self, readers: list[tuple[Map, Callable[[bytes], None]]]) -> None:
        self._callbacks = [SampleCallback(self._sampler(receive)) for _, receive in readers]
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
