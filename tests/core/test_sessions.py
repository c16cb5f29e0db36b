"""Sessions: found by what their client says, whatever connection it says it on, and by nobody else."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from rtspdsr.core.events import (
    PinContested,
    SessionAdopted,
    SessionClosed,
    SessionPlaying,
    SessionSummary,
    TrackerFull,
)
from rtspdsr.core.session import State
from rtspdsr.core.tracker import TrackerLimits
from tests.core.builders import (
    URL,
    Control,
    World,
    of,
    only,
    play_tcp,
    play_udp,
    transport,
    udp,
)

OTHER = "rtsp://192.0.2.1/other"


def sessions(world: World) -> list[str | None]:
    """The server's ids of all sessions, in the order of their first SETUP."""
    return [one.server_session for one in world.tracker.sessions.values()]


def test_two_sessions_on_one_port_the_later_has_it() -> None:
    world, first, second = World(), Control(port=40000), Control(port=40001, backend_id=2)
    world.feed(*play_udp(first, session="abc"))
    said = world.feed(*play_udp(second, session="xyz"))
    contested = only(PinContested, said)
    assert (contested.client_ports, contested.session, contested.other) == ((5000, 5001), "s2", "s1")
    assert world.pins[udp(5000)].pin.backend_id == 2
    world.feed(second.ask("TEARDOWN", Session="xyz"))
    world.wait(11)
    assert world.pins[udp(5000)].pin.backend_id == 1  # and the earlier has it back
    assert set(sessions(world)) == {"abc"}


def test_a_port_that_was_given_up_is_not_contested() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control), control.ask("TEARDOWN", Session="abc"))
    said = world.feed(*play_udp(control, session="xyz"))
    assert not of(PinContested, said)
    world.wait(30)
    assert set(world.pins) == {control.flow, udp(5000), udp(5001)}


def test_one_session_may_announce_a_port_twice() -> None:
    world, control = World(), Control()
    said = world.feed(
        control.ask("SETUP", f"{URL}/track1", Transport=transport(5000, 5001)),
        control.ask("SETUP", f"{URL}/track2", Transport=transport(5000, 5001), Session="abc"),
        control.ask("TEARDOWN", f"{URL}/track2", Session="abc"),
    )
    assert not of(PinContested, said)
    world.wait(15)
    assert set(world.pins) == {control.flow, udp(5000), udp(5001)}


def test_a_track_that_is_set_up_again_and_again_keeps_a_bounded_number_of_pins() -> None:
    limits = TrackerLimits(pins_per_session=8)
    world, control = World(limits), Control()
    said = world.feed(
        *(
            control.ask("SETUP", f"{URL}/track1", Transport=transport(port, port + 1), Session="abc")
            for port in range(5000, 5100, 2)
        )
    )
    assert only(TrackerFull, said).limit == "pins_per_session"
    assert len(world.pins) == 9
    world.wait(11)  # what faded makes room for what is used
    assert set(world.pins) == {control.flow, udp(5098), udp(5099)}


def test_alternatives_beyond_the_limit_are_not_pinned() -> None:
    world, control = World(TrackerLimits(pins_per_session=8)), Control()
    offer = ",".join(transport(port, port + 1) for port in range(5000, 5032, 2))
    said = world.feed(control.ask("SETUP", f"{URL}/track1", Transport=offer))
    assert only(TrackerFull, said).limit == "pins_per_session"
    assert set(world.pins) == {control.flow, *(udp(port) for port in range(5000, 5008))}
    world.feed(control.ask("TEARDOWN", Session="abc"))
    world.wait(11)
    assert set(world.pins) == {control.flow}


def test_the_id_is_learned_from_the_next_request() -> None:
    world, control = World(), Control()
    world.feed(
        control.ask("SETUP", f"{URL}/track1", Transport=transport(5000)),
        control.ask("SETUP", f"{URL}/track2", Transport=transport(5002), Session="abc;timeout=60"),
        control.ask("PLAY", Session="abc"),
    )
    assert sessions(world) == ["abc"]
    assert len(world.tracker.sessions["s1"].tracks) == 2


