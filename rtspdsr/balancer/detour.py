"""The detour of control text: takes segments out of the ring, has them read, and sends them on.

Rule 1 of the design in one place: what the tracker asks for is in force before the segment goes on, and
the segment goes on whatever happens, also when reading it fails. Nothing is held back. The loop is given
up after ``SLICE_S``, so that a flood of segments never keeps the heartbeat waiting. What XDP sent on by
itself, while nobody renewed the deadline, is read late: a session that began then is known all the same.
"""

import asyncio
import select
import time
from collections import deque
from collections.abc import Callable

from rtspdsr.dataplane import layout
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.dataplane.reinjection import Checksum
from rtspdsr.model import Address, Segment

SLICE_S = 0.010  # at a stretch; the tracker's deadline is 0.16 s
SEGMENTS_MAX = 20_000  # taken from the ring and not read yet: 40 MiB of frames
NOTICES_MAX = 20_000  # likewise, 2 MiB: a notice that is lost costs a session's end some seconds
LATE_S = 60.0  # what went on longer ago is not read: its session may have ended unheard
TAKEN_AT_ONCE = 1000  # records, some 5 ms

Receive = Callable[[Segment], None]
Claimed = Callable[[Address, bytes, int], None]


class Detour:
    """Between the rings of XDP and whoever reads segments.

    receive: is handed each segment and each notice, and puts in force what they ask for
    claimed: is told of a foreign machine that answers for a VIP: VIP, MAC address, interface index
    failed:  is handed an exception of ``receive``; the segment is sent on all the same
    notices_lost: those for which there was no room
    """

    def __init__(
        self, dataplane: Dataplane, receive: Receive, claimed: Claimed, failed: Callable[[Exception], None]
    ) -> None:
        self._dataplane = dataplane
        self._receive, self._claimed, self._failed = receive, claimed, failed
        self._segments: deque[bytes] = deque()
        self._notices: deque[bytes] = deque()
        self._rings = dataplane.listen(self._segments.append, self._notice)
        self._loop = asyncio.get_running_loop()
        self._working = False
        self._poll = select.poll()
        self._poll.register(self._rings.fileno(), select.POLLIN)
        self.read = 0
        self.notices_lost = 0

    def start(self) -> None:
        """Begin to read."""
        self._loop.add_reader(self._rings.fileno(), self._readable)

    @property
    def waiting(self) -> bool:
        """Whether anything is in the rings, or taken from them and not read yet."""
        return bool(self._segments or self._notices or self._poll.poll(0))

    def stop(self) -> None:
        """Read no more, and send on what was taken from the ring."""
        self._loop.remove_reader(self._rings.fileno())
        self._rings.consume(SEGMENTS_MAX)
        while self._segments or self._notices:
            self._one()

    def _readable(self) -> None:
        # A ring that stays full makes XDP forward unread (RING_FULL): better than a backlog without end.
        if len(self._segments) < SEGMENTS_MAX:
            self._rings.consume(TAKEN_AT_ONCE)
        if not self._working:
            self._work()

    def _work(self) -> None:
        until = time.monotonic() + SLICE_S
        self._working = False
        try:
            while (self._segments or self._notices) and time.monotonic() < until:
                self._one()
        finally:
            if self._segments or self._notices:
                self._working = True
                self._loop.call_soon(self._work)

    def _one(self) -> None:
        """One segment if there is any, else one notice: nothing starves the segments."""
        self.read += 1
        if self._segments:
            self._read_segment(self._segments.popleft())
        else:
            self._read_notice(self._notices.popleft())

    def _notice(self, record: bytes) -> None:
        if len(self._notices) < NOTICES_MAX:
            self._notices.append(record)
        else:
            self.notices_lost += 1

    def _read_notice(self, record: bytes) -> None:
        try:
            if len(record) == layout.VIP_CLAIM.size:
                self._claimed(*layout.unpack_claim(record))
            else:
                self._receive(layout.unpack_segment(record))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the detour
            self._failed(error)

    def _read_segment(self, record: bytes) -> None:
        segment = layout.unpack_segment(record)
        checksum = self._dataplane.checksum(segment)
        passed_at = segment.passed_at
        stale = passed_at is not None and passed_at < time.monotonic() - LATE_S
        try:
            if checksum is not Checksum.WRONG and not stale:
                self._receive(segment)
        except Exception as error:  # noqa: BLE001 - never a dropped packet for a fault of the tracker
            self._failed(error)
        finally:
            if passed_at is None:
                self._dataplane.forward(segment, checksum)
