"""Has the checks made that ``Health`` finds due, and puts in force what their outcomes say.

It lays the ways through the VIP to each backend, makes each check as a task of its own, and tells fleet and
log what has changed. A backend has one check of a kind at a time, and few plays run side by side.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from rtspdsr.balancer import settings
from rtspdsr.balancer.fleet import Fleet
from rtspdsr.config import Config, FastCheck, HealthSection
from rtspdsr.core.events import BackendDown, BackendUp, ChecksHindered, Event
from rtspdsr.core.health import Check, Health, Order, Outcome, Policy
from rtspdsr.model import Address, AdminState, Backend, Service
from rtspdsr.network.probepath import Leg, ProbePath
from rtspdsr.probe import quick
from rtspdsr.probe.prober import Prober, Unmade
from rtspdsr.probe.way import Way

TICK_S = 0.025
SETTLE_S = 0.1  # backends that change at one moment make one change of routes
LAY_S = 30.0  # routes go with their link, and nobody tells of each
START_S = 2.0  # how long a first start waits for backends before any is checked
PLAYS_MAX = 8  # side by side: each hears a stream of several Mb/s
TELL_S = 60.0  # the same hindrance again

Apply = Callable[[Iterable[Event]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How one backend is checked.

    vip:      by which it is reached
    play_vip: by which it is played from
    """

    section: HealthSection
    vip: Address
    port: int
    play_vip: Address


@dataclass(slots=True)
class _Hindrances:
    """What was told when, so that it is not told all the time."""

    told: dict[str, float] = field(default_factory=dict)

    def due(self, problem: str, now: float) -> bool:
        if now - self.told.get(problem, -TELL_S) < TELL_S:
            return False
        self.told = {known: at for known, at in self.told.items() if now - at < TELL_S} | {problem: now}
        return True


