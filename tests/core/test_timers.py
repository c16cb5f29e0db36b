"""Wake-ups come in the order of time, and never before it."""

from rtspdsr.core.timers import Timers


def test_who_is_due_is_taken_earliest_first() -> None:
    timers: Timers[str] = Timers()
    timers.wake("late", 3.0)
    timers.wake("early", 1.0)
    timers.wake("as early", 1.0)
    assert timers.next_timer() == 1.0
    assert timers.take(0.9) is None
    assert [timers.take(2.0) for _ in range(3)] == ["early", "as early", None]
    assert timers.next_timer() == 3.0


def test_an_empty_one_has_no_timer() -> None:
    timers: Timers[str] = Timers()
    assert timers.next_timer() is None
    assert timers.take(1e9) is None
