"""What a session makes of requests, by the one table of transitions."""

from itertools import product

import pytest

from rtspdsr.core.events import (
    CloseReason,
    RequestOutOfTurn,
    SessionEnding,
    SessionPaused,
    SessionPlaying,
    SessionRecording,
    SessionRevived,
)
from rtspdsr.core.session import TRANSITIONS, Method, Session, State, Track, is_within
from tests.core.builders import CLIENT, URL, report


def session(state: State = State.READY) -> Session:
    one = Session(
        "s1",
        service_id=0,
        backend_id=1,
        client=CLIENT,
        client_port=40000,
        url=URL,
        user_agent="Lavf",
        opened_at=10.0,
        syn_at=9.0,
        state=state,
    )
    one.tracks.append(Track(f"{URL}/track1", "udp", (5000, 5001)))
    return one


#: RFC 2326 appendix A.1 and RFC 7826 appendix B.2: what a client may ask for in each state.
ALLOWED = {
    State.INIT: {Method.SETUP},
    State.READY: set(Method),
    State.PLAYING: set(Method) - {Method.RECORD},
    State.RECORDING: set(Method) - {Method.PLAY},
    State.ENDING: {Method.TEARDOWN},
}


@pytest.mark.parametrize(("state", "method"), list(product(State, Method)))
def test_the_table_is_the_rfcs(state: State, method: Method) -> None:
    assert ((state, method) in TRANSITIONS) == (method in ALLOWED[state])


@pytest.mark.parametrize(("state", "method"), list(product(State, Method)))
def test_every_request_in_every_state(state: State, method: Method) -> None:
    one = session(state)
    said = one.receive(method, 11.0)
    assert one.heard_at == 11.0
    if state is State.ENDING and method is not Method.TEARDOWN:
        return  # revived, see below
    assert one.state is TRANSITIONS.get((state, method), state)
    out_of_turn = [event for event in said if isinstance(event, RequestOutOfTurn)]
    assert len(out_of_turn) == (method not in ALLOWED[state])


@pytest.mark.parametrize("state", [one for one in State if one is not State.ENDING])
@pytest.mark.parametrize("method", ["OPTIONS", "GET_PARAMETER", "X-VENDOR"])
def test_other_requests_change_nothing(state: State, method: str) -> None:
    one = session(state)
    assert one.receive(method, 11.0) == []
    assert one.heard_at == 11.0


def test_a_life() -> None:
    one = session(State.INIT)
    asked = [Method.SETUP, Method.PLAY, Method.PLAY, Method.PAUSE, Method.RECORD, Method.PAUSE]
    said = [event for number, method in enumerate(asked) for event in one.receive(method, 11.0 + number)]
    assert [type(event) for event in said] == [
        SessionPlaying,
        SessionPaused,
        SessionRecording,
        SessionPaused,
    ]
    assert one.played_at == 12.0


def test_a_request_after_teardown_revives_what_was() -> None:
    one = session()
    one.receive(Method.PLAY, 11.0)
    assert [type(event) for event in one.receive(Method.TEARDOWN, 12.0)] == [SessionEnding]
    assert (one.state, one.asked_at) == (State.ENDING, 12.0)
    assert one.receive(Method.TEARDOWN, 12.5) == []
    assert [type(event) for event in one.receive("GET_PARAMETER", 13.0)] == [SessionRevived]
    assert (one.state, one.asked_at) == (State.PLAYING, None)


def test_a_summary_says_what_is_known_and_no_more() -> None:
    summary = session().summary(CloseReason.EXPIRED, 100.0, 101.0)
    assert (summary.opened_at, summary.played_at, summary.closed_at, summary.at) == (10.0, None, 100.0, 101.0)
    assert (summary.setup_s, summary.first_delivery_s, summary.delivered_bytes) == (None, None, None)
    assert (summary.transports, summary.client_ports) == (("udp",), (5000, 5001))


def test_set_up_is_timed_from_the_syn() -> None:
    one = session()
    one.receive(Method.PLAY, 9.25)
    one.quality.report(5001, report(100), 9.75)
    summary = one.summary(CloseReason.TEARDOWN, 100.0, 100.0)
    assert (summary.setup_s, summary.first_delivery_s) == (0.25, 0.75)


@pytest.mark.parametrize(
    ("url", "covered"),
    [
        (f"{URL}/track1", True),
        (URL, True),
        (f"{URL}/", True),
        (f"{URL}/track2", False),
        ("rtsp://192.0.2.1/other", False),
        ("rtsp://cams.example:554/clip", True),
        ("rtsp://192.0.2.1", True),
    ],
)
def test_a_url_names_a_track_or_the_presentation(url: str, covered: bool) -> None:
    assert session().covers(url) is covered


def test_only_interleaved_media_needs_the_connection() -> None:
    one, needs = session(), []
    for tracks in (
        one.tracks,
        [Track(f"{URL}/track1", "tcp", (), (0, 1))],
        [Track(f"{URL}/track1", "tcp", (), (0, 1)), Track(f"{URL}/track2", "multicast")],
        [Track(f"{URL}/track1", "tcp", (5000, 5001), (0, 1))],  # the server may choose UDP
        [],  # nothing is known of its media
    ):
        one.tracks = tracks
        needs.append(one.needs_connection)
    assert needs == [False, True, False, False, False]


def test_a_track_that_was_torn_down_does_not_count() -> None:
    one = session()
    one.tracks.append(Track(f"{URL}/track2", "tcp", (), (0, 1)))
    one.tracks[0].live = False
    assert one.needs_connection


@pytest.mark.parametrize(
    ("url", "presentation", "within"),
    [
        ("rtsp://h/media.amp/trackID=1?codec=h264", "rtsp://h/media.amp?codec=h264", True),
        ("rtsp://h/media.amp/trackID=1?codec=h264", "rtsp://h/media.amp/?codec=h264", True),
        ("rtsp://h/media.amp/trackID=1?codec=h264", "rtsp://h/media.amp?codec=mjpeg", False),
        ("rtsp://h/cam?channel=1/trackID=1", "rtsp://h/cam?channel=1", True),
        ("rtsp://h/cam?channel=2/trackID=1", "rtsp://h/cam?channel=1", False),
    ],
)
def test_queries_are_part_of_a_presentation(url: str, presentation: str, within: bool) -> None:
    assert is_within(url, presentation) is within
