"""What the operator wants of each backend, on disk: it outlives the daemon, and the machine.

Handed wishes by name of service and backend, it writes them; read back, it gives the same. What is not in it
is ready.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtspdsr.balancer.statefile import StateFile
from rtspdsr.errors import RtspDsrError
from rtspdsr.model import AdminState

FILE = "backends.json"

Name = tuple[str, str]  #: of the service, and of the backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One backend's. Times are seconds since 1970, since they are to outlive a boot of the machine.

    deadline_at: when sessions that are left are ended; None for never
    """

    state: AdminState
    began_at: float
    deadline_at: float | None = None


class Administration:
    """The file in a directory."""

    def __init__(self, directory: Path) -> None:
        self._file = StateFile(directory / FILE)

    def load(self) -> dict[Name, Wish]:
        """All wishes. Raises RtspDsrError if the file is there and cannot be read."""
        try:
            return {_name(text): _wish(record) for text, record in self._file.load().items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RtspDsrError(
                f"cannot read {self._file.path} ({error}), which says which backends are out; "
                "mend it, or remove it: then all are ready"
            ) from error

    def save(self, wishes: Mapping[Name, Wish]) -> None:
        """Replace all. It waits for the disk: not for the event loop. Raises RtspDsrError."""
        records = {
            "/".join(name): {
                "state": wish.state,
                "began_at": round(wish.began_at, 3),
                "deadline_at": wish.deadline_at and round(wish.deadline_at, 3),
            }
            for name, wish in wishes.items()
        }
        self._file.save(records)


def _name(text: str) -> Name:
    service, _, backend = text.partition("/")
    return service, backend


def _wish(record: Mapping[str, Any]) -> Wish:
    deadline_at = record["deadline_at"]
    return Wish(
        state=AdminState(record["state"]),
        began_at=float(record["began_at"]),
        deadline_at=None if deadline_at is None else float(deadline_at),
    )
