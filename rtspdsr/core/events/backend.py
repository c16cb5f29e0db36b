"""Facts about backends and services: reachable, healthy, drained, full."""

from dataclasses import dataclass

from rtspdsr.core.events.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendResolved(Event):
    """A backend's MAC address is known, or has changed."""

    service_id: int
    backend_id: int
    mac: str
    interface: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendLost(Event):
    """A backend answers neither ARP nor ND: it gets no new clients. ``problem`` says what to look at."""

    service_id: int
    backend_id: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChanged(Event):
    """A check of a backend passes or fails now, by rise and fall."""

    service_id: int
    backend_id: int
    check: str
    passing: bool
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendDown(Event):
    """A backend fails a check that another of its service passes: it gets no new clients.

    problem: what the check found
    """

    service_id: int
    backend_id: int
    check: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendUp(Event):
    """A backend passes its checks again, after ``down_s`` seconds: it gets new clients."""

    service_id: int
    backend_id: int
    down_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFailing(Event):
    """No backend of a service passes its checks: none is taken out, for the fault may be ours.

    backends: how many it has
    problem:  what the checks found
    """

    service_id: int
    backends: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingChanged(Event):
    """What clients tell of a backend is worse than what they tell of the others, or is so no more.

    standing: ``good`` or ``poor``; it takes no backend out
    """

    service_id: int
    backend_id: int
    standing: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainBegun(Event):
    """The operator drains a backend: it gets no new clients, and its sessions finish.

    sessions:   how many it has
    deadline_s: after so many seconds the rest are ended; null without a deadline
    """

    service_id: int
    backend_id: int
    sessions: int
    deadline_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainDeadlinePassed(Event):
    """The deadline of a drain has come: the sessions that are left are ended from now on."""

    service_id: int
    backend_id: int
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceBegun(Event):
    """The operator takes a backend out at once: its sessions are ended, and it is not checked any more.

    sessions: how many it has
    """

    service_id: int
    backend_id: int
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendDrained(Event):
    """Nothing is left at a backend in drain or maintenance: it can be stopped.

    finished:  sessions that came to an end by themselves since
    ended:     sessions that were ended
    drained_s: how long that took
    """

    service_id: int
    backend_id: int
    finished: int
    ended: int
    drained_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendReadied(Event):
    """The operator has given a backend back: it gets new clients if it is fit."""

    service_id: int
    backend_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetsWithheld(Event):
    """So many backends of a service are down at once that no client is reset: the fault may be ours.

    backends_down: of ``backends``
    """

    service_id: int
    backends_down: int
    backends: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksHindered(Event):
    """Checks cannot be made as they should: something of the balancer's own is in the way."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFilled(Event):
    """A service's slot table was filled anew.

    shares: slots by backend name; empty when no backend is usable, and the last table stays, or when the
            operator has taken out all of them, and new clients get no answer
    """

    service_id: int
    shares: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendFull(Event):
    """A backend has its ``max_sessions``, and gets no new clients; told once a minute at most.

    sessions: with the connections that cannot be read
    """

    service_id: int
    backend_id: int
    sessions: int
    sessions_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFull(Event):
    """Every backend of a service that takes clients is full: new ones get no answer (verdict ``no_room``).

    backends: how many they are
    """

    service_id: int
    backends: int
