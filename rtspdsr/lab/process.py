"""Background processes of a lab, each known by a file that holds its pid and its start time.

Handed a directory and a command. A process writes its own file before it becomes the command, so a lab
whose making was killed at any moment still knows what it started; and because the start time is in it, no
process that got the pid later is ever ended in its place.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

from rtspdsr.errors import LabError
from rtspdsr.lab.network import inside

START_WAIT_S = 5.0  # for the kernel to run a shell
END_WAIT_S = 5.0  # VLC takes up to 2 s to end
POLL_S = 0.02

#: The shell's own line of /proc is kept as its file, then the shell becomes the command.
_REMEMBER = 'cat /proc/$$/stat > "$0.part" && mv "$0.part" "$0" && exec "$@"'


@dataclass(frozen=True, slots=True)
class Process:
    """One background process of a lab.

    record: the file with its line of /proc/PID/stat
    log:    its standard output and error
    """

    record: Path
    log: Path

    @property
    def name(self) -> str:
        """What the lab calls it."""
        return self.record.name

    @property
    def pid(self) -> int | None:
        """Its pid while it lives."""
        recorded = _identity(self.record)
        return recorded[0] if recorded and _alive(*recorded) else None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if pid := self.pid:
            os.kill(pid, number)

    def stop(self) -> None:
        """End it: SIGTERM, after a while SIGKILL."""
        stop_all([self])


class Processes:
    """All background processes of one lab."""

    def __init__(self, state: Path) -> None:
        self._records, self._logs = state / "pids", state / "logs"

    def start(self, name: str, namespace: str, command: Sequence[str]) -> Process:
        """Run a command in a namespace, in a session of its own: Ctrl-C at our terminal is not for it.

        LabError if it is already running.
        """
        process = self[name]
        if process.pid:
            raise LabError(f"{name} is already running with pid {process.pid}; stop it first")
        process.record.unlink(missing_ok=True)
        with self._log(process.log) as log:
            # Forked off at once: it is nobody's child, and whoever stops it need not have started it.
            subprocess.run(
                [*inside(namespace), "setsid", "--fork", *self._remembering(process), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=True,
            )
        wait_until(process.record.exists, START_WAIT_S, f"{name} to be started")
        return process

    def attend(self, name: str, namespace: str, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        """The same as our child, for a caller that waits for its end."""
        process = self[name]
        with self._log(process.log) as log:
            child = subprocess.Popen(
                [*inside(namespace), *self._remembering(process), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(process.record.exists, START_WAIT_S, f"{name} to be started")
        return child

    def run(self, name: str, namespace: str, command: Sequence[str]) -> None:
        """Run a command to its end. LabError with its last words if it fails."""
        child = self.attend(name, namespace, command)
        if code := child.wait():
            log = self[name].log
            raise LabError(f"cannot {name}: exit {code}, {last_line(log)} (all of it: {log})")
        self[name].record.unlink(missing_ok=True)

    def unused_name(self, wish: str) -> str:
        """``wish`` with a number behind it that no process of the lab has had."""
        return next(name for number in count(1) if not self[name := f"{wish}-{number}"].record.exists())

    def _log(self, file: Path) -> IO[bytes]:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("ab")

    def _remembering(self, process: Process) -> list[str]:
        process.record.parent.mkdir(parents=True, exist_ok=True)
        return ["sh", "-c", _REMEMBER, str(process.record)]

    def __getitem__(self, name: str) -> Process:
        """The process of that name, whether it lives or not."""
        return Process(self._records / name, self._logs / f"{name}.log")

    def known(self) -> list[Process]:
        """Every process that was started, whether it lives or not."""
        if not self._records.exists():
            return []
        return [self[record.name] for record in sorted(self._records.iterdir()) if not record.suffix]

    def end(self) -> None:
        """End all, those too that are only just starting, and let none start any more.

        Without the directory a process cannot write its file, and then does not become its command.
        """
        while self._records.exists():
            stop_all(self.known())
            for part in self._records.glob("*.part"):
                part.unlink(missing_ok=True)
            with suppress(OSError):  # not empty: one has written its file meanwhile
                self._records.rmdir()


def stop_all(processes: Iterable[Process]) -> None:
    """End processes side by side, and forget them. LabError names one that even SIGKILL does not end."""
    processes = list(processes)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            process.signal(number)
        deadline = time.monotonic() + END_WAIT_S
        while any(process.pid for process in processes) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    for process in processes:
        if process.pid:
            raise LabError(
                f"{process.name} (pid {process.pid}) does not end; see what it waits for, then retry"
            )
        process.record.unlink(missing_ok=True)


def wait_until(
    come: Callable[[], bool], patience_s: float, what: str, process: Process | None = None
) -> None:
    """Wait for a condition. LabError after ``patience_s``, or once ``process`` has ended, names its log."""
    deadline = time.monotonic() + patience_s
    while not come():
        ended = process is not None and process.record.exists() and process.pid is None
        if ended or time.monotonic() > deadline:
            told = f"; {process.log} ends: {last_line(process.log)}" if process else ""
            why = "it has ended" if ended else f"nothing after {patience_s:g} s"
            raise LabError(f"waited for {what}: {why}{told}")
        time.sleep(POLL_S)


def _identity(record: Path) -> tuple[int, int] | None:
    """Pid and start time (ticks since boot) of a process that wrote its line of /proc there."""
    try:
        pid, rest = record.read_text().split(" ", 1)
    except (FileNotFoundError, ValueError):
        return None
    return int(pid), int(_after_name(rest)[19])


def _alive(pid: int, started: int) -> bool:
    try:
        fields = _after_name(Path(f"/proc/{pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(fields[19]) == started and fields[0] not in "ZX"  # zombie, dead


def _after_name(line: str) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold spaces and brackets: state first."""
    return line.rpartition(")")[2].split()


def last_line(log: Path) -> str:
    """What a process said last."""
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "(nothing)")
