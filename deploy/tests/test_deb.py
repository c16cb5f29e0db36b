"""The Debian package in a clean Debian 12: installed by apt, run by systemd, upgraded, removed, purged.

The tests run in their order: each takes the machine as the one before left it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.tests.system import System, wait_for

ROOT = Path(__file__).parents[2]
CONFIG = "etc/rtspdsr/rtspdsr.toml"
UNIT = "rtspdsr.service"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def package() -> Path:
    """The package of this tree."""
    ran = subprocess.run(
        [ROOT / "deploy/deb/build"],
        check=True, stdout=subprocess.PIPE, text=True, timeout=500,
        env={**os.environ, "TOOLS": sys.executable},
    )  # fmt: skip
    return ROOT / ran.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def system(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A Debian that holds systemd and logrotate, and the package as a file."""
    made = System.make(
        tmp_path_factory.mktemp("debian") / "root", ["systemd", "systemd-sysv", "iproute2", "logrotate"]
    )
    (made.root / "rtspdsr.deb").write_bytes(package.read_bytes())
    yield made
    made.halt()


@pytest.fixture(scope="module")
def installed(system: System) -> str:
    """What the installation says."""
    return system.run("apt-get", "install", "--yes", "--no-install-recommends", "/rtspdsr.deb").stdout


@pytest.fixture(scope="module")
def booted(system: System, installed: str) -> System:
    """The same machine, with systemd running."""
    if not system.boot():
        pytest.skip("systemd does not boot in a container on this machine")
    return system


def attached(system: System) -> bool:
    return "xdp" in system.run("ip", "link", "show", "eth0").stdout


def log(system: System) -> list[str]:
    path = system.root / "var/log/rtspdsr/sessions.log"
    return [json.loads(line)["event"] for line in path.read_text().splitlines()] if path.exists() else []


# --- installed


def test_nothing_is_started_before_it_is_configured(system: System, installed: str) -> None:
    assert "nothing runs yet" in installed
    for unit in (UNIT, "rtspdsr-backend.service"):
        assert system.run("systemctl", "is-enabled", unit, check=False).stdout.strip() == "disabled"


def test_the_command_runs_with_what_the_package_carries(system: System, installed: str) -> None:
    assert system.run("rtspdsr", "--version").stdout.startswith("rtspdsr ")
    assert "no mistakes" in system.run("rtspdsr", "check").stdout
    assert "--persist" in system.run("rtspdsr", "backend", "prepare", "--help").stdout


def test_a_shell_completes_its_commands(system: System, installed: str) -> None:
    typed = "COMP_WORDS=(rtspdsr stat) COMP_CWORD=1"
    script = "source /usr/share/bash-completion/completions/rtspdsr"
    ran = system.run("bash", "-c", f"{script}; {typed}; _rtspdsr_completion rtspdsr; echo ${{COMPREPLY[@]}}")
    assert "status" in ran.stdout.split()


def test_what_an_operator_may_edit_is_kept_as_such(system: System, installed: str) -> None:
    status = system.run("dpkg-query", "--show", "--showformat=${Conffiles}", "rtspdsr").stdout
    assert {line.split()[0] for line in status.splitlines() if line} == {
        "/etc/rtspdsr/rtspdsr.toml",
        "/etc/rtspdsr/backend.conf",
    }


def test_systemd_finds_nothing_wrong_with_the_units(system: System, installed: str) -> None:
    units = [f"/lib/systemd/system/{name}" for name in (UNIT, "rtspdsr-backend.service")]
    ran = system.run("systemd-analyze", "verify", *units)
    assert ran.stdout + ran.stderr == ""


def test_no_file_names_the_place_where_it_was_built(system: System, installed: str) -> None:
    ran = system.run("grep", "-rlF", str(ROOT), "/usr/lib/rtspdsr", check=False)
    assert (ran.returncode, ran.stdout) == (1, "")


# --- run by systemd


def test_the_service_starts_forwards_and_says_how_it_stands(booted: System) -> None:
    booted.run("systemctl", "start", UNIT)
    assert attached(booted)
    assert booted.show(UNIT, "StatusText").startswith("forwarding on eth0 (native)")
    assert "cams" in booted.run("rtspdsr", "status").stdout


