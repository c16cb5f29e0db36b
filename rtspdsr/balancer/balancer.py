"""The daemon: the one place where what the deciding code says is put into effect.

It starts the parts in the order in which packets must not notice, hands each segment to the tracker,
applies the events that come back, and reloads or ends on a signal. Whatever happens to it, the kernel
goes on forwarding with the maps as they stand.
"""

import asyncio
import contextlib
import gc
import secrets
import signal
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Self

from rtspdsr.admin import Admin
from rtspdsr.admin.feed import Feed
from rtspdsr.balancer import settings, status
from rtspdsr.balancer.administration import Administration
from rtspdsr.balancer.applier import Applier
from rtspdsr.balancer.checks import Checks, jitter
from rtspdsr.balancer.chronicle import Chronicle
from rtspdsr.balancer.conditions import Conditions
from rtspdsr.balancer.desk import Desk
from rtspdsr.balancer.detour import Detour
from rtspdsr.balancer.drainer import Drainer
from rtspdsr.balancer.evictor import Evictor
from rtspdsr.balancer.fleet import Fleet
from rtspdsr.balancer.history import EVERY_S as HISTORY_S
from rtspdsr.balancer.history import History
from rtspdsr.balancer.impersonator import Impersonator
from rtspdsr.balancer.journal import Journal
from rtspdsr.balancer.meter import Meter
from rtspdsr.balancer.placing import Placing
from rtspdsr.balancer.registry import Registry
from rtspdsr.balancer.slottables import SlotTables
from rtspdsr.balancer.supervisor import Supervisor
from rtspdsr.balancer.surroundings import Surroundings
from rtspdsr.balancer.upkeep import Job, Upkeep
from rtspdsr.balancer.vitals import Vitals
from rtspdsr.clientnames import client_name
from rtspdsr.config import Config, load
from rtspdsr.configdiff import diff
from rtspdsr.core.events import (
    ClientPlaced,
    ConfigRefused,
    ConfigReloaded,
    DaemonStarted,
    DaemonStopped,
    Event,
    TableFilled,
)
from rtspdsr.core.health import Health
from rtspdsr.core.standing import Standings
from rtspdsr.core.tally import Tally
from rtspdsr.core.tracker import Tracker
from rtspdsr.dataplane.bpffs import Home
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.errors import ConfigError, RtspDsrError
from rtspdsr.model import Segment, Service
from rtspdsr.sessionlog import open_log

RESOLVE_S = 2.0  # how long a first start waits for backends before packets are taken
WATCH_S = 5.0  # between two looks at how full the maps are
FILLING = 0.8  # of a map, from which on the operator is warned


