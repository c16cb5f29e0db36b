"""The slot tables in the kernel: which backend each slot of a service leads to.

Handed a whole table, it puts that in force at one stroke. What the table is to be is decided elsewhere.
"""

from array import array
from collections.abc import Mapping

from rtspdsr.dataplane.layout import SLOT_COUNT, SLOT_TABLE, index
from rtspdsr.dataplane.libbpf.maps import Map


class Slots:
    """The maps ``slots`` and ``slot_tables``."""

    def __init__(self, maps: Mapping[str, Map]) -> None:
        self._tables = maps["slot_tables"]
        self._slots = maps["slots"].memory()

    def close(self) -> None:
        """Unmap the memory."""
        self._slots.close()

    def write(self, service_id: int, slots: "array[int]") -> None:
        """Put a service's new table in force: the idle half is filled, then one store flips it."""
        if len(slots) != SLOT_COUNT:
            raise ValueError(f"a slot table has {SLOT_COUNT} slots, not {len(slots)}")
        first = 2 * service_id * SLOT_COUNT
        base, filled = self._standing(service_id)
        idle = first + SLOT_COUNT if filled and base == first else first
        values = array("I", bytes(8 * SLOT_COUNT))  # 4 octets of value, 4 of the kernel's rounding
        values[::2] = array("I", slots)
        self._slots[8 * idle : 8 * (idle + SLOT_COUNT)] = values.tobytes()
        self._tables.update(index(service_id), SLOT_TABLE.pack(idle, 1))

    def clear(self, service_id: int) -> None:
        """Have a service place no new clients: their packets are dropped."""
        base, _ = self._standing(service_id)
        self._tables.update(index(service_id), SLOT_TABLE.pack(base, 0))

    def _standing(self, service_id: int) -> tuple[int, int]:
        """Where the table begins, and whether it is filled."""
        base, filled = SLOT_TABLE.unpack(self._tables.lookup(index(service_id)) or bytes(SLOT_TABLE.size))
        return base, filled
