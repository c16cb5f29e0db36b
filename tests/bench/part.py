"""What a part of the benchmarks is: a module that measures one thing, and tells it as tables and plots."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.bench.plots import Plot
from tests.bench.table import Table

#: Is told how far a long measurement is, in a few words.
Tell = Callable[[str], None]


class Part(Protocol):
    """A module with these names.

    TITLE:  of its section
    ROUNDS: that its medians are taken over, unless the user says otherwise: as many as it needs to be worth
            its time, since all parts together are to take less than 20 minutes
    """

    TITLE: str
    ROUNDS: int

    def bench(self, rounds: int, tell: Tell) -> list[Any]:
        """Measure. Gives back cells, dataclasses of figures. What it sets up is gone when it ends or fails.

        Raises an RtspDsrError if it cannot be measured here, and says what is missing.
        """

    def tables(self, cells: list[Any]) -> Sequence[Table]:
        """The cells to be read."""

    def plots(self, cells: list[Any]) -> Sequence[Plot]:
        """The cells to be looked at; none where a table says it all."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a part.

    name:    that it is asked for by
    took_s:  all of it, setting up included
    """

    name: str
    title: str
    rounds: int
    took_s: float
    cells: Sequence[Any]
    tables: Sequence[Table]
    plots: Sequence[Plot]
