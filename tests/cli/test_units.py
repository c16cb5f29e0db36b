"""Numbers, as an operator reads them."""

import pytest

from rtspdsr.cli.units import counted, delivered, lasting


@pytest.mark.parametrize(
    ("of_s", "words"), [(0.2, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (90_061, "1 d 1 h")]
)
def test_times_are_told_in_their_two_largest_units(of_s: float, words: str) -> None:
    assert lasting(of_s) == words


@pytest.mark.parametrize(("number", "words"), [(0, "0 sessions"), (1, "1 session"), (2000, "2,000 sessions")])
def test_one_is_one_and_the_rest_are_several(number: int, words: str) -> None:
    assert counted(number, "session") == words


@pytest.mark.parametrize(
    ("per_s", "waiting", "untold", "words"),
    [
        (0, 0, 0, "0 b/s"),
        (0, 2, 0, "…"),
        (0, 1, 1, "…"),
        (0, 0, 2, "-"),
        (0, 0, 1, "0 b/s"),
        (3_120_000, 0, 1, "3.12 Mb/s"),
        (3_120_000, 1, 0, "3.12 Mb/s + …"),
    ],
)
def test_what_is_not_known_is_told_beside_what_is(
    per_s: float, waiting: int, untold: int, words: str
) -> None:
    sums = {"sessions": 2, "delivered_bits_per_s": per_s, "waiting": waiting, "untold": untold}
    assert delivered(sums) == words
