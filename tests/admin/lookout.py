"""Stands in for what a daemon is watched by: fixed figures, and a feed that is real."""

from dataclasses import replace

from rtspdsr.admin.answers import LivenessAnswer, ReadinessAnswer, ServiceReadiness
from rtspdsr.admin.feed import Feed
from rtspdsr.admin.figures import (
    BackendFigures,
    CheckFigures,
    Figures,
    Histogram,
    Limit,
    ServiceFigures,
)


def figures(number: int = 1) -> Figures:
    """What a daemon with that many backends counts: one of everything."""
    spread = Histogram(buckets=[("0.5", 3), ("+Inf", 4)], total=2.5)
    check = CheckFigures(
        passing=True,
        age_s=0.5,
        response_s=0.25,
        first_rtp_s=0.125,
        bits_per_s=8e6,
        lost=0.5,
        jitter_s=0.0625,
    )
    backends = [
        BackendFigures(
            name=f"cam-{name}",
            state="up",
            poor=False,
            weight=100,
            sessions={"playing": 2, "ready": 1},
            opened=5,
            closed={"teardown": 2, "expired": 0},
            client_packets=10,
            client_bytes=1000,
            acknowledged_bytes=1 << 40,
            estimated_bytes=1200,
            delivered_packets=70,
            lost_packets=7,
            loss=spread,
            jitter=spread,
            checks={"options": check, "play": replace(check, first_rtp_s=None)},
        )
        for name in range(number)
    ]
    return Figures(
        version="0.1.0",
        started_at=1_700_000_000.0,
        modes={"eth0": "native"},
        limits={
            name: Limit(used=10, limit=1000)
            for name in ("pins", "provisional_pins", "connections", "buffer_bytes")
        },
        verdicts={"pinned": 5, "ring_full": 1},
        failures={"fault": 0, "log_line": 3},
        events={"session_opened": 5},
        lag=spread,
        listeners=1,
        services=[ServiceFigures(name="cams", client_packets=10, client_bytes=1000, backends=backends)],
    )


class Lookout:
    """Alive, unless it is told otherwise.

    problems: in the way of its readiness
    """

    def __init__(self) -> None:
        self.alive = True
        self.problems: list[str] = []
        self.feed = Feed()

    async def figures(self) -> Figures:
        return figures()

    def liveness(self) -> LivenessAnswer:
        return {"alive": self.alive, "deadline_s": 0.2, "uptime_s": 7.5}

    def readiness(self) -> ReadinessAnswer:
        usable: ServiceReadiness = {"name": "cams", "backends": 2, "usable": len(self.problems) ^ 1}
        modes = {"eth0": "native"}
        return {
            "ready": not self.problems,
            "problems": self.problems,
            "modes": modes,
            "services": [usable],
        }
