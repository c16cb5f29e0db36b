"""The session log: an event of ``core/events/`` in, one line of JSON out, and the list of all its keys.

The line's ``event`` is the event's class name in snake case, its keys are the field names, with two
exceptions: ``at`` becomes ``time``, and the numbers of service and backend become their names. Monotonic
times become wall-clock time here and nowhere else. ``docs/session-log.md`` is generated from this list.

A line is finished before ``write`` returns (10 us, a summary 30), so that no second thread competes with
the event loop for the interpreter; the thread of ``logfile.py`` only copies bytes.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from typing import Any, Protocol

import structlog
from structlog.typing import EventDict, WrappedLogger

from rtspdsr.clientnames import ClientName, named
from rtspdsr.core.events import Event, RequestInferred
from rtspdsr.logfile import Dropped, LogFile, Rotation
from rtspdsr.model import Address

#: Every key that a line can have, and what it means. A number's key ends in its unit, or it is a count.
KEYS: Mapping[str, str] = {
    # every line
    "time": "when it happened: wall clock, ISO 8601, UTC, milliseconds",
    "event": "what happened: one of the events above",
    # where
    "service": "name of the service; null if it is configured no longer",
    "backend": "name of the backend; null if it is configured no longer",
    "client": "the client's address: the source of its TCP connection; its network, or a hash that is the "
    "same for one client, where `log.client_addresses` says so",
    "client_port": "the client's TCP port of the control connection",
    "session": "our name of the session, unique in the log",
    "server_session": "the server's Session id, as the client repeated it; null if it never did",
    "interface": "network interface of the balancer",
    "mac": "Ethernet address",
    "vip": "virtual address",
    "defended": "whether the VIP was announced anew at once: at most every ten seconds",
    # requests
    "url": "what the client asked for, credentials removed",
    "user_agent": "the client's User-Agent header",
    "method": "request method",
    "state": "state of the session when the request came",
    "destination": "address that the client asked media to be sent to, written as `client`; never followed",
    "guess": "`unauthorized` (the same request came again with Authorization) or `refused` (DESCRIBE, "
    "and the connection ended without SETUP)",
    "inferred": "true: concluded from the client's half of the conversation, not seen",
    "kind": "why a connection cannot be read: `tls`, `http_tunnel` or `not_rtsp`",
    "problem": "what is wrong, in words",
    "missing_bytes": "bytes of the client's stream that were never seen",
    "sequence": "TCP sequence number",
    "claims": "requests that named sessions of other clients, since the last such line",
    "limit": "configuration key of the limit that was reached",
    # media
    "transport": "of one track: `udp`, `tcp` (interleaved) or `multicast`",
    "transports": "of all tracks, in the order of SETUP",
    "client_ports": "the client's UDP ports, RTP first",
    "channels": "interleaved channels, RTP first",
    "other": "another session: that had the client's port before, or whose id another client has named",
    # times
    "opened_at": "first SETUP: wall clock, ISO 8601, UTC",
    "played_at": "first PLAY or RECORD: wall clock, ISO 8601, UTC; null if there was none",
    "closed_at": "when the session was closed: wall clock, ISO 8601, UTC",
    "setup_s": "seconds from the connection's SYN to the first PLAY or RECORD; null if either was not seen",
    "first_delivery_s": "seconds from the SYN to the first sign of delivery: over TCP an acknowledgement, "
    "over UDP the first receiver report, seconds after media began; null without one",
    # amounts
    "client_packets": "packets from the client, from its first request on, control and media",
    "client_bytes": "bytes of those packets, whole frames",
    "delivered_bytes": "bytes that the client acknowledged over TCP, with responses; null without TCP media",
    "delivered_packets": "RTP packets between the client's first and last receiver report; null without two",
    # quality
    "lost_packets": "RTP packets lost in all, by the last receiver reports; null without a report",
    "worst_loss": "largest fraction (0 to 1) that one receiver report gave as lost; null without a report",
    "last_loss": "fraction (0 to 1) lost by the last receiver report; null without a report",
    "jitter": "largest interarrival jitter of the last receiver reports, in RTP timestamp units; "
    "null without a report",
    "stalls": "how often delivery stopped",
    "stalled_s": "seconds that delivery stood still",
    "silent_s": "seconds since delivery last moved",
    # why
    "reason": "why the session ended: `teardown`, `expired`, `connection_closed`, `backend_down`, `drained`",
    # health
    "check": "how a backend was asked: `tcp`, `options`, `describe` or `play`",
    "passing": "whether a check passes now",
    "down_s": "seconds that a backend was out",
    "still_s": "seconds without any sign of progress",
    "standing": "of a backend, by what its clients tell: `good` or `poor`",
    "backends": "how many backends a service has",
    "sessions": "how many a backend has; of one that is full, with the connections that cannot be read",
    "sessions_max": "its `max_sessions`",
    "backends_down": "how many of them are down",
    # drain
    "deadline_s": "seconds until the sessions that are left are ended; null: never",
    "finished": "sessions that came to an end by themselves",
    "ended": "sessions that were ended",
    "drained_s": "seconds from the beginning of a drain until nothing was left",
    # the daemon
    "shares": "slots of each backend, by name",
    "changes": "what is different, in words",
    "mistakes": "what is wrong with the configuration, each by its key",
    "mode": "how XDP is attached, by interface: `native` or `generic`",
    "adopted": "pins taken over from an earlier daemon",
    "forwarding": "what goes on without the daemon",
    "map": "map of the forwarding core; `dataplane.<map>_max` sets its size",
    "entries": "how many entries a map holds",
    "entries_max": "how many entries it can hold",
    "entries_refused": "how many entries were refused since the daemon started, all maps",
    "refused": "what could not be put back, and has to be added by hand",
    "restored": "routes and addresses that were put back",
    "faults": "faults of our own since the daemon started",
    "queue_full_lines": "lines of this log lost because more came than the disk took",
    "write_failed_lines": "lines of this log lost because the file could not be written",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesDropped(Event):
    """Lines of this log were lost since the last such line; at most one a second."""

    queue_full_lines: int
    write_failed_lines: int


class Names(Protocol):
    """Who knows what the numbers of services and backends are called."""

    def service(self, service_id: int) -> str | None:
        """The name, None if no such service is configured any longer."""

    def backend(self, backend_id: int) -> str | None:
        """The name, None if no such backend is configured any longer."""


@dataclass(frozen=True, slots=True)
class Form:
    """How the lines of one event look: its name, and for each value field, key and conversion."""

    name: str
    fields: tuple[tuple[str, str, Callable[[Any], Any] | None], ...]


class Lines:
    """Turns events into lines.

    wall_offset: what to add to a monotonic time to have the time since 1970; asked for every time, so
                 that the log follows a clock that is set
    client_name: how a client's address is written
    """

    def __init__(
        self,
        names: Names,
        wall_offset: Callable[[], float] | None = None,
        client_name: ClientName = str,
    ) -> None:
        self._names = names
        self._client_name = client_name
        self._wall_offset = wall_offset or _offset_now
        self._forms: dict[type[Event], Form] = {}
        self._logger = structlog.wrap_logger(
            structlog.ReturnLogger(),
            processors=[_in_order, structlog.processors.JSONRenderer(serializer=_serialize)],
            wrapper_class=structlog.make_filtering_bound_logger(0),
        ).bind()  # once, and not for every line

    def line(self, event: Event) -> str:
        """The event as one line of JSON, without a newline."""
        rendered: str = self._logger.info(**self.record(event))
        return rendered

    def record(self, event: Event) -> dict[str, Any]:
        """The keys of the event's line, and their values."""
        form = self._forms.get(type(event)) or self._new_form(type(event))
        record: dict[str, Any] = {"event": form.name}
        for name, key, convert in form.fields:
            value = getattr(event, name)
            record[key] = value if convert is None or value is None else convert(value)
        if isinstance(event, RequestInferred):
            record["inferred"] = True
        return record

    def _new_form(self, event_class: type[Event]) -> Form:
        named = ((field, _key(field.name)) for field in fields(event_class))
        columns = tuple((field.name, key, self._conversion(key, field.type)) for field, key in named)
        form = self._forms[event_class] = Form(event_name(event_class), columns)
        return form

    def _conversion(self, key: str, annotation: object) -> Callable[[Any], Any] | None:
        if key == "service":
            return self._names.service
        if key == "backend":
            return self._names.backend
        if key == "client":
            return self._client_name
        if key == "destination":
            return lambda text: named(text, self._client_name)
        if annotation in (Address, Address | None):
            return str
        if annotation not in (float, float | None):
            return None
        if key == "time" or key.endswith("_at"):
            return self.wall_clock
        return _milliseconds if key.endswith("_s") else _fraction

    def wall_clock(self, monotonic: float) -> str:
        """A monotonic time as the log writes it."""
        seconds, milliseconds = divmod(int((monotonic + self._wall_offset()) * 1000), 1000)
        return f"{_second(seconds)}.{milliseconds:03}Z"


