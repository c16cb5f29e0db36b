"""What lives as long as it is heard, and the order in which its statistics are read.

A session, a lone connection and a lone pin are read in turn, each every few seconds; which to read now is
told in constant time however many there are. Nothing here ends anything: that is decided when fresh
readings are in.
"""

from abc import ABC, abstractmethod
from collections import deque

from rtspdsr.core.pinbook import HeldPin
from rtspdsr.core.placement import Placement
from rtspdsr.model import FlowKey


class Heard(ABC):
    """Something that ends when it was not heard for long.

    backend_id: its backend
    heard_at:   last sign of life
    closed:     it has ended; whatever still points to it is to forget it
    read_at:    when its statistics are wanted next
    queued:     it waits to be read
    """

    __slots__ = ("backend_id", "closed", "heard_at", "queued", "read_at")

    def __init__(self, backend_id: int, now: float) -> None:
        self.backend_id = backend_id
        self.heard_at = now
        self.closed = False
        self.read_at = now
        self.queued = False

    def hear(self, at: float) -> None:
        """It was alive at that time."""
        if at > self.heard_at:
            self.heard_at = at

    @abstractmethod
    def flows(self) -> list[FlowKey]:
        """The flows that tell whether it is alive."""


class LonePin(Heard):
    """A pin that nothing is known of but that it stands: waited out until its flow falls silent.

    made_at:   since when it is known
    placement: bond of its client, which may have sessions that nobody knows of
    """

    __slots__ = ("held", "made_at", "placement")

    held: HeldPin  # given to it once the book has the pin

    def __init__(self, backend_id: int, now: float) -> None:
        super().__init__(backend_id, now)
        self.made_at = now
        self.placement: Placement | None = None

    def flows(self) -> list[FlowKey]:
        """Its own."""
        return [self.held.flow]


class ReadingQueue:
    """Who is to be read when: two queues, one for each period, each in the order of time by itself."""

    def __init__(self, every_s: float, soon_s: float) -> None:
        self._periods = (every_s, soon_s)
        self._queues: tuple[deque[Heard], deque[Heard]] = (deque(), deque())

    def put(self, heard: Heard, now: float, soon: bool) -> None:
        """Have it read a period from now."""
        if heard.queued or heard.closed:
            return
        heard.queued = True
        heard.read_at = now + self._periods[soon]
        self._queues[soon].append(heard)

    def take(self, now: float) -> Heard | None:
        """The one that has waited longest of those that are due."""
        longest: deque[Heard] | None = None
        for queue in self._queues:
            while queue and queue[0].closed:
                queue.popleft()
            if queue and (longest is None or queue[0].read_at < longest[0].read_at):
                longest = queue
        if longest is None or longest[0].read_at > now:
            return None
        heard = longest.popleft()
        heard.queued = False
        return heard
