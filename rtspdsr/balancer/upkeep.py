"""What the daemon does by the clock: heartbeat, timers, readings, room for pins, the journal, tidying.

Each is a task that sleeps, does a little, and gives the loop up before ``SLICE_S`` has passed. That the
heartbeat is one of them is its point: it beats only while the loop that reads segments turns.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine

from rtspdsr.balancer.applier import Applier
from rtspdsr.balancer.journal import Journal
from rtspdsr.core.distribution import Distribution
from rtspdsr.core.events import Event
from rtspdsr.core.tracker import Tracker
from rtspdsr.dataplane.dataplane import Dataplane

BEAT_S = 0.02
#: A daemon that has been silent for so long is taken for dead: XDP forwards unread. What its ring swallowed
#: until then comes again after 0.2 s at the earliest (Linux), so that one retransmission is all it costs. The
#: rest is for what lay in the ring, unread, when it beat for the last time.
DEADLINE_S = 0.16
LAG = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # bounds of its distribution
FLUSH_S = 0.02
COPY_S = 1.0
ROOM_S = 0.1  # between two looks at the room for statistics
TIMER_S = 0.05
SLICE_S = 0.005
READ_AT_ONCE = 200  # flows read between two looks at the clock
TIDY_S = 0.1  # what comes to be in so long is searched in 1 ms, at 1,000 new sessions a second
TIDY_ALL_S = 3600.0  # what a search of the new misses is next to nothing; a search of everything takes 70 ms
COPY_AT_ONCE = 100  # sessions written anew into a new journal between two looks

Job = Callable[[], Coroutine[None, None, None]]


class Upkeep:
    """The periodic tasks of one daemon.

    lag:         how late the beat was, seconds: as late is a segment at worst
    alive_until: the tracker's deadline, as last renewed
    """

    def __init__(self, dataplane: Dataplane, tracker: Tracker, journal: Journal, applier: Applier) -> None:
        self._dataplane, self._tracker, self._journal, self._applier = dataplane, tracker, journal, applier
        self.lag = Distribution(LAG)
        self.alive_until = 0.0

    def tasks(self) -> list[Job]:
        """Every task, to be started by the daemon."""
        return [self.beat, self.timers, self.readings, self.room, self.flushes, self.copies, self.tidy]

    async def beat(self) -> None:
        """Renew the tracker's deadline."""
        due_at = time.monotonic()
        while True:
            now = time.monotonic()
            self.lag.observe(max(0.0, now - due_at))
            self.alive_until = now + DEADLINE_S
            self._dataplane.renew(self.alive_until)
            due_at = now + BEAT_S
            await asyncio.sleep(BEAT_S)

    async def timers(self) -> None:
        """Let the tracker act when its timers are due."""
        while True:
            until = time.monotonic() + SLICE_S
            while (now := time.monotonic()) < until and self._is_due(now):
                self._do(self._tracker.tick, now)
            await asyncio.sleep(0 if self._is_due(now) else TIMER_S)

    def _is_due(self, now: float) -> bool:
        timer = self._tracker.next_timer()
        return timer is not None and timer <= now

    async def readings(self) -> None:
        """Hand the tracker the statistics it wants, a few sessions at a time."""
        while True:
            until = time.monotonic() + SLICE_S
            flows = None
            while flows != [] and (now := time.monotonic()) < until:
                flows = self._tracker.due(now, READ_AT_ONCE)
                if flows:
                    self._do(self._tracker.measure, self._dataplane.news(flows), now)
            await asyncio.sleep(0 if flows else TIMER_S)

    async def room(self) -> None:
        """Keep room for the statistics of pins to come."""
        while True:
            if self._dataplane.scarce:
                await asyncio.to_thread(self._dataplane.grow)
            await asyncio.sleep(ROOM_S)

    async def flushes(self) -> None:
        """Write the journal, in a thread: the disk may be slow."""
        while True:
            if self._journal.pending:
                await asyncio.to_thread(self._journal.flush)
            await asyncio.sleep(FLUSH_S)

    async def copies(self) -> None:
        """Replace a long journal by one that holds the living sessions alone."""
        while True:
            if self._journal.long and await asyncio.to_thread(self._journal.rotate):
                for at, name in enumerate(list(self._tracker.sessions)):
                    if name in self._tracker.sessions:
                        self._journal.write(name, self._tracker.snapshot(name))
                    if at % COPY_AT_ONCE == 0:
                        await asyncio.sleep(0)
                await asyncio.to_thread(self._journal.drop_old)
            await asyncio.sleep(COPY_S)

    async def tidy(self) -> None:
        """Search for reference cycles in what is new, and in everything only while there is no session.

        Python by itself searches everything that lives, again and again: with 20,000 sessions it stands still
        for most of a second. What the tracker keeps is free when its last reference goes, without a search.
        """
        searched_at = time.monotonic()
        while True:
            gc.freeze()
            await asyncio.sleep(TIDY_S)
            gc.collect(0)
            if not self._tracker.sessions and time.monotonic() - searched_at > TIDY_ALL_S:
                gc.unfreeze()
                gc.collect()
                searched_at = time.monotonic()

    def _do(self, decide: Callable[..., list[Event]], *values: object) -> None:
        """Apply what the tracker says; a fault of it ends neither the daemon nor the beat."""
        try:
            self._applier.apply(decide(*values))
        except Exception as error:  # noqa: BLE001 - as with a segment in hand
            self._applier.failed(error)
