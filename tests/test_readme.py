"""What the README tells its reader to type, write and expect is what there is."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtspdsr.cli import COMMANDS, app
from rtspdsr.config import load

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def lines(program: str, text: str = README) -> list[list[str]]:
    """Every command line of this program in a document's shell blocks, as its words."""
    shell = (block.replace("\\\n", " ").splitlines() for block in blocks("sh", text))
    words = (shlex.split(line, comments=True) for block in shell for line in block)
    inline = (shlex.split(code) for code in re.findall(rf"`({program} [^`]+)`", text))
    return [line for line in [*words, *inline] if line and line[0] == program]


@pytest.mark.parametrize("line", lines("rtspdsr"), ids=" ".join)
def test_every_command_and_option_exists(line: list[str]) -> None:
    assert_exists(line)


def assert_exists(line: list[str]) -> None:
    """That there is such a command with such options."""
    command = [word for word in line[1:] if not word.startswith("-")]
    assert command[0] in COMMANDS
    path = command[:2] if command[0] in ("lab", "backend") and len(command) > 1 else command[:1]

    ran = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})

    assert ran.exit_code == 0
    for option in (word for word in line[1:] if word.startswith("--")):
        assert re.search(rf"{option}\b", ran.output), f"{' '.join(path)} has no {option}"


def test_every_target_of_make_exists() -> None:
    targets = {line[1] for line in lines("make")}
    ran = subprocess.run(
        ["make", "--dry-run", *targets], cwd=ROOT, check=False, capture_output=True, text=True, timeout=30
    )
    assert len(targets) >= 4
    assert ran.returncode == 0, ran.stderr


def test_the_configuration_shown_is_valid(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    file = tmp_path / "rtspdsr.toml"
    file.write_text(text)
    assert [service.name for service in load(file).services] == ["cams"]


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_every_link_into_the_tree_leads_somewhere(target: str) -> None:
    assert target.startswith("https://") or (ROOT / target).exists()
