"""The formulas, against values worked out by hand or by exhaustion."""

from itertools import combinations
from random import Random

import pytest

from rtspdsr.review import inference
from rtspdsr.review.inference import (
    binomial,
    cliffs_delta,
    fisher,
    hodges_lehmann,
    holm,
    mann_whitney,
    risk_ratio,
    spread,
    wilson,
)


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_mann_whitney_is_near_the_exact_chance() -> None:
    """By exhaustion: all ways to deal 16 ranks to two sides."""
    ones, others = [3.0, 7, 9, 10, 12, 14, 15, 16], [1.0, 2, 4, 5, 6, 8, 11, 13]
    ranks = sorted(ones + others)
    wins = sum(one > other for one in ones for other in others)
    dealt = list(combinations(ranks, 8))
    as_many = 0
    for hand in dealt:
        rest = [rank for rank in ranks if rank not in hand]
        as_many += sum(one > other for one in hand for other in rest) >= wins
    assert mann_whitney(ones, others) == pytest.approx(as_many / len(dealt), abs=0.004)


def test_mann_whitney_knows_ties_and_sides() -> None:
    same = [1.0] * 10
    assert mann_whitney(same, same) == 1.0
    low, high = (
        sorted(Random(1).uniform(0, 1) for _ in range(40)),
        sorted(Random(2).uniform(1, 2) for _ in range(40)),
    )
    assert mann_whitney(high, low) < 1e-12
    assert mann_whitney(low, high) > 0.999


def test_cliffs_delta_counts_pairs() -> None:
    ones, others = [2.0, 3, 5, 8], [1.0, 3, 4, 9, 10]
    pairs = [(one > other) - (one < other) for one in ones for other in others]
    found = cliffs_delta(ones, others)

    assert found.value == pytest.approx(sum(pairs) / len(pairs))
    assert -1 <= found.low < found.value < found.high <= 1


def test_cliffs_delta_of_samples_that_do_not_touch_is_one() -> None:
    found = cliffs_delta([5.0] * 3 + [6.0] * 30, [1.0] * 30)
    assert found.value == 1
    assert found.high == pytest.approx(1)
    assert found.low > 0.8


def test_intervals_of_a_shift_hold_the_true_one_as_often_as_they_say() -> None:
    held = deltas = 0
    for seed in range(200):
        random = Random(seed)
        ones = sorted(random.gauss(0.3, 1) for _ in range(40))
        others = sorted(random.gauss(0, 1) for _ in range(60))
        shift, delta = hodges_lehmann(ones, others), cliffs_delta(ones, others)
        held += shift.low <= 0.3 <= shift.high
        deltas += delta.low <= 0.168 <= delta.high  # 2 * Phi(0.3 / sqrt(2)) - 1
    assert 180 <= held <= 199
    assert 180 <= deltas <= 199


def test_a_shift_is_the_median_difference() -> None:
    ones, others = [1.0, 4, 6, 9], [0.5, 2, 3]
    differences = sorted(one - other for one in ones for other in others)
    assert differences[5] - 1e-6 <= hodges_lehmann(ones, others).value <= differences[6] + 1e-6


def test_a_shift_of_large_samples_is_found_in_a_part_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(3)
    ones, others = (sorted(random.gauss(mean, 1) for _ in range(3000)) for mean in (1.0, 0.0))
    thinned = hodges_lehmann(ones, others).value
    monkeypatch.setattr(inference, "SHIFT_VALUES", 10_000)
    assert thinned == pytest.approx(hodges_lehmann(ones, others).value, abs=0.002)


def test_fisher_is_exact() -> None:
    """The lady tasting tea: 3 of 4 cups right, and all 4."""
    assert fisher(3, 4, 1, 4) == pytest.approx(17 / 70)
    assert fisher(4, 4, 0, 4) == pytest.approx(1 / 70)
    assert fisher(0, 4, 4, 4) == pytest.approx(1)


def test_binomial_is_exact() -> None:
    assert binomial(9, 10, 0.5) == pytest.approx(22 / 1024)
    assert binomial(1, 10, 0.5) == pytest.approx(22 / 1024)
    assert binomial(5, 10, 0.5) == 1
    assert binomial(3, 10, 0.0) == 0
    assert binomial(10, 10, 1.0) == 1


def test_wilson_and_risk_ratio() -> None:
    half = wilson(50, 100)
    assert [half.low, half.high] == pytest.approx([0.404, 0.596], abs=0.001)
    assert wilson(0, 20).low == 0
    ratio = risk_ratio(40, 100, 10, 100)
    assert ratio.value == pytest.approx(40.5 / 10.5)
    assert 2 < ratio.low < ratio.value < ratio.high < 8
    assert risk_ratio(0, 50, 0, 50).value == pytest.approx(1)


def test_spread_finds_the_commonest_value() -> None:
    commonest, others = spread([0.0, 0, 1], [0.0, 0, 0, 0, 2, 3])
    assert [commonest, others] == pytest.approx([0.0, 1.0])
