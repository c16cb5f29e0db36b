"""Sides are measured in turn, warmed up, and told as medians."""

from tests.bench.rounds import Spread, interleave


def test_every_side_is_measured_once_a_round_in_changing_order_after_a_warm_up() -> None:
    seen: list[str] = []

    def side(name: str) -> float:
        seen.append(name)
        return float(len(seen))

    measured = interleave({name: lambda name=name: side(name) for name in "abc"}, rounds=20)  # type: ignore[misc]
    rounds = ["".join(seen[at : at + 3]) for at in range(0, len(seen), 3)]
    assert [sorted(one) for one in rounds] == [["a", "b", "c"]] * 21
    assert len(set(rounds)) > 1
    assert {name: len(values) for name, values in measured.items()} == {"a": 20, "b": 20, "c": 20}
    assert min(min(values) for values in measured.values()) > 3


def test_a_spread_is_told_by_its_median_and_its_tenths() -> None:
    spread = Spread.of([float(value) for value in range(11)])
    assert (spread.median, spread.least, spread.low, spread.high) == (5, 0, 1, 9)
