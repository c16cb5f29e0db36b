"""``rtspdsr review`` reads what it is pointed at, and refuses what makes no sense."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtspdsr.cli import app
from rtspdsr.errors import RtspDsrError
from tests.review.synthetic import World


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Three files of one log, the oldest packed."""
    lines = World(clients=30).log(1).splitlines(keepends=True)
    third = len(lines) // 3
    log = tmp_path / "sessions.log"
    (tmp_path / "sessions.log.2.gz").write_bytes(gzip.compress(b"".join(lines[:third])))
    (tmp_path / "sessions.log.1").write_bytes(b"".join(lines[third : 2 * third]))
    log.write_bytes(b"".join(lines[2 * third :]))
    return log


def sessions(*arguments: str) -> int:
    ran = CliRunner().invoke(app, ["review", *arguments, "--json"], catch_exceptions=False)
    assert ran.exit_code == 0
    number: int = json.loads(ran.stdout)["overview"][0]["sessions"]
    return number


def test_rotated_and_packed_files_in_any_order(log: Path) -> None:
    files = sorted(map(str, log.parent.iterdir()))
    assert sessions(*files) == sessions(*reversed(files)) == sessions(str(log), "--rotated")
    assert 0 < sessions(str(log)) < sessions(*files)


def test_text_a_page_and_tables(log: Path, tmp_path: Path) -> None:
    text = CliRunner().invoke(app, ["review", str(log)])
    assert "By backend" in text.stdout

    page, tables = tmp_path / "page.html", tmp_path / "tables"
    ran = CliRunner().invoke(app, ["review", str(log), "--html", str(page), "--csv", str(tables)])
    assert ran.exit_code == 0
    assert ran.stdout.splitlines() == [f"the tables are in {tables}", f"the page is in {page}"]
    assert page.read_text().startswith("<!doctype html>")
    assert (tables / "backends.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name session logs, or a capture"),
        (["x.log", "--pcap", "x.pcap"], "name session logs, or a capture"),
        (["missing.log"], "missing.log: cannot be read"),
        (["x.log", "--since", "noon"], "'noon' is no time"),
        (["x.log", "--since", "2026-03-02", "--until", "2026-03-01"], "is not after"),
        (["x.log", "--client", "me"], "'me' is no client"),
        (["x.log", "--client", "192.0.2.7", "--client-key", "missing"], "missing: cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], message: str) -> None:
    ran = CliRunner().invoke(app, ["review", *arguments])
    assert isinstance(ran.exception, RtspDsrError)
    assert message in str(ran.exception)
