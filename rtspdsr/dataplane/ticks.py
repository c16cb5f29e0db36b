"""The kernel's ticks (jiffies), which XDP notes in statistics, as seconds of the monotonic clock.

Handed a program that tells the ticks, it reads both clocks once. One reading lasts: the kernel counts ticks
by that very clock, and neither stops when no daemon runs.
"""

import struct
import time
from dataclasses import dataclass
from typing import Self

from rtspdsr.dataplane.libbpf.programs import Program

_MONOTONIC_COARSE = 6  # linux/time.h; its resolution is one tick


@dataclass(frozen=True, slots=True)
class Ticks:
    """The relation of both clocks.

    origin_s: when tick 0 was, on the monotonic clock
    length_s: of a tick
    """

    origin_s: float
    length_s: float

    @classmethod
    def read(cls, program: Program) -> Self:
        """Ask the kernel. ``program``: ``rtspdsr_ticks``."""
        length_s = time.clock_getres(_MONOTONIC_COARSE)
        (now,) = struct.unpack_from("=Q", program.test_run(bytes(64)).frame)
        return cls(time.monotonic() - now * length_s, length_s)

    def seconds(self, ticks: int) -> float:
        """When a tick was, seconds on the monotonic clock; 0 for never."""
        return self.origin_s + ticks * self.length_s if ticks else 0.0
