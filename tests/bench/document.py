"""docs/benchmarks.md: tables and plots of a part go between its two marks, all else is written by hand."""

from pathlib import Path

from tests.bench.origin import ROOT, Origin
from tests.bench.part import Result

PAGE = ROOT / "docs" / "benchmarks.md"


def marks(part: str) -> tuple[str, str]:
    """What stands before and behind that which is written for a part."""
    return f"<!-- {part} -->\n", f"<!-- end of {part} -->"


def has_place(part: str, page: Path = PAGE) -> bool:
    """Whether the page has a place for a part."""
    text = page.read_text()
    return all(text.count(mark) == 1 for mark in marks(part))


def write(result: Result, origin: Origin, page: Path = PAGE) -> None:
    """Put tables into the page, and plots beside it in a directory of its name."""
    plots = page.with_suffix("")
    plots.mkdir(exist_ok=True)
    for old in plots.glob(f"{result.name}-*.svg"):
        old.unlink()
    shown = []
    for plot in result.plots:
        file = plots / f"{result.name}-{plot.name}.svg"
        file.write_text(plot.svg)
        shown.append(f"![{plot.title}]({plots.name}/{file.name})")
    told = [table.markdown() for table in result.tables]
    begin, end = marks(result.name)
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    written = "\n\n".join([*told, *shown, origin.note(result.rounds, result.took_s)])
    page.write_text(f"{before}{begin}{written}\n{end}{after}")
