"""What befalls a lab: its daemon, its configuration, its media servers and the wires to them.

What has a duration is a context manager that undoes it at its end, whatever happens meanwhile.
"""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from threading import Event

import hatch_build
import rtspdsr
from rtspdsr.dataplane.loader import OBJECT
from rtspdsr.lab import server
from rtspdsr.lab.daemon import NAME
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.topology import SWITCH
from tests.lab.background import Background
from tests.lab.helpers import Line, lines_since, log_end, log_lines, run_at, wait_for

STARTED = b'"event":"daemon_started"'
BIRTH_S = 1.0  # in which a daemon that is killed while it starts is killed
LIVES_EVERY = 3  # of so many that are killed one had come so far as to take packets
LIVES_S = 150.0  # on a slow machine lives are waited for no longer: players do not play for ever
START_WAIT_S = 40.0  # on a machine at its limits
CLOCK = Path(__file__).with_name("clock.c")


# --- the daemon


def end(lab: Lab, number: signal.Signals) -> None:
    """Send the daemon a signal that ends it; return once it has."""
    process = lab.daemon.process
    process.signal(number)
    wait_for(lambda: process.pid is None, f"the daemon to end by {number.name}")


def restart(lab: Lab, number: signal.Signals = signal.SIGTERM, under: tuple[str, ...] = ()) -> list[Line]:
    """End the daemon and start it; give back the lines that it has logged since."""
    began = log_end(lab)
    end(lab, number)
    lab.daemon.start(under)
    wait_for(lambda: bool(lines_since(lab, began, "daemon_started")), "its start")
    return lines_since(lab, began)


def starts(lab: Lab) -> int:
    """How often a daemon has come so far as to take packets."""
    return lab.daemon.log.read_bytes().count(STARTED)


def kill_in_a_row(lab: Lab, times: int, dice: Random) -> None:
    """SIGKILL, and start again at once; some die at some moment of their start."""
    namespace = lab.topology.namespace(lab.topology.balancer.name)
    until = time.monotonic() + LIVES_S
    for number in range(times):
        before = starts(lab)
        end(lab, signal.SIGKILL)
        lab.processes.start(NAME, namespace, lab.daemon.command)
        if number % LIVES_EVERY or time.monotonic() > until:
            time.sleep(dice.uniform(0.0, BIRTH_S))
        else:
            wait_for(lambda before=before: starts(lab) > before, "a start", START_WAIT_S)  # type: ignore[misc]
    before = starts(lab)
    end(lab, signal.SIGKILL)
    lab.daemon.start()
    wait_for(lambda: starts(lab) > before, "the last start", START_WAIT_S)


@contextmanager
def stopped(lab: Lab, name: str = NAME) -> Iterator[None]:
    """A process of the lab, the daemon if none is named, that does not get a turn."""
    lab.processes[name].signal(signal.SIGSTOP)
    try:
        yield
    finally:
        lab.processes[name].signal(signal.SIGCONT)


def another_release(lab: Lab) -> tuple[str, ...]:
    """Install a copy of the program whose XDP part does the same by other instructions; run it under this."""
    release = lab.state / "release"
    package = Path(rtspdsr.__file__).parent
    shutil.copytree(package, release / package.name, dirs_exist_ok=True)
    target = release / package.name / OBJECT.relative_to(package)
    command = hatch_build.command(hatch_build.find_clang(), target)
    command[command.index("-O2")] = "-O3"
    subprocess.run(command, cwd=hatch_build.ROOT, check=True)
    return ("env", "PYTHONSAFEPATH=1", f"PYTHONPATH={release}")


class WallClock:
    """A wall clock for the daemon alone, to be set at will; the machine's is left alone."""

    def __init__(self, lab: Lab) -> None:
        self._ahead, library = lab.state / "ahead", lab.state / "clock.so"
        self.ahead_s = 0
        build = [hatch_build.find_clang(), "-O2", "-Wall", "-Werror", "-shared", "-fPIC"]
        subprocess.run([*build, "-o", str(library), str(CLOCK)], check=True)
        self.under = ("env", f"LD_PRELOAD={library}", f"CLOCK_AHEAD={self._ahead}")

    @property
    def ahead_s(self) -> int:
        """Seconds from the machine's clock to this one."""
        return int(self._ahead.read_text())

    @ahead_s.setter
    def ahead_s(self, seconds: int) -> None:
        draft = self._ahead.with_suffix(".new")
        draft.write_text(f"{seconds}\n")
        draft.rename(self._ahead)


