"""A slope is what it is, and chance is not taken for growth."""

from random import Random

import pytest

from tests.soak.slope import slope

MINUTE = 60.0


def test_a_line_has_its_slope_without_error() -> None:
    found = slope([(at, 100.0 + 3.0 * at / MINUTE) for at in range(0, 600, 5)])
    assert found is not None
    assert found.per_minute == pytest.approx(3.0)
    assert found.error == pytest.approx(0.0, abs=1e-9)
    assert found.exceeds(2.9)
    assert not found.exceeds(3.1)


def test_noise_about_a_level_is_no_growth() -> None:
    dice = Random(1)
    found = slope([(at, 50_000 + dice.gauss(0, 400)) for at in range(0, 600, 5)])
    assert found is not None
    assert not found.exceeds(64)


def test_a_small_growth_under_noise_is_found() -> None:
    dice = Random(2)
    found = slope([(at, 50_000 + 200 * at / MINUTE + dice.gauss(0, 400)) for at in range(0, 1200, 5)])
    assert found is not None
    assert found.exceeds(64)


@pytest.mark.parametrize("samples", [[], [(0.0, 1.0), (5.0, 2.0)], [(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]])
def test_too_little_says_nothing(samples: list[tuple[float, float]]) -> None:
    assert slope(samples) is None
