"""What holds a backend: its sessions by URL, client and age, and when it will be empty.

Handed the parts of a daemon, it reads them and gives back JSON-able dicts; it changes nothing.
"""

import asyncio
import time
from collections import Counter
from heapq import nsmallest

from rtspdsr.admin.answers import BackendDetail, ClientCount, DrainAnswer, SessionLeft, UrlCount
from rtspdsr.balancer.drainer import Drainer
from rtspdsr.balancer.fleet import Fleet
from rtspdsr.core.health import Health
from rtspdsr.core.session import Session
from rtspdsr.core.tracker import Tracker
from rtspdsr.model import Backend, Service

TOLD_MAX = 20  # of each list: the heaviest URLs and clients, the oldest sessions
LOOK_AT_ONCE = 5_000  # sessions between two turns of the loop: some milliseconds


async def backend(
    service: Service, one: Backend, fleet: Fleet, health: Health, tracker: Tracker, drainer: Drainer
) -> BackendDetail:
    """A backend, and what is left there."""
    sessions = await _sessions(one.backend_id, tracker)
    now = time.monotonic()
    urls = Counter(it.url for it in sessions)
    clients = Counter(str(it.client) for it in sessions)
    oldest = nsmallest(TOLD_MAX, sessions, key=lambda it: it.opened_at)
    return BackendDetail(
        service=service.name,
        name=one.name,
        addresses=[str(address) for address in one.addresses],
        state=fleet.state(one),
        admin_state=fleet.admin_state(one),
        problem=fleet.problem(one) or health.problem(one.backend_id),
        weight=int(one.weight),
        sessions=len(sessions),
        drain=_drain(one.backend_id, sum(now - it.opened_at for it in sessions), drainer, now),
        urls=[UrlCount(url=url, sessions=count) for url, count in urls.most_common(TOLD_MAX)],
        clients=[
            ClientCount(client=client, sessions=count) for client, count in clients.most_common(TOLD_MAX)
        ],
        oldest=[
            SessionLeft(
                session=it.name,
                client=str(it.client),
                url=it.url,
                state=it.state,
                age_s=round(now - it.opened_at, 1),
            )
            for it in oldest
        ],
    )


async def _sessions(backend_id: int, tracker: Tracker) -> list[Session]:
    """Those of a backend, looked for in pieces."""
    everything = list(tracker.sessions.values())
    found: list[Session] = []
    for at in range(0, len(everything), LOOK_AT_ONCE):
        found += [it for it in everything[at : at + LOOK_AT_ONCE] if it.backend_id == backend_id]
        await asyncio.sleep(0)
    return [it for it in found if not it.closed]


def _drain(backend_id: int, ages_s: float, drainer: Drainer, now: float) -> DrainAnswer | None:
    drain = drainer.drains.get(backend_id)
    if drain is None:
        return None
    empty_in_s = drainer.empty_in_s(backend_id, ages_s)
    return DrainAnswer(
        since_s=round(now - drain.began_at, 1),
        deadline_in_s=None if drain.deadline_at is None else round(max(0.0, drain.deadline_at - now), 1),
        closed=drain.closed,
        connections=drain.held.connections if drain.held is not None else 0,
        followed=drain.followed,
        finished=drain.finished,
        ended=drain.ended,
        empty=drain.empty and drain.held is not None,
        empty_in_s=None if empty_in_s is None else round(empty_in_s, 1),
    )
