"""How well a session's media arrives, as far as its client tells: acknowledgements and receiver reports.

It is handed reports and progress, each with the time at which it was heard, and gives back what a review
asks for: loss, jitter, what was delivered, when delivery began, and when it stopped. It reads no clock.
"""

from typing import Any

from rtspdsr.model import ReceiverReport

#: Half of the range of extended sequence numbers: a step further is one backwards.
_HALF = 1 << 31

#: No client receives more of one source, packets a second: a step further is a lie, or a source begun anew.
RATE_MAX = 100_000

#: What an answer may take, bytes: so much acknowledged for each request is no sign of media.
ANSWER_BYTES = 1024

#: What a snapshot carries as it is.
_ACCOUNT = ("worst_loss", "last_loss", "delivered_bytes", "first_delivery_at", "stalls", "stalled_s")


class Reception:
    """What a client reports of one source, in one place (port or channel).

    received: progress of the highest sequence number since the first report, packets; None after one report,
              because nobody tells where the sequence numbers began
    lost:     cumulative, of this source and those before it
    """

    __slots__ = ("_first", "_lost_before", "_received_before", "_repeated", "last", "reported_at")

    def __init__(self, report: ReceiverReport, at: float) -> None:
        self._received_before = self._lost_before = 0
        self._repeated = False
        self._first = report.highest
        self.last = report
        self.reported_at = at

    @property
    def received(self) -> int | None:
        """Packets by which the highest sequence number has moved."""
        if not self._repeated:
            return None
        return self._received_before + ((self.last.highest - self._first) & 0xFFFFFFFF)

    @property
    def lost(self) -> int:
        """Packets reported as lost."""
        return self._lost_before + self.last.cumulative_lost

    def snapshot(self) -> dict[str, Any]:
        """What a later daemon needs to go on."""
        return {
            "report": self.last._asdict(),
            "reported_at": self.reported_at,
            "received": self.received,
            "lost_before": self._lost_before,
        }

    @classmethod
    def restored(cls, record: dict[str, Any]) -> "Reception":
        """As it was when its snapshot was taken."""
        reception = cls(ReceiverReport(**record["report"]), record["reported_at"])
        reception._repeated = record["received"] is not None
        reception._received_before = record["received"] or 0
        reception._lost_before = record["lost_before"]
        return reception

    def advance(self, report: ReceiverReport, at: float) -> tuple[int, int, bool]:
        """Take in a newer report; how received and lost have grown, and whether packets arrived."""
        step = (report.highest - self.last.highest) & 0xFFFFFFFF
        leaps = step >= _HALF or step > RATE_MAX * max(1.0, at - self.reported_at)
        self.reported_at = at
        self._repeated = True
        if report.ssrc != self.last.ssrc or leaps:
            self._received_before, self._lost_before = self.received or 0, self.lost
            self._first = report.highest
            self.last = report
            return 0, report.cumulative_lost, True
        lost = report.cumulative_lost - self.last.cumulative_lost
        self.last = report
        return step, lost, step > 0


