"""Part ``segments``: any segments of a few clients through the whole tracker, its limits small.

A case is a script, three octets a step: what is sent next on which connection, what is lost, sent again,
ended, and how time passes. ``tests.core.builders.World`` puts the effects in force, and fails if one makes no
sense.
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from ipaddress import ip_address
from random import Random

from rtspdsr.core.connection import Connection
from rtspdsr.core.events import Effect, Event
from rtspdsr.core.limits import TrackerLimits
from rtspdsr.core.request import TEXT_MAX
from rtspdsr.model import Segment, TcpFlag
from tests.core.builders import Control, World
from tests.fuzz.part import Octets
from tests.fuzz.texts import PIECES, REQUESTS

LIMITS = TrackerLimits(
    provisional_max=20,
    connections_max=5,
    client_connections_max=3,
    pins_max=30,
    buffer_bytes=6000,
    header_bytes=2000,
    sessions_per_connection=3,
    tracks_per_session=3,
    pins_per_session=6,
)
CONTROLS = 6  # connections, three to a client
STEPS_MAX = 60
ENDS = (TcpFlag.FIN | TcpFlag.ACK, TcpFlag.RST, TcpFlag.SYN, TcpFlag.FIN | TcpFlag.ACK | TcpFlag.PSH)
OVER_S = 250  # everything has ended after so long


def case(dice: Random) -> bytes:
    """A script."""
    return dice.randbytes(3 * dice.randrange(1, STEPS_MAX))


class Play:
    """A script as it is played."""

    def __init__(self) -> None:
        self.world = World(LIMITS)
        self._controls = [
            Control(client=ip_address(f"198.51.100.{n // 3}"), port=40_000 + n, backend_id=1 + n // 3)
            for n in range(CONTROLS)
        ]
        self._last: dict[int, Segment] = {}

    def step(self, what: int, how: int, which: int) -> None:
        """One step."""
        number = which % CONTROLS
        control = self._controls[number]
        match what % 10:
            case 0 | 1 | 2 | 3:
                self._send(number, control.segment(REQUESTS[how % len(REQUESTS)]))
            case 4 | 5:
                self._send(number, control.segment(PIECES[how % len(PIECES)] * (1 + 16 * (which > 250))))
            case 6:
                self._again(number, how, which)
            case 7:
                control.segment(bytes(1 + how))  # lost
            case 8:
                self._end(number, how)
            case _:
                self.world.hear(control.flow, delivered=how)
                self.world.wait(how / 8, step=max(0.5, how / 64))

    def _send(self, number: int, segment: Segment) -> None:
        self._last[number] = segment
        self.world.feed(segment)

    def _again(self, number: int, how: int, which: int) -> None:
        """The last segment once more, or a part of it, or with another octet in it, or out of place."""
        last = self._last.get(number)
        if last is None:
            return
        payload = last.payload[how % 7 :] if how & 8 else last.payload
        if how & 16:
            payload = bytes([which]) + payload[1:]
        self.world.feed(replace(last, payload=payload, sequence=(last.sequence + how % 7) & 0xFFFFFFFF))

    def _end(self, number: int, how: int) -> None:
        control = self._controls[number]
        self.world.feed(control.segment(b"", ENDS[how % len(ENDS)]))
        if how & 8:
            initial = 77_777_777 * how
            self._controls[number] = replace(control, initial=initial, next=initial + 1)

    def hold(self) -> None:
        """What must hold after every step."""
        tracker, world = self.world.tracker, self.world
        ports = {flow for flow in world.pins if flow.service_port == 0}
        held = {pin.flow for one in tracker.sessions.values() for pin in one.pins}
        assert ports == held, f"pins of nobody: {ports ^ held}"
        assert len(world.pins) <= LIMITS.pins_max, f"{len(world.pins)} pins"
        kept = [one.buffered for one in tracker.bound() if isinstance(one, Connection)]
        assert max(kept, default=0) <= LIMITS.header_bytes, f"{max(kept)} octets of one connection"
        assert sum(kept) <= LIMITS.buffer_bytes, f"{sum(kept)} octets of all"
        assert len(kept) <= LIMITS.connections_max, f"{len(kept)} connections"


def check(data: bytes) -> Iterator[str]:
    """Play a script to its end, and on until everything has ended."""
    play = Play()
    for at in range(0, min(len(data) - 2, 3 * STEPS_MAX), 3):
        play.step(*data[at : at + 3])
        play.hold()
    play.world.wait(OVER_S, step=2.0)
    left = (play.world.pins, play.world.placed, dict(play.world.tracker.sessions))
    assert left == ({}, {}, {}), f"left behind: {left}"
    for event in play.world.log:
        if not isinstance(event, Effect):
            yield type(event).__name__
            _hold(event)


def _hold(event: Event) -> None:
    """Texts in events are bounded, and harmless on a terminal."""
    for one in fields(event):
        value = getattr(event, one.name)
        if isinstance(value, str):
            assert value.isprintable(), f"not printable: {one.name} of {event}"
            assert len(value) <= TEXT_MAX, f"{len(value)} characters in {one.name} of {type(event).__name__}"


SEGMENTS = Octets("segments", case, check)
PART = SEGMENTS.part("scripts", 10_000)