def test_two_sessions_on_one_connection_are_told_apart_by_url() -> None:
    world, control = World(), Control()
    world.feed(
        control.ask("SETUP", f"{URL}/track1", Transport=transport(5000)),
        control.ask("SETUP", f"{OTHER}/track1", Transport=transport(6000)),
        control.ask("PLAY", OTHER, Session="second"),
        control.ask("PLAY", URL, Session="first"),
        control.ask("TEARDOWN", OTHER, Session="second"),
    )
    assert sessions(world) == ["first", "second"]
    world.wait(11)
    assert sessions(world) == ["first"]
    assert set(world.pins) == {control.flow, udp(5000), udp(5001)}


def test_two_sessions_on_one_track_are_named_in_their_order() -> None:
    world, control = World(), Control()
    world.feed(
        control.ask("SETUP", f"{URL}/track1", Transport=transport(5000)),
        control.ask("SETUP", f"{URL}/track1", Transport=transport(6000)),
        control.ask("PLAY", URL, Session="first"),
        control.ask("PLAY", URL, Session="second"),
    )
    assert sessions(world) == ["first", "second"]


def test_a_session_goes_on_with_a_new_connection() -> None:
    world, first, second = World(), Control(port=40000), Control(port=40001)
    world.feed(*play_udp(first), first.fin())
    world.wait(20)
    world.feed(second.ask("PAUSE", Session="abc"), second.ask("OPTIONS"))
    one = world.tracker.sessions["s1"]
    assert (one.state, one.client_port, len(world.tracker.sessions)) == (State.READY, 40001, 1)
    world.hear(second.flow, delivered=90)
    for _ in range(5):
        world.hear(second.flow)
        world.wait(50)
    assert set(sessions(world)) == {"abc"}
    assert second.flow in world.pins


@pytest.mark.parametrize("method", ["SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER"])
def test_a_connection_that_proves_nothing_neither_ends_nor_moves_a_session_of_another(method: str) -> None:
    world, owner, forged = World(), Control(port=40000), Control(port=40001)
    world.feed(*play_udp(owner))
    known = set(world.pins)
    world.feed(forged.ask(method, f"{URL}/track1", Transport=transport(7000), Session="abc"))
    one = world.tracker.sessions["s1"]
    assert (one.state, one.client_port, set(world.pins)) == (State.PLAYING, 40000, known | {forged.flow})
    for _ in range(5):
        world.hear(udp(5001))
        world.wait(5)
    assert (sessions(world), one.state, set(world.pins)) == (["abc"], State.PLAYING, known)


def test_a_connection_that_proves_nothing_takes_no_port_from_another_session() -> None:
    world, owner, forged = World(), Control(port=40000), Control(port=40001, backend_id=2)
    world.feed(*play_udp(owner))
    said = world.feed(forged.ask("SETUP", f"{URL}/track1", Transport=transport(5001, 5002)))
    assert not of(PinContested, said)
    assert {port: world.pins[udp(port)].pin.backend_id for port in (5001, 5002)} == {5001: 1, 5002: 2}
    said = world.feed(forged.ask("OPTIONS"))
    assert world.pins[udp(5001)].pin.backend_id == 2
    assert only(PinContested, said).client_ports == (5001,)


def test_a_connection_that_proves_nothing_names_no_session() -> None:
    world, owner, forged, again = World(), Control(port=40000), Control(port=40001), Control(port=40002)
    world.feed(owner.ask("SETUP", f"{URL}/track1", Transport=transport(5000)), owner.fin())
    world.wait(11)
    world.feed(forged.ask("PLAY", Session="evil"))
    assert sessions(world) == [None]
    world.feed(again.ask("PLAY", Session="abc"), again.ask("OPTIONS"))
    assert sessions(world) == ["abc"]