class Quality:
    """The reception of one session, over all its tracks.

    worst_loss, last_loss: of one report interval, 0 to 1
    delivered_bytes:       acknowledged over TCP; None if no track was interleaved
    delivered_packets:     progress of the highest sequence numbers; None if nothing was reported twice
    lost_packets:          cumulative, as last reported; None without a report
    reported_at:           when the last receiver report came; None without one
    first_delivery_at:     first sign that media arrived
    stalls, stalled_s:     how often delivery stopped while playing, and how long in all
    """

    __slots__ = (
        "_halted_at",
        "_progress_at",
        "_receptions",
        "_resumed_s",
        "_stalled",
        "delivered_bytes",
        "delivered_packets",
        "first_delivery_at",
        "last_loss",
        "lost_packets",
        "reported_at",
        "stalled_s",
        "stalls",
        "worst_loss",
    )

    def __init__(self) -> None:
        self.worst_loss: float | None = None
        self.last_loss: float | None = None
        self.delivered_bytes: int | None = None
        self.delivered_packets: int | None = None
        self.lost_packets: int | None = None
        self.reported_at: float | None = None
        self.first_delivery_at: float | None = None
        self.stalls = 0
        self.stalled_s = 0.0
        self._receptions: dict[int, Reception] | None = None
        self._progress_at: float | None = None
        self._halted_at = 0.0
        self._stalled = False
        self._resumed_s: float | None = None

    @property
    def jitter(self) -> int | None:
        """As last reported, RTP timestamp units, largest of the tracks."""
        return max(r.last.jitter for r in self._receptions.values()) if self._receptions else None

    @property
    def is_stalled(self) -> bool:
        """Nothing arrives, and that was told."""
        return self._stalled

    def snapshot(self) -> dict[str, Any]:
        """What a later daemon needs to go on; a stall that lasts is not in it."""
        record = {key: getattr(self, key) for key in _ACCOUNT}
        record["receptions"] = {str(place): r.snapshot() for place, r in (self._receptions or {}).items()}
        return record

    @classmethod
    def restored(cls, record: dict[str, Any]) -> "Quality":
        """As it was when its snapshot was taken."""
        quality = cls()
        for key in _ACCOUNT:
            setattr(quality, key, record[key])
        receptions = {int(place): Reception.restored(r) for place, r in record["receptions"].items()}
        quality._receptions = receptions or None
        for one in receptions.values():
            quality._add(one.received, one.lost, one.reported_at)
        return quality

    def begin(self, interleaved: bool, now: float) -> None:
        """Delivery is to be expected from now on, if the client tells of it at all."""
        self._progress_at = now if interleaved or self._receptions else None

    def halt(self, now: float) -> None:
        """The client wants no more for now: silence is no stall, and one that lasts ends here."""
        if self._stalled and self._progress_at is not None:
            self.stalled_s += now - self._progress_at
        self._stalled = False
        self._progress_at = self._resumed_s = None
        self._halted_at = now

    def report(self, place: int, report: ReceiverReport, at: float) -> None:
        """Take in a receiver report that was heard at a port or on a channel."""
        if self._receptions is None:
            self._receptions = {}
        known = self._receptions.get(place)
        if known is not None and at <= known.reported_at:
            return
        self.last_loss = report.fraction_lost
        self.worst_loss = max(self.worst_loss or 0.0, report.fraction_lost)
        packets, lost, arrived = None, report.cumulative_lost, True
        if known is None:
            self._receptions[place] = Reception(report, at)
        else:
            packets, lost, arrived = known.advance(report, at)
        self._add(packets, lost, at)
        if arrived:
            self.progressed(at)
        elif self._progress_at is None:
            self._expect(at)

    def _add(self, packets: int | None, lost: int, at: float) -> None:
        """Keep the sums over all tracks; None packets: a first report tells nothing of them."""
        if packets is not None:
            self.delivered_packets = (self.delivered_packets or 0) + packets
        self.lost_packets = (self.lost_packets or 0) + lost
        self.reported_at = at if self.reported_at is None else max(at, self.reported_at)

    def acknowledged(self, grown: int, answers: int, at: float) -> None:
        """Take in how many bytes the client has acknowledged, among them so many answers to its requests."""
        self.delivered_bytes = (self.delivered_bytes or 0) + grown
        if grown > answers * ANSWER_BYTES:
            self.progressed(at)

    def progressed(self, at: float) -> None:
        """Media arrived."""
        if self.first_delivery_at is None:
            self.first_delivery_at = at
        if self._stalled and self._progress_at is not None:
            self._resumed_s = at - self._progress_at
            self.stalled_s += self._resumed_s
            self._stalled = False
        self._expect(max(at, self._progress_at or at))

    def _expect(self, at: float) -> None:
        """Somebody was there to deliver to. What came before a halt and is read now says nothing."""
        if at > self._halted_at:
            self._progress_at = at

    def resumed(self) -> float | None:
        """How long a stall lasted that has ended since this was last asked."""
        lasted, self._resumed_s = self._resumed_s, None
        return lasted

    def stalled(self, now: float, stall_s: float) -> float | None:
        """How long nothing has arrived, if that is a stall that was not told yet."""
        if self._stalled or self._progress_at is None or now - self._progress_at < stall_s:
            return None
        self._stalled = True
        self.stalls += 1
        return now - self._progress_at
