"""A world to test the tracker in: clients that speak, a forwarding core that counts, a clock that is told.

Events are put in force as the shell would, and an effect that makes no sense (a pin released that does not
stand) fails the test at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count
from typing import TypeVar

from rtspdsr.core.events import ClientPlaced, ClientReleased, CloseReason, Event, PinMade, PinReleased
from rtspdsr.core.tracker import Tracker, TrackerLimits
from rtspdsr.model import (
    Address,
    FlowKey,
    PinReading,
    Proto,
    ReceiverReport,
    Segment,
    TcpFlag,
)

URL = "rtsp://192.0.2.1/clip"
CLIENT = ip_address("198.51.100.7")

E = TypeVar("E", bound=Event)


def udp(port: int, client: Address = CLIENT) -> FlowKey:
    """A UDP flow of a client."""
    return FlowKey(0, Proto.UDP, client, port)


def of(kind: type[E], events: Iterable[Event]) -> list[E]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def only(kind: type[E], events: Iterable[Event]) -> E:
    """The one event of a kind."""
    (event,) = of(kind, events)
    return event


def request(method: str, url: str = URL, **headers: str) -> bytes:
    """A request as players write it; ``Accept_Language`` becomes ``Accept-Language``."""
    lines = [f"{method} {url} RTSP/1.0", "CSeq: 1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass
class Control:
    """A control connection, as its client sees it. Each segment acknowledges more than the one before."""

    client: Address = CLIENT
    port: int = 40000
    backend_id: int = 1
    initial: int | None = 1000
    opened_at: float | None = 99.5
    next: int = 1001
    acknowledgement: int = 7000

    @property
    def flow(self) -> FlowKey:
        return FlowKey(0, Proto.TCP, self.client, self.port, 554)

    def segment(self, payload: bytes, flags: TcpFlag = TcpFlag.ACK | TcpFlag.PSH) -> Segment:
        """The next segment."""
        segment = Segment(
            flow=self.flow,
            backend_id=self.backend_id,
            sequence=self.next,
            acknowledgement=self.acknowledgement,
            flags=flags,
            payload=payload,
            initial=self.initial,
            opened_at=self.opened_at,
        )
        self.next = (self.next + len(payload)) & 0xFFFFFFFF
        self.acknowledgement += 100
        return segment

    def ask(self, method: str, url: str = URL, **headers: str) -> Segment:
        """The next segment, holding one request."""
        return self.segment(request(method, url, **headers))

    def fin(self) -> Segment:
        """The end, as a notice."""
        return self.segment(b"", TcpFlag.FIN | TcpFlag.ACK)


@dataclass
class World:
    """A tracker, its time, and what is in force.

    pins:     as the forwarding core has them
    placed:   clients and their backends
    readings: what is counted; a pin without an entry reads as never heard
    log:      all events so far
    """

    limits: TrackerLimits = field(default_factory=TrackerLimits)
    now: float = 100.0
    pins: dict[FlowKey, PinMade] = field(default_factory=dict)
    placed: dict[Address, int] = field(default_factory=dict)
    readings: dict[FlowKey, PinReading] = field(default_factory=dict)
    log: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.limits, (f"s{number}" for number in count(1)))

    def apply(self, events: list[Event]) -> list[Event]:
        for event in events:
            match event:
                case PinMade():
                    self.pins[event.pin.flow] = event
                case PinReleased():
                    del self.pins[event.flow]
                    self.readings.pop(event.flow, None)
                case ClientPlaced():
                    self.placed[event.client] = event.backend_id
                case ClientReleased():
                    del self.placed[event.client]
        self.log += events
        return events

    def feed(self, *segments: Segment) -> list[Event]:
        """Let segments pass now."""
        said: list[Event] = []
        for segment in segments:
            said += self.apply(self.tracker.receive(segment, self.now))
        return said

    def wait(self, seconds: float, step: float = 0.5) -> list[Event]:
        """Let time pass: timers and readings, as the shell has them."""
        said: list[Event] = []
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + step)
            timer = self.tracker.next_timer()
            if timer is not None and timer <= self.now:
                said += self.apply(self.tracker.tick(self.now))
            while flows := self.tracker.due(self.now, 200):
                said += self.apply(self.tracker.measure(self._read(flows), self.now))
        return said

    def release(self, backend_id: int, reason: CloseReason) -> list[Event]:
        """End all that a backend has."""
        bound = [heard for heard in self.tracker.bound() if heard.backend_id == backend_id]
        said: list[Event] = []
        for heard in bound:
            if not heard.closed:
                said += self.apply(self.tracker.release(heard, reason, self.now))
        return said

    def _read(self, flows: Iterable[FlowKey]) -> Mapping[FlowKey, PinReading]:
        silent = PinReading(packets=0, bytes=0, heard_at=0.0)
        return {flow: self.readings.get(flow, silent) for flow in flows if flow in self.pins}

    def hear(
        self,
        flow: FlowKey,
        packets: int = 1,
        delivered: int = 0,
        report: ReceiverReport | None = None,
    ) -> None:
        """Count packets of a flow now, 100 bytes each."""
        before = self.readings.get(flow, PinReading(packets=0, bytes=0, heard_at=0.0))
        self.readings[flow] = PinReading(
            packets=before.packets + packets,
            bytes=before.bytes + 100 * packets,
            heard_at=self.now,
            delivered=before.delivered + delivered,
            report=report or before.report,
            reported_at=self.now if report else before.reported_at,
        )


def transport(*ports: int) -> str:
    """A Transport header that offers UDP."""
    return f"RTP/AVP;unicast;client_port={'-'.join(map(str, ports))}"


INTERLEAVED = "RTP/AVP/TCP;unicast;interleaved=0-1"


def play_udp(control: Control, *, session: str = "abc", port: int = 5000, url: str = URL) -> list[Segment]:
    """A whole dialog up to PLAY: one track over UDP."""
    return [
        control.ask("OPTIONS", url, User_Agent="Lavf"),
        control.ask("DESCRIBE", url),
        control.ask("SETUP", f"{url}/track1", Transport=transport(port, port + 1)),
        control.ask("PLAY", url, Session=session),
    ]


def play_tcp(control: Control, *, session: str = "abc", url: str = URL) -> list[Segment]:
    """A whole dialog up to PLAY: one track interleaved."""
    return [
        control.ask("OPTIONS", url, User_Agent="Lavf"),
        control.ask("DESCRIBE", url),
        control.ask("SETUP", f"{url}/track1", Transport=INTERLEAVED),
        control.ask("PLAY", url, Session=session),
    ]


def report(
    highest: int, lost: int = 0, fraction: float = 0.0, jitter: int = 0, ssrc: int = 7
) -> ReceiverReport:
    """A receiver report."""
    return ReceiverReport(
        ssrc=ssrc, fraction_lost=fraction, cumulative_lost=lost, highest=highest, jitter=jitter
    )
