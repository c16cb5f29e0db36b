"""Tells the clients of dead backends, as ``Eviction`` finds that nothing moves for them any more.

Twice a second it looks at what is bound to a backend that takes no new clients, reads its pins, and puts in
force what is decided: resets are sent, and what was bound is released, so that a client that connects again
is placed anew. While no backend is dead it does nothing.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from rtspdsr.balancer.fleet import Fleet
from rtspdsr.config import Config, OnBackendDown
from rtspdsr.core.events import CloseReason, Event
from rtspdsr.core.eviction import Death, Eviction, Terms
from rtspdsr.core.health import Health
from rtspdsr.core.tracker import Tracker
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.model import Backend, BackendState, Service

LOOK_S = 0.5
LOOK_AT_ONCE = 200  # connections between two looks at the clock: a millisecond

Apply = Callable[[Iterable[Event]], None]


class Evictor:
    """Looks after the clients of dead backends, from ``run`` to its cancelling.

    failed: is told of a fault of ours, which costs one look
    """

    def __init__(
        self,
        fleet: Fleet,
        health: Health,
        tracker: Tracker,
        dataplane: Dataplane,
        apply: Apply,
        failed: Callable[[Exception], None],
    ) -> None:
        self._fleet, self._health, self._tracker = fleet, health, tracker
        self._dataplane, self._apply, self._failed = dataplane, apply, failed
        self._eviction = Eviction(tracker.on)
        self._terms: dict[int, Terms] = {}

    def configure(self, config: Config) -> None:
        """Take over what services allow."""
        sections = {one.name: one.health for one in config.services}
        self._terms = {
            service.service_id: Terms(
                backends=len(service.backends),
                max_share=section.reset_max_share,
                resets_per_s=section.resets_per_s,
            )
            for service in self._fleet.services
            if (section := sections[service.name]).on_backend_down is OnBackendDown.RESET
        }

    async def run(self) -> None:
        """Look, for ever."""
        await self._fleet.settled.wait()  # before, a backend is unknown and not dead
        while True:
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - looked at again in a moment
                self._failed(error)
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        deaths = [death for service in self._fleet.services for death in self._deaths(service)]
        self._apply(self._eviction.begin(deaths, self._terms, time.monotonic()))
        if not self._eviction.backends:
            return
        bound = self._tracker.bound()
        for at in range(0, len(bound), LOOK_AT_ONCE):
            for heard in bound[at : at + LOOK_AT_ONCE]:
                if heard.backend_id in self._eviction.backends and not heard.closed:
                    readings = self._dataplane.read(self._eviction.flows(heard))
                    self._eviction.look(heard, readings, time.monotonic())
            await asyncio.sleep(0)
        now = time.monotonic()
        for heard in self._eviction.due(now):
            told = self._eviction.tell(heard, now)
            self._apply([*told, *self._tracker.release(heard, CloseReason.BACKEND_DOWN, now)])

    def _deaths(self, service: Service) -> Iterable[Death]:
        for backend in service.backends:
            state = self._fleet.state(backend)
            if state in (BackendState.UNRESOLVED, BackendState.DOWN):
                yield Death(
                    service_id=service.service_id,
                    backend_id=backend.backend_id,
                    gone=state is BackendState.UNRESOLVED,
                    problem=self._problem(backend, state),
                )

    def _problem(self, backend: Backend, state: BackendState) -> str:
        if state is BackendState.UNRESOLVED:
            return self._fleet.problem(backend)
        return self._health.problem(backend.backend_id)
