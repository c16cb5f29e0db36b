"""Which clients of a dead backend are told, and when: those on whose connection nothing moves any more.

It is handed the backends that are dead, what their clients have there, the readings of it, and ``now``; it
gives back orders to reset connections. That a check fails proves nothing about a session: only one that shows
no progress since is given up, and what counts as progress depends on what its client does. Nobody is reset
while too many backends of a service are down at once, nor faster than the service allows.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from rtspdsr.core.connection import Connection
from rtspdsr.core.events import ConnectionReset, Event, FlowForgotten, ResetOrdered, ResetsWithheld
from rtspdsr.core.heard import Heard, LonePin
from rtspdsr.core.pace import Pace
from rtspdsr.core.session import Session, State
from rtspdsr.model import FlowKey, PinReading, Proto

#: How long nothing may move, seconds, before a client is told.
INTERLEAVED_S = 2.0  # media in the connection is acknowledged all the time
ANSWER_S = 3.0  # a request is answered, as is the beginning of a connection
REPORTS_S = (2.0, 8.0)  # three of the client's report intervals within these: RFC 3550 has 2.5 to 7.5 s
REPORTS_MIN = 3  # fewer tell no interval
PUNCHES = 5  # what a player sends to the port before its first report, at most
SENDING_S = 8.0  # a publisher: its socket takes some seconds of media before it blocks
GONE_S = 3.0  # of a client that tells nothing, when the machine does not even answer ARP
SILENT_S = 8.0  # the same, when clients that do tell show that nothing moves on this backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a service allows.

    backends:     how many it has
    max_share:    of them may be dead, and clients still be reset
    resets_per_s: at most
    """

    backends: int
    max_share: float
    resets_per_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A backend that is unresolved or down.

    gone:    the machine itself is not heard, not just its media server
    problem: what was found
    """

    service_id: int
    backend_id: int
    gone: bool
    problem: str


@dataclass(slots=True)
class _Watched:
    """What is bound to a dead backend, and when it last moved."""

    moved_at: float
    asked_at: float | None = None
    first: bool = True
    delivered: int = 0
    next_sequence: int = 0
    highest: dict[FlowKey, int] = field(default_factory=dict)
    control: PinReading | None = None
    patience_s: float | None = None


@dataclass(slots=True)
class _Scene:
    """What is known of one dead backend as a whole.

    moved_at: when anything of it last moved
    stood:    connections that were found to stand still by signs of their own
    """

    death: Death
    moved_at: float
    stood: int = 0


class Eviction:
    """Everything that is bound to dead backends; ``on`` tells the sessions of a connection."""

    def __init__(self, on: Callable[[Connection], Collection[Session]]) -> None:
        self._on = on
        self._scenes: dict[int, _Scene] = {}
        self._watched: dict[Heard, _Watched] = {}
        self._terms: dict[int, Terms] = {}
        self._pace = Pace()
        self._withheld: set[int] = set()

    @property
    def backends(self) -> frozenset[int]:
        """The dead backends whose clients are looked at."""
        return frozenset(self._scenes)

    def begin(self, deaths: Iterable[Death], terms: Mapping[int, Terms], now: float) -> list[Event]:
        """Say which backends are dead now. What is known of those that still are is kept.

        terms: by service; a service without is to keep its clients where they are
        """
        dead = {one.backend_id: one for one in deaths if one.service_id in terms}
        self._terms = dict(terms)
        for backend_id in self._scenes.keys() - dead.keys():
            del self._scenes[backend_id]
        for backend_id, death in dead.items():
            scene = self._scenes.setdefault(backend_id, _Scene(death, now))
            scene.death = death
        self._watched = {
            heard: watched
            for heard, watched in self._watched.items()
            if heard.backend_id in dead and not heard.closed
        }
        return self._withhold(now)

    def _withhold(self, now: float) -> list[Event]:
        """Let nobody be reset where too many are dead."""
        said: list[Event] = []
        for service_id, terms in self._terms.items():
            dead = [one.death for one in self._scenes.values() if one.death.service_id == service_id]
            if len(dead) <= terms.max_share * terms.backends:
                self._withheld.discard(service_id)
            elif service_id not in self._withheld:
                self._withheld.add(service_id)
                problems = dict.fromkeys(one.problem for one in dead)
                said.append(
                    ResetsWithheld(
                        at=now,
                        service_id=service_id,
                        backends_down=len(dead),
                        backends=terms.backends,
                        problem="; ".join(problems),
                    )
                )
        return said

    # --- looking -------------------------------------------------------------------------------------

    def flows(self, heard: Heard) -> list[FlowKey]:
        """The flows whose readings tell whether it moves: those of a connection, and of all that is on it."""
        flows = heard.flows()
        if isinstance(heard, Connection):
            flows += [held.flow for session in self._on(heard) for held in session.pins]
        return flows

    def look(self, heard: Heard, readings: Mapping[FlowKey, PinReading], now: float) -> None:
        """Take in how something stands that is bound to a dead backend."""
        scene = self._scenes.get(heard.backend_id)
        if scene is None or heard.closed:
            return
        watched = self._watched.setdefault(heard, _Watched(now))
        sessions = self._sessions(heard)
        sending = any(one.sending for one in sessions)
        moved = False
        for flow in self.flows(heard):
            if (reading := readings.get(flow)) is None:
                continue
            if flow.proto is Proto.TCP:
                moved |= self._look_at_control(watched, reading, sending, now)
            elif reading.report is not None:
                moved |= watched.highest.get(flow) != reading.report.highest
                watched.highest[flow] = reading.report.highest
        if moved and not watched.first:
            watched.moved_at = scene.moved_at = now
        watched.first = False
        watched.patience_s = _patience(heard, sessions, readings)

    def _sessions(self, heard: Heard) -> Collection[Session]:
        match heard:
            case Connection():
                return self._on(heard)
            case Session():
                return (heard,)
        return ()

    @staticmethod
    def _look_at_control(watched: _Watched, reading: PinReading, sending: bool, now: float) -> bool:
        delivered = reading.delivered != watched.delivered
        sent = reading.next_sequence != watched.next_sequence
        watched.delivered, watched.next_sequence = reading.delivered, reading.next_sequence
        watched.control = reading
        if delivered:
            watched.asked_at = None
        elif sent and not sending and not watched.first and watched.asked_at is None:
            watched.asked_at = now
        return delivered or (sent and sending)

    # --- telling -------------------------------------------------------------------------------------

    def due(self, now: float) -> list[Heard]:
        """Those to be given up now, as many as their services allow."""
        self._pace.grow({one: terms.resets_per_s for one, terms in self._terms.items()}, now)
        found = []
        for heard, watched in self._watched.items():
            scene = self._scenes[heard.backend_id]
            service_id = scene.death.service_id
            if service_id in self._withheld or heard.closed or not self._stands(watched, scene, now):
                continue
            if self._pace.take(service_id):
                found.append(heard)
        return found

    @staticmethod
    def _stands(watched: _Watched, scene: _Scene, now: float) -> bool:
        """Whether nothing has moved for longer than it may."""
        still_s = now - watched.moved_at
        if watched.asked_at is not None and now - watched.asked_at >= ANSWER_S:
            scene.stood += 1
            return True
        if watched.patience_s is not None:
            scene.stood += still_s >= watched.patience_s
            return still_s >= watched.patience_s
        if scene.death.gone:
            return still_s >= GONE_S
        # It tells nothing by itself: it is given up if others tell, and all of them that nothing moves.
        return bool(scene.stood) and min(still_s, now - scene.moved_at) >= SILENT_S

    def tell(self, heard: Heard, now: float) -> list[Event]:
        """How its client is told; the caller releases it then."""
        scene, watched = self._scenes[heard.backend_id], self._watched.pop(heard)
        flow = next((one for one in heard.flows() if one.proto is Proto.TCP), None)
        if flow is None:
            return []
        said: list[Event] = [FlowForgotten(at=now, flow=flow)]
        control = watched.control
        if control is not None and control.acknowledged:
            said += [
                ResetOrdered(
                    at=now,
                    flow=flow,
                    backend_id=heard.backend_id,
                    sequence=control.acknowledged,
                    next_sequence=control.next_sequence,
                ),
                ConnectionReset(
                    at=now,
                    service_id=flow.service_id,
                    backend_id=heard.backend_id,
                    client=flow.client,
                    client_port=flow.client_port,
                    still_s=now - watched.moved_at,
                    problem=scene.death.problem,
                ),
            ]
        return said


def _patience(
    heard: Heard, sessions: Collection[Session], readings: Mapping[FlowKey, PinReading]
) -> float | None:
    """How long nothing may move on it; None if it may be silent for as long as it likes."""
    playing = [one for one in sessions if one.state is State.PLAYING]
    if any(one.interleaved for one in playing):
        return INTERLEAVED_S
    if any(one.sending for one in sessions):
        return SENDING_S
    periods = [period for one in playing if (period := _report_period(one, readings)) is not None]
    if periods:
        shortest, longest = REPORTS_S
        return min(max(3 * min(periods), shortest), longest)
    if isinstance(heard, LonePin) or (isinstance(heard, Connection) and heard.unread):
        return None
    # A connection on which nothing was played yet waits for an answer; one that is paused waits for its user.
    opening = isinstance(heard, Connection) and all(one.played_at is None for one in sessions)
    return ANSWER_S if opening else None


def _report_period(session: Session, readings: Mapping[FlowKey, PinReading]) -> float | None:
    """About how often its client reports, by what was counted at the port that reports come from."""
    periods = []
    for held in session.pins:
        reading = readings.get(held.flow)
        if reading is None or reading.report is None or session.played_at is None:
            continue
        reports = reading.packets - PUNCHES
        lasted_s = reading.reported_at - session.played_at
        periods.append(lasted_s / reports if reports >= REPORTS_MIN else REPORTS_S[1])
    return min(periods, default=None)
