"""The account of a group of sessions: how many, how long, how well.

Handed summaries with the buckets of their values worked out once; keeps counts, sums and percentile
sketches of bounded size.
"""

from dataclasses import dataclass

from rtspdsr.review.line import Summary
from rtspdsr.review.sketch import Sketch, bucket

#: Values of a session whose percentiles are kept.
MEASURED = ("setup_s", "first_delivery_s", "loss", "worst_loss", "jitter", "lasted_s")

#: Those of them that groups such as clients and URLs keep.
OF_GROUPS = 3


@dataclass(slots=True)
class Measured:
    """A session, and the value and bucket of each of ``MEASURED`` that is known."""

    summary: Summary
    values: list[tuple[int, float, int]]

    @classmethod
    def of(cls, one: Summary) -> "Measured":
        known = (
            one.setup_s, one.first_delivery_s, one.loss, one.worst_loss, one.jitter,
            one.closed_at - one.opened_at,
        )  # fmt: skip
        return cls(one, [(at, value, bucket(value)) for at, value in enumerate(known) if value is not None])


class Tally:
    """A group of sessions.

    stalled:  sessions that stalled at least once, ``stalls`` in all
    untold:   sessions of which nothing tells whether media arrived
    moved:    sessions that went from UDP to TCP
    seconds:  that its sessions lasted, all together
    lost:     packets, of the ``packets`` that were reported on
    """

    __slots__ = ("bytes", "failed", "lost", "moved", "packets", "seconds", "sessions", "sketches", "stalled",
                 "stalled_s", "stalls", "untold")  # fmt: skip

    def __init__(self, measured: int = OF_GROUPS) -> None:
        self.sessions = self.failed = self.stalled = self.moved = self.untold = 0
        self.seconds = self.stalled_s = 0.0
        self.stalls = self.bytes = self.packets = self.lost = 0.0
        self.sketches: list[Sketch | None] = [None] * measured

    def take(self, one: Measured, moved: bool) -> None:
        """Take in a session."""
        session = one.summary
        self.sessions += 1
        self.seconds += session.lasted_s
        self.failed += session.failed is not None
        self.untold += session.untold
        self.moved += moved
        if session.stalls:
            self.stalled += 1
            self.stalls += session.stalls
            self.stalled_s += session.stalled_s
        if session.delivered_bytes:
            self.bytes += session.delivered_bytes
        if session.delivered_packets:
            self.packets += session.delivered_packets
            self.lost += max(session.lost_packets or 0.0, 0.0)
        sketches = self.sketches
        for at, value, place in one.values:
            if at < len(sketches):
                sketch = sketches[at]
                if sketch is None:
                    sketch = sketches[at] = Sketch()
                sketch.add(value, place)

    def quantile(self, name: str, share: float) -> float | None:
        """Of one of ``MEASURED``; None if it is not known of any session."""
        at = MEASURED.index(name)
        sketch = self.sketches[at] if at < len(self.sketches) else None
        return sketch.quantile(share) if sketch else None

    @property
    def loss(self) -> float | None:
        """Share of packets lost, over all sessions together."""
        return self.lost / max(self.packets, self.lost) if self.packets else None
