"""Puts the operator's will about backends into effect: ready, drain, maint.

It keeps it in ``daemon.state_dir``, tells the fleet, and looks twice a second at what is left of each backend
that is taken out. Where the deadline has come it ends the rest, at the pace of ``resets_per_s``, as
``Endings`` says. While every backend is ready it does nothing.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from rtspdsr.balancer.administration import Administration, Name, Wish
from rtspdsr.balancer.fleet import Fleet
from rtspdsr.config import Config
from rtspdsr.core.connection import Connection
from rtspdsr.core.drain import Drain, Drains, Held
from rtspdsr.core.ending import Endings
from rtspdsr.core.events import CloseReason, Event, SessionEnding, SessionSummary, TableFilled
from rtspdsr.core.heard import Heard
from rtspdsr.core.pace import Pace
from rtspdsr.core.session import Session
from rtspdsr.core.tracker import Tracker
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.errors import AdminError, RtspDsrError
from rtspdsr.model import Address, AdminState, Backend, BackendState, Service

STEP_S = 0.1
LOOK_S = 0.5
LOOK_AT_ONCE = 1000  # connections between two turns of the loop: a millisecond
END_AT_ONCE = 50  # likewise, with their readings and all that follows

Apply = Callable[[Iterable[Event]], None]
T = TypeVar("T")


class Drainer:
    """All backends that are taken out, from ``run`` to its cancelling.

    failed: is told of a fault of ours, or of the disk's, which costs no session
    """

    def __init__(
        self,
        fleet: Fleet,
        tracker: Tracker,
        dataplane: Dataplane,
        administration: Administration,
        apply: Apply,
        failed: Callable[[Exception], None],
    ) -> None:
        self._fleet, self._tracker, self._dataplane = fleet, tracker, dataplane
        self._administration, self._apply, self._failed = administration, apply, failed
        self._wishes = administration.load()
        self._ids: dict[Name, int] = {}
        self._rates: dict[int, int] = {}
        self.drains = Drains()
        self._endings = Endings(tracker.on)
        self._pace = Pace()
        self._free: list[tuple[int, Address]] = []
        self._placed_anew: set[int] = set()
        self._changing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._unsaved = False
        self._looked_at = 0.0

    def configure(self, config: Config) -> None:
        """Take over what is configured; a backend that is so no longer loses its state."""
        sections = {one.name: one.health for one in config.services}
        self._rates = {one.service_id: sections[one.name].resets_per_s for one in self._fleet.services}
        former = self._ids
        self._ids = {
            (service.name, backend.name): backend.backend_id
            for service in self._fleet.services
            for backend in service.backends
        }
        for name in self._wishes.keys() - self._ids.keys():
            del self._wishes[name]
            self._unsaved = True
            if (backend_id := former.get(name)) is not None:
                self.drains.forget(backend_id)
                self._endings.withdraw(backend_id)
                self._fleet.administer(backend_id, AdminState.READY, closed=False)
        for service in self._fleet.services:
            for backend in service.backends:
                wish = self._wishes.get((service.name, backend.name))
                if wish is not None and backend.backend_id not in self.drains:
                    drain = _drain(service, backend, wish)
                    self.drains.restore(drain)
                    self._fleet.administer(drain.backend_id, drain.state, closed=drain.closed)
        self._wake.set()

    async def administer(
        self, service: Service, backend: Backend, state: AdminState, deadline_s: float | None, *, force: bool
    ) -> None:
        """Put the operator's will in force. Raises AdminError if it takes out the last, and is not forced."""
        async with self._changing:
            if state is not AdminState.READY and not force:
                self._refuse_last(service, backend)
            name = service.name, backend.name
            wish = _wish(state, deadline_s, self._wishes.get(name))
            await asyncio.to_thread(self._administration.save, _with(self._wishes, name, wish))
            held = await self._held()
            if self._ids.get(name) != backend.backend_id:
                self._unsaved = True
                self._wake.set()
                raise AdminError(f"{service.name}/{backend.name} has just left the configuration")
            self._wishes = _with(self._wishes, name, wish)  # a reload may have taken others away meanwhile
            self._put(service, backend, wish, held)

    def _refuse_last(self, service: Service, backend: Backend) -> None:
        others = (one for one in service.backends if one is not backend)
        if self._fleet.admin_state(backend) is not AdminState.READY:
            return
        if not any(self._fleet.state(one) is BackendState.UP for one in others):
            raise AdminError(
                f"no other backend of {service.name} is up and ready: without {backend.name} new clients get "
                "no answer; make another one ready first, or insist with --force"
            )

    def _put(self, service: Service, backend: Backend, wish: Wish | None, held: Mapping[int, Held]) -> None:
        now = time.monotonic()
        if wish is None or not _drain(service, backend, wish).closed:
            self._endings.withdraw(backend.backend_id)
        if wish is None:
            said = self.drains.end(backend.backend_id, now)
            self._fleet.administer(backend.backend_id, AdminState.READY, closed=False)
        else:
            drain = _drain(service, backend, wish)
            said = self.drains.begin(drain, held[drain.backend_id].sessions, now)
            said += self.drains.look(held, now)
            self._fleet.administer(drain.backend_id, drain.state, closed=drain.closed)
        self._apply(said)
        self._wake.set()

    def empty_in_s(self, backend_id: int, ages_s: float) -> float | None:
        """An estimate of how long it takes until nothing is left; None if nothing tells."""
        rate = self._rates.get(self.drains[backend_id].service_id, 1)
        return self.drains.empty_in_s(backend_id, ages_s, rate, time.monotonic())

    # --- what happens --------------------------------------------------------------------------------

    def note(self, event: Event) -> None:
        """Be shown an event before it is put in force."""
        self.drains.note(event)
        match event:
            case TableFilled(service_id=service_id):
                self._placed_anew.add(service_id)
            case SessionEnding(backend_id=backend_id) if backend_id in self.drains:
                asyncio.get_running_loop().call_soon(self._let_leave, event.session)
            case SessionSummary(backend_id=backend_id) if backend_id in self.drains:
                self._free.append((event.service_id, event.client))

    def _let_leave(self, session: str) -> None:
        """Whoever leaves its only session begins the next one elsewhere, and not within the linger here."""
        self._apply(self._tracker.let_leave(session, time.monotonic()))

    async def run(self) -> None:
        """Look and end, for ever."""
        while True:
            if not self.drains and not self._endings and not self._unsaved:
                self._wake.clear()
                await self._wake.wait()
            try:
                await self._work()
            except Exception as error:  # noqa: BLE001 - done again in a moment
                self._failed(error)
            await asyncio.sleep(STEP_S)

    async def _work(self) -> None:
        if self._unsaved:
            await self._save()
        if time.monotonic() - self._looked_at >= LOOK_S:
            self._looked_at = time.monotonic()
            await self._look()
        await self._step()
        await self._let_go()

    async def _save(self) -> None:
        async with self._changing:
            self._unsaved = False
            try:
                await asyncio.to_thread(self._administration.save, dict(self._wishes))
            except RtspDsrError as error:  # what has left is not taken up again all the same
                self._failed(error)

    # --- looking -------------------------------------------------------------------------------------

    async def _held(self, end: Callable[[Heard], None] | None = None) -> dict[int, Held]:
        """What is bound to each backend."""
        sessions: dict[int, int] = defaultdict(int)
        connections: dict[int, int] = defaultdict(int)
        for piece in _pieces(self._tracker.bound(), LOOK_AT_ONCE):
            for heard in piece:
                on = self._tracker.on(heard) if isinstance(heard, Connection) else ()
                sessions[heard.backend_id] += len(on) + isinstance(heard, Session)
                connections[heard.backend_id] += not (on or isinstance(heard, Session))
                if end is not None:
                    end(heard)
            await asyncio.sleep(0)
        held = {one: Held(sessions[one], connections[one]) for one in sessions}
        return defaultdict(Held, held)

    async def _look(self) -> None:
        self._pace.grow(self._rates, time.monotonic())
        held = await self._held(self._begin)
        self._apply(self.drains.look(held, time.monotonic()))
        for drain in self.drains.values():
            self._fleet.administer(drain.backend_id, drain.state, closed=drain.closed)

    def _begin(self, heard: Heard) -> None:
        """Have something ended that is left at a closed backend, if the pace allows."""
        drain = self.drains.get(heard.backend_id)
        if drain is None or not drain.closed or heard.closed or heard in self._endings:
            return
        now = time.monotonic()
        if self._endings.may_begin(heard, now) and self._pace.take(drain.service_id):
            self._endings.begin(heard, now)

    async def _step(self) -> None:
        for piece in _pieces(list(self._endings), END_AT_ONCE):
            for heard in piece:
                if heard not in self._endings:
                    continue  # withdrawn meanwhile
                now = time.monotonic()
                said, over = self._endings.look(heard, self._dataplane.read(heard.flows()), now)
                self._apply(said)
                if over and not heard.closed:
                    self._apply(self._tracker.release(heard, CloseReason.DRAINED, now))
            await asyncio.sleep(0)

    # --- clients that have nothing there any more ----------------------------------------------------

    async def _let_go(self) -> None:
        """Have them placed anew: those that left now, and, once no slot leads there, those who never came."""
        free, self._free = self._free, []
        anew, self._placed_anew = self._placed_anew, set()
        if ids := {one.backend_id for one in self.drains.values() if one.service_id in anew}:
            try:
                await asyncio.to_thread(self._dataplane.forget_newcomers, ids)
                free += await asyncio.to_thread(self._dataplane.clients_at, ids)
            except RtspDsrError as error:
                self._failed(error)
        for piece in _pieces(free, LOOK_AT_ONCE):
            for service_id, client in piece:
                self._apply(self._tracker.let_go(service_id, client, time.monotonic()))
            await asyncio.sleep(0)