def test_a_reload_with_mistakes_fails_names_them_and_changes_nothing(booted: System) -> None:
    booted.run("systemctl", "reload", UNIT)
    config = booted.root / CONFIG
    good = config.read_text()
    config.write_text(good.replace("weight = 100", 'weight = "heavy"', 1))
    try:
        assert booted.run("systemctl", "reload", UNIT, check=False).returncode != 0
        assert "service[0].backend[0].weight" in booted.journal(UNIT)
    finally:
        config.write_text(good)
    assert booted.show(UNIT, "ActiveState") == "active"
    events = log(booted)
    assert "config_reloaded" in events
    assert "config_refused" not in events  # the check came first


def test_a_daemon_that_hangs_is_started_anew_by_the_watchdog(booted: System) -> None:
    hung = booted.show(UNIT, "MainPID")
    booted.run("kill", "-STOP", hung)
    assert wait_for(lambda: booted.show(UNIT, "MainPID") not in ("0", hung), 120)
    assert wait_for(lambda: booted.show(UNIT, "ActiveState") == "active")
    assert "Watchdog timeout" in booted.journal(UNIT)
    assert attached(booted)


def test_logrotate_renames_the_log_and_the_daemon_follows(booted: System) -> None:
    rules = booted.root / "etc/logrotate.d/rtspdsr"
    rules.write_bytes((booted.root / "usr/share/doc/rtspdsr/examples/logrotate").read_bytes())
    checked = booted.run("logrotate", "--debug", "/etc/logrotate.d/rtspdsr")
    assert "error" not in checked.stderr
    before = log(booted)

    booted.run("logrotate", "--force", "/etc/logrotate.d/rtspdsr")
    booted.run("systemctl", "reload", UNIT)

    assert wait_for(lambda: "config_reloaded" in log(booted))
    renamed = (booted.root / "var/log/rtspdsr/sessions.log.1").read_text().splitlines()
    assert [json.loads(line)["event"] for line in renamed][: len(before)] == before
    assert len(before) > len(log(booted))


def test_an_upgrade_starts_the_daemon_anew_and_keeps_the_configuration(booted: System) -> None:
    config = booted.root / CONFIG
    config.write_text(config.read_text().replace("idle_s = 90", "idle_s = 91"))
    former = booted.show(UNIT, "MainPID")

    booted.run("dpkg", "--install", "/rtspdsr.deb")

    assert wait_for(lambda: booted.show(UNIT, "ActiveState") == "active")
    assert booted.show(UNIT, "MainPID") != former
    assert "idle_s = 91" in config.read_text()
    assert wait_for(lambda: "daemon_started" in log(booted))
    assert attached(booted)


def test_a_media_server_is_prepared_at_boot(booted: System) -> None:
    unit = "rtspdsr-backend.service"
    (booted.root / "etc/rtspdsr/backend.conf").write_text(
        'OPTIONS="--vip 192.0.2.99 --clients 198.51.100.0/24"\n'
    )
    booted.run("systemctl", "start", unit)
    assert "192.0.2.99/32" in booted.run("ip", "address", "show", "lo").stdout
    booted.run("systemctl", "restart", unit)
    assert booted.show(unit, "ActiveState") == "active"
    booted.run("rtspdsr", "backend", "undo")
    assert "192.0.2.99" not in booted.run("ip", "address", "show", "lo").stdout


# --- removed


def test_removing_the_package_leaves_forwarding_and_says_so(booted: System) -> None:
    said = booted.run("dpkg", "--remove", "rtspdsr").stdout
    assert "forwarding stays in place" in said
    assert attached(booted)
    assert (booted.root / CONFIG).exists()


def test_purging_it_ends_forwarding_and_removes_what_it_kept(booted: System) -> None:
    assert "forwarding has ended" in booted.run("dpkg", "--purge", "rtspdsr").stdout
    assert wait_for(lambda: not attached(booted))
    for path in ("etc/rtspdsr", "usr/lib/rtspdsr", "var/lib/rtspdsr", "var/log/rtspdsr"):
        assert not (booted.root / path).exists(), path
