"""A review as values: alarms in words, and tables of named, typed columns. Every output is made from these.

A table's rows are what ``--json`` and ``--csv`` give as they are, and what terminal and page show through
``shown``. Nothing here computes or prints.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any

Value = str | float | int | bool | None

VERSION = 1  # of the form of --json: raised when a key changes its meaning or goes


class Kind(StrEnum):
    """How a value is shown."""

    TEXT = "text"
    COUNT = "count"
    NUMBER = "number"
    SECONDS = "seconds"
    SHARE = "share"
    BYTES = "bytes"
    CHANCE = "chance"
    YES = "yes"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its key in the rows, its heading, and how its values are shown."""

    key: str
    title: str
    kind: Kind = Kind.TEXT


count = partial(Column, kind=Kind.COUNT)
share = partial(Column, kind=Kind.SHARE)
seconds = partial(Column, kind=Kind.SECONDS)
number = partial(Column, kind=Kind.NUMBER)
chance = partial(Column, kind=Kind.CHANCE)
yes = partial(Column, kind=Kind.YES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of one form.

    name:  its key in ``--json``, its file name in ``--csv``
    note:  what a reader must know to read it rightly
    ample: it may be long, and is shown cut short where people read it
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: list[Mapping[str, Value]]
    note: str = ""
    ample: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole review.

    read:   what was read and how much of it was of use
    alarms: what somebody should look at, the most certain first
    """

    read: Mapping[str, Any]
    alarms: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def table(self, name: str) -> Table:
        """The table of that name."""
        return next(table for table in self.tables if table.name == name)

    def record(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        tables = {table.name: [dict(row) for row in table.rows] for table in self.tables}
        return {"version": VERSION, "read": dict(self.read), "alarms": self.alarms, **tables}


def shown(value: Value, kind: Kind) -> str:
    """A value as people read it; what is not known is a dash."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if kind is Kind.YES:
        return "yes" if value else ""
    return _SHOWN[kind](float(value))


def numeric(kind: Kind) -> bool:
    """Whether its values are set flush right."""
    return kind not in (Kind.TEXT, Kind.YES)


def moment(at: float) -> str:
    """Seconds since 1970 as UTC, to the second."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "-"


def _seconds(value: float) -> str:
    if abs(value) >= 7200:
        return f"{value / 3600:,.1f} h"
    if abs(value) >= 600:
        return f"{value / 60:,.1f} min"
    return f"{value:,.1f} s" if abs(value) >= 10 else f"{value:.3f} s"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} PB"


def _share(value: float) -> str:
    return f"{value:.2%}" if 0 < abs(value) < 0.1 else f"{value:.1%}"


def _chance(value: float) -> str:
    return "< 1e-12" if value < 1e-12 else f"{value:.1e}" if value < 0.001 else f"{value:.3f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


_SHOWN = {
    Kind.COUNT: lambda value: f"{value:,.0f}",
    Kind.NUMBER: _number,
    Kind.SECONDS: _seconds,
    Kind.SHARE: _share,
    Kind.BYTES: _bytes,
    Kind.CHANCE: _chance,
    Kind.TEXT: _number,
}
