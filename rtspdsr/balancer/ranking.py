"""What stands out among all sessions: the busiest URLs, the worst quality, and what went wrong lately.

Handed the tracker, it looks at every session, a few at a time, and gives back the answer at the end.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice

from rtspdsr.admin.answers import DeliverySums, TopAnswer
from rtspdsr.balancer.chronicle import Chronicle, is_waiting
from rtspdsr.core.delivery import PACKET_BYTES
from rtspdsr.core.session import Session, State
from rtspdsr.core.tracker import Tracker

#: Sessions looked at in one piece: 1 ms.
AT_ONCE = 200

#: URLs ranked in one piece: 1 ms.
RANKED_AT_ONCE = 1_000

#: A smaller loss is not worth a line, fraction.
LOSS_MIN = 0.001


@dataclass(slots=True)
class Delivery:
    """What some sessions get together.

    waiting: so many of them of which nothing can be known yet
    untold:  so many of which nothing is known for another reason
    """

    sessions: int = 0
    bits_per_s: int = 0
    waiting: int = 0
    untold: int = 0

    def told(self) -> DeliverySums:
        """As it is answered."""
        return {
            "sessions": self.sessions,
            "delivered_bits_per_s": self.bits_per_s,
            "waiting": self.waiting,
            "untold": self.untold,
        }


def rank(chronicle: Chronicle, tracker: Tracker, limit: int) -> Iterator[TopAnswer | None]:
    """None as often as there is more to look at, then the answer: so many of each at most."""
    now = time.monotonic()
    urls: dict[tuple[int, str], Delivery] = defaultdict(Delivery)
    backends: dict[tuple[int, int], Delivery] = defaultdict(Delivery)
    worst: list[tuple[bool, float, str]] = []
    for number, name in enumerate(list(tracker.sessions), 1):
        if number % AT_ONCE == 0:
            worst = nlargest(limit, worst)
            yield None
        if (one := tracker.sessions.get(name)) is None:
            continue
        bits, waits = _bits_per_s(one), is_waiting(one, now)
        quality = one.quality
        untold = not waits and quality.delivered_bytes is None and quality.delivered_packets is None
        for sums in (urls[one.service_id, one.url], backends[one.service_id, one.backend_id]):
            sums.sessions += 1
            sums.bits_per_s += bits
            sums.waiting += waits
            sums.untold += untold
        loss = one.quality.last_loss or 0.0
        if one.state is State.PLAYING and (one.quality.is_stalled or loss >= LOSS_MIN):
            worst.append((one.quality.is_stalled, loss, name))
    busiest: list[tuple[int, int, tuple[int, str]]] = []
    ranked = ((sums.bits_per_s, sums.sessions, key) for key, sums in urls.items())
    while piece := list(islice(ranked, RANKED_AT_ONCE)):  # every session may have a URL of its own
        busiest = nlargest(limit, [*busiest, *piece])
        yield None
    named = (tracker.sessions.get(name) for _, _, name in nlargest(limit, worst))
    names = chronicle.names
    yield {
        "delivery": [
            {"service": names.service(key[0]), "backend": names.backend(key[1]), **sums.told()}
            for key, sums in backends.items()
        ],
        "urls": [
            {"service": names.service(key[0]), "url": key[1], **urls[key].told()} for _, _, key in busiest
        ],
        "worst": [chronicle.row(one) for one in named if one is not None],
        "failures": chronicle.failures(limit),
    }


def _bits_per_s(session: Session) -> int:
    """What it got lately; over UDP an estimate."""
    point = session.story.course.last()
    if point is None:
        return 0
    octets = (point.delivered_bytes or 0) + (point.delivered_packets or 0) * PACKET_BYTES
    return round(8 * octets / (point.ended_at - point.begun_at))
