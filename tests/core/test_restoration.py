"""A restart: sessions go on as if nothing had happened."""

import json
from typing import Any

import pytest

from rtspdsr.core.events import (
    CloseReason,
    PinMade,
    PinReleased,
    SessionAdopted,
    SessionSummary,
    TrackPinned,
)
from rtspdsr.core.session import State
from rtspdsr.model import FlowKey, Pin, PinFlag, Proto
from tests.core.builders import (
    CLIENT,
    INTERLEAVED,
    URL,
    Control,
    World,
    of,
    only,
    play_tcp,
    play_udp,
    report,
    transport,
    udp,
)


def records(world: World) -> dict[str, Any]:
    """What the journal keeps: text."""
    written = json.dumps({name: world.tracker.snapshot(name) for name in world.tracker.sessions})
    kept: dict[str, Any] = json.loads(written)
    return kept


def restarted(old: World, *, kept: dict[str, Any] | None = None) -> World:
    """The world of the next daemon: the pins and their counts stand, time goes on."""
    new = World(now=old.now + 3.0, pins=dict(old.pins), readings=dict(old.readings))
    pins = [event.pin for event in old.pins.values()]
    new.apply(new.tracker.restore(records(old) if kept is None else kept, pins, new.now))
    return new


def test_a_session_goes_on_and_ends_with_one_account() -> None:
    old, control = World(), Control()
    old.feed(*play_udp(control))
    for step in range(1, 4):
        old.hear(udp(5001), packets=2, report=report(100 * step, lost=step))
        old.wait(5)
    new = restarted(old)
    assert not of(PinMade, new.log)
    assert not of(PinReleased, new.log)
    assert only(SessionAdopted, new.log).url == URL
    assert new.placed == {CLIENT: 1}
    new.hear(udp(5001), packets=2, report=report(400, lost=7))
    new.wait(6)
    new.feed(control.ask("TEARDOWN", Session="abc"))
    summary = only(SessionSummary, new.wait(11))
    assert (summary.session, summary.server_session, summary.user_agent) == ("s1", "abc", "Lavf")
    assert (summary.opened_at, summary.setup_s) == (100.0, 0.5)
    assert (summary.delivered_packets, summary.lost_packets) == (300, 7)
    assert summary.client_packets == 9
    assert summary.reason is CloseReason.TEARDOWN


@pytest.mark.parametrize("dialog", [play_udp, play_tcp])
def test_a_record_reads_back_as_it_was(dialog: Any) -> None:
    old, control = World(), Control()
    old.feed(*dialog(control))
    old.hear(control.flow, delivered=50_000)
    old.wait(6)
    new = restarted(old)
    assert records(new) == records(old)


def test_a_setup_after_a_restart_is_read_at_once() -> None:
    old, control = World(), Control()
    old.feed(*play_udp(control))
    new = restarted(old)
    control.ask("OPTIONS")  # passed while nobody listened
    said = new.feed(control.ask("SETUP", f"{URL}/track2", Transport=transport(5002, 5003), Session="abc"))
    assert only(TrackPinned, said).session == "s1"
    assert {udp(5002), udp(5003)} < set(new.pins)


def test_a_publisher_is_still_scanned() -> None:
    old, control = World(), Control()
    old.feed(
        control.ask("SETUP", f"{URL}/streamid=0", Transport=f"{INTERLEAVED};mode=record"),
        control.ask("RECORD", Session="abc"),
    )
    new = restarted(old)
    assert new.pins[control.flow].pin.flags is PinFlag.UPSTREAM
    control.segment(bytes(5000))
    new.feed(control.ask("TEARDOWN", Session="abc"))
    assert of(SessionSummary, new.wait(11))


def test_a_teardown_before_the_restart_ends_the_session_after_it() -> None:
    old, control = World(), Control()
    old.feed(*play_udp(control), control.ask("TEARDOWN", Session="abc"))
    new = restarted(old)
    assert only(SessionSummary, new.wait(8)).closed_at == 100.0


def test_sessions_of_one_connection_share_it_again() -> None:
    old, control = World(), Control()
    old.feed(*play_udp(control), *play_udp(control, session="xyz", port=6000, url="rtsp://192.0.2.1/other"))
    new = restarted(old)
    first, second = new.tracker.sessions.values()
    assert first.connection is second.connection is not None


def test_a_session_without_a_connection_waits_for_one() -> None:
    old, control = World(), Control()
    old.feed(control.ask("SETUP", f"{URL}/track1", Transport=transport(5000)), control.ask("OPTIONS"))
    old.feed(control.fin())
    old.hear(udp(5001))
    old.wait(11)
    new = restarted(old)
    again = Control(port=40007, initial=5, next=6)
    new.feed(again.ask("PLAY", Session="abc"), again.ask("OPTIONS"))
    assert [(one.server_session, one.state) for one in new.tracker.sessions.values()] == [
        ("abc", State.PLAYING)
    ]


def test_pins_that_are_gone_are_made_again() -> None:
    old, control = World(), Control()
    old.feed(*play_udp(control))
    kept = records(old)
    del old.pins[udp(5001)]
    new = restarted(old, kept=kept)
    assert only(PinMade, new.log).pin.flow == udp(5001)


@pytest.mark.parametrize("broken", [{}, {"client": "nobody"}, {"client": "192.0.2.9", "state": "asleep"}])
def test_pins_without_a_record_keep_their_client_until_they_are_silent(broken: dict[str, Any]) -> None:
    old, control = World(), Control()
    old.feed(*play_udp(control))
    new = restarted(old, kept={"s1": broken})
    assert (len(new.tracker.sessions), new.placed) == (0, {CLIENT: 1})
    for _ in range(10):
        new.hear(udp(5001))
        new.wait(50)
    assert set(new.pins) == {udp(5001)}
    new.wait(120)
    assert (new.pins, new.placed) == ({}, {})


def test_a_connection_without_a_record_is_read_at_its_next_request() -> None:
    flow = Control().flow
    world = World()
    world.pins[flow] = PinMade(at=0.0, pin=Pin(flow=flow, backend_id=1))
    world.apply(world.tracker.restore({}, [world.pins[flow].pin], world.now))
    control = Control(next=88_000)
    said = world.feed(control.ask("PLAY", Session="abc"))
    assert only(SessionAdopted, said).session == "s1"
    assert not of(PinMade, said)
    world.feed(control.ask("TEARDOWN", Session="abc"))
    world.wait(120)
    assert (world.pins, world.placed) == ({}, {})


def test_a_backend_that_is_gone_takes_its_lone_pins_with_it() -> None:
    flow = FlowKey(0, Proto.UDP, CLIENT, 5000)
    world = World()
    world.pins[flow] = PinMade(at=0.0, pin=Pin(flow=flow, backend_id=3))
    world.apply(world.tracker.restore({}, [world.pins[flow].pin], world.now))
    world.release(3, CloseReason.BACKEND_DOWN)
    assert (world.pins, world.placed) == ({}, {})
