"""A shell that has read the script completes commands, options and the names of backends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtspdsr.cli import app
from tests.admin.desk import Desk
from tests.cli.serving import serving

#: What bash offers after a line, by the function that the script defines.
OFFERED = """
source {script}
COMP_WORDS=({line}) COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_rtspdsr_completion rtspdsr
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The script for bash, and an ``rtspdsr`` in the PATH beside it."""
    command = tmp_path / "rtspdsr"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m rtspdsr "$@"\n')
    command.chmod(0o755)
    ran = CliRunner().invoke(app, ["completion", "bash"], catch_exceptions=False)
    assert ran.exit_code == 0
    (tmp_path / "script").write_text(ran.stdout)
    return tmp_path / "script"


def offered(script: Path, line: str) -> list[str]:
    """What bash offers."""
    ran = subprocess.run(
        ["bash", "-c", OFFERED.format(script=script, line=line)],
        env={**os.environ, "PATH": f"{script.parent}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        text=True,
    )
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("rtspdsr sess", {"session", "sessions"}),
        ("rtspdsr sessions --st", {"--state"}),
        ("rtspdsr sessions --state en", {"ending", "ended"}),
        ("rtspdsr backend pre", {"prepare"}),
    ],
)
def test_bash_completes_commands_and_options(script: Path, line: str, found: set[str]) -> None:
    assert set(offered(script, line)) == found


@pytest.mark.parametrize(
    "command", ["sessions --config {config} --backend ca", "backend drain --config {config} ca"]
)
def test_bash_completes_backends_of_the_running_daemon(script: Path, tmp_path: Path, command: str) -> None:
    with serving(Desk(), tmp_path) as config:
        assert offered(script, f"rtspdsr {command.format(config=config)}") == ["cams/cam-a"]


def test_no_daemon_is_no_noise(script: Path, tmp_path: Path) -> None:
    assert offered(script, f"rtspdsr sessions --config {tmp_path}/none --backend ca") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_takes_its_script(shell: str) -> None:
    ran = CliRunner().invoke(app, ["completion", shell], catch_exceptions=False)
    assert "_RTSPDSR_COMPLETE" in ran.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=ran.stdout, text=True, check=True)
