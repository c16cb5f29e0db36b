"""How the daemon stands, as plain values for the command line and scripts.

Handed the parts of a daemon, it reads them and gives back JSON-able dicts; it changes nothing.
"""

from collections import Counter
from typing import Any

from rtspdsr.balancer.fleet import Fleet
from rtspdsr.core.session import Session
from rtspdsr.core.tracker import Tracker
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.model import Service


def services(dataplane: Dataplane, fleet: Fleet, tracker: Tracker) -> list[dict[str, Any]]:
    """Every service with its backends, their states, sessions, and traffic from clients."""
    sessions = Counter(one.backend_id for one in tracker.sessions.values())
    return [_service(one, dataplane, fleet, sessions) for one in fleet.services]


def _service(service: Service, dataplane: Dataplane, fleet: Fleet, sessions: Counter[int]) -> dict[str, Any]:
    carried = dataplane.service_traffic(service.service_id)
    return {
        "name": service.name,
        "vips": [str(vip) for vip in service.vips],
        "ports": list(service.ports),
        "client_packets": carried.packets,
        "client_bytes": carried.bytes,
        "backends": [
            {
                "name": one.name,
                "addresses": [str(address) for address in one.addresses],
                "state": fleet.state(one),
                "weight": one.weight,
                "sessions": sessions[one.backend_id],
                "client_packets": (to_it := dataplane.backend_traffic(one.backend_id)).packets,
                "client_bytes": to_it.bytes,
            }
            for one in service.backends
        ],
    }


def session(name: str, one: Session, fleet: Fleet, now: float) -> dict[str, Any]:
    """One live session."""
    return {
        "session": name,
        "client": str(one.client),
        "service": fleet.service(one.service_id),
        "backend": fleet.backend(one.backend_id),
        "url": one.url,
        "state": one.state,
        "transports": sorted({track.transport for track in one.tracks}),
        "age_s": round(now - one.opened_at, 1),
    }
