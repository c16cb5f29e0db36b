"""What a run measured is kept whole: on a page by itself, as JSON, and in its place in the docs."""

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from tests.bench import document, report
from tests.bench.__main__ import PARTS
from tests.bench.origin import Origin
from tests.bench.part import Result
from tests.bench.plots import bars
from tests.bench.rounds import Spread
from tests.bench.table import Table

ORIGIN = Origin("2 x <processor>", "2026-11-23", "abc1234", "make bench ARGS='trial --docs'")
SPREAD = Spread(2.0, 1.0, 1.5, 3.0)


@dataclass(frozen=True)
class Cell:
    side: str
    seconds: Spread


def result(name: str = "trial") -> Result:
    """Of a part with two tables and one plot."""
    tables = [
        Table(["side", "s"], [["ours", f"{SPREAD:.1f}"]]),
        Table(["x", "y"], [["a<b", "3"]], "And then:"),
    ]
    plot = bars("sides", "Sides compared", {"ours": {"s": SPREAD}}, x="s")
    return Result(name, f"The {name}", 5, 12.3, [Cell("ours", SPREAD)], tables, [plot])


class Links(HTMLParser):
    """What a page refers to, and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value for key, value in attrs if key in ("src", "href") and value]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_an_origin_names_the_command_without_the_files_it_wrote() -> None:
    assert Origin.here([], None).command == "make bench"
    assert Origin.here(["packets", "reading"], 5).command == "make bench ARGS='packets reading --rounds 5'"


def test_the_page_holds_everything_and_needs_nothing_else() -> None:
    read = Links(report.page(ORIGIN, [result(), result("other")]))
    assert {"ours", "2.0 (1.5-3.0)", "a<b", "And then:", "The trial", ORIGIN.command} <= set(read.words)
    assert any(ORIGIN.machine in words and ORIGIN.commit in words for words in read.words)
    assert all(source.startswith(("data:image/svg+xml;base64,", "#")) for source in read.sources)
    assert sum(source.startswith("data:") for source in read.sources) == 2


def test_json_holds_every_figure_and_where_it_comes_from() -> None:
    kept = json.loads(report.figures(ORIGIN, [result()]))
    assert {kept["machine"], kept["date"], kept["commit"]} == {ORIGIN.machine, ORIGIN.date, ORIGIN.commit}
    assert kept["parts"]["trial"]["rounds"] == 5
    (cell,) = kept["parts"]["trial"]["cells"]
    assert cell == {"side": "ours", "seconds": {"median": 2.0, "least": 1.0, "low": 1.5, "high": 3.0}}


def test_the_docs_are_altered_only_between_the_marks_of_the_part(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("# Before\n\n<!-- trial -->\nold\n<!-- end of trial -->\n\n## After\n")
    stale = tmp_path / "benchmarks" / "trial-gone.svg"
    stale.parent.mkdir()
    stale.write_text("")
    document.write(result(), ORIGIN, page)
    document.write(result(), ORIGIN, page)
    text = page.read_text()
    assert text.startswith(
        "# Before\n\n<!-- trial -->\n| side | s |\n| --- | --- |\n| ours | 2.0 (1.5-3.0) |\n"
    )
    assert text.endswith(f"{ORIGIN.note(5, 12.3)}\n<!-- end of trial -->\n\n## After\n")
    assert "old" not in text
    assert re.findall(r"!\[Sides compared\]\((.*)\)", text) == ["benchmarks/trial-sides.svg"]
    assert [one.name for one in stale.parent.iterdir()] == ["trial-sides.svg"]


def test_every_part_has_its_place_in_the_docs() -> None:
    assert [name for name in PARTS if not document.has_place(name)] == []
