"""The routes by which a daemon is watched: totals, metrics, live events, liveness and readiness."""

from rtspdsr.admin.answers import LivenessAnswer, ReadinessAnswer, TotalsAnswer
from rtspdsr.admin.asked import Asked
from rtspdsr.admin.metrics import metrics
from rtspdsr.admin.route import Call, Reply, Route
from rtspdsr.admin.stream import events
from rtspdsr.admin.totals import totals
from rtspdsr.admin.watch import WATCH


async def _totals(call: Call[Asked]) -> TotalsAnswer:
    return totals(await call.request.app[WATCH].figures())


async def _liveness(call: Call[Asked]) -> Reply:
    """It answers only while the daemon's loop turns."""
    answer = call.request.app[WATCH].liveness()
    return Reply(200 if answer["alive"] else 503, answer)


async def _readiness(call: Call[Asked]) -> Reply:
    """XDP is attached to every interface, and each service has a backend that takes new clients."""
    answer = call.request.app[WATCH].readiness()
    return Reply(200 if answer["ready"] else 503, answer)


MONITORING = (
    Route("GET", "/v1/totals", _totals, "What changes all the time", answer=TotalsAnswer),
    Route("GET", "/v1/events", events, "Live events", media="text/event-stream"),
    Route("GET", "/metrics", metrics, "What the daemon counts, for Prometheus", media="text/plain"),
    Route(
        "GET",
        "/healthz",
        _liveness,
        "Whether the daemon does its work",
        answer=LivenessAnswer,
        statuses={503: "it does not: requests are forwarded unread"},
        public=True,
    ),
    Route(
        "GET",
        "/readyz",
        _readiness,
        "Whether clients are served",
        answer=ReadinessAnswer,
        statuses={503: "some are not"},
        public=True,
    ),
)
