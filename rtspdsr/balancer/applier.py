"""Puts events in force: effects in the forwarding core, facts in the session log and the journal.

The only place where what the deciding code says becomes a change. An effect that the kernel refuses costs
that effect alone, and a fault of whoever looks on, of the log or of the journal costs none: it is counted and
told, and whatever else was said still happens.
"""

import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from rtspdsr.balancer.journal import Journal
from rtspdsr.core.events import (
    ClientPlaced,
    ClientReleased,
    DaemonFault,
    Effect,
    Event,
    FlowForgotten,
    LoneTeardownOrdered,
    MapFilling,
    PinMade,
    PinReleased,
    ResetOrdered,
    SessionEvent,
    SessionSummary,
    TeardownOrdered,
)
from rtspdsr.core.tracker import Tracker
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.errors import DataplaneError, MapFull
from rtspdsr.sessionlog import SessionLog

T = TypeVar("T")

REPEAT_S = 1.0  # what repeats is counted, and told once in this time


class Applier:
    """Between what is decided and what happens.

    speak:     sends what is ordered in the name of a client or its VIP
    onlookers: are shown every event, each before it is put in force
    faults:    exceptions of ours that were survived
    refused:   effects that the kernel refused, because a map is full or otherwise
    """

    def __init__(
        self,
        dataplane: Dataplane,
        tracker: Tracker,
        log: SessionLog,
        journal: Journal,
        speak: Callable[[Effect], None],
        onlookers: Sequence[Callable[[Event], None]],
    ) -> None:
        self._dataplane, self._tracker = dataplane, tracker
        self._log, self._journal = log, journal
        self._speak, self._onlookers = speak, onlookers
        self._told: dict[str, float] = {}
        self.faults = self.refused = 0

    def apply(self, events: Iterable[Event]) -> None:
        """Put events in force, in their order. Never raises."""
        changed: dict[str, None] = {}
        for event in events:
            for show in self._onlookers:
                try:
                    show(event)
                except Exception as error:  # noqa: BLE001 - as in _survive, without a call for each of them
                    self.failed(error)
            if isinstance(event, Effect):
                self._survive(self._effect, event)
                continue
            self._survive(self._log.write, event)
            if isinstance(event, SessionSummary):
                changed.pop(event.session, None)
                self._survive(self._journal.end, event.session)
            elif isinstance(event, SessionEvent) and event.session in self._tracker.sessions:
                changed[event.session] = None
        for name in changed:
            self._survive(self._keep, name)

    def _keep(self, session: str) -> None:
        self._journal.write(session, self._tracker.snapshot(session))

    def _survive(self, do: Callable[[T], None], value: T) -> None:
        try:
            do(value)
        except Exception as error:  # noqa: BLE001 - nothing that follows is lost for a fault of ours
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """Survive a fault of ours, and tell of it."""
        self.faults += 1
        if self.due("fault"):
            problem = "".join(traceback.format_exception(error))
            self.apply([DaemonFault(at=time.monotonic(), problem=problem, faults=self.faults)])

    def fills(self, name: str, entries: int, limit: int) -> None:
        """Warn of a map that fills up."""
        if self.due(f"map {name}"):
            filling = MapFilling(
                at=time.monotonic(),
                map=name,
                entries=entries,
                entries_max=limit,
                entries_refused=self.refused,
            )
            self.apply([filling])

    def due(self, what: str) -> bool:
        """Whether a thing that may repeat quickly is to be told now. ``what`` is one of a bounded number."""
        now = time.monotonic()
        if now - self._told.get(what, -REPEAT_S) < REPEAT_S:
            return False
        self._told[what] = now
        return True

    def _effect(self, event: Effect) -> None:
        try:
            match event:
                case PinMade():
                    self._dataplane.pin(event.pin)
                case PinReleased():
                    self._dataplane.unpin(event.flow)
                case ClientPlaced():
                    self._dataplane.place_client(event.service_id, event.client, event.backend_id)
                case ClientReleased():
                    self._dataplane.release_client(event.service_id, event.client)
                case FlowForgotten():
                    self._dataplane.forget_flow(event.flow)
                case ResetOrdered() | TeardownOrdered() | LoneTeardownOrdered():
                    self._speak(event)
                case _:
                    raise TypeError(f"nobody performs {type(event).__name__}")
        except MapFull as full:
            self.refused += 1
            self.fills(full.name, full.limit, full.limit)
        except DataplaneError as error:
            self.refused += 1
            self.failed(error)
