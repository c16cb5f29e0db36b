"""What a daemon is watched by: the figures of one moment, gathered a little at a time, and its health.

Handed the parts, it reads them and changes nothing. A hundred thousand sessions are counted in slices,
between which segments are read; the sums of what was delivered stand ready, as old as the last readings.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice

from rtspdsr.admin.answers import LivenessAnswer, ReadinessAnswer
from rtspdsr.admin.feed import Feed
from rtspdsr.admin.figures import BackendFigures, CheckFigures, Figures, Histogram, Limit, ServiceFigures
from rtspdsr.balancer.applier import Applier
from rtspdsr.balancer.checks import Checks
from rtspdsr.balancer.detour import Detour
from rtspdsr.balancer.fleet import Fleet
from rtspdsr.balancer.impersonator import Impersonator
from rtspdsr.balancer.journal import Journal
from rtspdsr.balancer.status import BACKENDS_AT_ONCE
from rtspdsr.balancer.upkeep import Upkeep
from rtspdsr.core.distribution import Distribution
from rtspdsr.core.events import CloseReason
from rtspdsr.core.health import Health
from rtspdsr.core.session import Session, State
from rtspdsr.core.standing import Standing, Standings
from rtspdsr.core.tally import Tally
from rtspdsr.core.tracker import Tracker
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.logfile import LogFile
from rtspdsr.model import Backend, Service
from rtspdsr.sessionlog import event_name

SESSIONS_AT_ONCE = 5_000  # some 1 ms

Live = Mapping[tuple[int, State], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """The parts that it reads.

    interfaces: those that XDP is to be attached to
    modes:      how XDP is attached, by interface
    started_at: seconds on the monotonic clock
    tally:      is shown every event
    feed:       is handed every line of the session log
    """

    dataplane: Dataplane
    fleet: Fleet
    health: Health
    checks: Checks
    standings: Standings
    tracker: Tracker
    applier: Applier
    impersonator: Impersonator
    detour: Detour
    upkeep: Upkeep
    journal: Journal
    file: LogFile
    interfaces: Sequence[str]
    modes: Mapping[str, str]
    started_at: float
    tally: Tally
    feed: Feed

    def liveness(self) -> LivenessAnswer:
        """Whether requests are read."""
        now = time.monotonic()
        return {
            "alive": now < self.upkeep.alive_until,
            "deadline_s": round(self.upkeep.alive_until - now, 3),
            "uptime_s": round(now - self.started_at, 1),
        }

    def readiness(self) -> ReadinessAnswer:
        """Whether XDP is attached everywhere, and each service has a backend for new clients."""
        services = [(one, len(self.fleet.fit(one))) for one in self.fleet.services]
        problems = [f"XDP is not attached to {name}" for name in self.interfaces if name not in self.modes]
        problems += [f"no backend of {one.name} takes new clients" for one, usable in services if not usable]
        return {
            "ready": not problems,
            "problems": problems,
            "modes": dict(self.modes),
            "services": [
                {"name": one.name, "backends": len(one.backends), "usable": usable}
                for one, usable in services
            ],
        }

    async def figures(self) -> Figures:
        """What is counted now."""
        live = await census(self.tracker.sessions.values())
        return Figures(
            version=version("rtspdsr"),
            started_at=time.time() - time.monotonic() + self.started_at,
            modes=dict(self.modes),
            limits=self._limits(),
            verdicts={one.name.lower(): count for one, count in self.dataplane.verdicts().items()},
            failures=self._failures(),
            events={event_name(kind): count for kind, count in self.tally.events.items()},
            lag=_histogram(self.upkeep.lag),
            listeners=len(self.feed),
            services=[await self._service(one, live) for one in self.fleet.services],
        )

    def _limits(self) -> dict[str, Limit]:
        limits = self.tracker.limits
        used = self.tracker.used()
        return {
            "pins": Limit(used=self.dataplane.pins, limit=limits.pins_max),
            "provisional_pins": Limit(used=used.provisional, limit=limits.provisional_max),
            "connections": Limit(used=used.connections, limit=limits.connections_max),
            "buffer_bytes": Limit(used=used.buffer_bytes, limit=limits.buffer_bytes),
        }

    def _failures(self) -> dict[str, int]:
        return {
            "fault": self.applier.faults,
            "effect_refused": self.applier.refused,
            "check": self.checks.unmade,
            "reset": self.impersonator.failed,
            "notice": self.detour.notices_lost,
            "reinjection": self.dataplane.reinjections_failed,
            "log_line": self.file.dropped_lines,
            "journal": self.journal.failed,
        }

    async def _service(self, service: Service, live: Live) -> ServiceFigures:
        backends = []
        for one in service.backends:
            backends.append(self._backend(one, live))
            if len(backends) % BACKENDS_AT_ONCE == 0:
                await asyncio.sleep(0)
        carried = self.dataplane.service_traffic(service.service_id)
        return ServiceFigures(
            name=service.name, client_packets=carried.packets, client_bytes=carried.bytes, backends=backends
        )

    def _backend(self, backend: Backend, live: Live) -> BackendFigures:
        number = backend.backend_id
        carried, delivery = self.dataplane.backend_traffic(number), self.tracker.deliveries.of(number)
        return BackendFigures(
            name=backend.name,
            state=self.fleet.state(backend),
            poor=self.standings.of(number).standing is Standing.POOR,
            weight=backend.weight,
            sessions={state: live.get((number, state), 0) for state in State},
            opened=self.tally.opened[number],
            closed={reason: self.tally.closed[number, reason] for reason in CloseReason},
            client_packets=carried.packets,
            client_bytes=carried.bytes,
            acknowledged_bytes=delivery.acknowledged_bytes,
            estimated_bytes=delivery.bytes - delivery.acknowledged_bytes,
            delivered_packets=delivery.packets,
            lost_packets=delivery.lost_packets,
            loss=_histogram(delivery.losses),
            jitter=_histogram(delivery.jitters),
            checks=self._checks(number),
        )

    def _checks(self, backend_id: int) -> dict[str, CheckFigures]:
        if backend_id not in self.health.members:
            return {}
        now = time.monotonic()
        return {
            kind: CheckFigures(
                passing=not one.failing,
                age_s=now - one.last_at,
                response_s=one.last.response_s,
                first_rtp_s=one.last.first_rtp_s,
                bits_per_s=one.last.bits_per_s,
                lost=one.last.lost,
                jitter_s=one.last.jitter_s,
            )
            for kind, one in self.health.members[backend_id][1].checks.items()
            if one.last is not None
        }


async def census(sessions: Iterable[Session]) -> Live:
    """Sessions by backend and state, counted in slices that leave the loop its turns."""
    counted: Counter[tuple[int, State]] = Counter()
    waiting = iter(list(sessions))
    while some := list(islice(waiting, SESSIONS_AT_ONCE)):
        counted.update((one.backend_id, one.state) for one in some)
        await asyncio.sleep(0)
    return counted


def _histogram(values: Distribution) -> Histogram:
    return Histogram(buckets=values.cumulated(), total=values.total)
