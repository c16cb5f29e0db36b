"""The record of a preparation: what was asked and what was done, in a file that ``undo`` reads.

It is written before each step is performed, so that a crash in the middle leaves nothing unrecorded.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from rtspdsr.errors import PreparationError
from rtspdsr.preparation.plan import Request
from rtspdsr.preparation.steps import AddRoute, DropRoute, SetSysctl, Step, WriteFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What was asked, and the steps performed for it, oldest first."""

    request: Request
    steps: tuple[Step, ...] = ()
    version: Literal[1] = 1

    def with_step(self, step: Step) -> "Record":
        """The record with one step more; a thing changed twice keeps the value it had at first."""
        kept = [done for done in self.steps if (done.kind, done.subject) != (step.kind, step.subject)]
        first = next((done for done in self.steps if done not in kept), None)
        if isinstance(first, SetSysctl) and isinstance(step, SetSysctl):
            step = replace(step, old=first.old)
        if isinstance(first, WriteFile) and isinstance(step, WriteFile):
            step = replace(step, before=first.before, made=first.made)
        return replace(self, steps=(*kept, step))

    def without(self, steps: tuple[Step, ...]) -> "Record":
        return replace(self, steps=tuple(done for done in self.steps if done not in steps))

    def settled(self) -> "Record":
        """The record without routes that came and went: undo has nothing to do for them."""
        gone = {step.route for step in self.steps if isinstance(step, DropRoute)}
        return replace(
            self,
            steps=tuple(
                step
                for step in self.steps
                if not (isinstance(step, AddRoute | DropRoute) and step.route in gone)
            ),
        )


_FORMAT: TypeAdapter[Record] = TypeAdapter(Record)


def load(path: Path) -> Record | None:
    """The record in that file; None if there is no such file."""
    try:
        return _FORMAT.validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise PreparationError(
            f"the record {path} cannot be read: {error}; without it nothing can be undone by itself"
        ) from error


def save(record: Record, path: Path) -> None:
    """Replace the file in one go, and have it on the disk."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(path.name + ".new")
        with draft.open("wb") as file:
            file.write(_FORMAT.dump_json(record, indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise PreparationError(
            f"the record {path} cannot be written: {error.strerror}; name another place with --state"
        ) from error
