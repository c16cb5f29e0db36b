"""Sides measured against each other: interleaved in shuffled rounds, so that what else the machine does meets
all of them alike, and told as medians with their spread."""

import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Measured = TypeVar("Measured")


@dataclass(frozen=True, slots=True)
class Spread:
    """What one side measured over all rounds.

    low, high: the first and the ninth tenth
    """

    median: float
    least: float
    low: float
    high: float

    @classmethod
    def of(cls, measured: list[float]) -> "Spread":
        """The spread of two measurements or more."""
        tenths = statistics.quantiles(measured, n=10, method="inclusive")
        return cls(statistics.median(measured), min(measured), tenths[0], tenths[-1])

    def __format__(self, form: str) -> str:
        """The median and the spread around it, each number as ``form`` says."""
        return f"{self.median:{form}} ({self.low:{form}}-{self.high:{form}})"


def interleave(
    sides: Mapping[str, Callable[[], Measured]], rounds: int, tell: Callable[[str], None] = lambda words: None
) -> dict[str, list[Measured]]:
    """Every side once a round, each round in another order. A first round warms up and is not counted.

    tell: is told which round it is
    """
    order, shuffle = list(sides), random.Random(1).shuffle
    measured: dict[str, list[Measured]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        tell(f"round {number} of {rounds}" if number else "warming up")
        shuffle(order)
        for name in order:
            value = sides[name]()
            if number:
                measured[name].append(value)
    return measured
