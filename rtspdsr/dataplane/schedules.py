"""How services place new clients, in the kernel: the turns that they take, and the room that backends have.

Handed sequences of backend ids and limits, it writes them; asked, it reads what XDP has counted, without a
system call. What the sequences are to be is decided elsewhere.
"""

import struct
from array import array
from collections.abc import Mapping, Sequence
from mmap import mmap

from rtspdsr.dataplane.layout import ROOM, SCHEDULE, TURN_COUNT, ScheduleFlag, index
from rtspdsr.dataplane.libbpf.maps import Map


class Schedules:
    """The maps ``schedules``, ``turns``, ``turns_taken``, ``rooms`` and ``admissions``."""

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._schedules = maps["schedules"]
        self._turns = maps["turns"].memory()
        self._taken = maps["turns_taken"].memory()
        self._rooms = maps["rooms"].memory()
        self._admissions = maps["admissions"].memory()

    def close(self) -> None:
        """Unmap the memory."""
        for memory in (self._turns, self._taken, self._rooms, self._admissions):
            memory.close()

    def write(self, service_id: int, flags: ScheduleFlag, turns: Sequence[int]) -> None:
        """Put a service's schedule in force: the idle half of its turns is filled, then an update flips it.

        turns: backend ids, ``TURN_COUNT`` at most, the next turn first. Without ``REPEATS`` they come once,
               and then slots say where new clients go.
        """
        if len(turns) > TURN_COUNT:
            raise ValueError(f"a service has {TURN_COUNT} turns at most, not {len(turns)}")
        first = 2 * service_id * TURN_COUNT
        standing = self._schedules.lookup(index(service_id)) or bytes(SCHEDULE.size)
        base = SCHEDULE.named(standing)["base"]
        idle = first + TURN_COUNT if base == first else first
        values = array("Q", turns)  # 4 octets of value, 4 of the kernel's rounding
        self._turns[8 * idle : 8 * (idle + len(values))] = values.tobytes()
        begins = 0 if flags & ScheduleFlag.REPEATS else self.taken(service_id)
        self._schedules.update(index(service_id), SCHEDULE.pack(begins, idle, len(turns), flags))

    def taken(self, service_id: int) -> int:
        """Turns that new clients of a service have taken, ever."""
        return _number(self._taken, service_id)

    def admitted(self, backend_id: int) -> int:
        """New clients that were placed at a backend, ever."""
        return _number(self._admissions, backend_id)

    def limit(self, backend_id: int, until: int | None) -> None:
        """Have a backend take new clients only until so many were placed there, ever; None: any number."""
        packed = ROOM.pack(0, 0) if until is None else ROOM.pack(until, 1)
        self._rooms[ROOM.size * backend_id : ROOM.size * (backend_id + 1)] = packed


def _number(memory: mmap, place: int) -> int:
    (number,) = struct.unpack_from("=Q", memory, 8 * place)
    return int(number)
