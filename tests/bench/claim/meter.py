"""What a side costs while it plays: CPU of the balancer, octets out of its interface, octets delivered.

Handed a ground and the pids of what balances there, it reads counters; two readings make a sample.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.claim.ground import PLAYER, Ground

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
BUSY = (0, 1, 2, 5, 6)  # of the first line of /proc/stat: user, nice, system, irq, softirq


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Counters at one moment.

    at:        seconds of the monotonic clock
    process_s: CPU of the processes that balance
    kernel_s:  CPU of the kernel threads of the balancer's interface
    machine_s: CPU of the whole machine
    through:   octets that left the balancer
    delivered: octets that came to the players
    """

    at: float
    process_s: float
    kernel_s: float
    machine_s: float
    through: int
    delivered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What happened between two readings.

    gbits:     delivered, Gbit/s
    cpu:       of the balancer, in cores for each Gbit/s delivered
    kernel:    its part in the kernel threads
    machine:   the same of the whole machine: source, switch and players as well
    share:     octets that left the balancer for each octet delivered
    busy:      cores that the machine was busy with
    """

    gbits: float
    cpu: float
    kernel: float
    machine: float
    share: float
    busy: float


class Meter:
    """Reads the counters of one side."""

    def __init__(self, ground: Ground, pids: Sequence[int]) -> None:
        self._ground, self._pids = ground, pids

    def read(self) -> Reading:
        """All counters now."""
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        return Reading(
            at=time.monotonic(),
            process_s=sum(map(_ran_s, self._pids)),
            kernel_s=sum(map(_ran_s, self._ground.balancer_threads)),
            machine_s=sum(int(fields[at]) for at in BUSY) / TICKS_A_SECOND,
            through=self._ground.counters(self._ground.balancer)["tx_octets"],
            delivered=self._ground.counters(PLAYER)["rx_octets"],
        )

    def sample(self, seconds: float) -> Sample:
        """Wait so long, and say what happened."""
        before = self.read()
        time.sleep(seconds)
        return between(before, self.read())


def between(before: Reading, after: Reading) -> Sample:
    """The difference."""
    lasted = after.at - before.at
    octets = after.delivered - before.delivered
    gbit = max(octets, 1) * 8 / 1e9
    kernel, machine = after.kernel_s - before.kernel_s, after.machine_s - before.machine_s
    return Sample(
        gbits=gbit / lasted,
        cpu=(after.process_s - before.process_s + kernel) / gbit,
        kernel=kernel / gbit,
        machine=machine / gbit,
        share=(after.through - before.through) / max(octets, 1),
        busy=machine / lasted,
    )


def _ran_s(pid: int) -> float:
    """CPU that all threads of a process have had, to the nanosecond: /proc/PID/task/*/schedstat."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9
