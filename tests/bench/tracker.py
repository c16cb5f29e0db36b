"""What the tracker costs a core: requests, whole sessions, and the upkeep of many that live.

The whole daemon is measured, as a process with its real maps, log and journal: the dialog of a real player is
replayed from many addresses through the XDP program in force, and what the daemon uses is read from outside.
CPU is that of all its threads, in the kernel too, so that what else the machine does counts little.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count

from rtspdsr.core.tracker import Tracker, TrackerLimits
from rtspdsr.dataplane import layout
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.dataplane.statistics import Statistics
from rtspdsr.dataplane.ticks import Ticks
from rtspdsr.errors import LabError
from tests.bench import plots as drawing
from tests.bench.crowd import Crowd, Script
from tests.bench.part import Tell
from tests.bench.plots import Plot
from tests.bench.rounds import Spread
from tests.bench.stand import Stand, standing
from tests.bench.table import Table
from tests.dialogs import NAMES, load

TITLE = "Tracker"
ROUNDS = 3
UDP, INTERLEAVED = "ffmpeg-udp", "ffmpeg-tcp"  # two tracks: five pins with the connection; or one
BURST = 1_000  # whole sessions in a round
LINGER_S = 1.0  # of sessions that have ended, in those rounds, so that their end is measured as well
LIVE = (10_000, 100_000)
WINDOW_S = 2.0
SETTLE_S = 6.0  # all have been read once
ADOPTED = 1_000_000  # pins
READ_ALONE = 200  # times that every dialog is read


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of the table.

    target: what the figure is to be at least (``>=``) or at most (``<=``), "" if nothing is set
    """

    case: str
    value: Spread
    unit: str
    target: str = ""


def bench(rounds: int, tell: Tell) -> list[Cell]:
    """The whole part."""
    return [
        *reading(rounds, tell),
        *coming_and_going(rounds, tell, logged=True),
        *coming_and_going(rounds, tell, logged=False),
        *living(INTERLEAVED, LIVE[:1], rounds, tell),
        *living(UDP, LIVE, rounds, tell, adopted=True),
    ]


# --- requests --------------------------------------------------------------------------------------------


def reading(rounds: int, tell: Tell) -> Iterator[Cell]:
    """What the tracker takes to read requests and to decide, with nothing put in force."""
    dialogs = [load(name) for name in NAMES]
    requests = sum(len(one.expected.methods) for one in dialogs)
    rates = []
    for number in range(rounds):
        tell(f"requests, round {number + 1} of {rounds}")
        begun = time.thread_time()
        for _ in range(READ_ALONE):
            for dialog in dialogs:
                tracker = Tracker(TrackerLimits(), (f"{number:012x}" for number in count(1)))
                for segment in dialog.segments:
                    tracker.receive(segment, 100.0)
        rates.append(requests * READ_ALONE / (time.thread_time() - begun))
    yield Cell("requests read, nothing else", _spread(rates), "/s")


# --- whole sessions --------------------------------------------------------------------------------------


def coming_and_going(rounds: int, tell: Tell, *, logged: bool) -> Iterator[Cell]:
    """Sessions from SYN to the end of their linger, with everything that the daemon does for them."""
    how = "logged" if logged else "without log"
    rates, longest, late, sent = [], [], 0, 0
    with standing() as stand:
        stand.start(logged=logged, linger_s=LINGER_S)
        with closing(Crowd(stand, Script.of(UDP))) as crowd:
            for number in range(rounds + 1):
                tell(f"new sessions, {how}, round {number} of {rounds}")
                first = number * BURST
                stand.ask()
                begun = stand.cpu_s()
                played = crowd.play(range(first, first + BURST), whole=True)
                told = [stand.ask()]
                while told[-1].pins:
                    time.sleep(0.1)
                    told.append(stand.ask())
                took = stand.cpu_s() - begun
                if number:  # the first round warms up
                    rates.append(BURST / took)
                    longest.append(1e3 * max(one.longest_s for one in told))  # since it was asked before
                    late += played.late
                    sent += played.requests + played.datagrams
    yield Cell(f"new sessions, {how}", _spread(rates), "/s", ">= 1000" if logged else ">= 3000")
    if logged:
        requests = played.requests / played.sessions
        yield Cell("requests of these, everything done", _spread([rate * requests for rate in rates]), "/s")
        yield Cell("read and pinned in time", _spread([100 * (1 - late / sent)]), "%", ">= 100")
        yield Cell("longest step of the loop, new sessions", _most(longest), "ms", "<= 20")


# --- sessions that live ----------------------------------------------------------------------------------


def living(
    dialog: str, levels: tuple[int, ...], rounds: int, tell: Tell, *, adopted: bool = False
) -> Iterator[Cell]:
    """Sessions that play, as many as are said, each level on top of the one before."""
    script = Script.of(dialog)
    kind = "UDP" if script.rtcp_ports else "interleaved"
    with standing() as stand:
        stand.start()
        memory, maps, standing_now = stand.memory_bytes(), stand.map_bytes(), 0
        with closing(Crowd(stand, script)) as crowd:
            for level in levels:
                for first in range(standing_now, level, BURST):
                    tell(f"{first:,} of {level:,} sessions, {kind}")
                    crowd.play(range(first, min(first + BURST, level)), whole=False)
                    crowd.sign(first + 1)  # or those that came first would be given up
                standing_now = level
                tell(f"upkeep of {level:,} sessions, {kind}")
                yield from _upkeep(stand, crowd, level, kind, rounds)
            told = stand.ask()
            if told.sessions != standing_now:
                raise LabError(f"of {standing_now} sessions {told.sessions} live")
            each = (stand.memory_bytes() - memory) / standing_now
            kernel = (stand.map_bytes() - maps) / standing_now
            pins = told.pins // standing_now
        named = f"{standing_now:,} sessions, {kind}"
        yield Cell(f"memory of each of {named}", _spread([each / 1024]), "KiB", "<= 4")
        yield Cell(f"kernel's memory of each of {named}", _spread([kernel / 1024]), "KiB")
        yield Cell(f"pins of each of {named}", _spread([pins]), "")
        if adopted:
            yield from _adoption(stand, memory, tell)


