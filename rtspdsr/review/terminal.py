"""A report for people: tables with rich on a terminal, aligned plain text elsewhere.

Text of clients (URLs, user agents) is made harmless here: no control character reaches the terminal.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import IO

from rtspdsr.review.report import Report, Table, numeric, shown

#: Long tables that say more as plots; a terminal shows the rest.
NOT_SHOWN = frozenset({"concurrency", "backend_concurrency"})
CELL_MAX = 60  # characters


def show(report: Report, top: int, out: IO[str] | None = None) -> None:
    """Print a report; of tables that may be long the first ``top`` rows."""
    out = out or sys.stdout
    if out.isatty():
        _show_rich(report, top, out)
    else:
        out.writelines(f"{line}\n" for line in plain(report, top))


def plain(report: Report, top: int) -> Iterator[str]:
    """Lines without any escape sequence."""
    yield from _head(report)
    for table in _tables(report):
        yield from ("", f"{table.title}{_left_out(table, top)}")
        titles = [column.title for column in table.columns]
        cells = [titles, *_cells(table, top)]
        widths = [max(len(row[at]) for row in cells) for at in range(len(titles))]
        right = [numeric(column.kind) for column in table.columns]
        for row in cells:
            aligned = (
                cell.rjust(width) if flush else cell.ljust(width)
                for cell, width, flush in zip(row, widths, right, strict=True)
            )
            yield f"  {'  '.join(aligned)}".rstrip()
        if table.note:
            yield f"  {table.note}"


def _show_rich(report: Report, top: int, out: IO[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as RichTable

    console = Console(file=out, emoji=False)
    for number, line in enumerate(_head(report)):
        console.print(escape(line), style="bold red" if number and line else "", highlight=False)
    for table in _tables(report):
        shown_table = RichTable(
            title=f"{table.title}{_left_out(table, top)}",
            title_justify="left",
            title_style="bold",
            caption=escape(table.note),
            caption_justify="left",
            box=box.SIMPLE_HEAD,
        )
        for column in table.columns:
            shown_table.add_column(column.title, justify="right" if numeric(column.kind) else "left")
        for row in _cells(table, top):
            shown_table.add_row(*map(escape, row))
        console.print(shown_table)


def _head(report: Report) -> Iterator[str]:
    read = report.read
    yield (
        f"{read['lines']:,} lines of {', '.join(read['files'][:5])}"
        f"{', ...' if len(read['files']) > 5 else ''}: {len(report.alarms) or 'no'} "
        f"alarm{'s' * (len(report.alarms) != 1)}"
    )
    yield from (f"! {_harmless(alarm)}" for alarm in report.alarms)


def _tables(report: Report) -> list[Table]:
    return [table for table in report.tables if table.rows and table.name not in NOT_SHOWN]


def _left_out(table: Table, top: int) -> str:
    return f" (first {top} of {len(table.rows):,})" if table.ample and len(table.rows) > top else ""


def _cells(table: Table, top: int) -> list[Sequence[str]]:
    rows = table.rows[:top] if table.ample else table.rows
    return [[_cell(shown(row.get(one.key), one.kind)) for one in table.columns] for row in rows]


def _cell(text: str) -> str:
    text = _harmless(text)
    return text if len(text) <= CELL_MAX else f"{text[: CELL_MAX - 3]}..."


def _harmless(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
