"""What backends deliver in a second."""

import pytest

from rtspdsr.core.bandwidth import SMOOTH_S, Bandwidth


def test_a_steady_rate_is_told_though_it_is_heard_of_every_few_seconds() -> None:
    bandwidth = Bandwidth()
    for now in range(0, 200, 5):
        bandwidth.count(1, 1_000_000 * now, now)
    assert bandwidth.of(1, 195) == pytest.approx(1_000_000, rel=0.25)
    assert bandwidth.of(2, 195) == 0


def test_what_was_delivered_before_the_first_count_is_no_rate() -> None:
    bandwidth = Bandwidth()
    bandwidth.count(1, 10**12, 5.0)
    assert bandwidth.of(1, 5.0) == 0


def test_a_backend_that_falls_silent_is_soon_idle() -> None:
    bandwidth = Bandwidth()
    bandwidth.count(1, 0, 0.0)
    bandwidth.count(1, 15_000_000, 1.0)
    assert bandwidth.of(1, 1.0 + 5 * SMOOTH_S) < 10_000


def test_a_new_session_counts_as_a_usual_one_until_it_is_heard_of() -> None:
    bandwidth, rate = Bandwidth(), 400_000
    bandwidth.count(1, 0, 0.0)
    bandwidth.expect(1, rate, 0.0)
    for now in range(100):
        bandwidth.count(1, rate * now, now)
        assert bandwidth.of(1, now) == pytest.approx(rate, rel=0.1)


def test_another_backend_with_its_number_begins_with_nothing() -> None:
    bandwidth = Bandwidth()
    bandwidth.count(1, 10**9, 5.0)
    bandwidth.count(1, 2 * 10**9, 10.0)
    bandwidth.forget(1)
    bandwidth.count(1, 10**12, 10.0)
    assert bandwidth.of(1, 10.0) == 0
