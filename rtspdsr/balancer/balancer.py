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
import socket
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Self

from rtspdsr.admin import Admin
from rtspdsr.admin.answers import (
    BackendAnswer,
    BackendDetail,
    ExplanationAnswer,
    HistoryAnswer,
    SessionAnswer,
    StatusAnswer,
    StoryAnswer,
    TopAnswer,
)
from rtspdsr.admin.asked import (
    Explain,
    Sessions,
    Top,
)
from rtspdsr.admin.feed import Feed
from rtspdsr.balancer import (
    remainder,
    settings,
    status,
)
from rtspdsr.balancer.administration import (
    Administration,
)
from rtspdsr.balancer.applier import Applier
from rtspdsr.balancer.checks import Checks, jitter
from rtspdsr.balancer.chronicle import Chronicle
from rtspdsr.balancer.conditions import Conditions
from rtspdsr.balancer.detour import Detour
from rtspdsr.balancer.drainer import Drainer
from rtspdsr.balancer.evictor import Evictor
from rtspdsr.balancer.explaining import explanation
from rtspdsr.balancer.fleet import Fleet
from rtspdsr.balancer.history import EVERY_S as HISTORY_S
from rtspdsr.balancer.history import History
from rtspdsr.balancer.impersonator import Impersonator
from rtspdsr.balancer.journal import Journal
from rtspdsr.balancer.meter import Meter
from rtspdsr.balancer.placing import Placing
from rtspdsr.balancer.ranking import rank
from rtspdsr.balancer.registry import Registry
from rtspdsr.balancer.slottables import SlotTables
from rtspdsr.balancer.supervisor import Supervisor
from rtspdsr.balancer.upkeep import Job, Upkeep
from rtspdsr.balancer.vitals import Vitals
from rtspdsr.clientnames import client_name
from rtspdsr.config import Config, diff, load
from rtspdsr.core.events import (
    AttachNotice,
    ClientPlaced,
    ConfigRefused,
    ConfigReloaded,
    DaemonStarted,
    DaemonStopped,
    Event,
    NetworkRestored,
    TableFilled,
    VipClaimed,
    VipUnheard,
)
from rtspdsr.core.health import Health
from rtspdsr.core.standing import Standings
from rtspdsr.core.tally import Tally
from rtspdsr.core.tracker import Tracker
from rtspdsr.dataplane.bpffs import Home
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.dataplane.loader import Attachment
from rtspdsr.errors import AdminError, ConfigError, InterfaceGone, RtspDsrError
from rtspdsr.model import Address, AdminState, BackendState, PlaceBy, Segment, Service
from rtspdsr.network.announcer import Announcer
from rtspdsr.network.links import LinkChange, Restored
from rtspdsr.network.neighbours import Neighbours
from rtspdsr.sessionlog import open_log

