"""Totals: the figures that change all the time, few enough to be told every two seconds."""

import time

from rtspdsr.admin.answers import BackendTotals, TotalsAnswer
from rtspdsr.admin.figures import BackendFigures, Figures


def totals(figures: Figures) -> TotalsAnswer:
    """The totals of all services."""
    pins = figures.limits["pins"]
    return {
        "uptime_s": round(time.time() - figures.started_at, 3),
        "pins": pins.used,
        "pins_max": pins.limit,
        "services": [
            {
                "name": service.name,
                "client_packets": service.client_packets,
                "client_bytes": service.client_bytes,
                "backends": [_backend(one) for one in service.backends],
            }
            for service in figures.services
        ],
    }


def _backend(figures: BackendFigures) -> BackendTotals:
    return {
        "name": figures.name,
        "state": figures.state,
        "sessions": sum(figures.sessions.values()),
        "client_packets": figures.client_packets,
        "client_bytes": figures.client_bytes,
        "delivered_bytes": figures.acknowledged_bytes + figures.estimated_bytes,
        "delivered_packets": figures.delivered_packets,
        "lost_packets": figures.lost_packets,
    }