def _wish(state: AdminState, deadline_s: float | None, former: Wish | None) -> Wish | None:
    """As it is kept; None for ready, which needs not be. What is only prolonged began when it began."""
    if state is AdminState.READY:
        return None
    now = time.time()
    return Wish(
        state=state,
        began_at=former.began_at if former is not None and former.state is state else now,
        deadline_at=None if deadline_s is None else now + deadline_s,
    )


def _with(wishes: Mapping[Name, Wish], name: Name, wish: Wish | None) -> dict[Name, Wish]:
    """All wishes, one of them changed."""
    others = {one: kept for one, kept in wishes.items() if one != name}
    return others if wish is None else {**others, name: wish}


def _drain(service: Service, backend: Backend, wish: Wish) -> Drain:
    """As the core has it: on the monotonic clock."""
    ahead = time.monotonic() - time.time()
    now = time.monotonic()
    deadline_at = None if wish.deadline_at is None else wish.deadline_at + ahead
    if wish.state is AdminState.MAINT:
        deadline_at = wish.began_at + ahead
    return Drain(
        service_id=service.service_id,
        backend_id=backend.backend_id,
        state=wish.state,
        began_at=wish.began_at + ahead,
        deadline_at=deadline_at,
        closed=wish.state is AdminState.MAINT or (deadline_at is not None and deadline_at <= now),
    )


def _pieces(whole: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (whole[at : at + size] for at in range(0, len(whole), size))
