"""The few statistical formulas that a review needs: exact where that is cheap, else the usual approximation.

Standard library alone: scipy would add 100 MB to an installation for a page of arithmetic. Everything takes
and gives numbers. Probabilities of the far tail come from ``erfc`` and ``lgamma``, not from 1 - x.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import erfc, exp, lgamma, log, sqrt
from statistics import NormalDist

CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)

#: Of a sorted sample every so-manieth value is enough for a shift: its rank is off by 1 in 4,000 at most.
SHIFT_VALUES = 2_000
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, and the interval that holds the true one with ``CONFIDENCE``."""

    value: float
    low: float
    high: float


# --- many comparisons --------------------------------------------------------------------------------


def holm(chances: Sequence[float]) -> list[float]:
    """Each chance corrected for their number (Holm, 1979), in the same order.

    Whatever depends on whatever: that one of those without cause falls below x has a chance of x at most.
    """
    adjusted, highest = [0.0] * len(chances), 0.0
    for rank, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        highest = max(highest, min(1.0, chances[index] * (len(chances) - rank)))
        adjusted[index] = highest
    return adjusted


# --- two samples -------------------------------------------------------------------------------------


def mann_whitney(ones: Sequence[float], others: Sequence[float]) -> float:
    """Chance of ones as large as these, if they are like the others. One-sided, both samples sorted.

    Normal approximation with corrections for ties and continuity; from 8 values a side on it errs on
    the safe side, unless nearly all values are the same (see ``spread``).
    """
    n, m = len(ones), len(others)
    wins = sum(bisect_left(others, one) + bisect_right(others, one) for one in ones) / 2
    ties = _ties(sorted([*ones, *others]))
    total = n + m
    variance = n * m / 12 * (total + 1 - sum(t**3 - t for t in ties) / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    return erfc((wins - n * m / 2 - 0.5) / sqrt(2 * variance)) / 2


def spread(ones: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """The commonest value of both together, and how many others the smaller sample should have of it."""
    both = sorted([*ones, *others])
    most, at, begin = 0, both[0], 0
    for length in _ties(both):
        if length > most:
            most, at = length, both[begin]
        begin += length
    return at, (len(both) - most) * min(len(ones), len(others)) / len(both)


def cliffs_delta(ones: Sequence[float], others: Sequence[float]) -> Estimate:
    """How much likelier one is above an other than below it, -1 to 1.

    The interval is that of Feng and Cliff (2004). Both samples sorted, of two values at least.
    """
    n, m = len(ones), len(others)
    rows = [(bisect_left(others, one) - (m - bisect_right(others, one))) / m for one in ones]
    columns = [((n - bisect_right(ones, other)) - bisect_left(ones, other)) / n for other in others]
    delta = sum(rows) / n
    apart = sum(m - (bisect_right(others, one) - bisect_left(others, one)) for one in ones)
    inside = apart - n * m * delta**2
    variance = (
        m**2 * sum((row - delta) ** 2 for row in rows)
        + n**2 * sum((column - delta) ** 2 for column in columns)
        - inside
    ) / (n * m * (n - 1) * (m - 1))
    variance = max(variance, (1 - delta**2) / (n * m - 1))
    below = 1 - delta**2 + _Z**2 * variance
    if below <= 0:  # no value of one side within the other
        return Estimate(delta, delta, delta)
    middle = delta - delta**3
    width = _Z * sqrt(variance) * sqrt((1 - delta**2) ** 2 + _Z**2 * variance)
    return Estimate(delta, max((middle - width) / below, -1.0), min((middle + width) / below, 1.0))


def hodges_lehmann(ones: Sequence[float], others: Sequence[float]) -> Estimate:
    """By how much the ones are larger than the others: the median of all differences. Both samples sorted."""
    n, m = len(ones), len(others)
    half = _Z * sqrt((n + m + 1) / (12 * n * m))  # of the interval, as a share of all differences
    ones, others = _thinned(ones), _thinned(others)
    low, middle, high = (_difference(ones, others, share) for share in (0.5 - half, 0.5, 0.5 + half))
    return Estimate(middle, low, high)


def _difference(ones: Sequence[float], others: Sequence[float], share: float) -> float:
    """The difference below which this share of all differences lies, by halving."""
    low, high = ones[0] - others[-1], ones[-1] - others[0]
    rank = min(max(share, 0.0), 1.0) * len(ones) * len(others)
    for _ in range(_HALVINGS):
        if high - low <= 1e-9 * max(abs(low), abs(high)):
            break
        middle = (low + high) / 2
        if sum(len(others) - bisect_left(others, one - middle) for one in ones) < rank:
            low = middle
        else:
            high = middle
    return round((low + high) / 2, 12)  # what is left of a zero is no difference


def _thinned(values: Sequence[float]) -> Sequence[float]:
    if len(values) <= SHIFT_VALUES:
        return values
    return [values[(2 * at + 1) * len(values) // (2 * SHIFT_VALUES)] for at in range(SHIFT_VALUES)]


def _ties(values: Sequence[float]) -> list[int]:
    """How often each value of a sorted sample occurs."""
    lengths, at = [], 0
    while at < len(values):
        end = bisect_right(values, values[at], at)
        lengths.append(end - at)
        at = end
    return lengths


# --- shares ------------------------------------------------------------------------------------------


def fisher(hits: int, number: int, other_hits: int, other_number: int) -> float:
    """Chance of so many hits of a number, if the others hit as often. One-sided, exact (Fisher)."""
    hits_all, number_all = hits + other_hits, number + other_number
    ways = _choose(number_all, hits_all)

    def chance(k: int) -> float:
        return _choose(number, k) + _choose(other_number, hits_all - k) - ways

    return _tail(chance, range(hits, min(number, hits_all) + 1))


def binomial(hits: int, number: int, share: float) -> float:
    """Chance of a count as far from its expectation, either way: twice the smaller tail, exact."""
    if not 0 < share < 1:
        return 1.0 if hits == number * share else 0.0

    def chance(k: int) -> float:
        return _choose(number, k) + k * log(share) + (number - k) * log(1 - share)

    if hits >= number * share:
        return min(1.0, 2 * _tail(chance, range(hits, number + 1)))
    return min(1.0, 2 * _tail(chance, range(hits, -1, -1)))


def wilson(hits: int, number: int) -> Estimate:
    """The share that so many hits speak for (Wilson, 1927)."""
    share = hits / number
    scale = 1 + _Z**2 / number
    middle = (share + _Z**2 / (2 * number)) / scale
    width = _Z / scale * sqrt(share * (1 - share) / number + _Z**2 / (4 * number**2))
    return Estimate(share, max(middle - width, 0.0), min(middle + width, 1.0))


def risk_ratio(hits: int, number: int, other_hits: int, other_number: int) -> Estimate:
    """How many times as often they hit as the others, with Katz's interval (1978).

    Half a hit is added on both sides, so that none at all has a ratio too.
    """
    one, other = (hits + 0.5) / (number + 0.5), (other_hits + 0.5) / (other_number + 0.5)
    width = _Z * sqrt(
        max(1 / (hits + 0.5) - 1 / (number + 0.5) + 1 / (other_hits + 0.5) - 1 / (other_number + 0.5), 0.0)
    )
    ratio = log(one / other)
    return Estimate(exp(ratio), exp(ratio - width), exp(ratio + width))


def _tail(log_chance: Callable[[int], float], counts: range) -> float:
    """The sum of chances that fall from the first on; it ends where they add nothing more."""
    total = 0.0
    for number, k in enumerate(counts):
        term = exp(log_chance(k))
        total += term
        if number > 8 and term < total * 1e-12:
            break
    return min(total, 1.0)


def _choose(n: int, k: int) -> float:
    if not 0 <= k <= n:
        return float("-inf")
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
