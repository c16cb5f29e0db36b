"""What once found a fault: kept under ``seeds``, one small file each, and read again by every test run."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

Whole = TypeVar("Whole", bytes, list[bytes])

DIRECTORY = Path(__file__).parent / "seeds"


class Found(Exception):
    """A fault was found.

    kept:  the file that holds the least that shows it
    again: arguments that come upon it again
    """

    def __init__(self, why: str, kept: Path, again: str) -> None:
        super().__init__(why)
        self.kept, self.again = kept, again


def keep(part: str, case: dict[str, Any]) -> Path:
    """Write a case down, under a name made of what is in it."""
    text = json.dumps(case, indent=1) + "\n"
    path = DIRECTORY / part / f"{sha256(text.encode()).hexdigest()[:12]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def kept(part: str) -> dict[str, dict[str, Any]]:
    """The cases of a part, by the names of their files."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((DIRECTORY / part).glob("*.json"))}


def shrunk(whole: Whole, fails: Callable[[Whole], bool]) -> Whole:
    """What is left of it when every part is taken out that it fails without; ever smaller parts are tried."""
    step = len(whole) // 2
    while step:
        for at in range(len(whole) - step, -1, -step):
            if (less := whole[:at] + whole[at + step :]) and fails(less):
                whole = less
        step //= 2
    return whole


def blanked(whole: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """The same with every octet 0 that need not be anything else."""
    for at in range(len(whole)):
        if whole[at] and fails(blank := whole[:at] + b"\0" + whole[at + 1 :]):
            whole = blank
    return whole
