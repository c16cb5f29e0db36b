"""The soak itself: a lab with players that stay, players that come and go, a mishap a minute, and samples.

The daemon keeps the stories of the last 5,000 ended sessions and what it drew for each weight of a backend,
and grows until there are so many. So that this is not taken for a leak, mishaps that end the daemon come
only in the first third; then both are filled, and from there on memory and descriptors have to stay.
"""

import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Event
from typing import Self

from rtspdsr.core.story import ENDED_MAX
from rtspdsr.errors import AdminError
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import PlayerKind, Transport
from tests.lab.background import Background
from tests.lab.faults import configure
from tests.lab.helpers import pins, wait_for
from tests.lab.steady import Seat, Steady, pins_of, seated, unharmed
from tests.soak.churn import Churn
from tests.soak.mishaps import Mishap, picked, reload_again
from tests.soak.slope import Slope, slope

MINUTE = 60.0
SAMPLE_S = 5.0
CHECKED = 'health = { check = "options", rise = 1 }'
STAY_S = 420.0  # players that stay are replaced then: the media has ten minutes
SETTLE_S = 20.0  # after the store is full, before growth counts
IDLE_WAIT_S = 180.0  # for the last pin to go: idle, linger, and a reading
MEMORY_KIB, DESCRIPTORS = 64.0, 0.2  #: growth in a minute that is not flat any more
SEATS = (
    Seat(PlayerKind.FFMPEG, "player", Transport.UDP, 4, "gst-a"),
    Seat(PlayerKind.FFMPEG, "player2", Transport.TCP, 4, "gst-a"),
    Seat(PlayerKind.GSTREAMER, "player3", Transport.UDP, 6, "gst-a"),
    Seat(PlayerKind.GSTREAMER, "player4", Transport.TCP, 6, "gst-a"),
)
PLAYERS = ("player5", "player6", "player7", "player8")
CLIENTS = ("player9", "player10")
NODES = 11
#: Pins of a session: its connection, and two ports for each of two tracks over UDP.
PINS = {Transport.UDP: 5, Transport.TCP: 1}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The daemon at one moment.

    at:          seconds since the soak began
    pid:         whose life it is
    memory_kib:  resident
    descriptors: open
    """

    at: float
    pid: int
    memory_kib: int
    descriptors: int
    sessions: int
    pins: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One mishap: when it began, how long it took, and what was wrong; "" if nothing."""

    at: float
    lasted_s: float
    name: str
    problem: str


@dataclass(slots=True)
class Outcome:
    """All that there is to tell.

    judged_from: from when on growth counts; None if the store was never full
    idle:        pins and sessions with only those left that stay, and at the end, and whether that is right
    """

    samples: list[Sample] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    played: dict[str, int] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    judged_from: float | None = None
    idle: dict[str, str] = field(default_factory=dict)

    @property
    def judged(self) -> list[Sample]:
        """The samples that growth is judged by."""
        return [] if self.judged_from is None else [one for one in self.samples if one.at >= self.judged_from]

    @property
    def memory(self) -> Slope | None:
        """How memory grows, KiB."""
        return slope([(one.at, one.memory_kib) for one in self.judged])

    @property
    def descriptors(self) -> Slope | None:
        """How descriptors grow."""
        return slope([(one.at, one.descriptors) for one in self.judged])

    @property
    def problems(self) -> list[str]:
        """What is wrong; nothing, if the soak stood."""
        found = [f"{one.name}: {one.problem}" for one in self.happened if one.problem]
        found += [f"a session failed that no mishap excuses: {one}" for one in self.missed]
        found += [f"pins and sessions, {when}: {what}" for when, what in self.idle.items() if what]
        for name, growth, limit in (
            ("memory", self.memory, MEMORY_KIB),
            ("descriptors", self.descriptors, DESCRIPTORS),
        ):
            if growth is None:
                found.append(f"{name}: growth was not judged")
            elif growth.exceeds(limit):
                found.append(f"{name}: {growth.per_minute:.1f} a minute, more than {limit:g}")
        return found


