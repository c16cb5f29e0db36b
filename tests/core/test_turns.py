"""Turns: in proportion to weights, evenly spread; by load, until loads are even."""

from collections import Counter
from itertools import cycle, islice

import pytest

from rtspdsr.core.turns import BY_LOAD, ROTATION_MAX, Candidate, by_load, in_rotation


def rotation(*weights: float) -> list[int]:
    return in_rotation(
        [Candidate(backend_id=number, weight=weight) for number, weight in enumerate(weights, 1)]
    )


def test_equal_weights_take_turns_in_their_order() -> None:
    assert rotation(100, 100, 100) == [1, 2, 3]


def test_a_heavier_backend_has_more_turns_and_not_in_one_row() -> None:
    assert rotation(100, 200) == [2, 1, 2]
    assert rotation(500, 100, 100) == [1, 1, 2, 1, 3, 1, 1] or Counter(rotation(500, 100, 100)) == {
        1: 5,
        2: 1,
        3: 1,
    }


@pytest.mark.parametrize("weights", [(100, 200, 700), (1, 99), (3, 5, 7, 11), (7919, 7907, 1), (50.0, 12.5)])
def test_turns_follow_the_weights_at_any_point_of_the_round(weights: tuple[float, ...]) -> None:
    round_of = rotation(*weights)
    assert len(round_of) <= ROTATION_MAX
    seen: Counter[int] = Counter()
    for position, backend_id in enumerate(islice(cycle(round_of), 2 * len(round_of)), 1):
        seen[backend_id] += 1
        for number, weight in enumerate(weights, 1):
            fair = position * weight / sum(weights)
            # a rounded round gives each backend one turn for certain, and its share of the rest
            assert abs(seen[number] - fair) <= 2 + 2 * position * len(weights) / ROTATION_MAX


def test_the_lightest_backend_has_a_turn() -> None:
    assert Counter(rotation(10_000, 10_000, 1))[3] == 1


def test_a_backend_without_room_has_no_turn() -> None:
    full = Candidate(backend_id=1, weight=100, room=0)
    other = Candidate(backend_id=2, weight=100, room=5)
    assert in_rotation([full, other]) == [2]
    assert set(by_load([full, other], 1.0)) == {2}
    assert in_rotation([full]) == by_load([full], 1.0) == in_rotation([]) == by_load([], 1.0) == []


def test_the_least_loaded_is_filled_up_before_others_have_turns() -> None:
    turns = by_load(
        [
            Candidate(backend_id=1, weight=100, load=10),
            Candidate(backend_id=2, weight=100, load=7),
            Candidate(backend_id=3, weight=100, load=10),
        ],
        1.0,
        count=9,
    )
    assert turns[:3] == [2, 2, 2]
    assert Counter(turns[3:]) == {1: 2, 2: 2, 3: 2}


def test_loads_come_to_be_in_proportion_to_weights() -> None:
    loads = {1: 300.0, 2: 0.0, 3: 40.0}
    weights = {1: 100, 2: 200, 3: 100}
    turns = by_load([Candidate(backend_id=one, weight=weights[one], load=loads[one]) for one in loads], 1.0)
    for backend_id in turns:
        loads[backend_id] += 1
    assert len(turns) == BY_LOAD
    assert (
        max(loads[one] / weights[one] for one in loads) - min(loads[one] / weights[one] for one in loads)
        <= 1 / 100
    )


def test_turns_end_where_everyone_is_full() -> None:
    some = [Candidate(backend_id=1, weight=100, room=2), Candidate(backend_id=2, weight=100, room=3)]
    assert Counter(by_load(some, 1.0)) == {1: 2, 2: 3}
