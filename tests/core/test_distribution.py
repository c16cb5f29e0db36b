"""A histogram that is cheap to fill."""

from rtspdsr.core.distribution import Distribution


def test_values_are_counted_at_the_bounds_and_below() -> None:
    counted = Distribution((0.0, 0.5, 1.0))
    for value in (0.0, 0.25, 0.5, 0.75, 2.0):
        counted.observe(value)
    assert counted.cumulated() == [("0", 1), ("0.5", 3), ("1", 4), ("+Inf", 5)]
    assert counted.total == 3.5
