"""What requests mean: which session they are about, and what a SETUP pins."""

import pytest

from rtspdsr.core.events import (
    DestinationRefused,
    Guess,
    PinMade,
    RequestInferred,
    RequestMalformed,
    RequestOutOfTurn,
    SessionAdopted,
    SessionClosed,
    SessionMovedToTcp,
    SessionOpened,
    SessionSummary,
    TrackerFull,
    TrackPinned,
)
from rtspdsr.core.session import State
from rtspdsr.core.tracker import TrackerLimits
from rtspdsr.model import PinFlag
from tests.core.builders import (
    INTERLEAVED,
    URL,
    Control,
    World,
    of,
    only,
    play_udp,
    transport,
    udp,
)

# --- what is pinned ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "ports", "kind"),
    [
        ("RTP/AVP;unicast;client_port=5000-5001", {5000, 5001}, "udp"),
        ("RTP/AVP;unicast;client_port=5001", {5001, 5002}, "udp"),
        ("RTP/AVP/TCP;interleaved=0-1,RTP/AVP;unicast;client_port=5000-5001", {5000, 5001}, "tcp"),
        (
            "RTP/AVP;unicast;client_port=5000-5001,RTP/SAVP;client_port=6000-6001",
            {5000, 5001, 6000, 6001},
            "udp",
        ),
        ('RTP/AVP;unicast;dest_addr=":5000"/":5001"', {5000, 5001}, "udp"),
        ("RTP/AVP;multicast;client_port=5000-5001", set(), "multicast"),
        ("RTP/AVP/TCP;interleaved=0-1", set(), "tcp"),
    ],
)
def test_every_udp_alternative_is_pinned(offer: str, ports: set[int], kind: str) -> None:
    world, control = World(), Control()
    said = world.feed(control.ask("SETUP", f"{URL}/track1", Transport=offer))
    assert set(world.pins) == {control.flow} | {udp(port) for port in ports}
    pinned = only(TrackPinned, said)
    assert (pinned.transport, set(pinned.client_ports)) == (kind, ports)


def test_media_goes_to_nobody_but_the_client() -> None:
    world, control = World(), Control()
    offer = "RTP/AVP;unicast;destination=203.0.113.9;client_port=5000-5001"
    said = world.feed(control.ask("SETUP", f"{URL}/track1", Transport=offer))
    assert only(DestinationRefused, said).destination == "203.0.113.9"
    assert {flow.client for flow in world.pins} == {control.client}


@pytest.mark.parametrize("host", ["198.51.100.7", "[198.51.100.7]"])
def test_the_clients_own_address_is_no_destination(host: str) -> None:
    world, control = World(), Control()
    offer = f"RTP/AVP;unicast;destination={host};client_port=5000-5001"
    assert not of(DestinationRefused, world.feed(control.ask("SETUP", URL, Transport=offer)))


@pytest.mark.parametrize("offer", ["", "nonsense", "RTP/AVP;unicast;client_port=70000"])
def test_a_setup_that_cannot_be_read_is_told_and_pins_nothing(offer: str) -> None:
    world, control = World(), Control()
    said = world.feed(control.ask("SETUP", URL, Transport=offer))
    assert of(RequestMalformed, said)
    assert not of(SessionOpened, said)
    assert set(world.pins) == {control.flow}


# --- which session -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "headers"),
    [
        (transport(5000), transport(5000), {}),
        (transport(5000), transport(6000), {"Authorization": "Basic eDp5"}),
        (transport(5000), INTERLEAVED, {}),
    ],
)
def test_a_setup_that_was_refused_is_tried_again_in_the_same_session(
    first: str, second: str, headers: dict[str, str]
) -> None:
    world, control = World(), Control()
    said = world.feed(
        control.ask("SETUP", f"{URL}/track1", Transport=first),
        control.ask("SETUP", f"{URL}/track1", Transport=second, **headers),
    )
    assert len(of(SessionOpened, said)) == 1
    assert len(of(SessionMovedToTcp, said)) == (second == INTERLEAVED)
    guesses = [event.guess for event in of(RequestInferred, said)]
    assert guesses == [Guess.UNAUTHORIZED] * len(headers)


def test_the_next_track_after_a_refusal_belongs_to_the_same_session() -> None:
    world, control = World(), Control()
    said = world.feed(
        control.ask("DESCRIBE"),
        control.ask("SETUP", f"{URL}/track1", Transport=INTERLEAVED),
        control.ask("SETUP", f"{URL}/track2", Transport=INTERLEAVED),
    )
    assert only(SessionOpened, said).url == URL


