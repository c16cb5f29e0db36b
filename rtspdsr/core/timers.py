"""Who is to be looked at when: lingers, provisional limits, holes in half-streams.

It is handed times and gives back who is due. A wake-up is never taken back: whoever is woken for nothing
finds nothing to do, which is cheaper than a search of the heap.
"""

from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class Timers(Generic[T]):
    """Wake-ups in the order of time."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._serial = count()

    def __len__(self) -> int:
        return len(self._heap)

    def wake(self, sleeper: T, at: float) -> None:
        """Have it taken at that time."""
        heappush(self._heap, (at, next(self._serial), sleeper))

    def next_timer(self) -> float | None:
        """When there is somebody to take."""
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> T | None:
        """The one that has been due for longest."""
        if not self._heap or self._heap[0][0] > now:
            return None
        return heappop(self._heap)[2]
