"""One direction of one TCP connection, put back in order: the client's bytes as its backend reads them.

It is handed the segments of a client in the order in which they passed, and gives back the bytes in
order of their sequence numbers, what was never seen, and how the stream ended. It never holds a segment
back from its backend, never fills a hole, and never chooses between two versions of a byte: a stream
that says two things at one place is reported, and no longer read.

Memory is bounded by ``limit_bytes``, and so is the work for a segment.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from rtspdsr.core.request import begins_request
from rtspdsr.model import Segment, TcpFlag

#: Delivered bytes that are kept to compare retransmissions with: two full segments and the header of a third.
HISTORY_MAX = 4096

#: How far ahead of the stream a segment may be, bytes. A server's window for requests is far smaller; a
#: segment forged from outside the path hits it once in 4,096 tries.
WINDOW = 1 << 20

#: What keeping a piece costs beyond its bytes: a thousand pieces of one byte count for what they take.
PIECE_COST = 200

#: Silence after which no retransmission is expected any more, and the history is given up, seconds.
HISTORY_S = 30.0

#: Flags as plain numbers: testing an enum's members takes longer than all else here.
_FIN, _SYN, _RST = int(TcpFlag.FIN), int(TcpFlag.SYN), int(TcpFlag.RST)
_RARE = _FIN | _SYN | _RST

_start = attrgetter("start")


class Data(NamedTuple):
    """The next bytes of the stream. (No dataclass: one is made of nearly every segment, in half the time.)

    begins_segment: the first of them was the first of a segment
    """

    data: bytes
    begins_segment: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """So many bytes were never seen, and are not waited for any longer; what follows lies behind them."""

    missing_bytes: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """A retransmission carried other bytes than before, first at ``sequence``; nothing is read any more."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The client ended the stream: by FIN, after all its bytes, or by RST."""

    reset: bool


