"""Every command is there, says what it is for, and is there fast."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import rtspdsr.cli
from rtspdsr.cli import COMMANDS, app, main
from rtspdsr.errors import ConfigError, DataplaneError
from tests.admin.desk import Desk
from tests.cli.serving import serving

HEAVY = {"aiohttp", "aiortsp", "asyncio_dgram", "pydantic", "pyroute2", "scapy", "structlog"}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_tells_what_it_is_for(command: str) -> None:
    ran = CliRunner().invoke(app, [command, "--help"])

    assert ran.exit_code == 0
    assert f"{command}" in ran.output.splitlines()[1]


def test_help_lists_every_command_with_a_sentence() -> None:
    ran = CliRunner().invoke(app, ["--help"], terminal_width=120)

    assert ran.exit_code == 0
    for command in COMMANDS:
        (line,) = (line for line in ran.output.splitlines() if line.strip("│ ").split(" ")[0] == command)
        assert len(line.strip("│ ").split()) > 3


def test_help_imports_nothing_heavy() -> None:
    program = """
import json, sys
from typer.testing import CliRunner
from rtspdsr.cli import app
assert CliRunner().invoke(app, ["--help"]).exit_code == 0
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert not HEAVY & set(json.loads(ran.stdout))


def test_the_daemon_carries_neither_scapy_nor_aiortsp() -> None:
    program = "import rtspdsr.balancer.balancer, sys; print('scapy' in sys.modules, 'aiortsp' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["sesions"], "Did you mean `rtspdsr sessions` or `rtspdsr session`?"),
        (["drain", "cam-a"], "Did you mean `rtspdsr backend drain`?"),
        (["backend", "drian"], "Did you mean 'drain'?"),
        (["--config", "lb.toml", "status"], "goes behind the command: rtspdsr status --config lb.toml"),
        (["--json"], "goes behind the command: rtspdsr COMMAND --json"),
        (["status", "--config", "/none.toml"], "name the configuration with --config"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_slip_is_answered_with_what_may_have_been_meant(words: list[str], hint: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "rtspdsr", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert ran.returncode == 2
    assert hint in ran.stderr


def test_an_error_is_a_message_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = typer.Typer()

    @failing.command()
    def fail() -> None:
        raise DataplaneError("the kernel said no")

    monkeypatch.setattr(rtspdsr.cli, "app", failing)
    monkeypatch.setattr(sys, "argv", ["rtspdsr"])
    with pytest.raises(SystemExit) as left:
        main()

    assert left.value.code == 3
    assert capsys.readouterr().err == "error: the kernel said no\n"


def test_the_environment_names_the_configuration_where_no_option_does(tmp_path: Path) -> None:
    with serving(Desk(), tmp_path) as config:
        ran = CliRunner().invoke(app, ["status"], env={"RTSPDSR_CONFIG": str(config)}, catch_exceptions=False)
        other = CliRunner().invoke(app, ["status", "--config", "none"], env={"RTSPDSR_CONFIG": str(config)})
    assert "cam-a" in ran.stdout
    assert isinstance(other.exception, ConfigError)