def _upkeep(stand: Stand, crowd: Crowd, level: int, kind: str, rounds: int) -> Iterator[Cell]:
    crowd.live(level, SETTLE_S, keepalives=True)
    stand.ask()
    alone, asking, longest = list[float](), list[float](), list[float]()
    for _ in range(rounds):
        for keepalives, found in ((False, alone), (True, asking)):
            begun, since = stand.cpu_s(), time.monotonic()
            crowd.live(level, WINDOW_S, keepalives=keepalives)
            found.append(100 * (stand.cpu_s() - begun) / (time.monotonic() - since))
        longest.append(stand.ask().longest_s * 1e3)
    named = f"{level:,} live sessions, {kind}"
    target = "<= 20" if level >= 100_000 else ""
    yield Cell(f"CPU of {named}: upkeep", _spread(alone), "% of a core", target)
    yield Cell(f"CPU of {named}: with keepalives", _spread(asking), "% of a core")
    yield Cell(f"longest step of the loop, {named}", _most(longest), "ms", "<= 20")


# --- a restart -------------------------------------------------------------------------------------------


def _adoption(stand: Stand, empty: int, tell: Tell) -> Iterator[Cell]:
    """SIGKILL and a new start, with the sessions that were there; then with as many as make all the pins."""
    for wanted in (0, ADOPTED):
        tell(f"restart with {wanted or 'the same'} pins")
        stand.kill()
        if wanted:
            multiply(stand, wanted)
        took = stand.start()
        told = stand.ask()
        yield Cell(f"restart with {told.sessions:,} sessions, {told.pins:,} pins", _spread([took]), "s")
    each = (stand.memory_bytes() - empty) / told.sessions
    yield Cell(f"memory of each of {told.sessions:,} adopted sessions", _spread([each / 1024]), "KiB")


def multiply(stand: Stand, pins: int) -> None:
    """Give a dead daemon's sessions twins, at addresses of their own, until there are so many pins."""
    directory = stand.home.pins
    with Map.from_pin(directory / "pins") as standing_pins, Map.from_pin(directory / "statistics") as chunks:
        entries = list(standing_pins.entries())
        statistics = Statistics(stand.home, chunks, Ticks(0.0, 1.0))
        with closing(statistics):
            statistics.adopt({layout.PIN.unpack(value)[0] for _, value in entries})
            with closing(stand.journal()) as journal:
                records = journal.sessions()
                each = len(entries) // len(records)
                of_client: dict[str, list[tuple[bytes, bytes]]] = {}
                for key, value in entries:
                    of_client.setdefault(str(layout.unpack_flow(key).client), []).append((key, value))
                for number in range(pins // each - len(records)):
                    turn, at = divmod(number, len(records))
                    if not at:
                        names = list(records)
                    record = records[names[at]]
                    shift = (turn + 1) << 20
                    client = ip_address(int(ip_address(record["client"])) + shift)
                    journal.write(f"twin{turn}-{names[at]}", {**record, "client": str(client)})
                    for key, value in of_client[record["client"]]:
                        if statistics.scarce:
                            statistics.grow()
                        _, backend, flags = layout.PIN.unpack(value)
                        twin = key[:12] + client.packed + key[16:]
                        standing_pins.update(twin, layout.PIN.pack(statistics.take(), backend, flags))


# --- the table -------------------------------------------------------------------------------------------


def _spread(values: list[float]) -> Spread:
    """The spread of measurements; a single one has none."""
    return Spread.of(values if len(values) > 1 else values * 2)


def _most(values: list[float]) -> Spread:
    """The greatest is the figure to judge by, whatever the rest was."""
    spread = _spread(values)
    return Spread(max(values), spread.least, spread.low, max(values))


def tables(cells: list[Cell]) -> list[Table]:
    """Median (first to ninth tenth), and what it is to be."""
    return [Table(["", "measured", "target"], [[one.case, _shown(one), one.target] for one in cells])]


def plots(cells: list[Cell]) -> list[Plot]:
    """Upkeep and the loop, against their targets."""
    drawn = (
        ("upkeep", "CPU of live sessions", "% of a core", "CPU of "),
        ("steps", "The longest step of the daemon's loop", "ms", "longest step of the loop, "),
    )
    return [
        drawing.bars(name, title, _rows(cells, unit, begin), x=unit, form=".1f", target=20.0)
        for name, title, unit, begin in drawn
    ]


def _rows(cells: list[Cell], unit: str, begin: str) -> dict[str, dict[str, Spread]]:
    """The cells of one unit, by what they are of."""
    return {one.case.removeprefix(begin): {unit: one.value} for one in cells if one.unit == unit}


def _shown(cell: Cell) -> str:
    value = cell.value
    told = f"{_figure(value.median)} {cell.unit}".rstrip()
    return told if value.low == value.high else f"{told} ({_figure(value.low)}-{_figure(value.high)})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
