"""What an operator is told of sessions, of a tracker that has followed real dialogs."""

from ipaddress import ip_address

import pytest
from pydantic import TypeAdapter

from rtspdsr.admin.answers import SessionAnswer, StoryAnswer, TopAnswer
from rtspdsr.admin.asked import Sessions
from rtspdsr.balancer.chronicle import Chronicle, is_waiting
from rtspdsr.balancer.ranking import rank
from rtspdsr.core.delivery import PACKET_BYTES
from rtspdsr.core.events import Event
from rtspdsr.errors import NotFound
from tests.core.builders import Control, World, play_tcp, play_udp, report, udp


class Names:
    def service(self, service_id: int) -> str | None:
        return {0: "cams"}.get(service_id)

    def backend(self, backend_id: int) -> str | None:
        return {1: "cam-a", 2: "cam-b"}.get(backend_id)


class Told(World):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.chronicle = Chronicle(self.tracker, Names())

    def apply(self, events: list[Event]) -> list[Event]:
        for event in events:
            self.chronicle.note(event)
        return super().apply(events)

    def names(self, **asked: object) -> list[str]:
        """The sessions that fit."""
        found = self.chronicle.sessions(Sessions.model_validate(asked))
        return [one["session"] for one in found if one is not None]


@pytest.fixture
def world() -> Told:
    """s1 plays /lobby over UDP at cam-a, s2 /yard interleaved at cam-b, s3 was torn down."""
    told = Told()
    first = Control(client=ip_address("198.51.100.7"))
    second = Control(client=ip_address("203.0.113.9"), port=40002, backend_id=2)
    third = Control(client=ip_address("198.51.100.8"), port=40003)
    told.feed(*play_udp(first, session="a", url="rtsp://192.0.2.1/lobby"))
    told.feed(*play_tcp(second, session="b", url="rtsp://192.0.2.1/yard"))
    told.feed(*play_udp(third, session="c", port=6000, url="rtsp://192.0.2.1/lobby"))
    told.feed(third.ask("TEARDOWN", "rtsp://192.0.2.1/lobby", Session="c"))
    flow = udp(5000, first.client)
    for highest, fraction in ((100, 0.0), (1100, 0.25)):
        told.hear(flow, report=report(highest=highest, fraction=fraction, jitter=90))
        told.wait(6)
    return told


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["s1", "s2"]),
        ({"client": "198.51.100.7"}, ["s1"]),
        ({"client": "203.0.113.77/24"}, ["s2"]),
        ({"client": "2001:db8::/32"}, []),
        ({"url": "yard"}, ["s2"]),
        ({"url": "rtsp://*/l*"}, ["s1"]),
        ({"backend": "cam-b"}, ["s2"]),
        ({"backend": "cams/cam-a"}, ["s1"]),
        ({"backend": "doors/cam-a"}, []),
        ({"service": "cams"}, ["s1", "s2"]),
        ({"service": "doors"}, []),
        ({"state": "playing"}, ["s1", "s2"]),
        ({"state": "recording"}, []),
        ({"state": "ended"}, ["s3"]),
        ({"state": "ended", "url": "yard"}, []),
        ({"limit": 1}, ["s1"]),
    ],
    ids=str,
)
def test_sessions_are_found_by_what_is_asked(world: Told, asked: dict[str, object], found: list[str]) -> None:
    assert world.names(**asked) == found


def test_a_row_tells_how_media_arrives(world: Told) -> None:
    (row, _) = [one for one in world.chronicle.sessions(Sessions()) if one is not None]

    TypeAdapter(SessionAnswer).validate_python(row)
    assert (row["last_loss"], row["worst_loss"], row["jitter"]) == (0.25, 0.25, 90)
    assert row["delivered_packets_per_s"] == pytest.approx(
        1000 / 11, abs=0.1
    )  # since the first report was read


def test_a_living_session_tells_its_story(world: Told) -> None:
    story = world.chronicle.session("s1")

    TypeAdapter(StoryAnswer).validate_python(story)
    assert [one["method"] or one["event"] for one in story["entries"]] == [
        "OPTIONS",
        "DESCRIBE",
        "SETUP",
        "track_pinned",
        "PLAY",
    ]
    assert story["entries"][3]["details"] == {
        "url": "rtsp://192.0.2.1/lobby/track1",
        "transport": "udp",
        "client_ports": (5000, 5001),
        "channels": (),
    }
    assert (story["state"], story["reason"], story["closed_at"]) == ("playing", None, None)
    assert story["tracks"][0]["client_ports"] == [5000, 5001]
    assert story["course"][-1]["loss"] == 0.25


def test_an_ended_one_tells_why(world: Told) -> None:
    story = world.chronicle.session("s3")

    TypeAdapter(StoryAnswer).validate_python(story)
    assert (story["state"], story["reason"], story["entries"][-1]["event"]) == (
        "ended",
        "teardown",
        "session_closed",
    )
    assert story["tracks"][0]["client_ports"] == [6000, 6001]


def test_what_stands_out_is_found(world: Told) -> None:
    *_, top = rank(world.chronicle, world.tracker, 5)

    assert top is not None
    TypeAdapter(TopAnswer).validate_python(top)
    assert [(one["url"], one["sessions"]) for one in top["urls"]] == [
        ("rtsp://192.0.2.1/lobby", 1),
        ("rtsp://192.0.2.1/yard", 1),
    ]
    assert top["urls"][0]["delivered_bits_per_s"] == pytest.approx(1000 / 11 * PACKET_BYTES * 8, rel=0.01)
    assert {one["backend"]: (one["sessions"], one["waiting"]) for one in top["delivery"]} == {
        "cam-a": (1, 0),
        "cam-b": (1, 0),
    }
    assert top["delivery"][0]["delivered_bits_per_s"] == top["urls"][0]["delivered_bits_per_s"]
    assert [one["session"] for one in top["worst"]] == ["s2", "s1"]  # one stands still, one loses packets
    assert [(one["event"], one["session"]) for one in top["failures"]] == [("session_stalled", "s2")]


def test_a_client_that_plays_late_after_its_setup_is_waited_for(world: Told) -> None:
    control = Control(client=ip_address("198.51.100.9"), port=40004)
    *asked, play = play_udp(control, session="d", port=7000)
    world.feed(*asked)
    world.wait(40)
    world.feed(play)
    assert is_waiting(world.tracker.sessions["s4"], world.now + 1)
    assert not is_waiting(world.tracker.sessions["s4"], world.now + 60)


def test_what_two_reports_cannot_have_told_yet_is_waited_for(world: Told) -> None:
    control = Control(client=ip_address("198.51.100.9"), port=40004)
    world.feed(*play_udp(control, session="d", port=7000))
    begun, flow = world.tracker.sessions["s4"], udp(7000, control.client)
    assert is_waiting(begun, begun.opened_at + 5)
    assert not is_waiting(begun, begun.opened_at + 60)  # it will tell nothing
    assert not is_waiting(world.tracker.sessions["s2"], begun.opened_at)  # interleaved

    for highest in (100, 600):
        assert is_waiting(begun, begun.opened_at + 5)
        world.hear(flow, report=report(highest=highest))
        world.wait(6)
    assert not is_waiting(begun, begun.opened_at + 5)


def test_an_unknown_name_and_an_ambiguous_one_are_said(world: Told) -> None:
    with pytest.raises(NotFound, match="no session 'zz' lives or has ended lately"):
        world.chronicle.session("zz")
    with pytest.raises(NotFound, match="several sessions begin with 's': s1, s2, s3"):
        world.chronicle.session("s")