RESOLVE_S = 2.0  # how long a first start waits for backends before packets are taken
WATCH_S = 5.0  # between two looks at how full the maps are
FILLING = 0.8  # of a map, from which on the operator is warned
REPEAT_S = 1.0  # repeated faults are counted, and told once in this time


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
        self._neighbours = Neighbours(config.dataplane.interfaces)
        self._announcer = Announcer()
        self._stop, self._reload = asyncio.Event(), asyncio.Event()
        self._modes: dict[str, str] = {}
        self._attached: dict[str, int] = {}
        self._own_macs: set[bytes] = set()
        self._started_at = time.monotonic()
        self._upkeep = Upkeep(dataplane, self.tracker, journal, self._applier)
        self._feed = Feed()
        log.add(self._feed)

    @classmethod
    async def open(cls, path: Path, supervisor: Supervisor) -> Self:
        """Read the configuration and load the forwarding core. Raises RtspDsrError."""
        config = await asyncio.to_thread(load, path)
        settings.listen(config)  # a token that will not do is told before anything is touched
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
            async with self._neighbours, self._announcer:
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
        gc.disable()  # from here on Upkeep.tidy searches, in small steps
        self._configure()
        self._conditions.recall()
        settings.write_effective(self._config)
        adopted = len(self._dataplane.adopted)
        await self._supervisor.starting(f"taking over {adopted} pins")
        self._restore()
        await self._placing.settle()
        detour = Detour(self._dataplane, self._receive, self._claimed, self._applier.failed)
        vitals = Vitals(self._dataplane, detour, self._say)
        admin = Admin(self, self._config.daemon.run_dir, self._listen, self._meter(detour))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._follow_network())]
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
            self._say(DaemonStarted(at=_now(), mode=self._modes, adopted=adopted))
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
            modes=self._modes,
            started_at=self._started_at,
            tally=self._tally,
            feed=self._feed,
        )

    async def _take_over(self) -> None:
        """Put the program in force once its maps are filled: at once if they are an earlier daemon's."""
        if not self._dataplane.adopted_maps:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESOLVE_S):
                    await self.fleet.settled.wait()
            await self._placing.settle()
            await self._tables.settle()
        await self._attach()
        self._unheard(await self._announcer.watch(self.fleet.vips()))

    async def _attach(self) -> None:
        section = self._config.dataplane
        for attached in await asyncio.to_thread(self._dataplane.attach, section.mode):
            self._take_attachment(attached)

    async def _attach_again(self, interface: str, former: int) -> None:
        """To an interface that was removed and made again."""
        self._dataplane.forget_interface(former)
        mode = self._config.dataplane.mode
        with contextlib.suppress(InterfaceGone):  # once more: its next coming is told as well
            self._take_attachment(await asyncio.to_thread(self._dataplane.attach_interface, mode, interface))

    def _take_attachment(self, attached: Attachment) -> None:
        self._modes[attached.interface] = attached.mode
        self._attached[attached.interface] = attached.ifindex
        for problem in attached.notices:
            self._say(AttachNotice(at=_now(), interface=attached.interface, problem=problem))

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
        self._neighbours.watch(self.fleet.addresses(), self.fleet.vips())

    # --- what happens

    def apply(self, events: Iterable[Event]) -> None:
        """Put events in force."""
        self._applier.apply(events)

    def _receive(self, segment: Segment) -> None:
        self.apply(self.tracker.receive(segment, _now()))

    def _claimed(self, vip: Address, mac: bytes, ifindex: int) -> None:
        if mac not in self._own_macs and self._applier.due(f"claim {vip}"):
            interface = _interface(ifindex)
            defended = self._announcer.defend(interface)
            self._say(
                VipClaimed(at=_now(), vip=vip, mac=mac.hex(":"), interface=interface, defended=defended)
            )

    def _changed(self, service: Service) -> None:
        self._tables.request(service)

    def _filled(self, service: Service, shares: dict[str, int]) -> None:
        self._say(TableFilled(at=_now(), service_id=service.service_id, shares=shares))

    async def _follow_network(self) -> None:
        async for change in self._neighbours.changes():
            match change:
                case LinkChange():
                    await self._link(change)
                case Restored():
                    self._say(
                        NetworkRestored(
                            at=_now(),
                            interface=change.interface,
                            restored=change.restored,
                            refused=change.refused,
                        )
                    )
                case _:
                    self.apply(self.fleet.neighbour(change, _now()))
                    self._checks.moved()

    async def _link(self, change: LinkChange) -> None:
        if change.ifindex:
            self._own_macs.add(change.mac)
            self._dataplane.set_interface(change.ifindex, change.mac)
            self._dataplane.interface_changed(change.ifindex)
            former = self._attached.get(change.interface, change.ifindex)
            if former != change.ifindex:
                await self._attach_again(change.interface, former)
        else:
            self._modes.pop(change.interface, None)
        self._checks.moved()
        self._unheard(await self._announcer.link(change))

    def _unheard(self, problems: Iterable[str]) -> None:
        for problem in problems:
            self._say(VipUnheard(at=_now(), problem=problem))

    async def _remember(self) -> None:
        while True:
            self._history.note(await status.readings(self._dataplane, self.fleet, self.tracker))
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
        self._tally.forget(backend_id)
        self._placing.forget(backend_id)
        self._drainer.drains.forget(backend_id)

    # --- what an operator asks

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
        self._unheard(await self._announcer.watch(self.fleet.vips()))
        self._say(ConfigReloaded(at=_now(), changes=tuple(changes)))
        try:
            settings.write_effective(self._config)
        except RtspDsrError as error:  # in force it is all the same
            self._applier.failed(error)

    def _in_words(self) -> str:
        """How the daemon stands, for ``systemctl status``."""
        modes = ", ".join(f"{interface} ({mode})" for interface, mode in self._modes.items())
        return f"forwarding on {modes}; {len(self.tracker.sessions)} sessions, {self._dataplane.pins} pins"

    def place(self, service: str, client: Address, backend: str) -> None:
        """Send a client's new connections to a backend while it has sessions. Raises RtspDsrError."""
        one, chosen = self.fleet.find(service, backend)
        if self.fleet.state(chosen) is not BackendState.UP:
            raise RtspDsrError(f"backend {backend} takes no new clients: it is {self.fleet.state(chosen)}")
        if one.place_by is PlaceBy.CONNECTION:
            raise RtspDsrError(
                f"service {service} places every connection by itself (place_by), not clients; "
                "drain the backend that the client is not to go to"
            )
        self._dataplane.place_client(one.service_id, client, chosen.backend_id)

    async def administer(
        self, service: str, backend: str, state: AdminState, deadline_s: float | None, *, force: bool
    ) -> None:
        """Take a backend out, or give it back. Raises AdminError, NotFound."""
        one, chosen = self.fleet.find(service, backend)
        if state is not AdminState.DRAIN and deadline_s is not None:
            raise AdminError(f"deadline_s goes with drain, not with {state}")
        await self._drainer.administer(one, chosen, state, deadline_s, force=force)
        self._checks.configure(self._config)  # none in maintenance

    async def backend(self, service: str, backend: str) -> BackendDetail:
        """A backend, and what holds it. Raises NotFound."""
        one, chosen = self.fleet.find(service, backend)
        return await remainder.backend(one, chosen, self.fleet, self.health, self.tracker, self._drainer)

    def status(self) -> StatusAnswer:
        """How the daemon stands."""
        return {
            "uptime_s": round(_now() - self._started_at, 1),
            "modes": self._modes,
            "pins": self._dataplane.pins,
            "pins_max": self._config.dataplane.pins_max,
            "pins_refused": self._applier.refused,
            "sessions": len(self.tracker.sessions),
            "faults": self._applier.faults,
            "reinjections_failed": self._dataplane.reinjections_failed,
            "lines_dropped": self._file.dropped_lines,
            "journal_failed": self._journal.failed,
            "services": status.services(
                self._dataplane, self.fleet, self.health, self.tracker, self._placing
            ),
        }

    def history(self) -> Iterator[HistoryAnswer]:
        """How each backend's counters went lately."""
        return status.histories(self.fleet, self._history, _now())

    def backends(self) -> list[BackendAnswer]:
        """Every backend, and how it is."""
        return status.backends(self.fleet, self.health, self._standings, self.tracker, _now())

    def sessions(self, asked: Sessions) -> Iterator[SessionAnswer | None]:
        """Those that are asked for; None for each other one that was looked at."""
        return self._chronicle.sessions(asked)

    def session(self, name: str) -> StoryAnswer:
        """What happened to a session. Raises NotFound."""
        return self._chronicle.session(name)

    def top(self, asked: Top) -> Iterator[TopAnswer | None]:
        """What stands out among all sessions; None while that is being looked for."""
        return rank(self._chronicle, self.tracker, asked.limit)

    def explain(self, asked: Explain) -> Iterator[ExplanationAnswer]:
        """What the XDP program would do with a client's packets."""
        found = self._dataplane.explain(self.fleet.vips(), asked.client, asked.port, time.monotonic_ns())
        return (explanation(one, self.fleet) for one in found)

    def failed(self, error: Exception) -> None:
        """Survive a fault in an answer, and tell of it."""
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


def _interface(ifindex: int) -> str:
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        return str(ifindex)


def _now() -> float:
    return time.monotonic()
