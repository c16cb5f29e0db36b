"""Which backend a new client goes to: the slot table, filled by weighted rendezvous hashing (HRW).

It is handed the usable backends of a service and gives back the table in pieces, each a few milliseconds
of work. Every slot draws a lot for every backend, by the backend's name alone, and the shortest one has it;
so a backend that leaves gives its own slots away, one that comes takes its own, and no other slot moves
(design rule 5). The table is the same in every process and on every balancer.
"""

from array import array
from collections.abc import Iterator, Sequence
from hashlib import shake_128
from math import log

from rtspdsr.model import Backend

#: Slots of a service: one more than 2^16, a prime. A backend of 1 % has 655, so its share is true to a few %.
SLOTS = 65_537

#: Backends whose lots are kept, 256 KiB each.
LOTS_KEPT = 256

#: Lots drawn, and lots compared, in one piece of work: 1 to 3 ms.
_DRAWN_AT_ONCE = 8_192
_COMPARED_AT_ONCE = 32_768


class Rendezvous:
    """Tables of ``slots`` entries; remembers the lots of backends between two of them."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self._lots: dict[tuple[str, float], array[float]] = {}

    def fill(self, backends: Sequence[Backend]) -> "Iterator[array[int]]":
        """The backend ids of all slots, in order, in pieces. Without a backend of any weight: nothing.

        An empty piece is a rest in the work, for others to have their turn.
        """
        weighed = sorted((one for one in backends if one.weight > 0), key=lambda one: one.name)
        drawn: list[array[float]] = []
        for one in weighed:
            lots = array("f")
            for piece in self._drawn(one.name, one.weight):
                lots.extend(piece)
                yield array("H")
            drawn.append(lots)
        if not weighed:
            return
        ids = [one.backend_id for one in weighed]
        step = max(1, min(_DRAWN_AT_ONCE, _COMPARED_AT_ONCE // len(ids)))
        for begin in range(0, self._slots, step):
            rows = zip(*(lots[begin : begin + step] for lots in drawn), strict=True)
            yield array("H", [ids[row.index(min(row))] for row in rows])

    def _drawn(self, name: str, weight: float) -> "Iterator[array[float]]":
        """The lots of a backend: exponentially distributed, the shorter the heavier it is."""
        known = self._lots.pop((name, weight), None)
        if known is not None:
            self._lots[name, weight] = known  # now the last to be forgotten
            yield known
            return
        lots = array("f")
        numbers = array("I")
        numbers.frombytes(shake_128(name.encode()).digest(4 * self._slots))
        for begin in range(0, self._slots, _DRAWN_AT_ONCE):
            piece = array(
                "f",
                [
                    -log((number + 0.5) / 4294967296) / weight
                    for number in numbers[begin : begin + _DRAWN_AT_ONCE]
                ],
            )
            lots.extend(piece)
            yield piece
        self._lots[name, weight] = lots
        while len(self._lots) > LOTS_KEPT:
            del self._lots[next(iter(self._lots))]
