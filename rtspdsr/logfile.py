"""A file of lines that never holds up its writer: a bounded queue, and a thread that owns the file.

Handed finished lines; puts them into the file in batches, renames it at a size, opens it anew when told
to. What the queue or the disk could not take is counted, never waited for. The caller is one thread (the
event loop); only ``put``, ``reopen``, ``rotation`` and ``close`` are its to touch.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from queue import Empty, SimpleQueue

from rtspdsr.errors import RtspDsrError

STANDARD_OUTPUT = "-"
GATHER_S = 0.02  # lines that come this close together are one write
BATCH_BYTES = 256 * 1024  # one write; by so much a file can outgrow its limit
REPORT_S = 1.0  # dropped lines are reported this often at most
ROTATE_AGAIN_S = 60.0  # after a renaming that failed
MODE = 0o640  # client addresses are not for everybody


class LogFileError(RtspDsrError):
    """The file could not be opened at the start."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """At ``limit_bytes`` the file is renamed to ``.1``, ``.1`` to ``.2`` and so on; ``keep`` of them stay."""

    limit_bytes: int
    keep: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """Lines lost since the last report."""

    queue_full: int = 0
    write_failed: int = 0


class _Order(Enum):
    REOPEN = auto()
    CLOSE = auto()


class LogFile:
    """Lines in, one file out.

    rotation: may be replaced at any time
    report:   makes the line that tells of dropped lines
    """

    def __init__(
        self, file: str, *, rotation: Rotation, queue_max: int, report: Callable[[Dropped], str]
    ) -> None:
        self.rotation = rotation
        self._file = file
        self._queue_max = queue_max
        self._report = report
        self._queue: SimpleQueue[str | _Order] = SimpleQueue()
        self._refused = 0  # written by the caller alone
        self._reported = Dropped()  # this and all below: by the thread alone
        self._reported_at = 0.0
        self._failed = 0
        self._complained = False
        self._torn = False
        self._rotate_after = 0.0
        self._size = 0
        self._descriptor: int | None = None
        try:
            self._open()
        except OSError as error:
            raise LogFileError(
                f"log.file: {file} cannot be opened: {error.strerror}; "
                "mend that, or name another file or '-' for standard output"
            ) from error
        self._thread = threading.Thread(target=self._run, name="logfile", daemon=True)
        self._thread.start()

    # --- the caller's side ---------------------------------------------------------------------------

    def put(self, line: str) -> None:
        """Take a line without its newline. Returns at once; counts the line if the queue is full."""
        if self._queue.qsize() >= self._queue_max:
            self._refused += 1
        else:
            self._queue.put(line)

    @property
    def dropped_lines(self) -> int:
        """All that were lost so far, in the queue or on the way to the disk."""
        return self._refused + self._failed

    def reopen(self) -> None:
        """Open the file by its name again, after the lines at hand: something has renamed it."""
        self._queue.put(_Order.REOPEN)

    def close(self, limit_s: float = 2.0) -> bool:
        """Write what is at hand, within ``limit_s``. False if that did not suffice."""
        self._queue.put(_Order.CLOSE)
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    # --- the thread's side ---------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            lines, order = self._gather()
            self._write(lines)
            self._tell_dropped(at_once=order is _Order.CLOSE)
            if order is _Order.REOPEN:
                self._renew()
            elif order is _Order.CLOSE:
                self._shut()
                return

    def _gather(self) -> tuple[list[str], _Order | None]:
        """The next batch: waits for a first line, then a moment for those that follow it."""
        lines: list[str] = []
        room = BATCH_BYTES
        try:
            item = self._queue.get(timeout=REPORT_S)
            if self._queue.qsize() == 0 and not isinstance(item, _Order):
                time.sleep(GATHER_S)
            while True:
                if isinstance(item, _Order):
                    return lines, item
                lines.append(item)
                room -= len(item) + 1
                if room <= 0:
                    return lines, None
                item = self._queue.get_nowait()
        except Empty:
            return lines, None

    def _tell_dropped(self, *, at_once: bool) -> None:
        now = time.monotonic()
        total = Dropped(self._refused, self._failed)
        if total == self._reported or not (at_once or now - self._reported_at >= REPORT_S):
            return
        since = Dropped(
            total.queue_full - self._reported.queue_full, total.write_failed - self._reported.write_failed
        )
        self._reported_at = now
        if self._write([self._report(since)], counted=False):
            self._reported = total

    def _write(self, lines: list[str], *, counted: bool = True) -> bool:
        """Whether the lines are in the file. Those that are not are counted, and the first failure told."""
        if not lines:
            return True
        data = ("\n".join(lines) + "\n").encode()
        written = 0
        try:
            descriptor = self._ready_for(len(data))
            if self._torn:
                os.write(descriptor, b"\n")
                self._torn = False
            while written < len(data):
                written += os.write(descriptor, data[written:])
            self._complained = False
        except OSError as error:
            whole = data.rfind(b"\n", 0, written) + 1
            self._cut_back(written - whole)
            written = whole
            self._failed += data.count(b"\n", whole) if counted else 0
            self._complain(error)
        self._size += written
        return written == len(data)

    def _ready_for(self, length: int) -> int:
        """The open file, renamed first if ``length`` bytes would make it too long."""
        if self._descriptor is None:
            self._open()
        elif self._size and self._size + length > self.rotation.limit_bytes:
            self._rotate()
            self._shut()
            self._open()
        assert self._descriptor is not None
        return self._descriptor

    def _rotate(self) -> None:
        """Rename; where that fails let the file grow, which is better than to lose lines."""
        if self._file == STANDARD_OUTPUT or time.monotonic() < self._rotate_after:
            return
        try:
            self._rename()
        except OSError as error:
            self._rotate_after = time.monotonic() + ROTATE_AGAIN_S
            _tell_operator(f"{self._file} cannot be renamed: {error.strerror}; it grows until it can")

    def _rename(self) -> None:
        keep = self.rotation.keep
        surplus = keep
        while (stale := Path(f"{self._file}.{surplus}")).exists():
            stale.unlink()
            surplus += 1
        for number in range(keep - 1, 0, -1):
            if (older := Path(f"{self._file}.{number}")).exists():
                older.rename(f"{self._file}.{number + 1}")
        Path(self._file).rename(f"{self._file}.1")

    def _open(self) -> None:
        if self._file == STANDARD_OUTPUT:
            self._descriptor = 1
            return
        Path(self._file).parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
        self._size = os.fstat(self._descriptor).st_size
        self._torn = False

    def _renew(self) -> None:
        self._shut()
        try:
            self._open()
        except OSError as error:
            self._complain(error)

    def _shut(self) -> None:
        if self._descriptor is not None and self._file != STANDARD_OUTPUT:
            os.close(self._descriptor)
        self._descriptor = None

    def _cut_back(self, length: int) -> None:
        """Remove the beginning of a line that did not fit; where that cannot be, end it before the next."""
        if length == 0 or self._descriptor is None:
            return
        try:
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - length)
        except OSError:
            self._torn = True

    def _complain(self, error: OSError) -> None:
        """Once for each outage, where an operator looks when the log itself cannot tell."""
        if not self._complained:
            self._complained = True
            _tell_operator(
                f"{self._file} cannot be written: {error.strerror}; "
                "lines are dropped and counted until it can"
            )


def _tell_operator(message: str) -> None:
    print(f"session log: {message}", file=sys.stderr, flush=True)
