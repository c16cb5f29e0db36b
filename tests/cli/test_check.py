"""What an operator sees of ``rtspdsr check``."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rtspdsr.config import load

SHIPPED = Path(__file__).parents[2] / "rtspdsr.toml"


def rtspdsr(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rtspdsr", *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "rtspdsr.toml"
    path.write_text(SHIPPED.read_text().replace("/run/rtspdsr", str(tmp_path)))
    return path


@pytest.fixture
def changed(config: Path) -> Path:
    path = config.with_name("changed.toml")
    path.write_text(config.read_text().replace("weight = 100", "weight = 50", 1))
    return path


CHANGE = "service 'cams': backend 'cam-a': weight: 100 -> 50"


def test_a_good_file_is_summed_up(config: Path) -> None:
    ran = rtspdsr("check", "--config", config)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"{config}: no mistakes; 1 service, 2 backends\n"


def test_a_bad_file_is_refused_with_its_mistakes_and_no_traceback(config: Path) -> None:
    config.write_text(config.read_text().replace("weight = 100", "weight = 0"))

    ran = rtspdsr("check", "--config", config)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines() == [
        f"error: {config}: 2 mistakes:",
        "  service[0].backend[0].weight: 0 should be greater than or equal to 1",
        "  service[0].backend[1].weight: 0 should be greater than or equal to 1",
    ]


def test_mistakes_as_json(config: Path) -> None:
    config.write_text(config.read_text().replace('mode = "auto"', 'mode = "\x07"'))

    ran = rtspdsr("check", "--config", config, "--json")

    assert ran.returncode == 2
    report = json.loads(ran.stdout)
    assert report["valid"] is False
    assert len(report["mistakes"]) == 1


def test_changes_against_another_file(config: Path, changed: Path) -> None:
    assert rtspdsr("check", "--config", changed, "--against", config).stdout.splitlines()[1:] == [
        "1 change:",
        f"  {CHANGE}",
    ]
    assert rtspdsr("check", "--config", config, "--against", config).stdout.splitlines()[1:] == [
        "nothing would change"
    ]


def test_changes_against_what_the_daemon_has_in_force(config: Path, changed: Path) -> None:
    config.with_name("config.json").write_text(load(config).model_dump_json())

    ran = rtspdsr("check", "--config", changed, "--diff", "--json")

    assert ran.returncode == 0
    assert json.loads(ran.stdout) == {
        "file": str(changed),
        "valid": True,
        "mistakes": [],
        "cautions": [],
        "changes": [CHANGE],
    }


def test_without_a_daemon_there_is_nothing_to_compare_with(config: Path) -> None:
    ran = rtspdsr("check", "--config", config, "--diff")

    assert ran.returncode == 2
    assert f"no daemon has left its configuration in {config.parent}/config.json" in ran.stderr
    assert "--against" in ran.stderr
