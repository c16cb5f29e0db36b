"""The detour of control text: takes segments out of the ring, has them read, and sends them on.

Rule 1 of the design in one place: what the tracker asks for is in force before the segment goes on, and
the segment goes on whatever happens, also when reading it fails. Nothing is held back. The loop is given
up after ``SLICE_S``, so that a flood of segments never keeps the heartbeat waiting.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from rtspdsr.dataplane import layout
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.dataplane.reinjection import Checksum
from rtspdsr.model import Address, Segment

SLICE_S = 0.010  # at a stretch; the tracker's deadline is 0.19 s
BACKLOG_MAX = 20_000  # records taken from the ring and not read yet: 40 MiB of frames at most

Receive = Callable[[Segment], None]
Claimed = Callable[[Address, bytes, int], None]


class Detour:
    """Between the rings of XDP and whoever reads segments.

    receive: is handed each segment and each notice, and puts in force what they ask for
    claimed: is told of a foreign machine that answers for a VIP: VIP, MAC address, interface index
    failed:  is handed an exception of ``receive``; the segment is sent on all the same
    """

    def __init__(
        self, dataplane: Dataplane, receive: Receive, claimed: Claimed, failed: Callable[[Exception], None]
    ) -> None:
        self._dataplane = dataplane
        self._receive, self._claimed, self._failed = receive, claimed, failed
        self._segments: deque[bytes] = deque()
        self._notices: deque[bytes] = deque()
        self._rings = dataplane.listen(self._segments.append, self._notices.append)
        self._loop = asyncio.get_running_loop()
        self._working = False
        self.segments = 0
        self.distrusted = 0

    def start(self) -> None:
        """Begin to read."""
        self._loop.add_reader(self._rings.fileno(), self._readable)

    def stop(self) -> None:
        """Read no more, and send on what was taken from the ring."""
        self._loop.remove_reader(self._rings.fileno())
        self._rings.consume()
        while self._segments or self._notices:
            self._one()

    def _readable(self) -> None:
        # A ring that stays full makes XDP forward unread (RING_FULL): better than a backlog without end.
        if len(self._segments) < BACKLOG_MAX:
            self._rings.consume()
        if not self._working:
            self._work()

    def _work(self) -> None:
        until = time.monotonic() + SLICE_S
        while self._segments or self._notices:
            self._one()
            if time.monotonic() > until:
                self._working = True
                self._loop.call_soon(self._work)
                return
        self._working = False

    def _one(self) -> None:
        """One segment if there is any, else one notice: nothing starves the segments."""
        if self._segments:
            self._segment(layout.unpack_segment(self._segments.popleft()))
            return
        record = self._notices.popleft()
        try:
            if len(record) == layout.VIP_CLAIM.size:
                self._claimed(*layout.unpack_claim(record))
            else:
                self._receive(layout.unpack_segment(record))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop the detour
            self._failed(error)

    def _segment(self, segment: Segment) -> None:
        self.segments += 1
        checksum = self._dataplane.checksum(segment)
        try:
            if checksum is Checksum.WRONG:
                self.distrusted += 1
            else:
                self._receive(segment)
        except Exception as error:  # noqa: BLE001 - never a dropped packet for a fault of the tracker
            self._failed(error)
        finally:
            self._dataplane.forward(segment, checksum)
