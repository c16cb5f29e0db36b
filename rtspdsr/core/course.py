"""How a session's media arrived over time, in few points: a curve of its whole life in bounded memory.

It is handed what was measured, each time with the time, and gives back points that follow one another
without a gap. When there is no room for one more, neighbours are merged two and two: the curve keeps its
whole length, and becomes coarser.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan, nan

from rtspdsr.core.quality import Quality

#: Points of one curve. Measured every 5 s, 40 show the first 200 s as they were, and an hour in steps of
#: three minutes at the coarsest; they take 1 KiB, 100 MiB for 100,000 sessions.
POINTS_MAX = 40

#: Over UDP there is no news but in receiver reports; players send them every 0.7 to 6 s. A point waits for
#: one so long, seconds.
REPORT_WAIT_S = 12.0

_FIELDS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What was measured in one stretch of time. ``None``: nothing was told.

    begun_at, ended_at: monotonic clock, seconds
    client_bytes:       whole frames from the client
    delivered_bytes:    acknowledged over TCP
    delivered_packets:  RTP packets by the client's receiver reports
    loss:               largest fraction lost of a report interval, 0 to 1
    jitter:             largest reported, RTP timestamp units
    """

    begun_at: float
    ended_at: float
    client_bytes: int
    delivered_bytes: int | None
    delivered_packets: int | None
    loss: float | None
    jitter: int | None


class Course:
    """The curve of one session.

    begun_at: where it begins, monotonic clock, seconds
    """

    __slots__ = ("_before", "_measured_at", "_values", "begun_at")

    def __init__(self, begun_at: float, quality: Quality | None = None, client_bytes: int = 0) -> None:
        self.begun_at = self._measured_at = begun_at
        self._values: array[float] | None = None
        self._before = _totals(quality, client_bytes) if quality is not None else (0, 0, 0)

    @property
    def octets(self) -> int:
        """What its points take."""
        return 0 if self._values is None else len(self._values) * self._values.itemsize

    def measure(self, quality: Quality, client_bytes: int, now: float) -> None:
        """Add what has come since the last time."""
        span = now - self._measured_at
        reported = quality.reported_at
        news = reported is not None and reported > self._measured_at
        if span <= 0 or (reported is not None and not news and span < REPORT_WAIT_S):
            return
        totals = _totals(quality, client_bytes)
        client, acknowledged, packets = (
            max(0, new - old) for new, old in zip(totals, self._before, strict=True)
        )
        self._before, self._measured_at = totals, now
        self._add(
            (
                span,
                client,
                nan if quality.delivered_bytes is None else acknowledged,
                nan if quality.delivered_packets is None else packets,
                quality.last_loss if news and quality.last_loss is not None else nan,
                quality.jitter if news and quality.jitter is not None else nan,
            )
        )

    def points(self) -> Iterator[Point]:
        """The curve, oldest first."""
        at = self.begun_at
        for row in self._rows():
            yield _point(at, row)
            at += row[0]

    def last(self) -> Point | None:
        """The newest point."""
        if self._values is None:
            return None
        row = tuple(self._values[-_FIELDS:])
        return _point(self._measured_at - row[0], row)

    def _rows(self) -> list[tuple[float, ...]]:
        values = self._values or ()
        return [tuple(values[at : at + _FIELDS]) for at in range(0, len(values), _FIELDS)]

    def _add(self, row: tuple[float, ...]) -> None:
        if self._values is None:
            self._values = array("f")
        elif len(self._values) >= POINTS_MAX * _FIELDS:
            rows = self._rows()
            pairs = zip(rows[::2], rows[1::2], strict=True)
            self._values = array("f", (value for one, other in pairs for value in _merged(one, other)))
        self._values.extend(row)


def _point(begun_at: float, row: tuple[float, ...]) -> Point:
    span, client, acknowledged, packets, loss, jitter = row
    return Point(
        begun_at=begun_at,
        ended_at=begun_at + span,
        client_bytes=round(client),
        delivered_bytes=_whole(acknowledged),
        delivered_packets=_whole(packets),
        loss=None if isnan(loss) else round(loss, 4),
        jitter=_whole(jitter),
    )


def _totals(quality: Quality, client_bytes: int) -> tuple[int, int, int]:
    return client_bytes, quality.delivered_bytes or 0, quality.delivered_packets or 0


def _merged(one: tuple[float, ...], other: tuple[float, ...]) -> Iterator[float]:
    """Amounts are added, loss and jitter are the larger of the two."""
    for place, (first, second) in enumerate(zip(one, other, strict=True)):
        if isnan(first) or isnan(second):
            yield second if isnan(first) else first
        else:
            yield first + second if place < _FIELDS - 2 else max(first, second)


def _whole(value: float) -> int | None:
    return None if isnan(value) else round(value)
