"""How a session of a living backend is ended: at the backend first, then at its client (design section 4).

It is handed what is to be ended, the readings of it, and ``now``; it gives back what is to be sent, and says
when it is over. The backend is asked by TEARDOWN, in the client's name, at the client's next sequence number.
From the moment at which it acknowledges that, the client takes nothing more from it: whatever it sends
acknowledges bytes that the client has never sent, and such a segment is dropped (RFC 9293 section 3.10.7.4).
So the client's acknowledgements come to rest, and a reset at the last of them is believed. A client that
sends media is reset first, since there it is the other number that moves.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count

from rtspdsr.core.connection import Connection
from rtspdsr.core.events import (
    Ends,
    Event,
    FlowForgotten,
    LoneTeardownOrdered,
    ResetOrdered,
    TeardownOrdered,
)
from rtspdsr.core.heard import Heard
from rtspdsr.core.session import Session, State
from rtspdsr.model import FlowKey, PinReading, Proto

#: Seconds.
BETWEEN_S = 1.0  # for a client that is in the middle of a request
AGAIN_S = 0.2  # then TEARDOWN is sent once more: the frame may have been lost
HEED_S = 0.5  # a server has so long to read TEARDOWN before its connection is reset
STILL_S = 0.3  # without progress: acknowledgements may be delayed by 0.2 s (Linux)
STUBBORN_S = 1.5  # after that a backend that goes on is reset, and a client is as well, whatever moves
FINISHED_S = 15.0  # a connection that its client has closed goes by itself

REQUESTS_MAX = 1200  # octets in one segment, which fits any path


class Step(Enum):
    """How far an ending has come."""

    WAITING = auto()  #: until its client stands between two messages
    ASKED = auto()  #: the backend was asked by TEARDOWN
    CUT = auto()  #: one end was reset


@dataclass(slots=True)
class _Ending:
    """What is known of one.

    moved_at: when what has to come to rest last moved
    asked:    what was sent to the backend
    """

    began_at: float
    step: Step
    stepped_at: float
    moved_at: float
    moving: int = 0
    asked: tuple[TeardownOrdered, ...] = ()
    repeated: bool = False

    def become(self, step: Step, now: float) -> None:
        self.step, self.stepped_at, self.moved_at = step, now, now


class Endings:
    """All that is being ended; ``on`` tells the sessions of a connection."""

    def __init__(self, on: Callable[[Connection], Collection[Session]]) -> None:
        self._on = on
        self._endings: dict[Heard, _Ending] = {}

    def __contains__(self, heard: object) -> bool:
        return heard in self._endings

    def __iter__(self) -> Iterator[Heard]:
        return iter(self._endings)

    def __len__(self) -> int:
        return len(self._endings)

    def may_begin(self, heard: Heard, now: float) -> bool:
        """Whether it has to be ended at all: what is about to end by itself does not."""
        match heard:
            case Session():
                return heard.state is not State.ENDING
            case Connection():
                leaving = heard.finished_at is not None and now - heard.finished_at < FINISHED_S
                return not leaving and all(one.state is not State.ENDING for one in self._on(heard))
        return True

    def begin(self, heard: Heard, now: float) -> None:
        """Have it ended; ``look`` from now on."""
        self._endings[heard] = _Ending(now, Step.WAITING, now, now)

    def withdraw(self, backend_id: int) -> None:
        """The operator thinks better of it: whatever has not been asked to end yet stays."""
        for heard, ending in list(self._endings.items()):
            if heard.backend_id == backend_id and ending.step is Step.WAITING:
                del self._endings[heard]

    def look(
        self, heard: Heard, readings: Mapping[FlowKey, PinReading], now: float
    ) -> tuple[list[Event], bool]:
        """The next step of an ending, by how its connection stands; and whether it is over.

        When it is, the caller releases what was ended.
        """
        ending = self._endings[heard]
        flow = next((one for one in heard.flows() if one.proto is Proto.TCP), None)
        reading = readings.get(flow) if flow is not None else None
        last: list[Event] = []
        if heard.closed:
            pass
        elif flow is None:
            last = _lone_teardown(heard, now)
        elif reading is None or not reading.acknowledged:
            last = [FlowForgotten(at=now, flow=flow)]  # its numbers are not known: the next backend resets it
        else:
            said = self._step(heard, ending, flow, reading, now)
            if said is not None:
                return said, False
            last = _finish(heard, self._sessions(heard), ending, flow, reading, now)
        del self._endings[heard]
        return last, True

    def _step(
        self, heard: Heard, ending: _Ending, flow: FlowKey, reading: PinReading, now: float
    ) -> list[Event] | None:
        """What is to be sent now; None if it is over."""
        sending = any(one.sending for one in self._sessions(heard))
        moving = reading.next_sequence if sending else reading.acknowledged
        if moving != ending.moving:
            ending.moving, ending.moved_at = moving, now
        since_s, still_s = now - ending.stepped_at, now - ending.moved_at
        match ending.step:
            case Step.WAITING:
                return self._ask(heard, ending, flow, reading, sending, now)
            case Step.ASKED if not ending.repeated and since_s >= AGAIN_S:
                ending.repeated = True
                return list(ending.asked)
            case Step.ASKED if since_s >= HEED_S and still_s >= STILL_S:
                return None
            case Step.ASKED if since_s >= STUBBORN_S:
                return self._cut(heard, ending, flow, reading, Ends.BACKEND, now)
            case Step.CUT if still_s >= STILL_S or since_s >= STUBBORN_S:
                return None
        return []

    def _ask(
        self, heard: Heard, ending: _Ending, flow: FlowKey, reading: PinReading, sending: bool, now: float
    ) -> list[Event]:
        """Begin: by TEARDOWN where the sessions are known, else by resetting the end that is at rest."""
        if sending:
            return self._cut(heard, ending, flow, reading, Ends.CLIENT, now)
        requests = _teardowns(heard, self._sessions(heard))
        midway = isinstance(heard, Connection) and not heard.is_between_messages(reading.next_sequence)
        if requests and midway and now - ending.began_at < BETWEEN_S:
            return []
        if midway or not requests:
            return self._cut(heard, ending, flow, reading, Ends.BACKEND, now)
        ending.become(Step.ASKED, now)
        ending.asked = tuple(_orders(heard, flow, reading, requests, now))
        return list(ending.asked)

    @staticmethod
    def _cut(
        heard: Heard, ending: _Ending, flow: FlowKey, reading: PinReading, ends: Ends, now: float
    ) -> list[Event]:
        ending.become(Step.CUT, now)
        return _resets(heard, flow, reading, ending.asked, ends, now)

    def _sessions(self, heard: Heard) -> Collection[Session]:
        return self._on(heard) if isinstance(heard, Connection) else ()


def _finish(
    heard: Heard,
    sessions: Iterable[Session],
    ending: _Ending,
    flow: FlowKey,
    reading: PinReading,
    now: float,
) -> list[Event]:
    """Reset both ends. What the client sends after that goes to another backend, which does not know it."""
    said: list[Event] = [FlowForgotten(at=now, flow=flow)]
    said += _resets(heard, flow, reading, ending.asked, Ends.BOTH, now)
    for one in sessions if not ending.asked else ():
        said += _lone_teardown(one, now)
    return said


def _teardowns(heard: Heard, sessions: Iterable[Session]) -> list[bytes]:
    """One request for each session that its client has used the id of."""
    last = heard.cseq if isinstance(heard, Connection) else 0
    numbers = count(last + 1)
    known = [one for one in sessions if one.server_session is not None]
    requests = [teardown(one, next(numbers)) for one in known]
    return [one for one in requests if len(one) <= REQUESTS_MAX]


def teardown(session: Session, cseq: int) -> bytes:
    """The request that ends a session (RFC 2326 section 10.7)."""
    lines = [
        f"TEARDOWN {session.url} RTSP/1.0",
        f"CSeq: {cseq}",
        f"Session: {session.server_session}",
        "User-Agent: rtspdsr",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _orders(
    heard: Heard, flow: FlowKey, reading: PinReading, requests: Iterable[bytes], now: float
) -> Iterable[TeardownOrdered]:
    """The requests in as few segments as they fit in."""
    segments = [b""]
    for request in requests:
        if segments[-1] and len(segments[-1]) + len(request) > REQUESTS_MAX:
            segments.append(b"")
        segments[-1] += request
    at = reading.next_sequence
    for segment in segments:
        yield TeardownOrdered(
            at=now,
            flow=flow,
            backend_id=heard.backend_id,
            sequence=reading.acknowledged,
            next_sequence=at,
            requests=segment,
        )
        at = (at + len(segment)) & 0xFFFFFFFF


def _resets(
    heard: Heard,
    flow: FlowKey,
    reading: PinReading,
    asked: Iterable[TeardownOrdered],
    ends: Ends,
    now: float,
) -> list[Event]:
    """The resets of these ends. The backend expects what follows TEARDOWN, if it has come through."""
    behind = [(one.next_sequence + len(one.requests)) & 0xFFFFFFFF for one in asked][-1:]
    orders = [(reading.next_sequence, ends)]
    if Ends.BACKEND in ends and behind != [reading.next_sequence]:
        orders += [(next_sequence, Ends.BACKEND) for next_sequence in behind]
    return [
        ResetOrdered(
            at=now,
            flow=flow,
            backend_id=heard.backend_id,
            sequence=reading.acknowledged,
            next_sequence=next_sequence,
            ends=which,
        )
        for next_sequence, which in orders
    ]


def _lone_teardown(heard: Heard, now: float) -> list[Event]:
    """A session that could not be asked for on its own connection is on another one, if its id is known."""
    if not isinstance(heard, Session) or heard.server_session is None:
        return []
    return [
        LoneTeardownOrdered(
            at=now, service_id=heard.service_id, backend_id=heard.backend_id, request=teardown(heard, 1)
        )
    ]
