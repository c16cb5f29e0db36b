"""Percentiles of any number of values in bounded memory: counts in buckets whose width grows with the value.

Each bucket spans a factor of GAMMA, so a percentile is wrong by ``RELATIVE_ERROR`` at most, whatever the
values are (the DDSketch of Masson, Rim and Lee, 2019). Between ``SMALLEST`` and ``LARGEST`` there are 1,727
buckets; what is smaller, zero and less too, is one more, and its value is 0.
"""

from math import ceil, log

RELATIVE_ERROR = 0.01
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
SMALLEST, LARGEST = 1e-6, 1e9

_PER_LOG = 1 / log(GAMMA)
_ZERO = ceil(log(SMALLEST) * _PER_LOG) - 1


def bucket(value: float) -> int:
    """The bucket of a value; the same for all sketches, so that it is worked out once for many."""
    return _ZERO if value < SMALLEST else ceil(log(min(value, LARGEST)) * _PER_LOG)


class Sketch:
    """A distribution."""

    __slots__ = ("_counts", "count", "maximum")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.maximum = 0.0

    def add(self, value: float, at: int) -> None:
        """Take in a value, whose bucket is ``at``."""
        self._counts[at] = self._counts.get(at, 0) + 1
        self.count += 1
        if value > self.maximum:
            self.maximum = value

    def quantile(self, share: float) -> float | None:
        """The value below which this share (0 to 1) of all lies; None if there are none."""
        if not self.count:
            return None
        rank, seen = share * (self.count - 1), 0
        for at in sorted(self._counts):
            seen += self._counts[at]
            if seen > rank:
                return 0.0 if at == _ZERO else min(2 * GAMMA**at / (GAMMA + 1), self.maximum)
        return self.maximum

    def buckets(self) -> list[tuple[float, int]]:
        """Upper bounds and counts, in order: for a plot."""
        return [(0.0 if at == _ZERO else GAMMA**at, self._counts[at]) for at in sorted(self._counts)]
