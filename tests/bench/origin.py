"""Where figures come from: the machine, the day, the commit, the command."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Origin:
    """What whoever doubts a figure asks for.

    commit:  "" where the sources lie in no repository
    command: that measures it again; it writes no file
    """

    machine: str
    date: str
    commit: str
    command: str

    @classmethod
    def here(cls, parts: Sequence[str], rounds: int | None) -> Self:
        """Of a run that begins now, of the parts that are named (all if none is)."""
        asked = " ".join([*parts, *([f"--rounds {rounds}"] if rounds else [])])
        return cls(
            machine=_machine(),
            date=time.strftime("%Y-%m-%d"),
            commit=_commit(),
            command=f"make bench ARGS='{asked}'" if asked else "make bench",
        )

    def note(self, rounds: int, took_s: float) -> str:
        """A line below the tables of a part."""
        commit = f", commit {self.commit}" if self.commit else ""
        return f"{rounds} rounds in {took_s:.0f} s on {self.machine}, {self.date}{commit}."


def _machine() -> str:
    named = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = named[1] if named else platform.machine()
    return f"{os.cpu_count()} x {processor}, Linux {platform.release()}"


def _commit() -> str:
    """Its abbreviated name, and whether sources differ from it."""
    head = _git("rev-parse", "--short", "HEAD")
    altered = head and _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs")
    return f"{head} with changes" if altered else head


def _git(*command: str) -> str:
    """What git says; "" where it cannot."""
    try:
        ran = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return ran.stdout.strip()