class Checks:
    """All checks of one daemon, from ``run`` to its cancelling.

    unmade: checks that could not be made, by a fault of ours
    """

    def __init__(self, fleet: Fleet, health: Health, apply: Apply, config: Config) -> None:
        self._fleet, self._health, self._apply = fleet, health, apply
        self._numbers = settings.numbers(config)
        self._targets: dict[int, Target] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._plays = asyncio.Semaphore(PLAYS_MAX)
        self._prober = Prober()
        self._moved = asyncio.Event()
        self._hindrances = _Hindrances()
        self.unmade = 0

    def configure(self, config: Config) -> None:
        """Check what is configured, but for backends in maintenance."""
        sections = {one.name: one.health for one in config.services}
        watched: list[tuple[int, Policy, list[int]]] = []
        self._targets = {}
        for service in self._fleet.services:
            section = sections[service.name]
            policy = _policy(service, section)
            ids: list[int] = []
            for backend in service.backends if policy.intervals() else ():
                if self._fleet.admin_state(backend) is AdminState.MAINT:
                    continue
                if (target := _target(service, backend, section)) is None:
                    self._hindered(f"{service.name}/{backend.name} has no address of the family of its VIP")
                    continue
                self._targets[backend.backend_id] = target
                ids.append(backend.backend_id)
            watched.append((service.service_id, policy, ids))
        self._take(self._health.watch(watched, time.monotonic()))
        for service in self._fleet.services:
            for backend in service.backends:  # one that was gone for a while begins anew
                self._fleet.mark(backend.backend_id, down=self._health.is_down(backend.backend_id))
        self.moved()

    def moved(self) -> None:
        """Backends or links have changed: have the routes follow soon."""
        self._moved.set()

    def way(self, backend_id: int, vip: Address, port: int) -> Way:
        """The way to a backend through a VIP."""
        return Way(vip=vip, port=port, mark=self._numbers.mark(backend_id))

    async def run(self) -> None:
        """Check, for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._fleet.settled.wait()
        async with ProbePath(self._numbers) as path, self._prober, asyncio.TaskGroup() as group:
            await self._lay(path)
            group.create_task(self._keep_laid(path))
            try:
                while True:
                    for order in self._health.due(time.monotonic()):
                        self._start(order)
                    await asyncio.sleep(TICK_S)
            finally:
                await self._end()

    # --- routes --------------------------------------------------------------------------------------

    async def _keep_laid(self, path: ProbePath) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAY_S):
                    await self._moved.wait()
            await asyncio.sleep(SETTLE_S)
            await self._lay(path)

    async def _lay(self, path: ProbePath) -> None:
        self._moved.clear()
        for problem in await path.lay(self._legs()):
            self._hindered(problem)

    def _legs(self) -> Iterator[Leg]:
        """One for each backend and VIP of a family, as far as the way to the backend is known."""
        for service in self._fleet.services:
            for backend in service.backends:
                if backend.backend_id not in self._targets:
                    continue
                for vip in service.vips:
                    gateway = _of_family(backend.addresses, vip)
                    ifindex = self._fleet.ifindex(gateway) if gateway else 0
                    if gateway and ifindex:
                        yield Leg(backend_id=backend.backend_id, vip=vip, gateway=gateway, ifindex=ifindex)

    # --- checks --------------------------------------------------------------------------------------

    def _start(self, order: Order) -> None:
        task = asyncio.create_task(self._make(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, order: Order) -> None:
        target = self._targets.get(order.backend_id)
        if target is None:
            return  # it left the configuration at this moment
        try:
            outcome = await self._ask(order, target)
        except Unmade as unmade:
            self._forgo(order, str(unmade))
        except Exception as error:  # noqa: BLE001 - else it would be under way for ever, and never made again
            self._forgo(order, f"{type(error).__name__}: {error}")
        else:
            self._take(self._health.take(order, outcome, time.monotonic()))

    def _forgo(self, order: Order, problem: str) -> None:
        """Say that a check could not be made. Its backend is not to blame, and stays as it is."""
        self.unmade += 1
        self._health.forgo(order, time.monotonic())
        self._hindered(f"the check {order.check} cannot be made: {problem}")

    async def _ask(self, order: Order, target: Target) -> Outcome:
        section = target.section
        way = self.way(order.backend_id, target.vip, target.port)
        match order.check:
            case Check.TCP:
                return await quick.tcp(way, section.timeout_s)
            case Check.OPTIONS:
                return await quick.options(way, section.timeout_s, f"rtsp://{way}/")
        url = section.probe_url
        way = self.way(order.backend_id, target.play_vip, urlsplit(url).port or 554)
        if order.check is Check.DESCRIBE:
            return await self._prober.describe(way, section.timeout_s, url)
        async with self._plays:
            return await self._prober.play(way, url)

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, BackendDown | BackendUp):
                self._fleet.mark(event.backend_id, down=isinstance(event, BackendDown))
        self._apply(events)

    async def _end(self) -> None:
        """End every check; those that play end their sessions first."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _hindered(self, problem: str) -> None:
        now = time.monotonic()
        if self._hindrances.due(problem, now):
            self._apply([ChecksHindered(at=now, problem=problem)])


def jitter() -> Iterator[float]:
    """Numbers from 0 to 1."""
    while True:
        yield random.random()


def _policy(service: Service, section: HealthSection) -> Policy:
    """A port that carries TLS can be connected to, and not asked."""
    check = None if section.check is FastCheck.NONE else Check(section.check)
    if check is Check.OPTIONS and set(service.ports) <= set(service.opaque):
        check = Check.TCP
    return Policy(
        check=check,
        interval_s=section.interval_s,
        play_interval_s=section.play_interval_s if section.probe_url else None,
        rise=section.rise,
        fall=section.fall,
    )


def _target(service: Service, backend: Backend, section: HealthSection) -> Target | None:
    reachable = [vip for vip in service.vips if _of_family(backend.addresses, vip)]
    if not reachable:
        return None
    clear = [port for port in service.ports if port not in service.opaque]
    host = urlsplit(section.probe_url).hostname
    named = ip_address(host) if host else None
    return Target(
        section=section,
        vip=reachable[0],
        port=(clear or service.ports)[0],
        play_vip=named if named in reachable else reachable[0],
    )


def _of_family(addresses: Iterable[Address], vip: Address) -> Address | None:
    return next((one for one in addresses if one.version == vip.version), None)