@pytest.mark.parametrize("method", ["PLAY", "PAUSE", "GET_PARAMETER", "SETUP"])
def test_a_session_that_was_begun_unseen_is_adopted(method: str) -> None:
    world, control = World(), Control(opened_at=None, initial=None)
    said = world.feed(control.ask(method, f"{URL}/track1", Session="abc", Transport=transport(5000)))
    assert only(SessionAdopted, said).client_port == control.port
    assert world.placed == {control.client: 1}
    assert not of(RequestOutOfTurn, said)
    world.feed(control.ask("PLAY", Session="abc"), control.ask("TEARDOWN", Session="abc"))
    summary = only(SessionSummary, world.wait(11))
    assert (summary.setup_s, summary.first_delivery_s, summary.user_agent) == (None, None, "")


@pytest.mark.parametrize("method", ["TEARDOWN", "OPTIONS", "DESCRIBE"])
def test_other_requests_with_an_unknown_id_begin_nothing(method: str) -> None:
    world = World()
    world.feed(Control().ask(method, Session="abc"))
    assert len(world.tracker.sessions) == 0


def test_a_request_without_an_id_is_about_the_only_session() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control), control.ask("TEARDOWN"))
    assert only(SessionSummary, world.wait(11)).server_session == "abc"


# --- TEARDOWN of one track, and surprises ----------------------------------------------------------


def test_one_track_is_torn_down_and_the_session_goes_on() -> None:
    world, control = World(), Control()
    world.feed(
        control.ask("SETUP", f"{URL}/track1", Transport=transport(5000)),
        control.ask("SETUP", f"{URL}/track2", Transport=transport(5002), Session="abc"),
        control.ask("PLAY", Session="abc"),
        control.ask("TEARDOWN", f"{URL}/track1", Session="abc"),
    )
    said = world.wait(15)
    assert not of(SessionClosed, said)
    assert set(world.pins) == {control.flow, udp(5002), udp(5003)}
    world.feed(control.ask("TEARDOWN", f"{URL}/track2", Session="abc"))
    assert of(SessionClosed, world.wait(11))


def test_a_track_that_is_set_up_again_keeps_its_ports() -> None:
    world, control = World(), Control()
    world.feed(
        control.ask("SETUP", f"{URL}/track1", Transport=transport(5000)),
        control.ask("SETUP", f"{URL}/track1", Transport=transport(6000), Session="abc"),
    )
    world.wait(5)
    said = world.feed(control.ask("SETUP", f"{URL}/track1", Transport=transport(5000), Session="abc"))
    assert not of(PinMade, said)
    world.wait(11)
    assert set(world.pins) == {control.flow, udp(5000), udp(5001)}


def test_a_request_out_of_turn_is_told_and_the_session_goes_on() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    told = only(RequestOutOfTurn, world.feed(control.ask("RECORD", Session="abc")))
    assert (told.method, told.state) == ("RECORD", "playing")
    assert world.tracker.sessions["s1"].state is State.PLAYING


# --- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (TrackerLimits(sessions_per_connection=2), "sessions_per_connection"),
        (TrackerLimits(connections_max=2), "connections_max"),
    ],
)
def test_sessions_have_a_limit(limits: TrackerLimits, limit: str) -> None:
    world, control = World(limits), Control()
    said = world.feed(
        *(
            control.ask("SETUP", f"rtsp://192.0.2.1/{number}/track", Transport=transport(5000 + 2 * number))
            for number in range(5)
        )
    )
    assert only(TrackerFull, said).limit == limit
    assert len(world.tracker.sessions) == 2
    assert world.pins[control.flow].pin.flags is PinFlag.UNREAD
    world.wait(100)
    assert (world.pins, len(world.tracker.sessions)) == ({}, 0)


def test_tracks_have_a_limit() -> None:
    world, control = World(TrackerLimits(tracks_per_session=2)), Control()
    said = world.feed(
        *(
            control.ask("SETUP", f"{URL}/{number}", Transport=transport(5000 + 2 * number), Session="abc")
            for number in range(5)
        )
    )
    assert only(TrackerFull, said).limit == "tracks_per_session"
    assert len(world.tracker.sessions["s1"].tracks) == 2


def test_without_room_for_pins_a_session_is_followed_all_the_same() -> None:
    world, control = World(TrackerLimits(pins_max=2)), Control()
    said = world.feed(*play_udp(control))
    assert only(TrackerFull, said).limit == "pins_max"
    assert set(world.pins) == {control.flow, udp(5000)}
    assert world.placed == {control.client: 1}
    world.feed(control.ask("TEARDOWN", Session="abc"))
    assert of(SessionSummary, world.wait(11))
