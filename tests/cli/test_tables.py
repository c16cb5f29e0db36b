"""Tables: nothing in them is lost, however narrow the terminal is, and lines in a pipe stay whole."""

import io

import pytest
from rich.console import Console

from rtspdsr.cli.tables import console, place, table

CELLS = ("8514a9b6525b", "2001:db8:1:2:3:4:5:6", "a-service/a-backend", "rtsp://192.0.2.10/a/long/path")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_character_of_a_cell_is_shown(width: int) -> None:
    shown = table("session", "client", "backend", "URL", right=("age", "delivered"))
    shown.add_row(*CELLS, "12 min 5 s", "3.12 Mb/s")
    out = io.StringIO()
    Console(file=out, width=width).print(shown)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    for character in set("".join(CELLS)):
        assert out.getvalue().count(character) >= "".join(CELLS).count(character)


def test_a_line_in_a_pipe_is_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    shown = table("session", "client", "backend", "URL")
    shown.add_row(*CELLS)
    console().print(shown)
    (line,) = [one for one in capsys.readouterr().out.splitlines() if CELLS[0] in one]
    assert all(cell in line for cell in CELLS)


@pytest.mark.parametrize(
    ("service", "backend", "shown"),
    [
        ("cams", "a", "cams/a"),
        ("cams", None, "cams/(removed)"),
        (None, None, "(removed)"),
        (None, "a", "(removed)/a"),
    ],
)
def test_a_backend_that_has_left_the_configuration_is_called_so(
    service: str | None, backend: str | None, shown: str
) -> None:
    assert place(service, backend) == shown
