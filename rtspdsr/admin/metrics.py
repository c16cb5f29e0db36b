"""``GET /metrics``: what the daemon counts, for Prometheus: base units, no label that a client could fill.

The daemon's figures are gathered in its loop, a little at a time; that they become text is a thread's work.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from rtspdsr.admin.asked import Asked
from rtspdsr.admin.figures import BackendFigures, CheckFigures, Figures, Histogram
from rtspdsr.admin.route import Call
from rtspdsr.admin.watch import WATCH
from rtspdsr.model import BackendState

STATES = tuple(BackendState)
BACKEND = ("service", "backend")

#: Of each backend: name without the prefix, meaning, value.
COUNTERS: tuple[tuple[str, str, Callable[[BackendFigures], float]], ...] = (
    ("sessions_opened", "Sessions begun or taken over", lambda one: one.opened),
    ("backend_client_packets", "Packets from clients sent to the backend", lambda one: one.client_packets),
    ("backend_client_bytes", "Bytes of those packets, whole frames", lambda one: one.client_bytes),
    (
        "delivered_packets",
        "RTP packets over UDP past the balancer, by the sequence numbers that clients report, lost ones too",
        lambda one: one.delivered_packets,
    ),
    ("lost_packets", "RTP packets that clients report as lost", lambda one: one.lost_packets),
)
GAUGES: tuple[tuple[str, str, Callable[[BackendFigures], float]], ...] = (
    ("backend_up", "Whether the backend takes new clients", lambda one: one.state == "up"),
    ("backend_poor", "Whether clients tell worse of the backend than of the others", lambda one: one.poor),
    ("backend_weight", "Share of new clients, relative to the others", lambda one: one.weight),
)
HISTOGRAMS: tuple[tuple[str, str, Callable[[BackendFigures], Histogram]], ...] = (
    ("reported_loss_ratio", "Fraction lost, of the receiver reports of clients", lambda one: one.loss),
    (
        "reported_jitter_timestamp_units",
        "Interarrival jitter of the receiver reports of clients; a video's second has 90000",
        lambda one: one.jitter,
    ),
)
#: Of each check that came so far.
CHECKS: tuple[tuple[str, str, Callable[[CheckFigures], float | None]], ...] = (
    ("check_passing", "Whether the check passes, by rise and fall", lambda one: one.passing),
    ("check_age_seconds", "Time since the last check", lambda one: one.age_s),
    ("check_response_seconds", "Time to the first response, of the last check", lambda one: one.response_s),
    ("check_first_rtp_seconds", "Time from PLAY to the first RTP packet", lambda one: one.first_rtp_s),
    (
        "check_media_bytes_per_second",
        "Rate of RTP in the last play",
        lambda one: None if one.bits_per_s is None else one.bits_per_s / 8,
    ),
    ("check_loss_ratio", "Fraction of RTP packets lost in the last play", lambda one: one.lost),
    ("check_jitter_seconds", "Interarrival jitter of RTP in the last play", lambda one: one.jitter_s),
)


async def metrics(call: Call[Asked]) -> web.Response:
    """In the text format of Prometheus, or as OpenMetrics where that is asked for."""
    figures = await call.request.app[WATCH].figures()
    accepted = call.request.headers.get("Accept", "")
    text, content_type = await asyncio.to_thread(rendered, figures, accepted)
    return web.Response(body=text, headers={"Content-Type": content_type})


def rendered(figures: Figures, accepted: str = "") -> tuple[bytes, str]:
    """The figures as text, and its content type, by an Accept header."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Figured(figures))
    ProcessCollector(registry=registry)
    encode, content_type = _encoder(accepted)
    return encode(registry), content_type


