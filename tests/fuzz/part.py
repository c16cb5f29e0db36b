"""A part of what ``make fuzz`` does: one kind of input, and what must hold of it."""

import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.fuzz.seeds import Found, keep, shrunk

Run = Callable[[int, int, int, Callable[[int], None]], str]
BATCH = 100


class NotRun(Exception):
    """A part cannot be run here, and why."""


@dataclass(frozen=True)
class Part:
    """What can be run.

    unit:  what is counted
    count: how many by default: a minute or two
    run:   is handed a count, a seed, the batch to begin with, and whom to tell how many are done; gives back
           in words what it walked through. Raises Found, NotRun
    """

    unit: str
    count: int
    run: Run


@dataclass(frozen=True)
class Octets:
    """A kind of input that is a string of octets, which dice or a coverage-guided fuzzer can make up.

    case:   makes one up
    check:  reads it; gives back what was seen on the way, and raises if it must not be so
    """

    name: str
    case: Callable[[Random], bytes]
    check: Callable[[bytes], Iterable[str]]

    def part(self, unit: str, count: int) -> Part:
        """With dice."""
        return Part(unit, count, partial(_with_dice, self))

    def read(self, data: bytes) -> tuple[list[str], str]:
        """What was seen on the way, and what is wrong; "" if nothing is."""
        try:
            return list(self.check(data)), ""
        except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            return [], f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"

    def found(self, data: bytes, again: str) -> Found:
        """A fault, the least that shows it kept."""
        least = shrunk(data, lambda less: bool(self.read(less)[1]))
        _, why = self.read(least)
        return Found(why, keep(self.name, {"why": why, "data": least.hex()}), again)


def _with_dice(octets: Octets, count: int, seed: int, first: int, progress: Callable[[int], None]) -> str:
    walked: Counter[str] = Counter()
    for number in range(first, first - (-count // BATCH)):
        progress((number - first) * BATCH)
        dice = Random(f"{octets.name} {seed} {number}")
        for _ in range(BATCH):
            data = octets.case(dice)
            seen, why = octets.read(data)
            if why:
                raise octets.found(data, f"--first {number} --count {BATCH}")
            walked.update(seen)
    return ", ".join(f"{what} {times:,}" for what, times in walked.most_common())
