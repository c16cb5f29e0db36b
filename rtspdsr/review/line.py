"""One line of a session log as a record, or what is wrong with it.

Handed bytes, gives back values that were looked at: a number is finite, a time is seconds since 1970. A key
that an older version did not write is None, as what is not known always is. Nothing here is fatal:
``LineDamaged`` and the ``problems`` of a summary are counted by the caller.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

T = TypeVar("T")

LARGEST = 1e15  # no number of a log is: sums stay finite

#: Shown where a service or backend has no name in the log.
UNNAMED = "(not configured)"
UNKNOWN = "(unknown)"

#: So long must have been played, seconds, before the lack of any sign of delivery is one.
DELIVERY_WAIT_S = 10.0


class LineDamaged(ValueError):
    """A line that is no record; ``args[0]`` says why, in words that repeat."""


@dataclass(frozen=True, slots=True)
class Line:
    """Any event. ``at``: seconds since 1970."""

    at: float
    event: str
    values: Mapping[str, Any]

    def text(self, key: str) -> str | None:
        """A value if it is text."""
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def number(self, key: str) -> float | None:
        """A value if it is a finite number."""
        return _number(self.values.get(key))


@dataclass(slots=True)
class Summary:
    """A session that has ended. Times are seconds since 1970, ``None`` is not known.

    transport: of its tracks, each once, joined by ``+``
    loss:      packets lost of those expected, 0 to 1, over the whole session
    failed:    why it counts as a failure; None if it does not
    untold:    whether media arrived is not told: its server seems to forbid receiver reports
    problems:  keys that are missing or hold what they cannot
    """

    session: str
    service: str
    backend: str
    client: str
    url: str
    user_agent: str
    transport: str
    opened_at: float
    played_at: float | None
    closed_at: float
    setup_s: float | None
    first_delivery_s: float | None
    delivered_bytes: float | None
    delivered_packets: float | None
    lost_packets: float | None
    worst_loss: float | None
    jitter: float | None
    stalls: float
    stalled_s: float
    reason: str
    loss: float | None = None
    failed: str | None = None
    untold: bool = False
    problems: list[str] = field(default_factory=list)

    @property
    def lasted_s(self) -> float:
        """From the first SETUP to the end."""
        return max(self.closed_at - self.opened_at, 0.0)


def parse(text: bytes) -> Line:
    """A line of the log. Raises LineDamaged."""
    try:
        values = json.loads(text.decode())
    except UnicodeDecodeError:
        raise LineDamaged("not UTF-8 text") from None
    except (ValueError, RecursionError):
        raise LineDamaged("not JSON" if text.strip() else "empty") from None
    if not isinstance(values, dict):
        raise LineDamaged("JSON, but not an object")
    event = values.get("event")
    if not isinstance(event, str):
        raise LineDamaged("no event")
    at = seconds(values.get("time"))
    if at is None:
        raise LineDamaged("no time")
    return Line(at, event, values)


def seconds(text: object) -> float | None:
    """ISO 8601 as seconds since 1970; without a zone it is UTC."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_NUMBERS = (
    "setup_s", "first_delivery_s", "delivered_bytes", "delivered_packets", "lost_packets", "worst_loss",
    "jitter", "stalls", "stalled_s",
)  # fmt: skip
_TEXTS = ("session", "client", "url", "user_agent", "reason")


def summary(line: Line, *, recording: bool) -> Summary:
    """The record of a session; ``recording``: its client sent media, so nothing is delivered to it."""
    values, problems = line.values, list[str]()
    numbers = {key: _checked(values, key, _amount(key, values.get(key)), problems) for key in _NUMBERS}
    texts = {key: _checked(values, key, line.text(key), problems) or UNKNOWN for key in _TEXTS}
    times = {
        key: _checked(values, key, seconds(values.get(key)), problems)
        for key in ("opened_at", "played_at", "closed_at")
    }
    closed_at = times["closed_at"] or line.at
    transports = values.get("transports")
    known = transports if isinstance(transports, list) else []
    found = Summary(
        service=line.text("service") or UNNAMED,
        backend=line.text("backend") or UNNAMED,
        transport="+".join(dict.fromkeys(map(str, known))) or UNKNOWN,
        opened_at=times["opened_at"] or closed_at,
        played_at=times["played_at"],
        closed_at=closed_at,
        session=texts["session"],
        client=texts["client"],
        url=texts["url"],
        user_agent=texts["user_agent"],
        reason=texts["reason"],
        setup_s=numbers["setup_s"],
        first_delivery_s=numbers["first_delivery_s"],
        delivered_bytes=numbers["delivered_bytes"],
        delivered_packets=numbers["delivered_packets"],
        lost_packets=numbers["lost_packets"],
        worst_loss=numbers["worst_loss"],
        jitter=numbers["jitter"],
        stalls=numbers["stalls"] or 0.0,
        stalled_s=numbers["stalled_s"] or 0.0,
        problems=problems,
    )
    if found.delivered_packets:
        lost = max(found.lost_packets or 0.0, 0.0)
        found.loss = lost / max(found.delivered_packets, lost)
    found.failed = _failure(found, recording)
    if found.failed == "no_delivery" and _seems_silenced(found):
        found.failed, found.untold = None, True
    return found


def _seems_silenced(found: Summary) -> bool:
    """Whether the lack of reports is no sign: the player plays on, which it would not if nothing came.

    GStreamer sends none where the SDP says ``b=RR:0`` (RFC 3556), as VLC's does; over UDP it gives up after
    5 s without a packet. The other players send reports all the same. The SDP itself is never seen.
    """
    return found.transport == "udp" and found.user_agent.startswith("GStreamer/")


def _failure(found: Summary, recording: bool) -> str | None:
    """Why a session was none worth having, as far as half a conversation tells."""
    if found.reason == "backend_down":
        return "backend_down"
    if "played_at" in found.problems:
        return None
    if found.played_at is None:
        return "never_played"
    unheard = found.first_delivery_s is None and found.delivered_packets is None
    asked_for = not recording and "multicast" not in found.transport
    timed = found.setup_s is not None or "tcp" not in found.transport  # else its beginning was not seen
    waited = found.closed_at - found.played_at >= DELIVERY_WAIT_S
    return "no_delivery" if unheard and asked_for and timed and waited else None


def _amount(key: str, value: object) -> float | None:
    """A number that is none below zero, but for losses: duplicates may outnumber them."""
    number = _number(value)
    return None if number is not None and number < 0 and key != "lost_packets" else number


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -LARGEST < value < LARGEST else None  # NaN is not


def _checked(values: Mapping[str, Any], key: str, value: T | None, problems: list[str]) -> T | None:
    """The value, or None with the key among the problems if what stands there is not null."""
    if value is None and values.get(key, problems) is not None:
        problems.append(key)
    return value
