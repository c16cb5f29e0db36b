"""Readings come round: each in its period, the longest waiting first."""

from rtspdsr.core.heard import Heard, ReadingQueue
from rtspdsr.model import FlowKey


class Voice(Heard):
    """Anything that can be heard."""

    def flows(self) -> list[FlowKey]:
        return []


def taken(queue: ReadingQueue, now: float) -> list[Heard]:
    found = []
    while (heard := queue.take(now)) is not None:
        found.append(heard)
    return found


def test_each_is_taken_once_a_period_after_it_was_put() -> None:
    queue = ReadingQueue(every_s=5.0, soon_s=1.0)
    slow, fast = Voice(1, 0.0), Voice(1, 0.0)
    queue.put(slow, 0.0, soon=False)
    queue.put(fast, 0.0, soon=True)
    queue.put(slow, 0.0, soon=True)  # it waits already
    assert taken(queue, 0.9) == []
    assert taken(queue, 1.0) == [fast]
    assert taken(queue, 4.9) == []
    assert taken(queue, 5.0) == [slow]
    assert taken(queue, 99.0) == []


def test_the_one_that_has_waited_longest_is_taken_first() -> None:
    queue = ReadingQueue(every_s=5.0, soon_s=1.0)
    first, second, third = (Voice(1, 0.0) for _ in range(3))
    queue.put(second, 1.0, soon=False)
    queue.put(first, 4.5, soon=True)
    queue.put(third, 6.0, soon=True)
    assert taken(queue, 10.0) == [first, second, third]


def test_what_has_ended_is_not_read_any_more() -> None:
    queue = ReadingQueue(every_s=5.0, soon_s=1.0)
    one, other = Voice(1, 0.0), Voice(1, 0.0)
    queue.put(one, 0.0, soon=True)
    queue.put(other, 0.0, soon=True)
    one.closed = True
    queue.put(one, 0.0, soon=False)
    assert taken(queue, 10.0) == [other]


def test_to_be_heard_earlier_than_last_time_changes_nothing() -> None:
    voice = Voice(1, 10.0)
    voice.hear(12.0)
    voice.hear(11.0)
    assert voice.heard_at == 12.0
