"""Labs of a test run: named after its pid, always removed, those of killed runs too."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rtspdsr.lab.lab import Lab, Settings, down
from tests.lab.helpers import standing_labs


@contextmanager
def lab_of_run(prefix: str, settings: Settings, configuration: str = "") -> Iterator[Lab]:
    """A lab whose name is the prefix and our pid, with further sections of configuration for its daemon."""
    for name in standing_labs(prefix):
        if not Path(f"/proc/{name.removeprefix(prefix)}").exists():
            down(name)
    name = f"{prefix}{os.getpid()}"
    try:
        lab = Lab.up(name, replace(settings, balancer=False) if configuration else settings)
        if configuration:
            lab.daemon.config.write_text(f"{lab.daemon.config.read_text()}\n{configuration}\n")
            lab.daemon.start()
        yield lab
    finally:
        down(name)
