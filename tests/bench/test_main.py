"""The command: parts are run in turn with their rounds, and one that cannot be measured stops no other."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtspdsr.errors import LabError
from tests.bench import __main__ as command
from tests.bench.part import Tell
from tests.bench.plots import Plot
from tests.bench.rounds import Spread
from tests.bench.table import Table


@dataclass(frozen=True)
class Cell:
    rounds: Spread


class Good:
    """A part that measures how many rounds it was given."""

    TITLE = "A good part"
    ROUNDS = 4

    def bench(self, rounds: int, tell: Tell) -> list[Cell]:
        tell("round 1")
        return [Cell(Spread.of([float(rounds)] * 2))]

    def tables(self, cells: list[Cell]) -> Sequence[Table]:
        return [Table(["rounds"], [[f"{cell.rounds.median:.0f}"] for cell in cells])]

    def plots(self, cells: list[Cell]) -> Sequence[Plot]:
        return []


class Bad(Good):
    def bench(self, rounds: int, tell: Tell) -> list[Cell]:
        raise LabError("its peer is not there; install it")


class Faulty(Good):
    def bench(self, rounds: int, tell: Tell) -> list[Cell]:
        raise ZeroDivisionError


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "PARTS", {"bad": Bad(), "faulty": Faulty(), "good": Good()})
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("signal.signal", lambda *_: None)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Its exit code."""
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code


def test_all_parts_are_run_though_one_of_them_cannot_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, page = tmp_path / "bench.json", tmp_path / "bench.html"
    assert run(monkeypatch, "--json", str(kept), "--report", str(page)) == 1
    told = capsys.readouterr()
    assert "error: bad: its peer is not there; install it" in told.err
    assert "ZeroDivisionError" in told.err
    assert "A good part" in told.out
    assert json.loads(kept.read_text())["parts"]["good"]["cells"][0]["rounds"]["median"] == Good.ROUNDS
    assert "A good part" in page.read_text()


def test_rounds_can_be_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "good", "--rounds", "9") == 0
    assert "| 9 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such"], "no part no-such; there are bad, faulty, good"),
        (["--rounds", "1"], "a spread needs 2 or more"),
        (["--report", "/no/such/bench.html"], "there is no directory /no/such to write bench.html to"),
    ],
)
def test_what_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert words in capsys.readouterr().err
