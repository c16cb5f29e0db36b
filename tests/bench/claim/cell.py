"""What was measured, and how it is told: a cell for each side, tables and a plot of all cells."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench import plots as drawing
from tests.bench.claim.likeness import Likeness
from tests.bench.claim.peers import DIRECT
from tests.bench.plots import Plot
from tests.bench.rounds import Spread
from tests.bench.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One side with so many players.

    gbits:      delivered, Gbit/s
    cpu:        cores of the balancer for each Gbit/s delivered, its kernel thread included
    kernel:     the kernel thread's part
    machine:    cores of the whole machine for each Gbit/s delivered
    busy:       cores that the machine was busy with
    share:      octets that left the balancer for each octet delivered
    first_ms:   from the TCP connect to the first picture: decoded (ffmpeg), or its first RTP (light players)
    request_ms: a request of a light player, on the mean of its first four
    added_ms:   how much longer that is than with direct play in the same round
    failed:     share of players that did not play
    """

    size: str
    bitrate: int
    side: str
    transport: str
    gbits: Spread
    cpu: Spread
    kernel: Spread
    machine: Spread
    busy: Spread
    share: Spread
    first_ms: Spread | None
    request_ms: Spread | None
    added_ms: Spread | None
    failed: float


def tables(cells: Sequence[Likeness | Cell]) -> list[Table]:
    """A table for each number of players, and the comparison with real ones."""
    alike = [cell for cell in cells if isinstance(cell, Likeness)]
    measured = [cell for cell in cells if isinstance(cell, Cell)]
    sizes = dict.fromkeys((cell.size, cell.bitrate) for cell in measured)
    return [
        *(_size_table(*size, [cell for cell in measured if cell.size == size[0]]) for size in sizes),
        _likeness_table(alike),
    ]


def _size_table(size: str, bitrate: int, cells: Sequence[Cell]) -> Table:
    caption = f"**{size}, {bitrate / 1e6:g} Mb/s each**"
    head = [
        "",
        "delivered, Gb/s",
        "machine busy, cores",
        "CPU of the balancer, cores per Gb/s",
        "out of the balancer per byte delivered",
        "first picture, ms",
        "a request takes longer by, ms",
    ]
    return Table(head, [_row(cell) for cell in cells], caption)


def _row(cell: Cell) -> list[str]:
    balances = cell.side != DIRECT
    failed = f"; {cell.failed:.1%} did not play" if cell.failed else ""
    return [
        f"{cell.transport.upper()}, {cell.side}{failed}",
        f"{cell.gbits.median:.2f}",
        f"{cell.busy.median:.2f}",
        f"{cell.cpu:.3f}" if balances else "none",
        f"{cell.share.median:.4f}" if balances else "none",
        f"{cell.first_ms:.1f}" if cell.first_ms else "unknown",
        f"{cell.added_ms:.2f}"
        if cell.added_ms
        else f"(takes {cell.request_ms:.2f})"
        if cell.request_ms
        else "",
    ]


def _likeness_table(alike: Sequence[Likeness]) -> Table:
    rows = [
        [
            f"{one.transport.upper()}, {one.what}",
            f"{one.real:,.2f}",
            f"{one.light:,.2f}",
            f"{one.ratio:.2f}x{'' if one.alike else ', **not alike**'}",
        ]
        for one in alike
    ]
    return Table(["one player", "real", "light", "light to real"], rows, "**Light ones against real ones**")


def plots(cells: Sequence[Likeness | Cell]) -> list[Plot]:
    """The balancer's CPU, side by side."""
    measured = [cell for cell in cells if isinstance(cell, Cell) and cell.side != DIRECT]
    rows: dict[str, dict[str, Spread]] = defaultdict(dict)
    for cell in measured:
        rows[f"{cell.size}, {cell.transport.upper()}"][cell.side] = cell.cpu
    title = "CPU of the balancer for what players are delivered"
    return [drawing.bars("cpu", title, rows, x="cores per Gb/s", form=".3f")]
