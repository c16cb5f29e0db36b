"""Liveness: what a daemon's work changes has changed since the last look."""

from collections.abc import Iterable

import pytest

from rtspdsr.core.liveness import Liveness, Look


def looked(looks: Iterable[tuple[float, bool, int]]) -> list[str | None]:
    liveness = Liveness()
    return [
        liveness.judge(Look(alive_until=alive_until, waiting=waiting, read=read))
        for alive_until, waiting, read in looks
    ]


@pytest.mark.parametrize(
    "looks",
    [
        [(1.0, False, 0), (2.0, False, 0), (3.0, False, 0)],
        [(1.0, True, 5), (2.0, True, 6), (3.0, True, 7)],
        [(1.0, True, 5), (2.0, False, 5), (3.0, True, 5)],
    ],
    ids=["nothing to read", "a flood that is read", "requests now and then"],
)
def test_nothing_is_wrong(looks: list[tuple[float, bool, int]]) -> None:
    assert looked(looks) == [None, None, None]


def test_a_deadline_that_is_not_renewed_is_named_until_it_is() -> None:
    found = looked([(1.0, False, 0), (1.0, False, 0), (2.0, False, 0)])
    assert found[0] is found[2] is None
    assert found[1]
    assert "deadline is not renewed" in found[1]


def test_a_detour_that_stands_still_is_named_until_it_moves() -> None:
    found = looked([(1.0, True, 5), (2.0, True, 5), (3.0, True, 5), (4.0, True, 6)])
    assert found[0] is found[3] is None
    for words in found[1:3]:
        assert words
        assert "detour stands still" in words
