"""What happened when, in intervals that widen as the log goes on, so that their number stays bounded.

The mean number of sessions in an interval is exact: a session that begins or ends within one counts for
the part that it was there. Doubling the width of all intervals keeps that exact too. Counts are of what
began in the interval.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import floor

INTERVALS_MAX = 2048  # with something in them; more are merged, two and two


@dataclass(frozen=True, slots=True)
class Interval:
    """One point of a plot: the mean number of sessions, and what happened how often."""

    begin: float
    sessions: float
    counts: dict[str, int]


class Timeline:
    """Sessions over time.

    width_s: of an interval; those of ``series`` begin at whole multiples of it
    """

    __slots__ = ("_counts", "_intervals_max", "_steps", "width_s")

    def __init__(self, intervals_max: int = INTERVALS_MAX) -> None:
        self.width_s = 1
        self._intervals_max = intervals_max
        self._steps: dict[int, float] = {}  # from one interval's mean to the next
        self._counts: dict[str, dict[int, int]] = {}

    def session(self, opened_at: float, closed_at: float) -> None:
        """There was a session from then to then."""
        self._step(opened_at, 1.0)
        self._step(closed_at, -1.0)
        while len(self._steps) > 2 * self._intervals_max:
            self._widen()

    def count(self, what: str, at: float, number: int = 1) -> None:
        """Something happened so often."""
        counts = self._counts.setdefault(what, {})
        place = floor(at / self.width_s)
        counts[place] = counts.get(place, 0) + number
        while len(self._counts[what]) > self._intervals_max:
            self._widen()

    def series(self, points_max: int, since: float, until: float) -> list[Interval]:
        """The intervals from ``since`` to ``until``, few enough to plot. This widens them for good."""
        while (until - since) / self.width_s > points_max:
            self._widen()
        first, last = floor(since / self.width_s), floor(until / self.width_s)
        level = sum(step for place, step in self._steps.items() if place < first)
        rows: list[Interval] = []
        for place in range(first, last + 1):
            level += self._steps.get(place, 0.0)
            counts = {what: counted.get(place, 0) for what, counted in self._counts.items()}
            rows.append(Interval(float(place * self.width_s), max(level, 0.0), counts))
        return rows

    def _step(self, at: float, sign: float) -> None:
        place = floor(at / self.width_s)
        part = (place + 1) - at / self.width_s  # of this interval, that lies behind
        self._steps[place] = self._steps.get(place, 0.0) + sign * part
        self._steps[place + 1] = self._steps.get(place + 1, 0.0) + sign * (1 - part)

    def _widen(self) -> None:
        self.width_s *= 2
        self._steps = _halved(self._steps.items())
        for what, counts in self._counts.items():
            merged: dict[int, int] = {}
            for place, number in counts.items():
                merged[place // 2] = merged.get(place // 2, 0) + number
            self._counts[what] = merged


def _halved(steps: Iterable[tuple[int, float]]) -> dict[int, float]:
    """The steps between the means of pairs of intervals.

    A step into the first of a pair lifts both, and so the pair by as much; one into the second lifts half of
    this pair, and all of the next.
    """
    merged: dict[int, float] = {}
    for place, step in steps:
        half, second = divmod(place, 2)
        if second:
            merged[half] = merged.get(half, 0.0) + step / 2
            merged[half + 1] = merged.get(half + 1, 0.0) + step / 2
        else:
            merged[half] = merged.get(half, 0.0) + step
    return merged