# --- its configuration


def reload(lab: Lab) -> Line:
    """SIGHUP; what the log says of it."""
    began = log_end(lab)

    def told() -> list[Line]:
        return lines_since(lab, began, "config_reloaded") + lines_since(lab, began, "config_refused")

    lab.daemon.process.signal(signal.SIGHUP)
    wait_for(lambda: bool(told()), "the reload", START_WAIT_S)
    return told()[0]


def configure(lab: Lab, line: str) -> None:
    """Give the lab's service other checks, while the daemon runs."""
    text = lab.daemon.config.read_text().splitlines()
    lab.daemon.config.write_text(
        "\n".join(line if one.startswith("health = ") else one for one in text) + "\n"
    )
    assert reload(lab)["event"] == "config_reloaded"


@contextmanager
def configured(lab: Lab, change: Callable[[str], str]) -> Iterator[None]:
    """Another configuration file for a while."""
    before = lab.daemon.config.read_text()
    changed = change(before)
    assert changed != before
    lab.daemon.config.write_text(changed)
    try:
        yield
    finally:
        lab.daemon.config.write_text(before)


def without(text: str, backend: str) -> str:
    """A configuration without one backend."""
    head, *sections = text.split("[[service.backend]]")
    kept = [one for one in sections if f'name = "{backend}"' not in one]
    return "[[service.backend]]".join([head, *kept])


def weigh(text: str, weight: int) -> str:
    """A configuration with another weight of vlc."""
    return text.replace("weight = 50", f"weight = {weight}")


def last_shares(lab: Lab) -> Mapping[str, int]:
    """The last slot table of the log."""
    shares: dict[str, int] = log_lines(lab, "table_filled")[-1]["shares"]
    return shares


# --- media servers and wires


@contextmanager
def dying(lab: Lab, backend: str, how: str) -> Iterator[float]:
    """A backend that is dead, and lives again afterwards; the wall clock at its death."""
    process = lab.processes[backend]
    died_at = time.time()
    with ExitStack() as stack:
        match how:
            case "killed":
                process.signal(signal.SIGKILL)
                stack.callback(_revive, lab, backend)
            case "stopped":
                stack.enter_context(stopped(lab, backend))
            case _:
                cut(lab, backend, stack)
        yield died_at


def _revive(lab: Lab, backend: str) -> None:
    process = lab.processes[backend]
    wait_for(lambda: process.pid is None, f"{backend} to be dead")
    server.ready(lab.start_server(lab.topology.node(backend)))


def cut(lab: Lab, node: str, stack: ExitStack) -> None:
    """Take a node's port of the switch down, until the stack ends."""
    stack.callback(run_at, lab, SWITCH, "ip", "link", "set", node, "up")
    run_at(lab, SWITCH, "ip", "link", "set", node, "down")


@contextmanager
def dropping(lab: Lab, node: str, hook: str, what: str) -> Iterator[None]:
    """A firewall at a node drops what matches."""
    rules = ["add table inet dark", f"add chain inet dark it {{ type filter hook {hook} priority 0; }}"]
    run_at(lab, node, "nft", "; ".join([*rules, f"add rule inet dark it {what} drop"]))
    try:
        yield
    finally:
        run_at(lab, node, "nft", "delete table inet dark")


@contextmanager
def flapping(lab: Lab, backend: str, period_s: float = 1.0) -> Iterator[None]:
    """A backend whose answers to checks are lost half of the time, again and again."""
    hidden = f"ip saddr {lab.topology.balancer.v4.ip} tcp dport 554"

    def flap(over: Event) -> None:
        while not over.is_set():
            with dropping(lab, backend, "input", hidden):
                over.wait(period_s / 2)
            over.wait(period_s / 2)

    with Background(flap):
        yield
