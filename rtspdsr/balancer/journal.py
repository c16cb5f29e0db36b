"""The append-only journal of live sessions, from which a restarted daemon knows them again.

Handed records (a session's snapshot, or that it has ended), it notes one JSON line each; ``flush`` appends
them, in a thread so that a slow disk holds up nobody. Read back, it gives the last snapshot of every
session that had not ended. It survives SIGKILL because each flush ends in the page cache; it need not
survive a reboot, which ends every session anyway, so records of another boot are passed over. When it has
grown long, a new file is begun beside the old one: the caller writes every live session once more, then
drops the old file. At every moment the files on disk hold every session that was ever flushed.
"""

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from rtspdsr.errors import RtspDsrError

ROTATE_AT = 64 << 20  # octets: some 60,000 snapshots
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_encoded = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Journal:
    """Two files in a directory: ``journal``, and ``journal.old`` while one is being replaced."""

    def __init__(self, directory: Path, boot_id: str | None = None) -> None:
        """Open it for appending. Raises RtspDsrError if the directory cannot be written.

        boot_id: names this boot of the machine; read from the kernel if not given
        """
        self._new, self._old = directory / "journal", directory / "journal.old"
        self._boot = boot_id or _BOOT_ID.read_text().strip()
        self._lines: deque[str] = deque()
        self._writing = Lock()
        self._headed = False  # whether the open file names this boot
        self.failed = 0  #: flushes that the disk refused: after a restart some sessions may be unknown
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = self._open(self._new)
        except OSError as error:
            raise RtspDsrError(
                f"cannot write the journal in {directory}: {error.strerror}; mend it, or set daemon.state_dir"
            ) from error

    def sessions(self) -> dict[str, dict[str, Any]]:
        """The last snapshot of every session that has not ended, by its name."""
        found: dict[str, dict[str, Any]] = {}
        for path in (self._old, self._new):
            for record in self._records(path):
                name = record.pop("name", None)
                if not isinstance(name, str):
                    continue
                if record.get("ended"):
                    found.pop(name, None)
                else:
                    found[name] = record
        return found

    def write(self, name: str, snapshot: Mapping[str, Any]) -> None:
        """Note how a session stands."""
        self._lines.append(_encoded({"name": name, **snapshot}))

    def end(self, name: str) -> None:
        """Note that a session has ended."""
        self._lines.append(_encoded({"name": name, "ended": True}))

    @property
    def pending(self) -> bool:
        """Whether anything waits for ``flush``."""
        return bool(self._lines)

    def flush(self) -> bool:
        """Append what was noted. False if the disk refused: that is counted and lost, forwarding goes on."""
        with self._writing:
            lines = self._noted()
            if not lines:
                return True
            try:
                _append(self._file, lines if self._headed else [self._heading(), *lines])
            except OSError:
                self.failed += 1
                return False
            self._headed = True
            return True

    @property
    def long(self) -> bool:
        """Whether ``rotate`` is due."""
        return not self._old.exists() and os.fstat(self._file).st_size > ROTATE_AT

    def rotate(self) -> bool:
        """Begin a new file. Write every live session, then ``drop_old``. False if the disk refused."""
        with self._writing:
            try:
                self._new.rename(self._old)
                file = self._open(self._new)
            except OSError:
                self.failed += 1
                return False
            os.close(self._file)
            self._file, self._headed = file, False
            return True

    def drop_old(self) -> None:
        """Remove the old file if every live session stands in the new one."""
        if self.flush():
            self._old.unlink(missing_ok=True)

    def rewrite(self) -> None:
        """Replace all that was flushed by what was noted since, if the disk allows: what was taken over."""
        lines = self._noted()
        draft = self._new.with_suffix(".draft")
        try:
            draft.unlink(missing_ok=True)
            file = self._open(draft)
            _append(file, [self._heading(), *lines])
            draft.rename(self._new)  # from one whole file to another: a kill in between loses nothing
        except OSError:
            self.failed += 1
            return
        os.close(self._file)
        self._file, self._headed = file, True
        self._old.unlink(missing_ok=True)

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        os.close(self._file)

    def _open(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _noted(self) -> list[str]:
        """Take what was noted so far; another thread may note more meanwhile."""
        return [self._lines.popleft() for _ in range(len(self._lines))]

    def _heading(self) -> str:
        return json.dumps({"boot": self._boot})

    def _records(self, path: Path) -> Iterator[dict[str, Any]]:
        """The records that this boot wrote; a line cut by a crash is passed over."""
        try:
            lines = path.open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        ours = False
        with lines:
            for line in lines:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if not isinstance(record, dict):
                    continue
                if "boot" in record:
                    ours = record["boot"] == self._boot
                elif ours:
                    yield record


def _append(descriptor: int, lines: list[str]) -> None:
    """Write whole lines. What a full disk cuts is closed by a line end before the next write."""
    data = memoryview(("\n" + "\n".join(lines) + "\n").encode())
    while data:
        data = data[os.write(descriptor, data) :]


def remove(directory: Path) -> None:
    """Remove the journal of a directory: its sessions are at an end."""
    for name in ("journal", "journal.old", "journal.draft"):
        (directory / name).unlink(missing_ok=True)
