"""What is said of strangers, and how often."""

from rtspdsr.admin.nuisance import EVERY_S, Nuisances


def test_the_first_is_said_at_once_and_the_others_are_counted() -> None:
    nuisances = Nuisances()
    assert nuisances.happened("something odd", 0.0) == "admin API: something odd"
    assert [nuisances.happened("something odd", 1.0) for _ in range(2000)] == [None] * 2000
    assert (
        nuisances.happened("the last", EVERY_S)
        == "admin API: the last (and 2,000 more since the last such line)"
    )
