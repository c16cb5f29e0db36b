"""What stands out among all sessions: the busiest URLs, the worst quality, and what went wrong lately.

Handed the tracker, it looks at every session, a few at a time, and gives back the answer at the end.
"""

from collections import Counter
from collections.abc import Iterator
from heapq import nlargest
from itertools import islice

from rtspdsr.admin.answers import TopAnswer
from rtspdsr.balancer.chronicle import Chronicle
from rtspdsr.core.delivery import PACKET_BYTES
from rtspdsr.core.session import Session, State
from rtspdsr.core.tracker import Tracker

#: Sessions looked at in one piece: 1 ms.
AT_ONCE = 200

#: URLs ranked in one piece: 1 ms.
RANKED_AT_ONCE = 1_000

#: A smaller loss is not worth a line, fraction.
LOSS_MIN = 0.001


def rank(chronicle: Chronicle, tracker: Tracker, limit: int) -> Iterator[TopAnswer | None]:
    """None as often as there is more to look at, then the answer: so many of each at most."""
    sessions: Counter[tuple[int, str]] = Counter()
    bits: Counter[tuple[int, str]] = Counter()
    worst: list[tuple[bool, float, str]] = []
    for number, name in enumerate(list(tracker.sessions), 1):
        if number % AT_ONCE == 0:
            worst = nlargest(limit, worst)
            yield None
        if (one := tracker.sessions.get(name)) is None:
            continue
        key = one.service_id, one.url
        sessions[key] += 1
        bits[key] += _bits_per_s(one)
        loss = one.quality.last_loss or 0.0
        if one.state is State.PLAYING and (one.quality.is_stalled or loss >= LOSS_MIN):
            worst.append((one.quality.is_stalled, loss, name))
    busiest: list[tuple[int, int, tuple[int, str]]] = []
    ranked = ((bits[key], count, key) for key, count in sessions.items())
    while piece := list(islice(ranked, RANKED_AT_ONCE)):  # every session may have a URL of its own
        busiest = nlargest(limit, [*busiest, *piece])
        yield None
    named = (tracker.sessions.get(name) for _, _, name in nlargest(limit, worst))
    yield {
        "urls": [
            {
                "service": chronicle.names.service(key[0]),
                "url": key[1],
                "sessions": sessions[key],
                "delivered_bits_per_s": bits[key],
            }
            for _, _, key in busiest
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
