"""The largest groups of a stream with any number of them: clients, URLs, user agents.

Space-Saving (Metwally, Agrawal and El Abbadi, 2005): so many groups are kept, and a new one takes the place
of the smallest, with its count as possible error. With fewer groups than places every count is exact;
otherwise every group with more than ``total / places`` entries is kept, and ``error`` says how many of its
count may be others'. The tally of a group covers what came since it has its place.
"""

from collections.abc import Callable, Iterator
from heapq import heapify, heapreplace
from typing import Generic, TypeVar

T = TypeVar("T")


class Place(Generic[T]):
    """A group. ``count - error`` entries are its own for certain, ``count`` at most."""

    __slots__ = ("count", "error", "key", "tally")

    def __init__(self, key: str, error: int, tally: T) -> None:
        self.key = key
        self.count = error
        self.error = error
        self.tally = tally


class Hitters(Generic[T]):
    """Places for the largest groups; ``make`` gives a new tally."""

    def __init__(self, places: int, make: Callable[[], T]) -> None:
        self._room = places
        self._make = make
        self._places: dict[str, Place[T]] = {}
        self._smallest: list[tuple[int, str]] = []  # a heap of counts, brought up to date when looked at
        self.total = 0
        self.displaced = 0

    def count(self, key: str) -> T:
        """One more of this group; gives back its tally."""
        self.total += 1
        place = self._places.get(key) or self._enter(key)
        place.count += 1
        return place.tally

    def find(self, key: str) -> T | None:
        """The tally of a group that has a place, without counting."""
        place = self._places.get(key)
        return place.tally if place else None

    @property
    def exact(self) -> bool:
        """Whether no group ever lost its place."""
        return self.displaced == 0

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Place[T]]:
        """Largest first."""
        return iter(sorted(self._places.values(), key=lambda place: (-place.count, place.key)))

    def _enter(self, key: str) -> Place[T]:
        error = 0
        if len(self._places) >= self._room:
            error = self._displace()
        place = self._places[key] = Place(key, error, self._make())
        if self._smallest:
            heapreplace(self._smallest, (error, key))
        elif len(self._places) == self._room:
            self._smallest = [(other.count, other.key) for other in self._places.values()]
            heapify(self._smallest)
        return place

    def _displace(self) -> int:
        """Take the smallest group's place, which is then first in the heap; gives back its count."""
        while True:
            count, key = self._smallest[0]
            current = self._places[key].count
            if current == count:
                del self._places[key]
                self.displaced += 1
                return count
            heapreplace(self._smallest, (current, key))