class Balancer:
    """One daemon over one forwarding core."""

    def __init__(
        self, config: Config, path: Path, dataplane: Dataplane, journal: Journal, supervisor: Supervisor
    ) -> None:
        self._config, self._path = config, path
        self._listen = settings.listen(config)
        self._supervisor = supervisor
        self._dataplane, self._journal = dataplane, journal
        registry = Registry(
            config.dataplane.services_max,
            config.dataplane.backends_max,
            dataplane.left.services,
            dataplane.left.backends,
        )
        self.fleet = Fleet(dataplane, registry, self._changed)
        self.tracker = Tracker(settings.limits(config), _names())
        self._placing = Placing(dataplane, self.tracker, self.fleet, self._changed, self.apply, self.failed)
        self._tables = SlotTables(dataplane, self._placing.usable, self.fleet.is_withdrawn, self._filled)
        self.health = Health(jitter())
        self._standings = Standings()
        self._history = History()
        self._checks = Checks(self.fleet, self.health, self.apply, config)
        self._evictor = Evictor(self.fleet, self.health, self.tracker, dataplane, self.apply, self.failed)
        administration = Administration(settings.journal_directory(config))
        self._drainer = Drainer(self.fleet, self.tracker, dataplane, administration, self.apply, self.failed)
        self._conditions = Conditions(
            settings.journal_directory(config), self.fleet, self.health, self._placing, self.failed
        )
        self._impersonator = Impersonator(self.fleet, dataplane)
        log, self._file = open_log(
            config.log.file,
            rotation=settings.rotation(config),
            queue_max=config.log.queue_max,
            names=self.fleet,
            client_name=client_name(config.log.client_addresses, config.daemon.state_dir),
        )
        self._chronicle = Chronicle(self.tracker, self.fleet)
        self._tally = Tally()
        onlookers = (
            self._tally.note,
            self._standings.note,
            self._chronicle.note,
            self._placing.note,
            self._drainer.note,
        )
        self._applier = Applier(dataplane, self.tracker, log, journal, self._impersonator.perform, onlookers)
        self._surroundings = Surroundings(
            config.dataplane, dataplane, self.fleet, self._applier, self._checks.moved
        )
        self._stop, self._reload = asyncio.Event(), asyncio.Event()
        self._started_at = time.monotonic()
        self._upkeep = Upkeep(dataplane, self.tracker, journal, self._applier)
        self._feed = Feed()
        log.add(self._feed)

    @classmethod
    async def open(cls, path: Path, supervisor: Supervisor) -> Self:
        """Read the configuration and load the forwarding core. Raises RtspDsrError."""
        config = await asyncio.to_thread(load, path)
        settings.listen(config)  # a token that will not do is told before anything is touched
        gc.disable()  # from here on Upkeep.tidy searches in small steps: there may be a million pins
        await supervisor.starting("loading the forwarding core")
        home = Home(config.dataplane.bpffs, config.dataplane.interfaces)
        dataplane = await asyncio.to_thread(Dataplane.load, home, settings.sizes(config))
        return cls(config, path, dataplane, Journal(settings.journal_directory(config)), supervisor)

    # --- life

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP reloads, SIGUSR1 opens the log file anew."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        loop.add_signal_handler(signal.SIGUSR1, self._file.reopen)
        try:
            async with self._surroundings:
                await self._serve()
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            self._dataplane.renew(0)
            self._impersonator.close()
            self._dataplane.close()
            self._journal.close()
            await asyncio.to_thread(self._file.close)

    async def _serve(self) -> None:
        self._configure()
        self._conditions.recall()
        settings.write_effective(self._config)
        adopted = len(self._dataplane.adopted)
        await self._supervisor.starting(f"taking over {adopted} pins")
        self._restore()
        await self._placing.settle()
        detour = Detour(self._dataplane, self._receive, self._surroundings.claimed, self._applier.failed)
        vitals = Vitals(self._dataplane, detour, self._say)
        admin = Admin(self._desk(), self._config.daemon.run_dir, self._listen, self._meter(detour))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._surroundings.run())]
            await self._take_over()
            detour.start()
            await admin.start()
            jobs: list[Job] = [
                self._reloads,
                self._tables.run,
                self._placing.run,
                self._watch,
                self._remember,
                self._checks.run,
                self._evictor.run,
                partial(self._supervisor.watch, vitals.problem, self._in_words),
                self._drainer.run,
                self._conditions.run,
                *self._upkeep.tasks(),  # last: the first beat says that segments are read from now on
            ]
            tasks += [group.create_task(job()) for job in jobs]
            self._say(DaemonStarted(at=_now(), mode=self._surroundings.modes, adopted=adopted))
            await self._supervisor.ready(self._in_words())
            await self._stop.wait()
            await self._supervisor.stopping()
            for task in tasks:
                task.cancel()
        self._dataplane.renew(0)  # from here on XDP forwards by itself
        detour.stop()
        await admin.stop()
        self._say(
            DaemonStopped(
                at=_now(),
                forwarding="stays in place: sessions go on, new ones go by client address, unlogged, "
                "until the next start; `rtspdsr detach` ends it",
            )
        )

    def _meter(self, detour: Detour) -> Meter:
        """What the daemon is watched by."""
        return Meter(
            dataplane=self._dataplane,
            fleet=self.fleet,
            health=self.health,
            checks=self._checks,
            standings=self._standings,
            tracker=self.tracker,
            applier=self._applier,
            impersonator=self._impersonator,
            detour=detour,
            upkeep=self._upkeep,
            journal=self._journal,
            file=self._file,
            interfaces=self._config.dataplane.interfaces,
            modes=self._surroundings.modes,
            started_at=self._started_at,
            tally=self._tally,
            feed=self._feed,
        )

    def _desk(self) -> Desk:
        """What the daemon is asked by."""
        return Desk(
            dataplane=self._dataplane,
            fleet=self.fleet,
            tracker=self.tracker,
            health=self.health,
            standings=self._standings,
            past=self._history,
            chronicle=self._chronicle,
            placing=self._placing,
            drainer=self._drainer,
            applier=self._applier,
            journal=self._journal,
            file=self._file,
            modes=self._surroundings.modes,
            started_at=self._started_at,
            administered=lambda: self._checks.configure(self._config),  # none in maintenance
        )

    async def _take_over(self) -> None:
        """Put the program in force once its maps are filled: at once if they are an earlier daemon's."""
        if not self._dataplane.adopted_maps:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESOLVE_S):
                    await self.fleet.settled.wait()
            await self._placing.settle()
            await self._tables.settle()
        await self._surroundings.attach()
        await self._surroundings.announce()

    def _restore(self) -> None:
        """Take the sessions over that an earlier daemon left in its journal and its pins.

        A journal without pins is of sessions that have ended with them: its numbers mean nothing any more.
        """
        records = self._journal.sessions() if self._dataplane.adopted else {}
        events = self.tracker.restore(records, self._dataplane.adopted, _now())
        self._dataplane.adopted.clear()
        self.apply(events)  # which notes each session in the journal
        placed = {(one.service_id, one.client) for one in events if isinstance(one, ClientPlaced)}
        for service_id, client in set(self._dataplane.clients()) - placed:
            self._dataplane.release_client(service_id, client)  # its sessions ended while nobody looked
        self._journal.rewrite()

    def _configure(self) -> None:
        self.fleet.configure(self._config)
        self._drainer.configure(self._config)
        self._checks.configure(self._config)
        self._evictor.configure(self._config)
        self._surroundings.configure()

    # --- what happens

    def apply(self, events: Iterable[Event]) -> None:
        """Put events in force."""
        self._applier.apply(events)

    def _receive(self, segment: Segment) -> None:
        self.apply(self.tracker.receive(segment, _now()))

    def _changed(self, service: Service) -> None:
        self._tables.request(service)

    def _filled(self, service: Service, shares: dict[str, int]) -> None:
        self._say(TableFilled(at=_now(), service_id=service.service_id, shares=shares))

    async def _remember(self) -> None:
        while True:
            try:
                self._history.note(await status.readings(self._dataplane, self.fleet, self.tracker))
            except Exception as error:  # noqa: BLE001 - read again in a moment
                self.failed(error)
            await asyncio.sleep(HISTORY_S)

    async def _watch(self) -> None:
        while True:
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - looked at again in a moment
                self.failed(error)
            await asyncio.sleep(WATCH_S)

    async def _look(self) -> None:
        limit = self._config.dataplane.pins_max
        if self._dataplane.pins > FILLING * limit:
            self._applier.fills("pins", self._dataplane.pins, limit)
        backends = {one.service_id: [it.backend_id for it in one.backends] for one in self.fleet.services}
        self.apply(self._standings.judge(backends, _now()))
        if self.fleet.leaving:
            pinned = await asyncio.to_thread(self._dataplane.pinned_backends)
            for number in self.fleet.retire(pinned):
                self._forget(number)

    def _forget(self, backend_id: int) -> None:
        """What is counted by a number that the next backend may have."""
        self.tracker.deliveries.forget(backend_id)
        self._standings.forget(backend_id)
        self._tally.forget(backend_id)
        self._placing.forget(backend_id)
        self._drainer.drains.forget(backend_id)

    # --- reload

    async def _reloads(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            await self._supervisor.reloading()
            await self.reload()
            await self._supervisor.ready(self._in_words())

    async def reload(self) -> None:
        """Read the configuration again; a bad one is refused, and the old one stays in force."""
        former = self._config
        try:
            new = await asyncio.to_thread(load, self._path)
            changes = diff(former, new)
            self._config = former.reloaded(new)
            self._configure()
        except RtspDsrError as error:
            if self._config is not former:
                self._config = former
                self._configure()
            mistakes = error.mistakes if isinstance(error, ConfigError) else (str(error),)
            self._say(ConfigRefused(at=_now(), mistakes=mistakes))
            return
        await self._placing.settle()
        self.tracker.limits = settings.limits(self._config)
        self._file.rotation = settings.rotation(self._config)
        await self._surroundings.announce()
        self._say(ConfigReloaded(at=_now(), changes=tuple(changes)))
        try:
            settings.write_effective(self._config)
        except RtspDsrError as error:  # in force it is all the same
            self._applier.failed(error)

    def _in_words(self) -> str:
        """How the daemon stands, for ``systemctl status``."""
        modes = ", ".join(f"{interface} ({mode})" for interface, mode in self._surroundings.modes.items())
        return f"forwarding on {modes}; {len(self.tracker.sessions)} sessions, {self._dataplane.pins} pins"

    def failed(self, error: Exception) -> None:
        """Survive a fault of ours, and tell of it."""
        self._applier.failed(error)

    # --- inside

    def _say(self, event: Event) -> None:
        self.apply([event])


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What ended the daemon: the first of its tasks' errors that an operator can act on, else the first."""
    found: BaseException = group.subgroup(RtspDsrError) or group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _names() -> Iterator[str]:
    """Names of sessions, unique in the logs of all balancers."""
    while True:
        yield secrets.token_hex(6)


def _now() -> float:
    return time.monotonic()
