"""The statistics of pins: places in chunks of shared memory, given out, read and taken back.

XDP writes them, this module reads them without a system call and zeroes a place before it gives it
out. A chunk is an inner array map of ``CHUNK_PINS`` places, made when the ones before it run short, so
that memory grows with the pins. Place 0 means "not counted" and is never given out.

The place that was given back first is given out first: a CPU that found an old pin just before it was deleted
may still count there, and after so many other pins it does so no more.
"""

import mmap
from array import array
from collections import deque

from rtspdsr.dataplane.bpffs import Home, chunk_pin
from rtspdsr.dataplane.layout import CHUNK_PINS, PIN_STATISTICS, index, unpack_statistics
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.dataplane.ticks import Ticks
from rtspdsr.model import PinReading

_ZERO = bytes(PIN_STATISTICS.size)
_WORDS = PIN_STATISTICS.size // 8  # of a place, the first of which counts packets

#: Of a pin that has no place.
UNCOUNTED = PinReading(packets=0, bytes=0, heard_at=0.0, counted=False)


class Statistics:
    """Places of the outer map ``chunks``; adopts the chunks that are there."""

    def __init__(self, home: Home, chunks: Map, ticks: Ticks) -> None:
        self._home = home
        self._chunks = chunks
        self._ticks = ticks
        self._memory: list[mmap.mmap] = []
        self._words: list[memoryview] = []
        self._told = array("Q")  # packets that were counted when news of a place were last asked for
        self._free: deque[int] = deque()
        while len(self._memory) < chunks.max_entries:
            number = len(self._memory)
            if chunks.lookup(index(number)) is None:
                break
            with Map.from_pin(chunk_pin(home.in_force, number)) as standing:
                self._map(standing)
        if not self._memory:
            self.grow()
        self._free = deque(range(1, len(self._memory) * CHUNK_PINS))

    def adopt(self, places: set[int]) -> None:
        """Mark places as given out: those of pins that an earlier daemon made."""
        self._free = deque(place for place in self._free if place not in places)

    @property
    def scarce(self) -> bool:
        """Whether ``grow`` should be called soon."""
        return len(self._free) < CHUNK_PINS // 2 and len(self._memory) < self._chunks.max_entries

    def grow(self) -> None:
        """Make one more chunk. Waits for the kernel some milliseconds: not for the event loop."""
        number = len(self._memory)
        path = chunk_pin(self._home.in_force, number)
        with Map.create_array("chunk", PIN_STATISTICS.size, CHUNK_PINS) as made:
            path.unlink(missing_ok=True)  # of a daemon that was killed just here
            made.pin(path)
            self._chunks.update(index(number), made.fd.to_bytes(4, "little"))
            self._map(made)
        first = number * CHUNK_PINS
        self._free.extend(range(max(first, 1), first + CHUNK_PINS))

    def take(self) -> int:
        """A zeroed place, 0 if there is none."""
        if not self._free:
            return 0
        place = self._free.popleft()
        chunk, offset = self._where(place)
        chunk[offset : offset + PIN_STATISTICS.size] = _ZERO
        self._told[place] = 0
        return place

    def give_back(self, place: int) -> None:
        """Take a place back."""
        if place:
            self._free.append(place)

    def read(self, place: int) -> PinReading:
        """What XDP has counted at a place; nothing is known at place 0."""
        if not place:
            return UNCOUNTED
        chunk, offset = self._where(place)
        return unpack_statistics(chunk, offset, self._ticks.seconds)

    def news(self, place: int) -> PinReading | None:
        """The same, if packets were counted since it was last asked here; else None."""
        if not place:
            return UNCOUNTED
        packets = self._words[place // CHUNK_PINS][place % CHUNK_PINS * _WORDS]
        if packets == self._told[place]:
            return None
        self._told[place] = packets
        return self.read(place)

    def write(self, place: int, counted: bytes) -> None:
        """Put a packed ``struct pin_statistics`` in a place: that of a pin carried over from other maps."""
        if place:
            chunk, offset = self._where(place)
            chunk[offset : offset + PIN_STATISTICS.size] = counted

    def close(self) -> None:
        """Unmap the memory."""
        for words, chunk in zip(self._words, self._memory, strict=True):
            words.release()
            chunk.close()
        self._words.clear()
        self._memory.clear()

    def _map(self, chunk: Map) -> None:
        """Have a chunk in our memory."""
        memory = chunk.memory()
        self._memory.append(memory)
        self._words.append(memoryview(memory).cast("Q"))
        self._told.extend([0] * CHUNK_PINS)

    def _where(self, place: int) -> tuple[mmap.mmap, int]:
        return self._memory[place // CHUNK_PINS], place % CHUNK_PINS * PIN_STATISTICS.size
