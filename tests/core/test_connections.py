"""Connections: pinned at once, proven by acknowledgements, bounded, and over when they are silent."""

from dataclasses import replace

from rtspdsr.core.events import (
    CloseReason,
    OpaqueConnection,
    PinMade,
    SessionOpened,
    SessionPlaying,
    SessionSummary,
    TrackerFull,
)
from rtspdsr.core.tracker import TrackerLimits
from rtspdsr.model import PinFlag, TcpFlag
from tests.core.builders import (
    CLIENT,
    URL,
    Control,
    World,
    of,
    only,
    play_tcp,
    play_udp,
    transport,
)


def test_a_connection_is_pinned_at_its_first_payload_and_proven_by_its_acknowledgements() -> None:
    world, control = World(), Control()
    said = world.feed(control.ask("OPTIONS"))
    assert only(PinMade, said).provisional
    said = world.feed(control.ask("DESCRIBE"))
    assert not only(PinMade, said).provisional


def test_acknowledgements_that_were_counted_prove_it_too() -> None:
    world, control = World(), Control()
    world.feed(control.ask("SETUP", f"{URL}/track1", Transport=transport(5000, 5001)))
    assert all(event.provisional for event in world.pins.values())
    world.hear(control.flow, delivered=120)
    world.wait(1.5)
    assert not any(event.provisional for event in world.pins.values())
    world.wait(20)
    assert len(world.pins) == 3


def test_a_client_that_never_acknowledges_is_forgotten() -> None:
    world, control = World(), Control()
    world.feed(control.ask("SETUP", f"{URL}/track1", Transport=transport(5000, 5001)))
    world.hear(control.flow, packets=3)
    said = world.wait(10.5)
    assert world.pins == {}
    assert only(SessionSummary, said).reason is CloseReason.EXPIRED
    world.wait(10)
    assert world.placed == {}


def test_provisional_pins_have_a_budget() -> None:
    world = World(TrackerLimits(provisional_max=2))
    controls = [Control(port=40000 + number) for number in range(4)]
    said = world.feed(*(control.ask("OPTIONS") for control in controls))
    assert len(world.pins) == 2
    assert only(TrackerFull, said).limit == "provisional_max"  # and not twice in a second
    world.feed(controls[0].ask("DESCRIBE"), controls[2].ask("DESCRIBE"))
    assert len(world.pins) == 3


def test_connections_beyond_the_limit_are_pinned_and_not_read() -> None:
    world = World(TrackerLimits(connections_max=1))
    first, second = Control(port=40000), Control(port=40001)
    said = world.feed(first.ask("OPTIONS"), second.ask("OPTIONS"))
    assert only(TrackerFull, said).limit == "connections_max"
    assert world.pins[second.flow].pin.flags is PinFlag.UNREAD
    world.hear(second.flow, delivered=10)
    world.wait(15)
    assert second.flow in world.pins
    world.wait(90)
    assert second.flow not in world.pins


def test_memory_beyond_the_limit_makes_a_connection_unread() -> None:
    world, control = World(TrackerLimits(buffer_bytes=1000)), Control()
    world.feed(control.ask("OPTIONS"))
    said = world.feed(control.segment(b"DESCRIBE " + b"x" * 2000))
    assert only(TrackerFull, said).limit == "buffer_mib"
    assert world.pins[control.flow].pin.flags is PinFlag.UNREAD
    other = Control(port=40001)
    assert of(SessionOpened, world.feed(*play_udp(other)))


def test_a_connection_without_a_session_is_waited_out() -> None:
    world, control = World(), Control()
    world.feed(control.ask("OPTIONS"), control.ask("DESCRIBE"))
    world.wait(89)
    assert set(world.pins) == {control.flow}
    world.wait(6)
    assert world.pins == {}


def test_a_port_that_is_used_again_is_a_new_connection() -> None:
    world, control = World(), Control()
    world.feed(*play_tcp(control))
    again = Control(initial=90_000_000, next=90_000_001, opened_at=world.now, backend_id=2)
    said = world.feed(*play_tcp(again, session="xyz"))
    assert only(SessionSummary, said).reason is CloseReason.CONNECTION_CLOSED
    assert world.pins[control.flow].pin.backend_id == 2
    assert [one.server_session for one in world.tracker.sessions.values()] == ["xyz"]


def test_an_unreadable_connection_keeps_its_client_once_it_is_proven() -> None:
    world, control = World(), Control()
    said = world.feed(control.segment(bytes.fromhex("16030102000100 01fc0303") + bytes(50)))
    assert of(OpaqueConnection, said)
    assert world.placed == {}
    world.hear(control.flow, delivered=3000)
    world.wait(2)
    assert world.placed == {CLIENT: 1}
    assert world.pins[control.flow].pin.flags is PinFlag.UNREAD
    world.feed(control.fin())
    world.wait(30)
    assert (world.pins, world.placed) == ({}, {})


def test_a_new_connection_is_read_from_a_port_that_was_not() -> None:
    world, control = World(), Control()
    world.feed(control.segment(b"SSH-2.0-OpenSSH\r\n"), control.segment(b"more"))
    again = Control(initial=90_000_000, next=90_000_001)
    syn = replace(again.segment(b"", TcpFlag.SYN), sequence=90_000_000)
    world.feed(syn)
    assert world.pins == {}
    assert of(SessionPlaying, world.feed(*play_udp(again)))
