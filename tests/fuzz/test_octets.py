"""A seeded share of the hostile texts and scripts that ``make fuzz`` runs, and what once found a fault."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import seeds
from tests.fuzz.part import Octets
from tests.fuzz.requests import REQUESTS
from tests.fuzz.seeds import Found, kept
from tests.fuzz.segments import SEGMENTS

SEED = 2326


@pytest.mark.parametrize(
    ("octets", "count"), [(REQUESTS, 1000), (SEGMENTS, 300)], ids=lambda it: getattr(it, "name", "")
)
def test_hostile_octets_are_read_without_harm(octets: Octets, count: int) -> None:
    dice = Random(SEED)
    seen = set[str]()
    for _ in range(count):
        seen.update(octets.check(octets.case(dice)))
    assert len(seen) == 4 if octets is REQUESTS else len(seen) > 18


@pytest.mark.parametrize("octets", [REQUESTS, SEGMENTS], ids=lambda it: it.name)
def test_what_found_a_fault_finds_none(octets: Octets) -> None:
    for name, case in kept(octets.name).items():
        assert octets.read(bytes.fromhex(case["data"]))[1] == "", name


def test_a_fault_is_kept_with_the_least_that_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(data: bytes) -> Iterator[str]:
        yield "seen"
        assert b"$" not in data, "a dollar"

    monkeypatch.setattr(seeds, "DIRECTORY", tmp_path)
    part = Octets("dollars", lambda dice: dice.randbytes(200), check).part("strings", 1)
    with pytest.raises(Found, match="AssertionError: a dollar") as found:
        part.run(10_000, SEED, 0, lambda done: None)
    (case,) = kept("dollars").values()
    assert bytes.fromhex(case["data"]) == b"$"
    with pytest.raises(Found) as again:
        part.run(100, SEED, int(found.value.again.split()[1]), lambda done: None)
    assert again.value.kept == found.value.kept