class Soak:
    """One soak in a lab that stands."""

    def __init__(self, lab: Lab, minutes: int, seed: int, say: Say) -> None:
        self._lab, self._minutes, self._say = lab, minutes, say
        self._dice = Random(seed)
        self._began = time.monotonic()
        self._harm: list[tuple[float, float]] = []
        self.outcome = Outcome()

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def run(self) -> None:
        """All of it; the outcome is filled meanwhile."""
        configure(self._lab, CHECKED)
        lives = max(1, self._minutes // 3)
        with Background(self._sampling):
            with Churn(self._lab, PLAYERS, CLIENTS, self._dice) as churn, Staying(self._lab) as staying:
                for number, mishap in enumerate(picked(self._dice, self._minutes, lives)):
                    if number == lives:
                        self._fill(churn)
                    self._happen(number, mishap, staying.players())
                    self._wait_until((number + 1) * MINUTE)
            self.outcome.played = dict(churn.played)
            self.outcome.missed = [what for at, what in churn.missed if not self._is_excused(at)]
        self._rest()

    def _fill(self, churn: Churn) -> None:
        """Have the daemon know all that it remembers of what has been."""
        self._say(f"{ENDED_MAX:,} sessions come and go, until the store of ended ones is full")
        reload_again(self._lab)
        if churn.fill(ENDED_MAX, self._minutes * MINUTE / 3):
            self.outcome.judged_from = self.now + SETTLE_S

    def _happen(self, number: int, mishap: Mishap, steady: list[Steady]) -> None:
        began, problem = self.now, ""
        try:
            with unharmed(self._lab, steady, f"soak{number}") as wires:
                mishap.happen(self._lab)
            wires.file.unlink(missing_ok=True)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is told, and the soak goes on
            problem = _in_words(error)
        lasted_s = self.now - began
        if mishap.harms:
            self._harm.append((self._began + began, time.monotonic()))
        self.outcome.happened.append(Happened(at=began, lasted_s=lasted_s, name=mishap.name, problem=problem))
        sample = self.outcome.samples[-1] if self.outcome.samples else None
        daemon = f"{sample.memory_kib:,} KiB, {sample.descriptors} descriptors" if sample else ""
        told = f"{mishap.name}: {problem or 'not noticed'}"
        self._say(f"{number + 1}/{self._minutes} {told} ({lasted_s:.0f} s; {daemon})")

    def _is_excused(self, at: float) -> bool:
        """Whether a session that failed then met a mishap that harms, or what such a one left behind."""
        return any(began <= at <= ended + MINUTE / 2 for began, ended in self._harm)

    def _wait_until(self, moment: float) -> None:
        time.sleep(max(0.0, moment - self.now))

    # --- samples

    def _sampling(self, over: Event) -> None:
        while not over.wait(SAMPLE_S):
            if sample := self._sample():
                self.outcome.samples.append(sample)

    def _sample(self) -> Sample | None:
        """None while there is no daemon, or it does not answer."""
        pid = self._lab.daemon.process.pid
        try:
            status = self._lab.daemon.ask("GET", "/v1/status")
            text = Path(f"/proc/{pid}/status").read_text()
            descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        except (AdminError, OSError):
            return None
        return Sample(
            at=round(self.now, 1),
            pid=pid or 0,
            memory_kib=int(text.partition("VmRSS:")[2].split()[0]),
            descriptors=descriptors,
            sessions=status["sessions"],
            pins=status["pins"],
        )

    # --- the end

    def _rest(self) -> None:
        """With those alone that stay, pins are what their sessions take; without any there is none."""
        with Staying(self._lab) as staying:
            players = staying.players()
            expected = sum(PINS[one.playing.watch.transport] for one in players)
            self.outcome.idle["players alone"] = self._idle(len(players), expected)
        self.outcome.idle["nobody"] = self._idle(0, 0)

    def _idle(self, sessions: int, expected: int) -> str:
        """What is wrong with the pins and sessions that there are, once the others have gone."""

        def is_idle() -> bool:
            live = self._lab.daemon.ask("GET", "/v1/sessions")
            return len(live) == sessions and len(pins(self._lab)) == expected

        try:
            wait_for(is_idle, "idleness", IDLE_WAIT_S)
        except AssertionError:
            live = self._lab.daemon.ask("GET", "/v1/sessions")
            return f"{len(pins(self._lab))} pins of {len(live)} sessions, not {expected} of {sessions}"
        self._say(f"idle: {expected} pins of {sessions} sessions")
        return ""


class Staying:
    """Players that stay; asked for, they are replaced if their media would end soon."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._stack = lab, ExitStack()
        self._players: list[Steady] = []
        self._until = 0.0

    def players(self) -> list[Steady]:
        """Those that play now."""
        if time.monotonic() > self._until or not all(one.playing.running for one in self._players):
            self._leave()
            self._players = self._stack.enter_context(seated(self._lab, SEATS))
            self._until = time.monotonic() + STAY_S
        return self._players

    def _leave(self) -> None:
        """Each says so, whether it has got its pictures or not."""
        with ThreadPoolExecutor(len(SEATS)) as pool:
            list(pool.map(lambda one: one.playing.stop(), self._players))
        self._players = []
        self._stack.close()
        clients = {str(self._lab.client(seat.node, seat.version)) for seat in SEATS}
        wait_for(lambda: not pins_of(self._lab, clients), "the pins of those who left to go", IDLE_WAIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()


def _in_words(error: Exception) -> str:
    """An error in a line; of an assertion without a message, the line that failed."""
    if str(error):
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {last.line} ({Path(last.filename).name}, line {last.lineno})"