Delivery = Data | Gap | Conflict | Finished


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes that wait for a hole in front of them to close. ``start`` is a place (``HalfStream._place``)."""

    start: int
    data: bytes
    begins_segment: bool
    acknowledgement: int
    received_at: float

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class HalfStream:
    """The client's half of a TCP connection.

    initial:     the client's initial sequence number; None if the SYN was not seen: the first segment then
                 starts the stream
    limit_bytes: all that may be kept at once, history included
    gap_wait_s:  how long a hole may stay open before it is a gap
    """

    __slots__ = (
        "_acknowledged",
        "_distrusted",
        "_end",
        "_end_heard_at",
        "_expected",
        "_finished",
        "_gap_wait_s",
        "_heard_at",
        "_history",
        "_history_max",
        "_limit_bytes",
        "_next",
        "_origin",
        "_pieces",
        "_waiting",
    )

    def __init__(self, initial: int | None, limit_bytes: int, gap_wait_s: float = 1.0) -> None:
        self._limit_bytes = limit_bytes
        self._history_max = min(HISTORY_MAX, limit_bytes)
        self._gap_wait_s = gap_wait_s
        self._finished = False
        self._distrusted = False
        self._heard_at = 0.0
        self._begin(initial)

    def _begin(self, initial: int | None) -> None:
        self._origin = None if initial is None else (initial + 1) & 0xFFFFFFFF
        self._next = 0
        # sequence number of the next byte; only where nothing is out of order
        self._expected: int | None = None
        self._end: int | None = None
        self._end_heard_at = 0.0
        self._acknowledged: int | None = None
        self._clear()

    def _clear(self) -> None:
        self._pieces: list[_Piece] = []
        self._waiting = 0
        self._history = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes of memory in use, never more than ``limit_bytes``."""
        return self._waiting + len(self._history)

    @property
    def waiting(self) -> int:
        """How much of that waits for a hole to close."""
        return self._waiting

    @property
    def _is_in_order(self) -> bool:
        return not (self._pieces or self._distrusted or self._finished) and self._end is None

    @property
    def _is_untouched(self) -> bool:
        return self._next == 0 and not self._pieces and self._end is None and not self._distrusted

    def next_timer(self) -> float | None:
        """When ``expire`` has a gap to declare, if nothing closes the hole before."""
        if self._pieces:
            return self._pieces[0].received_at + self._gap_wait_s
        if self._end is not None and not self._finished:
            return self._end_heard_at + self._gap_wait_s
        return None

    def restart(self) -> None:
        """Let the next segment start the stream anew, wherever it lies.

        For a flow whose segments are only handed over when they hold a request (media upstream): the bytes
        between them are not missing, they were not wanted.
        """
        self._begin(None)

    def receive(self, segment: Segment, now: float) -> list[Delivery]:
        """Take in a segment or a notice; give back what can be read now."""
        payload, flags = segment.payload, int(segment.flags)
        if segment.sequence == self._expected and payload and not flags & _RARE:
            self._heard_at = now
            self._expected = (segment.sequence + len(payload)) & 0xFFFFFFFF
            return [self._deliver(payload, True, segment.acknowledgement)]
        if self._finished:
            return []
        self._heard_at = now
        said = self._sort_in(segment, flags, now)
        self._expected = self._sequence(self._next) if self._is_in_order else None
        return said

    def _sort_in(self, segment: Segment, flags: int, now: float) -> list[Delivery]:
        """The same of any segment, expected or not."""
        sequence = (segment.sequence + 1) & 0xFFFFFFFF if flags & _SYN else segment.sequence
        if self._origin is None:
            self._origin = sequence
        start = self._place(sequence)
        said: list[Delivery] = []
        if segment.payload and self._is_untouched and abs(start) > WINDOW:
            # an old connection, of which the SYN is known but nothing was read: taken up where it is
            self._begin(sequence - 1)
            said.append(Gap(start & 0xFFFFFFFF))
            start = 0
        if start > self._next + WINDOW:
            return []
        if flags & _RST:
            return self._finish(reset=True) if start >= self._next else []
        if flags & _FIN:
            self._hear_end(start + len(segment.payload), now)
        if segment.payload and not self._distrusted:
            said.extend(self._take(segment, start, now))
        said.extend(self._end_reached())
        return said

    def expire(self, now: float) -> list[Delivery]:
        """Declare the holes that have been open for too long; give up the history of a silent stream.

        May be called at any time, and has to be at ``next_timer``.
        """
        said: list[Delivery] = []
        while (due := self.next_timer()) is not None and due <= now:
            said.extend(self._skip_hole())
            said.extend(self._end_reached())
        if now - self._heard_at >= HISTORY_S:
            self._history.clear()
        return said

    def shrink(self, limit_bytes: int) -> list[Delivery]:
        """Keep no more than this for now: holes are taken for gaps, the oldest first; history goes."""
        return [] if self._finished else [*self._shrink(limit_bytes), *self._end_reached()]

    def _shrink(self, limit_bytes: int) -> Iterator[Delivery]:
        while self._waiting > limit_bytes:
            yield from self._skip_hole()
        del self._history[: max(0, self.buffered - limit_bytes)]

    def _place(self, sequence: int) -> int:
        """The place that a sequence number means: counted from the stream's first byte, never wrapping."""
        assert self._origin is not None
        ahead = (sequence - self._origin - self._next) & 0xFFFFFFFF
        return self._next + (ahead - (1 << 32) if ahead >= 1 << 31 else ahead)

    def _sequence(self, place: int) -> int:
        assert self._origin is not None
        return (self._origin + place) & 0xFFFFFFFF

    def _take(self, segment: Segment, start: int, now: float) -> Iterator[Delivery]:
        data = segment.payload
        if len(data) == 1 and start == self._next - 1:
            return  # a keepalive probe: its one byte may be anything (RFC 9293 section 3.8.4)
        differs = self._differs_from_history(start, data)
        begin = max(start, self._next)
        if differs is None and start + len(data) > begin:
            if begin == self._next and not self._pieces:
                yield self._deliver(data[begin - start :], begin == start, segment.acknowledgement)
                return
            differs = self._insert(segment, start, begin, now)
        if differs is not None:
            self._distrusted = True
            self._clear()
            yield Conflict(self._sequence(differs))
            return
        yield from self._drain()
        if start > self._next and self._was_answered(segment):
            while self._next < start:
                yield from self._skip_hole()
        yield from self._shrink(self._limit_bytes)

    def _differs_from_history(self, start: int, data: bytes) -> int | None:
        """The first place where a retransmission is not what was delivered; None if it is, or too old."""
        oldest = self._next - len(self._history)
        begin, end = max(start, oldest), min(start + len(data), self._next)
        if begin >= end:
            return None
        return _difference(
            self._history[begin - oldest : end - oldest], data[begin - start : end - start], begin
        )

    def _insert(self, segment: Segment, start: int, begin: int, now: float) -> int | None:
        """Keep what is new of a segment from ``begin`` on; give back the first place where it contradicts."""
        pieces, data = self._pieces, segment.payload
        end = start + len(data)
        index = bisect_right(pieces, begin, key=_start)
        if index and pieces[index - 1].end > begin:
            index -= 1
        while begin < end:
            if index < len(pieces) and (known := pieces[index]).start <= begin:
                stop = min(end, known.end)
                ours = known.data[begin - known.start : stop - known.start]
                if (place := _difference(ours, data[begin - start : stop - start], begin)) is not None:
                    return place
            else:
                stop = min(end, pieces[index].start) if index < len(pieces) else end
                new = data[begin - start : stop - start]
                pieces.insert(index, _Piece(begin, new, begin == start, segment.acknowledgement, now))
                self._waiting += len(new) + PIECE_COST
            begin, index = stop, index + 1
        return None

    def _was_answered(self, segment: Segment) -> bool:
        """Whether the server, to send what this request acknowledges, must have had all bytes before it.

        A client asks on when it was answered: a request that acknowledges more than the last one we read
        proves that the server has read what we miss (it was forwarded unread). A segment that is merely
        late acknowledges no more than those around it.
        """
        if not begins_request(segment.payload):
            return False
        known = self._acknowledged if self._acknowledged is not None else self._pieces[0].acknowledgement
        return 0 < (segment.acknowledgement - known) & 0xFFFFFFFF < 1 << 31

    def _drain(self) -> Iterator[Data]:
        """Deliver the pieces that no hole holds back."""
        while self._pieces and self._pieces[0].start == self._next:
            piece = self._pieces.pop(0)
            self._waiting -= len(piece.data) + PIECE_COST
            yield self._deliver(piece.data, piece.begins_segment, piece.acknowledgement)

    def _deliver(self, data: bytes, begins_segment: bool, acknowledgement: int) -> Data:
        self._next += len(data)
        self._acknowledged = acknowledgement
        history = self._history
        history += data
        if len(history) > self._history_max:
            del history[: -self._history_max]
        return Data(data, begins_segment)

    def _skip_hole(self) -> Iterator[Delivery]:
        """Declare the first hole a gap, and deliver what lies behind it."""
        behind = self._pieces[0].start if self._pieces else self._end
        assert behind is not None
        missing, self._next = behind - self._next, behind
        self._history.clear()
        yield Gap(missing)
        yield from self._drain()

    def _hear_end(self, end: int, now: float) -> None:
        if self._end is None and end >= self._next:
            self._end, self._end_heard_at = end, now

    def _end_reached(self) -> list[Delivery]:
        if self._end is None or (self._next < self._end and not self._distrusted):
            return []
        return self._finish(reset=False)

    def _finish(self, reset: bool) -> list[Delivery]:
        self._finished = True
        self._clear()
        return [Finished(reset)]


def _difference(ours: bytes | bytearray, theirs: bytes, begin: int) -> int | None:
    """The place of the first byte that differs, counted from ``begin``."""
    if ours == theirs:
        return None
    return begin + next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
