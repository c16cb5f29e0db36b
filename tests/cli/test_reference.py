"""docs/cli.md tells of every command and of every exit code, and ``--help`` has examples."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import rtspdsr.errors
from rtspdsr.cli import COMMANDS, app
from rtspdsr.errors import RtspDsrError

DOCUMENT = (Path(__file__).parents[2] / "docs/cli.md").read_text()


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and subcommand."""
    command = command or typer.main.get_command(app)
    if not hasattr(command, "list_commands"):
        yield path
        return
    context = command.make_context("rtspdsr", [], resilient_parsing=True)
    for name in command.list_commands(context):
        yield from commands(command.get_command(context, name), (*path, name))


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_help_has_an_example(path: tuple[str, ...]) -> None:
    command = typer.main.get_command(app)
    for name in path:
        command = command.get_command(command.make_context("rtspdsr", [], resilient_parsing=True), name)  # type: ignore[attr-defined]
    assert re.search(r"Examples?:", command.help or ""), "show how it is called"


def test_commands_in_the_document_are_there() -> None:
    told = {name for row in re.findall(r"^\| (`.*?) \|", DOCUMENT, re.MULTILINE) for name in _names(row)}
    assert told <= set(COMMANDS)
    assert {"sessions", "sysdump"} < told


def _names(row: str) -> list[str]:
    return re.findall(r"`(\w+)", row)


def test_every_exit_code_is_in_the_document() -> None:
    errors = [one for one in vars(rtspdsr.errors).values() if isinstance(one, type)]
    used = {one.exit_code for one in errors if issubclass(one, RtspDsrError)}
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)}
    assert used | {0, 2, 130} == told


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--version"], 0),
        (["nonsense"], 2),
        (["sessions", "--limit", "0"], 2),
        (["check", "--config", "/none"], 2),
        (["explain", "nobody"], 2),
        (["backend", "drain", "cam-a", "--deadline", "soon"], 2),
        (["backend", "check", "--vip", "192.0.2.10/24"], 2),
        (["backend", "prepare", "--vip", "192.0.2.10", "--clients", "everybody"], 2),
        (["review", "/none"], 7),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_commands_end_with_those_codes_and_no_traceback(words: list[str], code: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "rtspdsr", *words], capture_output=True, text=True, check=False
    )
    assert ran.returncode == code
    assert "Traceback" not in ran.stderr
