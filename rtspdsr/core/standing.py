"""What clients tell of each backend, compared with the others of its service: passive health.

It is handed every event of the tracker, and now and then ``now``; it gives back whose standing has changed.
Two things count: sessions whose delivery has stalled, and connections whose client never acknowledged an
answer. Both happen everywhere, by clients' own faults, so a backend is called poor only when it has clearly
more of them than the others have. Nothing is taken out for it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt

from rtspdsr.core.events import (
    Event,
    PinMade,
    PinReleased,
    SessionAdopted,
    SessionClosed,
    SessionOpened,
    SessionPaused,
    SessionResumed,
    SessionStalled,
    StandingChanged,
)
from rtspdsr.model import FlowKey, Proto

WINDOW_S = 60.0  # connections of this one and the last one count
CASES_MIN = 3  # fewer are chance, whatever their share
SHARE_MIN = 0.1  # of a backend's own sessions or connections
CLEAR = 3.0  # standard errors above the others: by chance once in a thousand looks
GONE = 1.0  # standard errors below which it is over
HOLD_S = 30.0  # a change stands for so long at least


class Standing(StrEnum):
    """What clients tell of a backend."""

    GOOD = "good"
    POOR = "poor"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A standing, its reason in words, and since when it stands."""

    standing: Standing
    problem: str = ""
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class _Measure:
    """Cases among so many, of one backend."""

    cases: int
    among: int


#: What is counted, in the words of the reason.
STALLED, UNANSWERED = "sessions stalled", "new connections got no answer"

_GOOD = Judgement(Standing.GOOD)


class Standings:
    """The standing of every backend."""

    def __init__(self) -> None:
        self._sessions: dict[str, int] = {}
        self._sessions_of: Counter[int] = Counter()
        self._stalled: dict[str, int] = {}
        self._waiting: dict[FlowKey, int] = {}
        self._windows: tuple[Counter[tuple[int, bool]], Counter[tuple[int, bool]]] = (Counter(), Counter())
        self._window_ends: float | None = None
        self._judged: dict[int, Judgement] = {}

    def of(self, backend_id: int) -> Judgement:
        """How a backend stands."""
        return self._judged.get(backend_id, _GOOD)

    def forget(self, backend_id: int) -> None:
        """A backend is gone, and another one may have its number."""
        self._judged.pop(backend_id, None)
        for window in self._windows:
            for answered in (False, True):
                del window[backend_id, answered]
        self._waiting = {flow: one for flow, one in self._waiting.items() if one != backend_id}
        self._stalled = {name: one for name, one in self._stalled.items() if one != backend_id}
        self._sessions = {name: one for name, one in self._sessions.items() if one != backend_id}
        del self._sessions_of[backend_id]

    def note(self, event: Event) -> None:
        """Take in an event of the tracker."""
        match event:
            case PinMade(pin=pin, provisional=provisional):
                if pin.flow.proto is Proto.TCP:
                    self._note_connection(pin.flow, pin.backend_id, provisional)
            case PinReleased(flow=flow):
                if flow in self._waiting:
                    self._windows[0][self._waiting.pop(flow), False] += 1
            case SessionOpened() | SessionAdopted():
                self._sessions[event.session] = event.backend_id
                self._sessions_of[event.backend_id] += 1
            case SessionStalled():
                if event.session in self._sessions:
                    self._stalled[event.session] = event.backend_id
            case SessionResumed() | SessionPaused():
                self._stalled.pop(event.session, None)
            case SessionClosed():
                self._stalled.pop(event.session, None)
                if (backend_id := self._sessions.pop(event.session, None)) is not None:
                    self._sessions_of[backend_id] -= 1

    def _note_connection(self, flow: FlowKey, backend_id: int, provisional: bool) -> None:
        if provisional:
            self._waiting[flow] = backend_id
        elif flow in self._waiting:
            self._windows[0][self._waiting.pop(flow), True] += 1

    def judge(self, services: Mapping[int, Sequence[int]], now: float) -> list[Event]:
        """Compare the backends of each service, given by their ids; say whose standing has changed."""
        if self._window_ends is None:
            self._window_ends = now + WINDOW_S
        elif now >= self._window_ends:
            self._windows = (Counter(), self._windows[0])
            self._window_ends = now + WINDOW_S
        known = {one for backend_ids in services.values() for one in backend_ids}
        self._judged = {one: judged for one, judged in self._judged.items() if one in known}
        stalled = Counter(self._stalled.values())
        said: list[Event] = []
        for service_id, backend_ids in services.items():
            for what, measures in (
                (STALLED, {one: _Measure(stalled[one], self._sessions_of[one]) for one in backend_ids}),
                (UNANSWERED, {one: self._connections(one) for one in backend_ids}),
            ):
                for one in backend_ids:
                    said += self._compare(service_id, one, what, measures, now)
        return said

    def _connections(self, backend_id: int) -> _Measure:
        unanswered, answered = (sum(one[backend_id, way] for one in self._windows) for way in (False, True))
        return _Measure(unanswered, unanswered + answered)

    def _compare(
        self, service_id: int, backend_id: int, what: str, measures: Mapping[int, _Measure], now: float
    ) -> Iterable[Event]:
        own = measures[backend_id]
        others = _Measure(
            sum(one.cases for other, one in measures.items() if other != backend_id),
            sum(one.among for other, one in measures.items() if other != backend_id),
        )
        judged, excess = self.of(backend_id), _excess(own, others)
        enough = own.cases >= CASES_MIN and own.cases >= SHARE_MIN * own.among
        if judged.standing is Standing.GOOD and enough and excess >= CLEAR:
            problem = f"{own.cases} of {own.among} {what}, {others.cases} of {others.among} at the others"
            new = Judgement(Standing.POOR, problem, now)
        elif what in judged.problem and now - judged.since >= HOLD_S and (not own.cases or excess < GONE):
            new = Judgement(Standing.GOOD, "", now)
        else:
            return
        self._judged[backend_id] = new
        yield StandingChanged(
            at=now,
            service_id=service_id,
            backend_id=backend_id,
            standing=new.standing,
            problem=new.problem,
        )


def _excess(own: _Measure, others: _Measure) -> float:
    """By how many standard errors a share is above that of the others; 0 without others to compare with."""
    if not own.among or not others.among:
        return 0.0
    pooled = (own.cases + others.cases) / (own.among + others.among)
    error = sqrt(pooled * (1 - pooled) * (1 / own.among + 1 / others.among))
    return (own.cases / own.among - others.cases / others.among) / error if error else 0.0
