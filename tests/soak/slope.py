"""How fast something grows: the least-squares slope of samples over time, and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

SURE = 2.0  # standard errors from a slope, within which it may as well be another


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """A fitted line's slope.

    per_minute: growth
    error:      its standard error, likewise
    """

    per_minute: float
    error: float

    def exceeds(self, limit: float) -> bool:
        """Whether growth is above a limit, beyond what chance makes of it."""
        return self.per_minute - SURE * self.error > limit


def slope(samples: Sequence[tuple[float, float]]) -> Slope | None:
    """Of (seconds, value); None for fewer than three samples, or for samples of one moment."""
    count = len(samples)
    if count < 3:
        return None
    middle = sum(at for at, _ in samples) / count
    mean = sum(value for _, value in samples) / count
    spread = sum((at - middle) ** 2 for at, _ in samples)
    if not spread:
        return None
    found = sum((at - middle) * (value - mean) for at, value in samples) / spread
    rest = sum((value - mean - found * (at - middle)) ** 2 for at, value in samples)
    error = sqrt(rest / (count - 2) / spread)
    return Slope(per_minute=60 * found, error=60 * error)
