"""Percentiles, largest groups, distinct clients, timelines: right within their stated errors, and bounded."""

from random import Random

import pytest

from rtspdsr.review.hitters import Hitters
from rtspdsr.review.panel import Distinct, mark
from rtspdsr.review.sketch import RELATIVE_ERROR, Sketch, bucket
from rtspdsr.review.timeline import Timeline


@pytest.mark.parametrize("seed", range(3))
def test_percentiles_are_wrong_by_their_stated_error_at_most(seed: int) -> None:
    random, sketch = Random(seed), Sketch()
    values = sorted(random.lognormvariate(-2, 2) for _ in range(20_001))
    for value in values:
        sketch.add(value, bucket(value))
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        true = values[int(share * 20_000)]
        assert sketch.quantile(share) == pytest.approx(true, rel=RELATIVE_ERROR * 1.01)


def test_zero_is_zero_and_nothing_is_none() -> None:
    sketch = Sketch()
    assert sketch.quantile(0.5) is None
    for value in (0.0, 0.0, -3.0, 1.0):
        sketch.add(value, bucket(value))
    assert sketch.quantile(0.5) == 0.0
    assert sketch.quantile(1.0) == pytest.approx(1.0, rel=RELATIVE_ERROR * 1.01)


def test_any_values_fill_a_bounded_number_of_buckets() -> None:
    assert bucket(1e300) - bucket(0.0) < 1_800


def test_few_groups_are_counted_exactly() -> None:
    groups: Hitters[list[int]] = Hitters(10, list)
    for number in range(30):
        groups.count(f"g{number % 7}").append(number)
    assert groups.exact
    assert [(place.count, place.error, len(place.tally)) for place in groups][:3] == [
        (5, 0, 5),
        (5, 0, 5),
        (4, 0, 4),
    ]


def test_large_groups_are_kept_among_any_number_of_small_ones() -> None:
    random, groups = Random(1), Hitters(100, list[int])
    true = {f"big{number}": 400 + 50 * number for number in range(10)}
    stream = [name for name, count in true.items() for _ in range(count)]
    stream += [f"small{number}" for number in range(20_000)]
    random.shuffle(stream)
    for name in stream:
        groups.count(name)

    found = {place.key: place for place in groups}
    assert len(groups) == 100
    assert not groups.exact
    assert groups.total == len(stream)
    for name, count in true.items():
        assert found[name].count - found[name].error <= count <= found[name].count
        assert found[name].error <= groups.total / 100


def test_distinct_clients_are_counted_then_estimated() -> None:
    clients = Distinct()
    for number in [*range(3000), *range(3000)]:
        clients.add(mark(f"client {number}"))
    assert (clients.exact, len(clients)) == (True, 3000)
    for number in range(100_000):
        clients.add(mark(f"client {number}"))
    assert not clients.exact
    assert len(clients) == pytest.approx(100_000, rel=0.05)


def test_the_mean_of_sessions_is_exact_however_wide_intervals_have_become() -> None:
    random = Random(2)
    sessions = [
        (begin := random.uniform(0, 50_000), begin + random.expovariate(1 / 500)) for _ in range(2000)
    ]
    timeline = Timeline(intervals_max=64)
    for begin, end in sessions:
        timeline.session(begin, end)

    rows = timeline.series(50, 0.0, 50_000.0)
    assert len(rows) <= 51
    for row in rows:
        low, high = row.begin, row.begin + timeline.width_s
        overlap = sum(max(min(end, high) - max(begin, low), 0.0) for begin, end in sessions)
        assert row.sessions == pytest.approx(overlap / timeline.width_s, abs=1e-6)


def test_counts_survive_widening_and_one_wild_time_costs_one_interval() -> None:
    timeline = Timeline(intervals_max=32)
    for second in range(900):
        timeline.count("opened", 1_772_388_000.0 + second)
    width = timeline.width_s
    timeline.count("opened", 0.0)
    assert timeline.width_s == width
    rows = timeline.series(100, 1_772_388_000.0, 1_772_388_900.0)
    assert sum(row.counts["opened"] for row in rows) == 900
