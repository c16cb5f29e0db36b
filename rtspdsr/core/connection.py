"""One TCP control connection: what its client has said on it.

It is handed the segments of the connection and gives back the requests and frames in them; what else there
is to tell (gaps, nonsense, TLS, the end) it says as events. It does not know the sessions on it; it is told
whether one of them sends media in it.
"""

from collections.abc import Iterable
from sys import intern
from typing import Any

from rtspdsr.core.events import (
    Event,
    FlowDistrusted,
    Guess,
    OpaqueConnection,
    ReassemblyGap,
    RequestInferred,
    RequestMalformed,
    TrackerFull,
)
from rtspdsr.core.halfstream import Conflict, Data, Delivery, Finished, Gap, HalfStream
from rtspdsr.core.heard import Heard
from rtspdsr.core.limits import TrackerLimits
from rtspdsr.core.parser import ParserLimits, RequestParser
from rtspdsr.core.pinbook import HeldPin
from rtspdsr.core.placement import Placement
from rtspdsr.core.request import (
    InterleavedFrame,
    Malformed,
    Message,
    Opaque,
    Request,
    begins_request,
    find_request,
)
from rtspdsr.model import FlowKey, PinFlag, PinReading, Segment, TcpFlag

#: Malformed requests told per connection; the rest are passed over in silence.
MALFORMED_TOLD = 10

#: A client that has sent so much since its last request, bytes, sends media. Nobody saw it ask for RECORD.
MEDIA_BYTES = 1 << 20

#: Requests before a session that its story begins with: OPTIONS, DESCRIBE, and DESCRIBE with Authorization.
OVERTURE_MAX = 4

#: How far a segment may be from a SYN, bytes, to belong to the connection that it opened.
_NEAR = 1 << 20

#: How far behind the last segment a retransmission may begin, bytes.
_AGAIN = 1 << 16

#: After a FIN the other side's FIN is acknowledged, at most so much later, seconds. A client heard after that
#: has closed one half only.
_FAREWELL_S = 2.0

#: Flags as plain numbers, which are tested faster than an enum's members.
_ACK, _END = int(TcpFlag.ACK), int(TcpFlag.FIN | TcpFlag.RST)

_CSEQ_DIGITS = 9


