"""What each backend has delivered, as its clients tell: acknowledgements over TCP, receiver reports over UDP.

It is handed what was read of connections and sessions, and keeps one account for each backend. Nothing of
what it counts has crossed the balancer.
"""

from collections import defaultdict

from rtspdsr.core.distribution import Distribution
from rtspdsr.core.quality import Quality

#: Receiver reports tell packets, not bytes. Video fills its packets: 1,400 bytes from most servers, less at
#: the end of each frame; audio packets are few and small.
PACKET_BYTES = 1200

#: Part of a new jitter in a backend's: some tens of reports count.
JITTER_SHARE = 1 / 32

#: Bounds of the distributions: fractions, of which RTCP tells 1/256ths, and timestamp units, 1 ms to 0.5 s of
#: video.
LOSSES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5)
JITTERS = (90, 225, 450, 900, 1800, 4500, 9000, 45_000)


class Delivery:
    """The account of one backend, since the daemon started.

    acknowledged_bytes: over TCP, responses among them
    packets:            RTP over UDP, by the progress of sequence numbers, lost ones too
    lost_packets:       of those, as last reported
    jitter:             of the reports heard lately, RTP timestamp units; None without one
    losses, jitters:    the last report of a session, at each reading that brought news
    """

    __slots__ = ("acknowledged_bytes", "jitter", "jitters", "losses", "lost_packets", "packets")

    def __init__(self) -> None:
        self.acknowledged_bytes = self.packets = self.lost_packets = 0
        self.jitter: float | None = None
        self.losses, self.jitters = Distribution(LOSSES), Distribution(JITTERS)

    @property
    def bytes(self) -> int:
        """All of it; over UDP an estimate."""
        return self.acknowledged_bytes + (self.packets - self.lost_packets) * PACKET_BYTES

    def report(self, before: tuple[int, int], quality: Quality) -> None:
        """Take in what has been reported of one session since ``reported`` was ``before``."""
        packets, lost = reported(quality)
        grown = packets - before[0]
        if grown <= 0:
            return
        self.packets += grown
        self.lost_packets += min(max(0, lost - before[1]), grown)
        self.losses.observe(quality.last_loss or 0.0)
        if (jitter := quality.jitter) is not None:
            self.jitters.observe(jitter)
            former = jitter if self.jitter is None else self.jitter
            self.jitter = former + (jitter - former) * JITTER_SHARE


class Deliveries:
    """The accounts of all backends."""

    def __init__(self) -> None:
        self._accounts: defaultdict[int, Delivery] = defaultdict(Delivery)

    def of(self, backend_id: int) -> Delivery:
        """One backend's, empty if nothing was heard of it."""
        return self._accounts[backend_id]

    def forget(self, backend_id: int) -> None:
        """A backend is gone, and another one may have its number."""
        self._accounts.pop(backend_id, None)


def reported(quality: Quality) -> tuple[int, int]:
    """Packets expected and lost of one session, by its receiver reports so far."""
    return quality.delivered_packets or 0, quality.lost_packets or 0
