"""Backends that the operator has taken out: what is left at each, until when it may stay, how long that is.

It is handed the operator's will, what is bound to each backend, the events of its sessions, and ``now``; it
gives back what is to be told, and which backends are closed, so that the rest has to be ended. In a drain no
new clients come, those that still have sessions there are served on, and all of them may finish until the
deadline. Maintenance is a drain whose deadline has come at its beginning. Nothing is moved here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log
from typing import Any

from rtspdsr.core.events import (
    BackendDrained,
    BackendReadied,
    CloseReason,
    DrainBegun,
    DrainDeadlinePassed,
    Event,
    MaintenanceBegun,
    SessionOpened,
    SessionSummary,
)
from rtspdsr.model import AdminState

#: Sessions of a backend whose lengths are remembered, about: twice as many are halved.
REMEMBERED = 500

#: Ends that tell nothing of how long sessions last.
_ENDED_BY_US = (CloseReason.BACKEND_DOWN, CloseReason.DRAINED)

_EULER = 0.5772


@dataclass(frozen=True, slots=True)
class Held:
    """What is bound to a backend.

    sessions:    those that are alive
    connections: others, on which there is no session: opened and silent, or not readable
    """

    sessions: int = 0
    connections: int = 0


@dataclass(slots=True, kw_only=True)
class Drain:
    """One backend that is taken out.

    deadline_at: when the rest is ended; None for never
    closed:      the deadline has come: not even its own clients begin anything there
    held:        as last looked at; None before
    empty:       nothing is left
    followed:    sessions that began since, of clients that it had already
    finished:    sessions that came to their end by themselves
    ended:       sessions that were ended
    """

    service_id: int
    backend_id: int
    state: AdminState
    began_at: float
    deadline_at: float | None
    closed: bool = False
    held: Held | None = None
    empty: bool = False
    followed: int = 0
    finished: int = 0
    ended: int = 0

    def where(self, now: float) -> dict[str, Any]:
        """The keys that every event about it carries."""
        return {"at": now, "service_id": self.service_id, "backend_id": self.backend_id}


@dataclass(slots=True)
class _Lengths:
    """How long sessions of a backend have lasted."""

    sessions: float = 0.0
    seconds: float = 0.0

    def note(self, seconds: float) -> None:
        self.sessions += 1
        self.seconds += seconds
        if self.sessions > 2 * REMEMBERED:
            self.sessions /= 2
            self.seconds /= 2


class Drains(Mapping[int, Drain]):
    """All backends that are taken out, by their ids."""

    def __init__(self) -> None:
        self._drains: dict[int, Drain] = {}
        self._lengths: dict[int, _Lengths] = {}

    def __getitem__(self, backend_id: int) -> Drain:
        return self._drains[backend_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._drains)

    def __len__(self) -> int:
        return len(self._drains)

    # --- what the operator wants ---------------------------------------------------------------------

    def begin(self, drain: Drain, sessions: int, now: float) -> list[Event]:
        """Take a backend out, or change until when its sessions may stay."""
        former = self._drains.get(drain.backend_id)
        if former is not None and former.state is drain.state:
            former.deadline_at, former.closed = drain.deadline_at, drain.closed
            return []
        self._drains[drain.backend_id] = drain
        where = drain.where(now)
        if drain.state is AdminState.MAINT:
            return [MaintenanceBegun(sessions=sessions, **where)]
        deadline_s = None if drain.deadline_at is None else drain.deadline_at - now
        return [DrainBegun(sessions=sessions, deadline_s=deadline_s, **where)]

    def restore(self, drain: Drain) -> None:
        """Go on with what an earlier daemon has begun, and told."""
        drain.empty = True  # if nothing is left, that was told as well
        self._drains[drain.backend_id] = drain

    def end(self, backend_id: int, now: float) -> list[Event]:
        """Give a backend back."""
        drain = self._drains.pop(backend_id, None)
        if drain is None:
            return []
        return [BackendReadied(at=now, service_id=drain.service_id, backend_id=backend_id)]

    def forget(self, backend_id: int) -> None:
        """A backend has left the configuration."""
        self._drains.pop(backend_id, None)
        self._lengths.pop(backend_id, None)

    # --- what happens --------------------------------------------------------------------------------

    def note(self, event: Event) -> None:
        """Take in what happens to sessions, of all backends."""
        match event:
            case SessionSummary():
                self._note_end(event)
            case SessionOpened():
                if (drain := self._drains.get(event.backend_id)) is not None:
                    drain.followed += 1

    def _note_end(self, summary: SessionSummary) -> None:
        drain = self._drains.get(summary.backend_id)
        if summary.reason in _ENDED_BY_US:
            if drain is not None:
                drain.ended += 1
            return
        lengths = self._lengths.setdefault(summary.backend_id, _Lengths())
        lengths.note(summary.closed_at - summary.opened_at)
        if drain is not None:
            drain.finished += 1

    def look(self, held: Mapping[int, Held], now: float) -> list[Event]:
        """Take in what is left; say which deadline has come, and where nothing is left."""
        said: list[Event] = []
        for drain in self._drains.values():
            drain.held = held.get(drain.backend_id, Held())
            where = drain.where(now)
            if not drain.closed and drain.deadline_at is not None and drain.deadline_at <= now:
                drain.closed = True
                said.append(DrainDeadlinePassed(sessions=drain.held.sessions, **where))
            was_empty, drain.empty = drain.empty, drain.held == Held()
            if drain.empty and not was_empty:
                said.append(
                    BackendDrained(
                        finished=drain.finished, ended=drain.ended, drained_s=now - drain.began_at, **where
                    )
                )
        return said

    def empty_in_s(self, backend_id: int, ages_s: float, per_s: float, now: float) -> float | None:
        """An estimate of how long it takes until nothing is left; None if nothing tells.

        Sessions are taken to end at a steady rate, which is known from those that have ended at this backend
        and from how old the others are. Of N such, the last ends after H(N) / rate.

        ages_s: of all sessions that it has, together
        per_s:  how many are ended in a second from the deadline on
        """
        drain = self._drains[backend_id]
        left = drain.held.sessions if drain.held is not None else 0
        if drain.empty:
            return 0.0
        lengths = self._lengths.get(backend_id, _Lengths())
        finished_s = None
        if left and lengths.sessions:
            finished_s = (log(left) + _EULER + 1 / (2 * left)) * (lengths.seconds + ages_s) / lengths.sessions
        if drain.deadline_at is None:
            return finished_s
        ended_s = max(0.0, drain.deadline_at - now) + left / per_s
        return ended_s if finished_s is None else min(finished_s, ended_s)
