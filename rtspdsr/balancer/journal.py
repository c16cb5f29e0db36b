"""The append-only journal of live sessions, from which a restarted daemon knows them again.

Handed records (a session's snapshot, or that it has ended), it appends one JSON line each; read back, it
gives the last snapshot of every session that had not ended. It survives SIGKILL because each ``flush``
is one write to the page cache; it need not survive a reboot, which ends every session anyway, so a
journal of another boot is discarded. When it has grown long, ``rotate`` begins a new file beside the old
one: the caller writes every live session once more, then drops the old file.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rtspdsr.errors import RtspDsrError

ROTATE_AT = 64 << 20  # octets: some 60,000 snapshots
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Journal:
    """Two files in a directory: ``journal``, and ``journal.old`` while one is being replaced."""

    def __init__(self, directory: Path, boot_id: str | None = None) -> None:
        """Open it for appending. Raises RtspDsrError if the directory cannot be written.

        boot_id: names this boot of the machine; read from the kernel if not given
        """
        self._new, self._old = directory / "journal", directory / "journal.old"
        self._boot = boot_id or _BOOT_ID.read_text().strip()
        self._lines: list[str] = []
        self.failed = 0
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

    def write(self, name: str, snapshot: dict[str, Any]) -> None:
        """Note how a session stands."""
        self._lines.append(json.dumps({"name": name, **snapshot}, separators=(",", ":")))

    def end(self, name: str) -> None:
        """Note that a session has ended."""
        self._lines.append(json.dumps({"name": name, "ended": True}, separators=(",", ":")))

    def flush(self) -> None:
        """Append what was noted; what cannot be written is counted and lost, forwarding goes on."""
        if not self._lines:
            return
        data = ("\n".join(self._lines) + "\n").encode()
        self._lines.clear()
        try:
            os.write(self._file, data)
        except OSError:
            self.failed += 1

    @property
    def long(self) -> bool:
        """Whether ``rotate`` is due."""
        return not self._old.exists() and os.fstat(self._file).st_size > ROTATE_AT

    def rotate(self) -> None:
        """Begin a new file. Write every live session, then ``drop_old``."""
        self.flush()
        os.close(self._file)
        self._new.rename(self._old)
        self._file = self._open(self._new)

    def drop_old(self) -> None:
        """Remove the old file: every live session stands in the new one."""
        self.flush()
        self._old.unlink(missing_ok=True)

    def rewrite(self, snapshots: dict[str, dict[str, Any]]) -> None:
        """Replace everything by these snapshots: what a restarted daemon has taken over."""
        os.close(self._file)
        draft = self._new.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        self._file = self._open(draft)
        for name, snapshot in snapshots.items():
            self.write(name, snapshot)
        self.flush()
        draft.rename(self._new)  # from one whole file to another: a kill in between loses nothing
        self.drop_old()

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        os.close(self._file)

    def _open(self, path: Path) -> int:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        os.write(descriptor, b"\n" + json.dumps({"boot": self._boot}).encode() + b"\n")
        return descriptor

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
