"""The same report for a terminal, a pipe, a program, a spreadsheet and a browser; hostile text stays text."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rtspdsr.errors import ReviewError
from rtspdsr.review import svg
from rtspdsr.review.files import as_json, write_csv, write_text
from rtspdsr.review.page import page
from rtspdsr.review.reading import review_logs
from rtspdsr.review.report import Kind, Report, shown
from rtspdsr.review.selection import Selection
from rtspdsr.review.terminal import plain, show
from tests.review.synthetic import World

HOSTILE = "<script>alert(\"x\")</script>\x1b[2J=cmd|' /C calc'!A0:eye:"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One slow backend, and a client that would like to be more than text."""
    world = World()
    world.backends[1].slower_s = 0.3
    file = tmp_path_factory.mktemp("log") / "sessions.log"
    lines = world.lines(1)
    record = json.loads(next(line for line in lines if '"session_summary"' in line))
    lines += [json.dumps(record | {"url": HOSTILE, "user_agent": f"={HOSTILE}"})] * 500
    file.write_text("\n".join([*lines, "damaged"]) + "\n")
    return file


@pytest.fixture(scope="module")
def report(log: Path) -> Report:
    return review_logs([log], Selection(), progress=False)


def test_every_output_names_the_slow_backend(report: Report) -> None:
    for text in ("\n".join(plain(report, 10)), as_json(report), page(report, 10)):
        assert "cams/cam-b: set-up takes longer" in text
        assert "1 damaged lines were passed over, the first at sessions.log:" in text


def test_plain_text_has_no_control_characters_and_aligned_columns(report: Report) -> None:
    lines = list(plain(report, 3))
    assert all(line.isprintable() for line in lines)
    at = lines.index("By URL (first 3 of 38)")
    header, first = lines[at + 1 : at + 3]
    assert re.search(r"sessions", header).end() == re.search(r"  [\d,]+  ", first).end() - 2  # type: ignore[union-attr]


def test_a_pipe_gets_plain_text_and_a_terminal_tables(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    pipe, terminal = io.StringIO(), Terminal()
    show(report, 5, pipe)
    show(report, 5, terminal)

    assert pipe.getvalue().splitlines() == list(plain(report, 5))
    assert "━" in terminal.getvalue() or "─" in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()
    assert ":eye:" in terminal.getvalue()


def test_json_has_every_table_and_numbers_as_numbers(report: Report) -> None:
    record = json.loads(as_json(report))
    assert record["version"] == 1
    assert len(record["urls"]) == 38
    (slow,) = (
        one for one in record["comparisons"] if (one["backend"], one["measure"]) == ("cam-b", "setup_s")
    )
    assert slow["alarm"] is True
    assert slow["shift_low"] < 0.3 < slow["shift_high"]
    assert {row["what"] for row in record["problems"]} == {"not JSON"}


def test_csv_is_a_file_a_table_and_no_formula(report: Report, tmp_path: Path) -> None:
    written = write_csv(report, tmp_path / "tables")
    assert {"overview.csv", "backends.csv", "comparisons.csv", "concurrency.csv"} <= {
        file.name for file in written
    }
    with (tmp_path / "tables" / "user_agents.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    agents = [row["user_agent"] for row in rows]
    assert f"'={HOSTILE}" in agents
    assert not [agent for agent in agents if agent.startswith("=")]


class Page(HTMLParser):
    """Collects tags and attributes, and checks that what is opened is closed."""

    VOID = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_by_itself_and_without_script(report: Report) -> None:
    text = page(report, 10)
    parsed = Page()
    parsed.feed(text)

    assert parsed.open == []
    assert "script" not in parsed.tags
    assert not {"link", "img", "iframe"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name in ("src", "href") or name.startswith("on")]
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert "url(" not in text


def test_the_plots_are_well_formed_and_described(report: Report) -> None:
    plots = re.findall(r"<svg.*?</svg>", page(report, 10), re.DOTALL)
    assert len(plots) >= 6
    for plot in plots:
        root = ElementTree.fromstring(plot)
        assert root.get("role") == "img"
        assert len(root.get("aria-label") or "") > 10
        for element in root.iter():
            for key in ("x", "y", "cx", "x1", "x2", "width", "height"):
                if key in element.attrib:
                    assert -1 <= float(element.attrib[key]) <= 3000


def test_an_empty_log_is_a_report_too(tmp_path: Path) -> None:
    file = tmp_path / "empty"
    file.touch()
    report = review_logs([file], Selection(), progress=False)
    assert "no alarms" in "\n".join(plain(report, 10))
    assert "nothing that was selected" in page(report, 10)
    assert json.loads(as_json(report))["overview"][0]["sessions"] == 0


def test_what_cannot_be_written_is_named(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ReviewError, match="--csv"):
        write_csv(report, tmp_path / "file" / "tables")
    with pytest.raises(ReviewError, match="--html"):
        write_text("x", tmp_path / "missing" / "page.html", "--html")


def test_round_numbers_for_axes() -> None:
    assert [svg.nice(value) for value in (0, 0.3, 1, 7, 1000, 1001)] == [1, 0.5, 1, 10, 1000, 2000]
    assert svg.lines("x", [], []) == svg.bars("x", []) == svg.columns("x", [(0, 0)], 1) == ""


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, Kind.COUNT, "-"),
        (1234567, Kind.COUNT, "1,234,567"),
        (0.0123, Kind.SHARE, "1.23%"),
        (0.5, Kind.SECONDS, "0.500 s"),
        (9000, Kind.SECONDS, "2.5 h"),
        (1.5e9, Kind.BYTES, "1.5 GB"),
        (1e-20, Kind.CHANCE, "< 1e-12"),
        (True, Kind.YES, "yes"),
    ],
)
def test_values_are_shown_as_people_read_them(value: float | None, kind: Kind, text: str) -> None:
    assert shown(value, kind) == text