def _encoder(accepted: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """What writes the text; of a version that is no number, the library's choice is a TypeError."""
    try:
        return choose_encoder(accepted)
    except TypeError:
        return choose_encoder("")


class Figured(Collector):
    """Figures of one moment as metrics."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        yield from self._of_daemon()
        yield from self._of_services()
        yield from self._of_sessions()
        yield from self._of_backends()

    def _of_daemon(self) -> Iterator[Metric]:
        of = self._figures
        yield InfoMetricFamily("rtspdsr_daemon", "The daemon", {"version": of.version})
        yield _gauge("start_time_seconds", "When the daemon started, since 1970", (), [((), of.started_at)])
        attached = [((name, mode), 1.0) for name, mode in of.modes.items()]
        yield _gauge("interface_attached", "How XDP is attached", ("interface", "mode"), attached)
        for name, one in of.limits.items():
            bound = f"{name.removesuffix('_bytes')}_limit{'_bytes' if name.endswith('_bytes') else ''}"
            yield _gauge(name, f"In use, of rtspdsr_{bound}", (), [((), one.used)])
            yield _gauge(bound, f"The bound of rtspdsr_{name}", (), [((), one.limit)])
        verdicts = [((name,), count) for name, count in of.verdicts.items()]
        yield _counter("verdict_packets", "Packets by why they left the XDP program", ("verdict",), verdicts)
        failures = [((name,), count) for name, count in of.failures.items()]
        yield _counter("failures", "What went wrong and was survived", ("failure",), failures)
        events = [((name,), count) for name, count in of.events.items()]
        yield _counter("events", "Lines of the session log", ("event",), events)
        yield _gauge("event_listeners", "Who listens to live events", (), [((), of.listeners)])
        yield _histogram("loop_lag_seconds", "How late the loop was", (), [((), of.lag)])

    def _of_services(self) -> Iterator[Metric]:
        services, label = self._figures.services, ("service",)
        yield _counter(
            "service_client_packets",
            "Packets from clients to the service's VIPs",
            label,
            [((one.name,), one.client_packets) for one in services],
        )
        yield _counter(
            "service_client_bytes",
            "Bytes of those packets, whole frames",
            label,
            [((one.name,), one.client_bytes) for one in services],
        )

    def _of_sessions(self) -> Iterator[Metric]:
        yield _gauge(
            "sessions",
            "Live sessions, by what their client has asked for",
            (*BACKEND, "state"),
            [
                ((*where, state), count)
                for where, one in self._backends()
                for state, count in one.sessions.items()
            ],
        )
        yield _counter(
            "sessions_closed",
            "Sessions ended",
            (*BACKEND, "reason"),
            [
                ((*where, reason), count)
                for where, one in self._backends()
                for reason, count in one.closed.items()
            ],
        )

    def _of_backends(self) -> Iterator[Metric]:
        backends = list(self._backends())
        for name, meaning, counted in COUNTERS:
            yield _counter(name, meaning, BACKEND, [(where, counted(one)) for where, one in backends])
        delivered = [
            ((*where, transport), octets)
            for where, one in backends
            for transport, octets in (("tcp", one.acknowledged_bytes), ("udp", one.estimated_bytes))
        ]
        yield _counter(
            "delivered_bytes",
            "Bytes past the balancer: as clients acknowledge over TCP, and over UDP estimated from packets",
            (*BACKEND, "transport"),
            delivered,
        )
        for name, meaning, measured in GAUGES:
            yield _gauge(name, meaning, BACKEND, [(where, measured(one)) for where, one in backends])
        states = [((*where, state), one.state == state) for where, one in backends for state in STATES]
        yield _gauge("backend_state", "The state that is 1", (*BACKEND, "state"), states)
        for name, meaning, spread in HISTOGRAMS:
            yield _histogram(name, meaning, BACKEND, [(where, spread(one)) for where, one in backends])
        checks = [((*where, kind), one) for where, of in backends for kind, one in of.checks.items()]
        for name, meaning, found in CHECKS:
            samples = [(where, value) for where, one in checks if (value := found(one)) is not None]
            yield _gauge(name, meaning, (*BACKEND, "check"), samples)

    def _backends(self) -> Iterator[tuple[tuple[str, str], BackendFigures]]:
        for service in self._figures.services:
            for one in service.backends:
                yield (service.name, one.name), one


Samples = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, meaning: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = GaugeMetricFamily(f"rtspdsr_{name}", meaning, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, meaning: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = CounterMetricFamily(f"rtspdsr_{name}", meaning, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _histogram(
    name: str, meaning: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], Histogram]]
) -> Metric:
    family = HistogramMetricFamily(f"rtspdsr_{name}", meaning, labels=labels)
    for values, one in samples:
        family.add_metric(values, one.buckets, one.total)
    return family
