"""What the product claims: the media never passes the balancer, so that it costs next to nothing.

Players in numbers play one stream directly, through rtspdsr, and through what users would take instead. Of
each side: the balancer's CPU and what leaves its interface, for what the players are delivered; how long a
player waits for its first picture; how much longer a request takes than without a balancer.
"""

import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rtspdsr.lab.daemon import XdpMode
from rtspdsr.lab.lab import Settings
from rtspdsr.lab.player import Transport
from tests.bench.claim import crowd, likeness, peers, stream
from tests.bench.claim.cell import Cell, plots, tables
from tests.bench.claim.crowd import Fortune
from tests.bench.claim.ground import Ground
from tests.bench.claim.likeness import Likeness
from tests.bench.claim.meter import Meter, Sample
from tests.bench.claim.peers import DIRECT, PEERS, Peer, Side
from tests.bench.part import Tell
from tests.bench.rounds import Spread
from tests.lab.labs import lab_of_run

__all__ = ["ROUNDS", "TITLE", "bench", "plots", "tables"]

TITLE = "The product's claim"
ROUNDS = 2
SETTLE_S = 0.5
PLAIN = Settings(players=1, mode=XdpMode.GENERIC, balancer=False)
BACKEND_SECTION = "[[service.backend]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """So many players at once.

    real:    whether each is an ffmpeg
    rate:    light players that begin in a second
    """

    players: int
    bitrate: int
    real: bool = False
    rate: int = 200

    def __str__(self) -> str:
        return f"{self.players:,} {'ffmpeg' if self.real else 'light players'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured.

    windows, window_s:  samples of each side in a round, and how long each is
    pictures:           real players whose first picture is waited for, in a round, while real ones play
    askers:             light players whose requests are timed meanwhile
    likened, likened_s: real and light players that are compared, and for how long
    think:              what light players take before each request, microseconds
    """

    sizes: Sequence[Size] = (
        Size(players=100, bitrate=2_000_000, real=True),
        Size(players=400, bitrate=2_000_000),
        Size(players=1000, bitrate=1_000_000, rate=250),
    )
    peers: Sequence[Peer] = PEERS
    windows: int = 2
    window_s: float = 1.0
    pictures: int = 3
    askers: int = 20
    likened: int = 10
    likened_s: float = 3.5
    think: Mapping[Transport, Sequence[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Taken:
    """What the rounds of one side gave; ``typical_ms`` is the median of requests of each round."""

    samples: list[Sample] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    request_ms: list[float] = field(default_factory=list)
    typical_ms: list[float] = field(default_factory=list)
    failed: int = 0


def bench(rounds: int, tell: Tell, plan: Plan | None = None) -> list[Likeness | Cell]:
    """The whole part."""
    plan = plan or Plan()
    tell("building two labs")
    with (
        tempfile.TemporaryDirectory() as directory,
        grounds() as (dsr, plain),
        peers.running(plain, plan.peers) as proxies,
    ):
        streams = {rate: stream.make(Path(directory), rate) for rate in {one.bitrate for one in plan.sizes}}
        direct = peers.direct(plain)
        sides = [direct, peers.own(dsr), *proxies]
        first = streams[plan.sizes[0].bitrate]
        tell("comparing light players and source with real ones")
        with plain.serving(first):
            alike, think = likeness.compare(direct, first, plan.likened, plan.likened_s)
        measured = list[Cell]()
        for size in plan.sizes:
            with dsr.serving(streams[size.bitrate]), plain.serving(streams[size.bitrate]):
                measured += measure(replace(plan, think=think), size, sides, rounds, tell)
    return [*alike, *measured]


@contextmanager
def grounds() -> Iterator[tuple[Ground, Ground]]:
    """A lab with rtspdsr, and one for direct play and the peers, where no XDP is in their way."""
    with ExitStack() as stack:
        plain = stack.enter_context(lab_of_run("bp", PLAIN))
        dsr = stack.enter_context(lab_of_run("bd", replace(PLAIN, mode=XdpMode.NATIVE)))
        whole = dsr.daemon.config.read_text().split(BACKEND_SECTION)
        dsr.daemon.config.write_text(BACKEND_SECTION.join(whole[:2]) + "\n")  # the source is the only backend
        dsr.daemon.start()
        yield Ground(dsr), Ground(plain, offloads=True)


def measure(plan: Plan, size: Size, sides: Sequence[Side], rounds: int, tell: Tell) -> list[Cell]:
    """All sides with so many players, in shuffled rounds."""
    turns = [(side, transport) for side in sides for transport in side.transports]
    order, shuffle = list(turns), random.Random(1).shuffle
    taken: dict[tuple[str, Transport], Taken] = defaultdict(Taken)
    for number in range(rounds):
        shuffle(order)
        for side, transport in order:
            tell(f"{size}, round {number + 1} of {rounds}, {side.name} {transport}")
            take = take_real if size.real else take_light
            take(plan, size, side, transport, taken[side.name, transport])
    return [
        _cell(size, side, transport, taken[side.name, transport], taken[DIRECT, transport], rounds)
        for transport in Transport
        for side, of_side in turns
        if of_side is transport
    ]


def take_light(plan: Plan, size: Size, side: Side, transport: Transport, taken: Taken) -> None:
    """One turn of a side with light players."""
    with crowd.light(side, transport, size.players, size.rate, plan.think[transport]) as players:
        players.wait()
        taken.samples += sampled(plan, side)
    fortunes = players.fortunes()
    taken.failed += sum(one.failed or one.first_ms is None for one in fortunes)
    taken.first_ms += [one.first_ms for one in fortunes if one.first_ms]
    note_requests(fortunes, taken)


def take_real(plan: Plan, size: Size, side: Side, transport: Transport, taken: Taken) -> None:
    """One turn of a side with real players."""
    with crowd.real(side, transport, size.players) as players:
        players.wait()
        taken.failed += size.players - players.playing()
        taken.samples += sampled(plan, side)
        firsts = (crowd.first_picture_ms(side, transport) for _ in range(plan.pictures))
        taken.first_ms += [one for one in firsts if one is not None]
        with crowd.light(side, transport, plan.askers, plan.askers, plan.think[transport]) as askers:
            askers.wait()
        note_requests(askers.fortunes(), taken)


def note_requests(fortunes: Sequence[Fortune], taken: Taken) -> None:
    """What requests took light players."""
    spent = crowd.spent_ms(fortunes)
    taken.request_ms += spent
    taken.typical_ms.append(crowd.typical(spent))


def sampled(plan: Plan, side: Side) -> list[Sample]:
    """What a side costs now that all play."""
    time.sleep(SETTLE_S)
    meter = Meter(side.ground, side.pids)
    return [meter.sample(plan.window_s) for _ in range(plan.windows)]


def _cell(size: Size, side: Side, transport: Transport, taken: Taken, direct: Taken, rounds: int) -> Cell:
    added = [here - there for here, there in zip(taken.typical_ms, direct.typical_ms, strict=True)]
    spreads = {
        name: Spread.of([getattr(sample, name) for sample in taken.samples])
        for name in ("gbits", "cpu", "kernel", "machine", "busy", "share")
    }
    return Cell(
        size=str(size),
        bitrate=size.bitrate,
        side=side.name,
        transport=transport,
        **spreads,
        first_ms=_spread(taken.first_ms),
        request_ms=_spread(taken.request_ms),
        added_ms=_spread(added) if side.name != DIRECT else None,
        failed=taken.failed / (size.players * rounds),
    )


def _spread(values: list[float]) -> Spread | None:
    return Spread.of(values) if len(values) > 1 else None
