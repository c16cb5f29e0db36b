"""Packets per second through one veth pair, and what each costs in CPU: the product against other forwarders.

A forwarder has the far end of the pair and a CPU to itself, the generator has the near end and the other CPU.
What a packet costs is the CPU time of the thread that polls the far end, and of the forwarder's processes, by
the packets that came back. Never more packets are under way than its queues hold: so it is loaded with what
it can carry, and does not spend its time on what it then drops.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import truediv
from pathlib import Path

from rtspdsr.errors import LabError
from tests.bench import plots as drawing
from tests.bench.forwarders import Forwarder, forwarders
from tests.bench.generator import Generator, Load
from tests.bench.part import Tell
from tests.bench.plots import Plot
from tests.bench.rounds import Spread, interleave
from tests.bench.table import Table
from tests.bench.wire import FAR_MAC, End, laid
from tests.packets.frames import CLIENT_MAC
from tests.packets.runner import mac

TITLE = "Packets per second and CPU"
ROUNDS = 9
CLIENTS = 100
WARM_S, LOADED_S = 0.3, 1.0
BASE = "rtspdsr, XDP native"


@dataclass(frozen=True, slots=True)
class Cell:
    """One forwarder.

    rate:   packets a second that came back
    cpu_ns: nanoseconds of CPU for each of them
    busy:   share of its CPU that it took
    lost:   share of the packets
    ratio:  of its cost to that of the product in native mode, in the same round
    """

    forwarder: str
    rate: Spread
    cpu_ns: Spread
    busy: Spread
    lost: Spread
    ratio: Spread


@dataclass(frozen=True, slots=True)
class Measured:
    """One forwarder in one round."""

    load: Load
    cpu_ns: int

    @property
    def rate(self) -> float:
        return self.load.received / self.load.seconds

    @property
    def cost_ns(self) -> float:
        return self.cpu_ns / self.load.received


def cpu_ns(pids: Sequence[int]) -> int:
    """CPU time of processes, or of threads of the kernel, in nanoseconds since they began."""
    threads = [thread for pid in pids for thread in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


def measure(forwarder: Forwarder, generator: Generator, near: End, far: End) -> Measured:
    """One forwarder, warmed up."""
    with forwarder.stand() as pids:
        near.settle()
        far.settle()
        generator.load(WARM_S, forwarder.window)
        working = [*far.pollers(), *pids]
        before = cpu_ns(working)
        load = generator.load(LOADED_S, forwarder.window)
        spent = cpu_ns(working) - before
    if not load.received:
        raise LabError(f"{forwarder.name}: none of {load.sent} packets came back")
    return Measured(load, spent)


def bench(rounds: int, tell: Tell) -> list[Cell]:
    """The whole part."""
    with (
        laid() as (near, far),
        Generator(near, CLIENTS, mac(CLIENT_MAC), mac(FAR_MAC)) as generator,
        forwarders(far, CLIENTS) as ready,
    ):
        sides = {one.name: partial(measure, one, generator, near, far) for one in ready}
        measured = interleave(sides, rounds, tell)
    base = [one.cost_ns for one in measured[BASE]]
    return [_cell(name, values, base) for name, values in measured.items()]


def _cell(name: str, measured: list[Measured], base: list[float]) -> Cell:
    costs = [one.cost_ns for one in measured]
    return Cell(
        forwarder=name,
        rate=Spread.of([one.rate for one in measured]),
        cpu_ns=Spread.of(costs),
        busy=Spread.of([one.cpu_ns / one.load.seconds / 1e9 for one in measured]),
        lost=Spread.of([one.load.lost / one.load.sent for one in measured]),
        ratio=Spread.of(list(map(truediv, costs, base))),
    )


def tables(cells: list[Cell]) -> list[Table]:
    """Median (first to ninth tenth), median of the ratios."""
    head = ["forwarder", "packets/s", "its CPU busy", "CPU, ns a packet", "times rtspdsr native", "lost"]
    rows = [
        [
            cell.forwarder,
            f"{cell.rate:,.0f}",
            f"{cell.busy.median:.0%}",
            f"{cell.cpu_ns:,.0f}",
            f"{cell.ratio.median:.2f}x",
            f"{cell.lost.median:.1%}",
        ]
        for cell in cells
    ]
    return [Table(head, rows)]


def plots(cells: list[Cell]) -> list[Plot]:
    """Both figures, on scales of their own."""
    rates = {cell.forwarder: {"packets/s": cell.rate} for cell in cells}
    costs = {cell.forwarder: {"ns": cell.cpu_ns} for cell in cells}
    title = "through one veth pair, one CPU to the forwarder"
    return [
        drawing.bars("rate", f"Packets per second {title}", rates, x="packets/s", form=",.0f", log=True),
        drawing.bars("cpu", f"CPU a packet {title}", costs, x="nanoseconds", form=",.0f", log=True),
    ]
