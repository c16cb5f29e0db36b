"""Keeps schedules in force: which turns new clients take, how many a backend may be given, and slow starts.

A few times a second it reads what the forwarding core has counted and what the tracker knows, and writes
turns and rooms; XDP deals them out by itself meanwhile. Slot tables are filled elsewhere, with the weights
that are told here.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from rtspdsr.balancer.fleet import Fleet
from rtspdsr.core.allotment import Allotment, Burden
from rtspdsr.core.events import Event
from rtspdsr.core.slowstart import SlowStart
from rtspdsr.core.tracker import Tracker
from rtspdsr.core.turns import BY_LOAD
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.dataplane.layout import ScheduleFlag
from rtspdsr.model import Backend, PlaceBy, Schedule, Service

LOOK_S = 0.25
#: Turns by load are made anew so often: loads change meanwhile by more than the clients that are placed.
REFRESH_S = 1.0

_BY_LOAD = (Schedule.LEAST_SESSIONS, Schedule.LEAST_BANDWIDTH)


@dataclass(slots=True)
class _Written:
    """What is in force for a service.

    basis: what it was made for: schedule, weights, who has room
    taken: turns taken until then
    """

    basis: object
    at: float
    taken: int


class Placing:
    """The schedules of one daemon.

    changed: is told of a service whose weights have changed by a slow start
    failed:  is told of a fault of ours, which leaves one service's as they were
    """

    def __init__(
        self,
        dataplane: Dataplane,
        tracker: Tracker,
        fleet: Fleet,
        changed: Callable[[Service], None],
        apply: Callable[[Iterable[Event]], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._schedules, self._tracker, self._fleet = dataplane.schedules, tracker, fleet
        self._changed, self._apply, self._failed = changed, apply, failed
        self._allotment = Allotment()
        self._slow = SlowStart()
        self._usable: dict[int, bool] = {}
        self._shares: dict[int, float] = {}
        self._written: dict[int, _Written] = {}

    def note(self, event: Event) -> None:
        """Be shown what happens."""
        self._allotment.note(event)

    def usable(self, service: Service) -> list[Backend]:
        """The backends that take new clients, each with the weight that counts now."""
        now = time.monotonic()
        self._watch(service, now)
        return [
            replace(one, weight=one.weight * self._slow.share(one.backend_id, now))
            for one in self._fleet.usable(service)
        ]

    def share(self, backend: Backend) -> float:
        """How much of a backend's weight counts now."""
        return self._slow.share(backend.backend_id, time.monotonic())

    def recall(self, service: Service, backend: Backend, back_at: float) -> None:
        """Go on with the slow start of a backend that came back under an earlier daemon."""
        self._usable[backend.backend_id] = True
        self._slow.begin(backend.backend_id, service.slow_start_s, back_at)

    def back_at(self, backend: Backend, now: float) -> float | None:
        """When a backend came back whose slow start is not over; None for any other."""
        return self._slow.since(backend.backend_id, now)

    def is_full(self, backend: Backend) -> bool:
        """Whether a backend is given no new clients for its ``max_sessions``."""
        return self._allotment.room(self._burden(backend)) == 0

    def forget(self, backend_id: int) -> None:
        """A backend is gone, and another one may have its number."""
        self._allotment.forget(backend_id)
        self._slow.forget(backend_id)
        self._usable.pop(backend_id, None)
        self._shares.pop(backend_id, None)

    async def run(self) -> None:
        """Keep them in force, for ever."""
        while True:
            await self.settle()
            await asyncio.sleep(LOOK_S)

    async def settle(self) -> None:
        """Put every service's schedule in force, one at a time: with many of them all take too long."""
        services = self._fleet.services
        for service in services:
            if self._fleet.services is not services:
                return  # a reload has come between, which settles what it brought
            try:
                self.look(service)
            except Exception as error:  # noqa: BLE001 - the others' are kept in force all the same
                self._failed(error)
            await asyncio.sleep(0)

    def look(self, service: Service) -> None:
        """Put one service's in force, as far as anything has changed."""
        now = time.monotonic()
        backends = self.usable(service)
        shares = {one.backend_id: self._slow.share(one.backend_id, now) for one in backends}
        if any(self._shares.get(one, share) < share for one, share in shares.items()):
            self._changed(service)
        self._shares |= shares
        burdens = [self._burden(one) for one in backends]
        self._allotment.account(service, burdens, now)
        for one in burdens:
            room = self._allotment.room(one)
            until = None if room is None else one.admitted + room
            self._schedules.limit(one.backend.backend_id, until)
        self._apply(self._allotment.full(service, burdens, now))
        self._deal(service, burdens, now)

    def _deal(self, service: Service, burdens: list[Burden], now: float) -> None:
        """Write turns, if those that stand were made for something else, or are used up or old."""
        places = [
            (one.backend.backend_id, one.backend.weight, self._allotment.room(one) == 0) for one in burdens
        ]
        basis = (service.schedule, service.place_by, places)
        taken = self._schedules.taken(service.service_id)
        written = self._written.get(service.service_id)
        if written is not None and written.basis == basis and not self._is_old(service, written, taken, now):
            return
        turns = self._allotment.turns(service, burdens, now)
        self._schedules.write(service.service_id, _flags(service), turns)
        self._written[service.service_id] = _Written(basis, now, self._schedules.taken(service.service_id))

    @staticmethod
    def _is_old(service: Service, written: _Written, taken: int, now: float) -> bool:
        if service.schedule not in _BY_LOAD:
            return False
        return now - written.at >= REFRESH_S or taken - written.taken > BY_LOAD // 2

    def _watch(self, service: Service, now: float) -> None:
        """Begin a slow start for whoever takes clients again."""
        usable = {one.backend_id for one in self._fleet.usable(service)}
        for one in service.backends:
            former = self._usable.get(one.backend_id)
            self._usable[one.backend_id] = one.backend_id in usable
            if one.backend_id not in usable:
                self._slow.forget(one.backend_id)
            elif former is False:
                self._slow.begin(one.backend_id, service.slow_start_s, now)

    def _burden(self, backend: Backend) -> Burden:
        return Burden(
            backend=backend,
            sessions=self._tracker.load(backend.backend_id),
            admitted=self._schedules.admitted(backend.backend_id),
            delivered=self._tracker.deliveries.of(backend.backend_id).bytes,
        )


def _flags(service: Service) -> ScheduleFlag:
    flags = ScheduleFlag(0)
    if service.schedule is not Schedule.HASH:
        flags |= ScheduleFlag.BY_TURN
    if service.schedule not in _BY_LOAD:
        flags |= ScheduleFlag.REPEATS
    if service.place_by is PlaceBy.CONNECTION:
        flags |= ScheduleFlag.BY_CONNECTION
    return flags
