"""Clients that talk through the XDP program to a tracker, with no interface: the daemon in small.

Each frame is run through the program; what it hands over is read by a tracker; and what that asks for is in
force in the program's own maps before the next frame comes, as in the balancer.
"""

from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count

from rtspdsr.core.events import ClientPlaced, Event, PinMade, PinReleased
from rtspdsr.core.limits import TrackerLimits
from rtspdsr.core.tracker import Tracker
from rtspdsr.dataplane import layout
from rtspdsr.model import FlowKey
from tests.packets.frames import CLIENT, CLIENT_PORT, built, ip, media, rtsp
from tests.packets.runner import Ran, XdpRunner


@dataclass
class Conversation:
    """The balancer without its daemon.

    said: all events so far
    """

    xdp: XdpRunner
    limits: TrackerLimits = field(default_factory=TrackerLimits)
    now: float = 100.0
    said: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.limits, (f"s{number}" for number in count(1)))

    def send(self, frame: bytes) -> Ran:
        """One frame."""
        ran = self.xdp.run(frame)
        for segment in (*ran.segments, *ran.notices):
            self._apply(self.tracker.receive(segment, self.now))
        return ran

    def wait(self, seconds: float) -> None:
        """Let time pass, nothing being heard."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 1.0)
            self._apply(self.tracker.tick(self.now))
            self.tracker.due(self.now, 10_000)
            self._apply(self.tracker.measure({}, self.now))

    def _apply(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case PinMade(pin=pin):
                    self.xdp.pin(pin.flow, pin.backend_id, pin.flags)
                case PinReleased(flow=flow):
                    self.xdp.maps["pins"].delete(layout.pack_flow(flow))
                case ClientPlaced(client=client, backend_id=backend_id):
                    self.xdp.client(str(client), backend_id)
        self.said += events

    def pins(self) -> dict[FlowKey, int]:
        """What is pinned in the program's map, and to which backend."""
        entries = self.xdp.maps["pins"].entries()
        return {layout.unpack_flow(key): layout.PIN.unpack(value)[1] for key, value in entries}


@dataclass
class Caller:
    """A client on one connection, which acknowledges more with each of its segments."""

    talk: Conversation
    client: str = CLIENT
    port: int = CLIENT_PORT
    sequence: int = 1000
    acknowledged: int = 5000

    def connect(self) -> "Caller":
        """Send the SYN."""
        self._send(b"", "S")
        self.sequence += 1
        return self

    def say(self, *texts: bytes) -> list[Ran]:
        """Each text in a segment of its own."""
        return [self._send(text, "PA") for text in texts]

    def leave(self) -> None:
        """Send the FIN."""
        self._send(b"", "FA")

    def segment(self, payload: bytes, flags: str = "PA") -> bytes:
        """Its next frame, not sent yet."""
        version = ip_address(self.client).version
        return built(
            rtsp(
                version=version,
                network=ip(version, self.client),
                sport=self.port,
                flags=flags,
                seq=self.sequence,
                ack=0 if flags == "S" else self.acknowledged,
                payload=payload,
            )
        )

    def _send(self, payload: bytes, flags: str) -> Ran:
        ran = self.talk.send(self.segment(payload, flags))
        self.sequence = (self.sequence + len(payload)) & 0xFFFFFFFF
        self.acknowledged += 100
        return ran

    def punch(self, port: int) -> Ran:
        """A datagram from one of its ports."""
        version = ip_address(self.client).version
        return self.talk.send(built(media(version=version, network=ip(version, self.client), sport=port)))