@pytest.mark.parametrize("proof", ["the next segment", "its end", "what was counted"])
def test_what_a_new_connection_asks_of_a_session_is_done_once_it_is_proven(proof: str) -> None:
    world, first, second = World(), Control(port=40000), Control(port=40001)
    world.feed(*play_udp(first), first.fin())
    teardown = second.ask("TEARDOWN", Session="abc")
    parameter = replace(second.ask("GET_PARAMETER", Session="abc"), sequence=teardown.sequence)
    teardown = replace(teardown, sequence=teardown.sequence + len(parameter.payload))
    world.feed(replace(parameter, acknowledgement=teardown.acknowledgement), teardown)
    one = world.tracker.sessions["s1"]
    assert (one.state, one.client_port) == (State.PLAYING, 40000)
    match proof:
        case "the next segment":
            world.feed(second.ask("OPTIONS"))
        case "its end":
            world.feed(second.fin())
        case _:
            world.hear(second.flow, delivered=90)
            world.wait(1.5)
    assert (one.state, one.client_port) == (State.ENDING, 40001)
    assert of(SessionSummary, world.wait(11))


def test_a_session_whose_id_was_never_used_goes_on_with_a_new_connection() -> None:
    world, first, second = World(), Control(port=40000), Control(port=40001)
    world.feed(first.ask("SETUP", f"{URL}/track1", Transport=transport(5000)), first.fin())
    world.wait(11)
    said = world.feed(second.ask("PLAY", Session="abc"), second.ask("OPTIONS"))
    assert only(SessionPlaying, said).session == "s1"


def test_no_more_sessions_move_to_a_connection_than_may_live_on_it() -> None:
    world, last = World(TrackerLimits(sessions_per_connection=2)), Control(port=40009)
    for number in range(4):
        control = Control(port=40000 + number)
        world.feed(*play_udp(control, session=f"id{number}", port=5000 + 2 * number))
    world.feed(last.ask("OPTIONS"), *(last.ask("PAUSE", Session=f"id{number}") for number in range(4)))
    ports = [one.client_port for one in world.tracker.sessions.values()]
    assert ports == [40009, 40009, 40002, 40003]
    assert {one.state for one in world.tracker.sessions.values()} == {State.READY}


def test_interleaved_media_holds_its_session_to_its_connection() -> None:
    world, first, second = World(), Control(port=40000), Control(port=40001)
    world.feed(*play_tcp(first))
    world.feed(second.ask("GET_PARAMETER", Session="abc"), second.ask("OPTIONS"), second.fin())
    world.hear(first.flow, delivered=50_000)
    assert not of(SessionClosed, world.wait(15))
    assert world.tracker.sessions["s1"].client_port == 40000


def test_another_client_that_names_a_session_changes_nothing_of_it() -> None:
    world, owner = World(), Control()
    world.feed(*play_udp(owner))
    thief = Control(client=ip_address("198.51.100.66"), backend_id=1)
    said = world.feed(
        thief.ask("TEARDOWN", Session="abc"),
        thief.ask("PAUSE", Session="abc"),
        thief.ask("SETUP", f"{URL}/track1", Transport=transport(7000), Session="abc"),
    )
    one = world.tracker.sessions["s1"]
    assert (one.state, one.client, one.client_port) == (State.PLAYING, owner.client, owner.port)
    assert {event.session for event in of(SessionAdopted, said)} == {"s2"}
    assert udp(7000) not in world.pins
    world.feed(thief.ask("TEARDOWN", Session="abc"))
    world.wait(30)
    assert set(world.tracker.sessions) == {"s1"}
    assert {udp(5000), udp(5001), owner.flow} <= set(world.pins)


def test_the_same_id_at_another_backend_is_another_session() -> None:
    world, first, second = World(), Control(port=40000), Control(port=40001, backend_id=2)
    world.feed(*play_udp(first, port=5000), *play_udp(second, port=6000))
    assert sessions(world) == ["abc", "abc"]
    world.feed(second.ask("TEARDOWN", Session="abc"))
    world.wait(11)
    assert set(world.tracker.sessions) == {"s1"}
    assert world.placed == {first.client: 1}
