"""The daemon as the shipped systemd unit runs it: its capabilities and no other, and a manager that listens.

The tests run in their order; the daemon and the player that began with it go from one to the next.
"""

import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtspdsr.lab.lab import Lab, Settings
from rtspdsr.lab.player import PlayerKind, Playing, Watch
from rtspdsr.lab.topology import url
from tests.lab.helpers import command_at, log_lines, run_at, wait_for
from tests.lab.labs import lab_of_run

UNIT = Path(__file__).parents[2] / "deploy/systemd/rtspdsr.service"
WATCHDOG_S = 2.0
PATIENCE_S = 40.0
FRAMES = 50

Told = dict[str, str]


class Manager:
    """A service manager's ear: what the daemon has told, datagram by datagram."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.1)
        self.environment = ["env", f"NOTIFY_SOCKET={path}", f"WATCHDOG_USEC={WATCHDOG_S * 1e6:.0f}"]

    def next(self, key: str) -> Told:
        """The next datagram with that assignment; those before it are passed over."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if key in (told := self._receive()):
                return told
        raise AssertionError(f"the manager was told no {key} within {PATIENCE_S:g} s")

    def all_within(self, seconds: float) -> list[Told]:
        """Every datagram until then."""
        deadline = time.monotonic() + seconds
        heard = []
        while time.monotonic() < deadline:
            if told := self._receive():
                heard.append(told)
        return heard

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> Told:
        try:
            lines = self._socket.recv(4096).decode().splitlines()
        except TimeoutError:
            return {}
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab whose daemon is ours to start."""
    with lab_of_run("v", Settings(players=1, balancer=False)) as made:
        yield made


@pytest.fixture(scope="module")
def manager(lab: Lab) -> Iterator[Manager]:
    made = Manager(lab.state / "notify")
    yield made
    made.close()


def capabilities() -> list[str]:
    """What the shipped unit leaves the daemon."""
    (line,) = re.findall(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.MULTILINE)
    return [name.removeprefix("CAP_").lower() for name in line.split()]


def confined(names: list[str]) -> list[str]:
    """A command that becomes another with those capabilities at most."""
    kept = ",".join(["-all", *(f"+{name}" for name in names)])
    return ["setpriv", "--bounding-set", kept, "--inh-caps", "-all", "--no-new-privs"]


@pytest.fixture(scope="module")
def playing(lab: Lab, manager: Manager) -> Iterator[Playing]:
    """A player that plays all the while, through a daemon that the manager has heard of."""
    lab.daemon.start([*manager.environment, *confined(capabilities())])
    one = lab.start(Watch(player=PlayerKind.FFMPEG, node="player", url=url("clip"), seconds=300))
    yield one
    one.kill()


def get_pictures(playing: Playing) -> None:
    playing.wait_for_frames(playing.frames + FRAMES, PATIENCE_S)


@pytest.mark.parametrize("missing", capabilities())
def test_without_one_of_its_capabilities_the_daemon_says_what_it_needs(lab: Lab, missing: str) -> None:
    under = confined([name for name in capabilities() if name != missing])
    ran = subprocess.run(
        command_at(lab, "balancer", *under, *lab.daemon.command),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 3
    assert f"CAP_{missing.upper()}" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_manager_hears_how_the_start_goes_on_and_then_that_packets_are_taken(
    manager: Manager, playing: Playing
) -> None:
    assert int(manager.next("EXTEND_TIMEOUT_USEC")["EXTEND_TIMEOUT_USEC"]) > 0
    assert "forwarding on eth0 (native)" in manager.next("READY")["STATUS"]
    get_pictures(playing)


def test_signs_of_life_come_while_the_daemon_lives(lab: Lab, manager: Manager, playing: Playing) -> None:
    wait_for(lambda: "1 sessions, 5 pins" in manager.next("WATCHDOG")["STATUS"], "the session in the status")
    assert log_lines(lab, "watchdog_withheld") == []


def test_a_reload_is_told_from_its_beginning_to_its_end(lab: Lab, manager: Manager) -> None:
    before = time.monotonic()
    lab.daemon.process.signal(signal.SIGHUP)
    began = int(manager.next("RELOADING")["MONOTONIC_USEC"])
    assert before * 1e6 <= began <= time.monotonic() * 1e6
    manager.next("READY")


def test_a_daemon_that_hangs_gives_no_sign_of_life(lab: Lab, manager: Manager, playing: Playing) -> None:
    lab.daemon.process.signal(signal.SIGSTOP)
    try:
        manager.all_within(0.5)  # what was under way
        assert manager.all_within(2 * WATCHDOG_S) == []
        get_pictures(playing)
    finally:
        lab.daemon.process.signal(signal.SIGCONT)
    manager.next("WATCHDOG")


def test_a_stop_is_told_and_forwarding_stays(lab: Lab, manager: Manager, playing: Playing) -> None:
    process = lab.daemon.process
    process.signal(signal.SIGTERM)
    manager.next("STOPPING")
    wait_for(lambda: process.pid is None, "the daemon to end")
    assert "xdp" in run_at(lab, "balancer", "ip", "link", "show", "eth0")
    get_pictures(playing)


def test_what_stands_is_adopted_with_the_same_capabilities(
    lab: Lab, manager: Manager, playing: Playing
) -> None:
    lab.daemon.start([*manager.environment, *confined(capabilities())])
    manager.next("READY")
    assert log_lines(lab, "daemon_started")[-1]["adopted"] >= 5
    get_pictures(playing)


def test_the_watchdog_s_signal_leaves_where_the_daemon_hung(lab: Lab, playing: Playing) -> None:
    process = lab.daemon.process
    process.signal(signal.SIGABRT)
    wait_for(lambda: process.pid is None, "the daemon to end")
    assert "Fatal Python error: Aborted" in process.log.read_text()
    get_pictures(playing)
