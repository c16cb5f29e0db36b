"""How the new clients of a service are given to its backends: whose turn it is, and who has room.

It is handed what each backend carries, as counted now and then, and every event of the tracker; it gives
back the turns and rooms that the forwarding core is to follow until the next time, and says who is full. It
decides about new clients alone: those that have sessions follow them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from rtspdsr.core.arrivals import Arrivals
from rtspdsr.core.bandwidth import Bandwidth
from rtspdsr.core.events import BackendFull, ClientPlaced, Event, ServiceFull, SessionOpened
from rtspdsr.core.turns import Candidate, by_load, in_rotation
from rtspdsr.model import Backend, PlaceBy, Schedule, Service

#: That a backend or a service is full is told again after so long, seconds.
TELL_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Burden:
    """What a backend that takes new clients carries.

    backend:   its weight as it counts now
    sessions:  with the connections that cannot be read
    admitted:  clients ever placed there
    delivered: bytes ever delivered
    """

    backend: Backend
    sessions: int
    admitted: int
    delivered: int


class Allotment:
    """The accounts of all services."""

    def __init__(self) -> None:
        self._arrivals = Arrivals()
        self._bandwidth = Bandwidth()
        self._alone: set[int] = set()
        self._usual_rates: dict[int, float] = {}
        self._told: dict[tuple[str, int], float] = {}

    def note(self, event: Event) -> None:
        """Take in that a client has come to a session."""
        match event:
            case SessionOpened():
                rate = self._usual_rates.get(event.service_id, 0.0)
                self._bandwidth.expect(event.backend_id, rate, event.at)
                if event.service_id in self._alone:
                    self._arrivals.came(event.backend_id)
            case ClientPlaced() if event.service_id not in self._alone:
                self._arrivals.came(event.backend_id)

    def account(self, service: Service, burdens: Sequence[Burden], now: float) -> None:
        """Take in what the backends of a service carry."""
        (self._alone.add if service.place_by is PlaceBy.CONNECTION else self._alone.discard)(
            service.service_id
        )
        for one in burdens:
            self._arrivals.count(one.backend.backend_id, one.admitted, now)
            self._bandwidth.count(one.backend.backend_id, one.delivered, now)
        sessions = sum(one.sessions for one in burdens)
        rate = sum(self._bandwidth.of(one.backend.backend_id, now) for one in burdens)
        self._usual_rates[service.service_id] = rate / sessions if sessions else 0.0

    def room(self, burden: Burden) -> int | None:
        """How many more clients a backend may be given; None for any number."""
        most = burden.backend.max_sessions
        if not most:
            return None
        expected = round(self._arrivals.expected(burden.backend.backend_id))
        return ceil(max(0, most - burden.sessions - expected) / self._arrivals.share)

    def turns(self, service: Service, burdens: Sequence[Burden], now: float) -> list[int]:
        """The next turns. By hash, they are for clients whose slot is of a full backend."""
        match service.schedule:
            case Schedule.LEAST_SESSIONS:
                return by_load([self._candidate(one, self._sessions(one)) for one in burdens], 1.0)
            case Schedule.LEAST_BANDWIDTH:
                step = self._usual_rates.get(service.service_id) or 1.0
                return by_load([self._candidate(one, self._rate(one, step, now)) for one in burdens], step)
            case Schedule.HASH if not any(one.backend.max_sessions for one in burdens):
                return []
        return in_rotation([self._candidate(one, 0.0) for one in burdens])

    def full(self, service: Service, burdens: Sequence[Burden], now: float) -> list[Event]:
        """Say which backends take no more new clients; at most once a minute for each."""
        full = [one for one in burdens if self.room(one) == 0]
        said: list[Event] = [
            BackendFull(
                at=now,
                service_id=service.service_id,
                backend_id=one.backend.backend_id,
                sessions=one.sessions,
                sessions_max=one.backend.max_sessions,
            )
            for one in full
            if self._is_due("backend", one.backend.backend_id, now)
        ]
        if burdens and len(full) == len(burdens) and self._is_due("service", service.service_id, now):
            said.append(ServiceFull(at=now, service_id=service.service_id, backends=len(full)))
        return said

    def forget(self, backend_id: int) -> None:
        """A backend is gone, and another one may have its number."""
        self._arrivals.forget(backend_id)
        self._bandwidth.forget(backend_id)
        self._told.pop(("backend", backend_id), None)

    def _candidate(self, burden: Burden, load: float) -> Candidate:
        backend = burden.backend
        return Candidate(
            backend_id=backend.backend_id, weight=backend.weight, load=load, room=self.room(burden)
        )

    def _sessions(self, burden: Burden) -> float:
        return burden.sessions + self._arrivals.expected(burden.backend.backend_id)

    def _rate(self, burden: Burden, usual: float, now: float) -> float:
        backend_id = burden.backend.backend_id
        return self._bandwidth.of(backend_id, now) + usual * self._arrivals.expected(backend_id)

    def _is_due(self, what: str, number: int, now: float) -> bool:
        if now - self._told.get((what, number), -TELL_S) < TELL_S:
            return False
        self._told[what, number] = now
        return True
