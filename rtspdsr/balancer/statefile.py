"""What has to outlive the daemon, as one small JSON file: written whole or not at all.

Handed a table, it writes it; read back, it gives the same. What stands in it is the business of its owner.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rtspdsr.errors import RtspDsrError


class StateFile:
    """One file in the state directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Any]:
        """What stands in it; nothing if there is none. Raises OSError, and ValueError if it is no table."""
        try:
            written = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        if not isinstance(written, dict):
            raise ValueError("it holds no table")
        return written

    def save(self, table: Mapping[str, Any]) -> None:
        """Replace all. It waits for the disk: not for the event loop. Raises RtspDsrError."""
        draft = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("w") as file:
                file.write(json.dumps(table, indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())  # or the name may outlive a power cut, and the content not
            draft.replace(self.path)
        except OSError as error:
            raise RtspDsrError(
                f"cannot write {self.path}: {error.strerror}; mend it, or set daemon.state_dir"
            ) from error
