"""How the daemon stands, as plain values for the command line and scripts.

Handed the parts of a daemon, it reads them and gives back JSON-able dicts; it changes nothing.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

from rtspdsr.admin.answers import (
    BackendAnswer,
    CheckAnswer,
    HistoryAnswer,
    ServiceAnswer,
)
from rtspdsr.balancer.fleet import Fleet
from rtspdsr.balancer.history import History, Reading
from rtspdsr.balancer.placing import Placing
from rtspdsr.core.health import Checked, Health, Outcome
from rtspdsr.core.standing import Standings
from rtspdsr.core.tracker import Tracker
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.model import Backend, Service

BACKENDS_AT_ONCE = 50  # some 2 ms


def services(
    dataplane: Dataplane, fleet: Fleet, health: Health, tracker: Tracker, placing: Placing
) -> list[ServiceAnswer]:
    """Every service with its backends, their states, sessions, and traffic from clients."""
    sessions = Counter(one.backend_id for one in tracker.sessions.values())
    return [_service(one, dataplane, fleet, health, tracker, placing, sessions) for one in fleet.services]


def _service(
    service: Service,
    dataplane: Dataplane,
    fleet: Fleet,
    health: Health,
    tracker: Tracker,
    placing: Placing,
    sessions: Counter[int],
) -> ServiceAnswer:
    carried = dataplane.service_traffic(service.service_id)
    return {
        "name": service.name,
        "vips": [str(vip) for vip in service.vips],
        "ports": list(service.ports),
        "schedule": service.schedule,
        "place_by": service.place_by,
        "client_packets": carried.packets,
        "client_bytes": carried.bytes,
        "backends": [
            {
                "name": one.name,
                "addresses": [str(address) for address in one.addresses],
                "state": fleet.state(one),
                "admin_state": fleet.admin_state(one),
                "problem": _problem(fleet, health, one),
                "weight": int(one.weight),
                "share": placing.share(one),
                "max_sessions": one.max_sessions,
                "full": placing.is_full(one),
                "sessions": sessions[one.backend_id],
                "client_packets": (to_it := dataplane.backend_traffic(one.backend_id)).packets,
                "client_bytes": to_it.bytes,
                "delivered_bytes": (by_it := tracker.deliveries.of(one.backend_id)).bytes,
                "delivered_packets": by_it.packets,
                "lost_packets": by_it.lost_packets,
                "jitter": None if by_it.jitter is None else round(by_it.jitter),
            }
            for one in service.backends
        ],
    }


async def readings(dataplane: Dataplane, fleet: Fleet, tracker: Tracker) -> dict[int, Reading]:
    """Every backend's counters, by its number, read a few at a time."""
    found = {}
    for service in fleet.services:
        for one in service.backends:
            delivered = tracker.deliveries.of(one.backend_id)
            found[one.backend_id] = Reading(
                at=time.monotonic(),
                client_bytes=dataplane.backend_traffic(one.backend_id).bytes,
                delivered_bytes=delivered.bytes,
                delivered_packets=delivered.packets,
                lost_packets=delivered.lost_packets,
            )
            if len(found) % BACKENDS_AT_ONCE == 0:
                await asyncio.sleep(0)
    return found


def histories(fleet: Fleet, history: History, now: float) -> Iterator[HistoryAnswer]:
    """How every backend's counters went."""
    for service in fleet.services:
        for one in service.backends:
            known = history.of(one.backend_id)
            yield {
                "service": service.name,
                "name": one.name,
                "ages_s": [round(now - it.at, 1) for it in known],
                "client_bytes": [it.client_bytes for it in known],
                "delivered_bytes": [it.delivered_bytes for it in known],
                "delivered_packets": [it.delivered_packets for it in known],
                "lost_packets": [it.lost_packets for it in known],
            }


def backends(
    fleet: Fleet, health: Health, standings: Standings, tracker: Tracker, now: float
) -> list[BackendAnswer]:
    """Every backend: its state and why, what its checks found last, and what its clients tell."""
    sessions = Counter(one.backend_id for one in tracker.sessions.values())
    return [
        {
            "service": service.name,
            "name": one.name,
            "addresses": [str(address) for address in one.addresses],
            "state": fleet.state(one),
            "admin_state": fleet.admin_state(one),
            "problem": _problem(fleet, health, one),
            "sessions": sessions[one.backend_id],
            "standing": (judged := standings.of(one.backend_id)).standing,
            "standing_problem": judged.problem,
            "checks": _checks(health, one.backend_id, now),
        }
        for service in fleet.services
        for one in service.backends
    ]


def _problem(fleet: Fleet, health: Health, backend: Backend) -> str:
    """What is wrong with a backend; "" if nothing is."""
    return fleet.problem(backend) or health.problem(backend.backend_id)


def _checks(health: Health, backend_id: int, now: float) -> dict[str, CheckAnswer]:
    """What each check found last, by its kind."""
    if backend_id not in health.members:
        return {}
    checks = health.members[backend_id][1].checks
    return {check: _check(one, one.last, now) for check, one in checks.items() if one.last is not None}


def _check(checked: Checked, last: Outcome, now: float) -> CheckAnswer:
    return {
        "passing": not checked.failing,
        "age_s": round(now - checked.last_at, 1),
        "problem": last.problem,
        "response_s": last.response_s,
        "first_rtp_s": last.first_rtp_s,
        "bits_per_s": last.bits_per_s,
        "lost": last.lost,
        "jitter_s": last.jitter_s,
        "source": None if last.source is None else str(last.source),
    }