class Connection(Heard):
    """The client's half of a control connection.

    opened_at:     when its SYN passed, None if that was not seen
    made_at:       first segment that the tracker has seen
    pin:           its own, None if there was no room for one
    recording:     a session on it sends media in it
    unread:        it is only forwarded
    finished_at:   when FIN or RST was heard
    described_url: what its client asked the description of, without credentials
    overture:      the last requests that were about no session: method, URL, time
    answers:       requests since its statistics were last read
    cseq:          number of its latest request (RFC 2326 section 12.17); 0 if that is not known
    placement:     bond of a client whose sessions cannot be read
    wake_at:       earliest wake-up that is arranged for its stream
    counted:       bytes of memory that the tracker has booked for it
    """

    __slots__ = (
        "_acknowledged",
        "_asked",
        "_full",
        "_kept_max",
        "_malformed",
        "_next",
        "_put_off",
        "_set_up",
        "_unasked",
        "answers",
        "counted",
        "cseq",
        "described_url",
        "finished_at",
        "flow",
        "initial",
        "made_at",
        "opened_at",
        "overture",
        "parser",
        "pin",
        "placement",
        "recording",
        "stream",
        "unread",
        "user_agent",
        "wake_at",
    )

    def __init__(
        self,
        flow: FlowKey,
        backend_id: int,
        limits: TrackerLimits,
        now: float,
        *,
        initial: int | None = None,
        opened_at: float | None = None,
    ) -> None:
        super().__init__(backend_id, now)
        self.flow = flow
        self.initial = initial
        self.opened_at = opened_at
        self.made_at = now
        self.stream: HalfStream | None = HalfStream(initial, limits.header_bytes)
        self.parser: RequestParser | None = RequestParser(ParserLimits(header_max=limits.header_bytes))
        self.pin: HeldPin | None = None
        self.recording = self.unread = False
        self.finished_at: float | None = None
        self.user_agent = ""
        self.described_url: str | None = None
        self.overture: tuple[tuple[str, str, float], ...] = ()
        self.answers = self.cseq = 0
        self.placement: Placement | None = None
        self.wake_at: float | None = None
        self.counted = 0
        self._acknowledged: int | None = None
        self._asked: tuple[str, str, bool] | None = None
        self._full = False
        self._kept_max = limits.header_bytes
        self._malformed = 0
        self._next: int | None = None
        self._put_off: Request | None = None
        self._set_up = False
        self._unasked = 0

    @classmethod
    def begun_by(cls, segment: Segment, limits: TrackerLimits, now: float) -> "Connection":
        """The connection of a first segment. If that is not where the stream begins, it is joined there."""
        joined = segment.initial is None or (
            segment.sequence != (segment.initial + 1) & 0xFFFFFFFF
            and TcpFlag.SYN not in segment.flags
            and begins_request(segment.payload)
        )
        connection = cls(
            segment.flow,
            segment.backend_id,
            limits,
            now,
            initial=segment.initial,
            opened_at=segment.opened_at,
        )
        if joined:
            connection.join()
        return connection

    def join(self) -> None:
        """Read on from the next segment that begins with a request, wherever it lies."""
        if self.stream is not None and self.parser is not None:
            self.stream.restart()
            self.parser.gap()

    @property
    def provisional(self) -> bool:
        """Its client has acknowledged nothing yet."""
        return self.pin is not None and self.pin.provisional

    @property
    def buffered(self) -> int:
        """Bytes of memory that its stream and parser hold, and a request that is put off."""
        if self.stream is None or self.parser is None:
            return 0
        put_off = self._put_off.size if self._put_off is not None else 0
        return self.stream.buffered + self.parser.buffered + put_off

    @property
    def unfinished(self) -> bool:
        """Some of that is the beginning of a request, or waits for one."""
        if self.stream is None or self.parser is None:
            return False
        return self.stream.waiting > 0 or self.parser.unfinished > 0

    @property
    def upstream(self) -> bool:
        """Its client sends media in it: it records, or it sends much and asks for nothing."""
        return self.recording or self._unasked > MEDIA_BYTES

    @property
    def flags(self) -> PinFlag:
        """How the forwarding core has to treat it."""
        if self.unread:
            return PinFlag.UNREAD
        return PinFlag.UPSTREAM if self.upstream else PinFlag.NONE

    def flows(self) -> list[FlowKey]:
        """Its own."""
        return [self.flow]

    def where(self) -> dict[str, Any]:
        """The keys that every event about it carries."""
        return {
            "service_id": self.flow.service_id,
            "backend_id": self.backend_id,
            "client": self.flow.client,
            "client_port": self.flow.client_port,
        }

    def is_between_messages(self, next_sequence: int) -> bool:
        """Whether what its client has said, up to there, ends with a message, as far as is known."""
        if self.parser is None or self.finished_at is not None:
            return False
        complete = not self.parser.midway and self.next_timer() is None
        return complete and self._next in (None, next_sequence)

    def is_reused_by(self, segment: Segment) -> bool:
        """Whether a segment belongs to a later connection from the same port.

        Its SYN alone does not say so, since anybody can forge one: the segment has to lie where that SYN
        has put it, and not where this stream goes on.
        """
        if segment.initial is None or segment.initial == self.initial or segment.sequence == self._next:
            return False
        return (segment.sequence - segment.initial - 1) & 0xFFFFFFFF < _NEAR

    # --- reading -----------------------------------------------------------------------------------

    def receive(self, segment: Segment, now: float, said: list[Event]) -> list[Request | InterleavedFrame]:
        """Take in a segment or a notice; give back what its client asks for."""
        self.hear(now)
        known = self._known(segment)
        if segment.payload:
            self._next = (segment.sequence + len(segment.payload)) & 0xFFFFFFFF
        if self.stream is not None and self.parser is not None and not self.upstream:
            self._unasked += len(segment.payload)
            return self._read(self.stream.receive(segment, now), now, said)
        if int(segment.flags) & _END:
            self._finish(now, said)
        return self._read_upstream(segment.payload[known:], said, now)

    def _known(self, segment: Segment) -> int:
        """How many of a segment's first bytes were in the one before: it is sent again, perhaps with more."""
        if self._next is None:
            return 0
        behind = (self._next - segment.sequence) & 0xFFFFFFFF
        return behind if behind <= _AGAIN else 0

    def expire(self, now: float, said: list[Event]) -> list[Request | InterleavedFrame]:
        """Let holes that are too old become gaps; give back what lies behind them."""
        if self.stream is None:
            return []
        return self._read(self.stream.expire(now), now, said)

    def next_timer(self) -> float | None:
        """When ``expire`` has something to do."""
        return self.stream.next_timer() if self.stream is not None else None

    def acknowledges(self, segment: Segment) -> bool:
        """Whether the client's acknowledgements have moved since its first segment."""
        if not int(segment.flags) & _ACK:
            return False
        if self._acknowledged is None:
            self._acknowledged = segment.acknowledgement
            return False
        return 0 < (segment.acknowledgement - self._acknowledged) & 0xFFFFFFFF < 1 << 31

    def put_off(self, request: Request) -> None:
        """Keep a request until its client is proven. One is enough: the next comes when it was answered."""
        self._put_off = None
        if self.buffered + request.size <= self._kept_max:
            self._put_off = request

    def take_up(self) -> Request | None:
        """The request that was put off."""
        request, self._put_off = self._put_off, None
        return request

    def give_up_reading(self) -> None:
        """From now on it is only forwarded."""
        self.unread = True
        self.stream = self.parser = self._put_off = None

    def overflow(self, limit: str, now: float) -> list[Event]:
        """Say that a limit was reached, once."""
        if self._full:
            return []
        self._full = True
        return [TrackerFull(at=now, limit=limit, **self.where())]

    def _read(
        self, deliveries: Iterable[Delivery], now: float, said: list[Event]
    ) -> list[Request | InterleavedFrame]:
        asked: list[Request | InterleavedFrame] = []
        for delivery in deliveries:
            asked += self._take(delivery, now, said)
        while (over := self.buffered - self._kept_max) > 0:
            self._put_off = None
            if self.stream is None or not self.stream.buffered:
                break
            for delivery in self.stream.shrink(max(0, self.stream.buffered - over)):
                asked += self._take(delivery, now, said)
        return asked

    def _take(self, delivery: Delivery, now: float, said: list[Event]) -> list[Request | InterleavedFrame]:
        match delivery:
            case Data(data, begins_segment):
                if self.parser is not None:
                    return self._sift(self.parser.feed(data, begins_segment), now, said)
            case Gap(missing_bytes):
                said.append(ReassemblyGap(at=now, missing_bytes=missing_bytes, **self.where()))
                if self.parser is not None:
                    self.parser.gap()
            case Conflict(sequence):
                said.append(FlowDistrusted(at=now, sequence=sequence, **self.where()))
                self.give_up_reading()
            case Finished():
                self._finish(now, said)
        return []

    def _read_upstream(
        self, payload: bytes, said: list[Event], now: float
    ) -> list[Request | InterleavedFrame]:
        """Read a segment that was handed over because it holds a request: media lies around it."""
        if self.parser is None or (begin := find_request(payload)) < 0:
            return []
        self.parser.gap()
        return self._sift(self.parser.feed(payload[begin:], True), now, said)

    def _sift(
        self, messages: Iterable[Message], now: float, said: list[Event]
    ) -> list[Request | InterleavedFrame]:
        """Say what is nonsense or cannot be read; keep the rest."""
        kept: list[Request | InterleavedFrame] = []
        for message in messages:
            match message:
                case Malformed(problem):
                    said += self.malformed(problem, now)
                case Opaque(kind):
                    said.append(OpaqueConnection(at=now, kind=kind, **self.where()))
                    self.give_up_reading()
                case _:
                    kept.append(message)
        return kept

    def malformed(self, problem: str, now: float) -> list[Event]:
        """Say what is wrong with a request, unless this client has filled its share of the log."""
        self._malformed += 1
        if self._malformed > MALFORMED_TOLD or self.upstream:
            return []
        return [RequestMalformed(at=now, problem=problem, **self.where())]

    # --- what can be inferred ------------------------------------------------------------------------

    def note(self, request: Request, url: str, now: float) -> list[Event]:
        """Remember a request; say what it tells of the answer to the one before."""
        self.answers += 1
        self._unasked = 0
        self.cseq = _number(request.headers.get("cseq"))
        if (user_agent := request.user_agent) != self.user_agent and user_agent:
            self.user_agent = intern(user_agent)
        authorized = request.headers.get("authorization") is not None
        before, self._asked = self._asked, (request.method, url, authorized)
        if request.method == "DESCRIBE":
            self.described_url = url
        elif request.method == "SETUP":
            self._set_up = True
        if authorized and before == (request.method, url, False):
            return [self._inferred(Guess.UNAUTHORIZED, request.method, url, now)]
        return []

    def _finish(self, now: float, said: list[Event]) -> None:
        if self.finished_at is not None:
            return
        self.finished_at = now
        if self.described_url is not None and not self._set_up:
            said.append(self._inferred(Guess.REFUSED, "DESCRIBE", self.described_url, now))

    def _inferred(self, guess: Guess, method: str, url: str, now: float) -> RequestInferred:
        return RequestInferred(at=now, guess=guess, method=method, url=url, **self.where())

    # --- its end -------------------------------------------------------------------------------------

    def ends_at(self, linger_s: float) -> float | None:
        """When it is over, if it is not heard again; None while its client keeps it open."""
        if self.finished_at is None:
            return None
        if self.heard_at > self.finished_at + _FAREWELL_S:
            return self.heard_at + linger_s
        return self.finished_at + linger_s

    def read(self, reading: PinReading) -> tuple[tuple[int, int, int], int]:
        """Take in what was counted for it; give back how that has grown, and the answers that are in it."""
        grown = self.pin.progress(reading) if self.pin is not None else (0, 0, 0)
        self.hear(reading.heard_at)
        answers, self.answers = self.answers, 0
        return grown, answers


def _number(text: str | None) -> int:
    """A CSeq, which RFC 7826 section 18.20 gives nine digits; 0 for what is none."""
    return int(text) if text is not None and text.isdecimal() and len(text) <= _CSEQ_DIGITS else 0