class Sink(Protocol):
    """Where finished lines go."""

    def put(self, line: str) -> None:
        """Take a line without its newline, and return at once."""


class SessionLog:
    """Events in, lines to a sink, and to those that are added."""

    def __init__(self, lines: Lines, sink: Sink) -> None:
        self._lines, self._sinks = lines, [sink]

    def add(self, sink: Sink) -> None:
        """Hand every line from now on to one more."""
        self._sinks.append(sink)

    def write(self, event: Event) -> None:
        """One line for one event. Never waits."""
        line = self._lines.line(event)
        for sink in self._sinks:
            sink.put(line)


def open_log(
    file: str, *, rotation: Rotation, queue_max: int, names: Names, client_name: ClientName = str
) -> tuple[SessionLog, LogFile]:
    """A session log on a file (``-``: standard output), and that file: to rotate, reopen and close it."""
    lines = Lines(names, client_name=client_name)

    def tell(dropped: Dropped) -> str:
        return lines.line(
            LinesDropped(
                at=time.monotonic(),
                queue_full_lines=dropped.queue_full,
                write_failed_lines=dropped.write_failed,
            )
        )

    logfile = LogFile(file, rotation=rotation, queue_max=queue_max, report=tell)
    return SessionLog(lines, logfile), logfile


def event_name(event_class: type[Event]) -> str:
    """``SessionOpened`` -> ``session_opened``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", event_class.__name__).lower()


def keys_of(event_class: type[Event]) -> list[str]:
    """The keys of its lines, as they stand there."""
    keys = [_key(field.name) for field in fields(event_class)]
    keys.insert(1, "event")
    return [*keys, "inferred"] if issubclass(event_class, RequestInferred) else keys


def _key(field_name: str) -> str:
    return {"at": "time", "service_id": "service", "backend_id": "backend"}.get(field_name, field_name)


def _milliseconds(seconds: float) -> float | None:
    return round(seconds, 3) if isfinite(seconds) else None  # JSON has no word for infinity


def _fraction(value: float) -> float | None:
    return round(value, 4) if isfinite(value) else None


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    """A second of the wall clock; most lines of a moment share theirs."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _offset_now() -> float:
    return time.time() - time.monotonic()


def _in_order(_logger: WrappedLogger, _method: str, record: EventDict) -> EventDict:
    """``time`` and ``event`` first, where the eye looks for them."""
    return {"time": record.pop("time"), "event": record.pop("event"), **record}


# ASCII alone: no control character, no escape sequence of a client reaches a terminal or ends a line
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":"))


def _serialize(record: EventDict, **_default: Any) -> str:
    return _ENCODER.encode(record)
