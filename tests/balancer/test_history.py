"""The past of each backend's counters is kept, within bounds."""

from rtspdsr.balancer.history import EVERY_S, KEPT, History, Reading


def reading(number: int) -> Reading:
    return Reading(EVERY_S * number, 10 * number, 1000 * number, number, 0)


def test_the_last_half_hour_is_kept_oldest_first() -> None:
    history = History()
    for number in range(KEPT + 5):
        history.note({1: reading(number), 2: reading(number)})

    assert history.of(1) == [reading(number) for number in range(5, KEPT + 5)]
    assert history.of(2) == history.of(1)
    assert KEPT * EVERY_S == 30 * 60


def test_a_backend_that_left_is_forgotten_and_its_number_begins_anew() -> None:
    history = History()
    history.note({1: reading(1), 2: reading(1)})
    history.note({1: reading(2)})
    history.note({1: reading(3), 2: reading(3)})

    assert history.of(2) == [reading(3)]
    assert len(history.of(1)) == 3
    assert history.of(7) == []
