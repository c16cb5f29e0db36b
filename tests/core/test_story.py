"""Stories: fed by real dialogs through the tracker, as the daemon feeds them."""

from dataclasses import replace

import pytest

from rtspdsr.core import story
from rtspdsr.core.events import ConnectionReset, Event, SessionSummary, TrackPinned
from rtspdsr.core.story import Asked, Stories, Story
from rtspdsr.model import TcpFlag
from tests.core.builders import CLIENT, URL, Control, World, play_udp, report, transport, udp


class Told(World):
    """A world whose events are told on, as the balancer does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stories = Stories(self.tracker.sessions)

    def apply(self, events: list[Event]) -> list[Event]:
        for event in events:
            self.stories.note(event)
        return super().apply(events)


def told(one: Story | None) -> list[str]:
    """The entries of a story, by their names."""
    assert one is not None
    return [entry.method if isinstance(entry, Asked) else type(entry).__name__ for entry in one.entries()]


def test_a_story_has_requests_and_what_came_of_them_in_order() -> None:
    world, control = Told(), Control()
    world.feed(*play_udp(control))
    world.hear(udp(5000), report=report(highest=50))
    world.wait(6)
    world.hear(udp(5000), report=report(highest=800, fraction=0.1))
    world.wait(6)
    world.feed(control.ask("TEARDOWN", Session="abc"))

    assert told(world.stories.of("s1")) == ["OPTIONS", "DESCRIBE", "SETUP", "TrackPinned", "PLAY", "TEARDOWN"]
    found = world.stories.of("s1")
    assert found is not None
    assert sum(point.delivered_packets or 0 for point in found.course.points()) == 750


def test_an_ended_session_is_still_told_with_its_reason() -> None:
    world, control = Told(), Control()
    world.feed(*play_udp(control), control.ask("TEARDOWN", Session="abc"))
    world.wait(30)

    assert world.tracker.sessions == {}
    found = world.stories.of("s1")
    assert told(found)[-2:] == ["TEARDOWN", "SessionClosed"]
    assert found is not None
    assert isinstance(found.summary, SessionSummary)
    assert [one.summary for one in world.stories.ended()] == [found.summary]


def test_keepalives_are_counted_and_do_not_crowd_out_the_rest() -> None:
    world, control = Told(), Control()
    world.feed(*play_udp(control))
    for _ in range(100):
        world.now += 30
        world.feed(control.ask("GET_PARAMETER", Session="abc"))

    found = world.stories.of("s1")
    assert told(found) == ["OPTIONS", "DESCRIBE", "SETUP", "TrackPinned", "PLAY", "GET_PARAMETER"]
    assert found is not None
    *_, last = found.entries()
    assert isinstance(last, Asked)
    assert (last.times, last.last_at - last.at) == (100, 99 * 30)


def test_a_busy_session_keeps_its_beginning_and_what_came_last() -> None:
    world, control = Told(), Control()
    world.feed(*play_udp(control))
    for number in range(200):
        world.feed(control.ask("PAUSE" if number % 2 else "PLAY", Session="abc"))
    world.feed(control.ask("TEARDOWN", Session="abc"))

    found = world.stories.of("s1")
    entries = told(found)
    assert len(entries) == story.FIRST_KEPT + story.LAST_KEPT
    assert entries[:3] == ["OPTIONS", "DESCRIBE", "SETUP"]
    assert entries[-1] == "TEARDOWN"
    assert found is not None
    assert found.omitted == 5 + 199 + 1 - len(entries)  # the first PLAY repeats the one before


def long_url(number: int) -> str:
    """As long as one is kept, and like no other."""
    return f"{URL}/{number}/".ljust(1020, "x")


def sessions_with_long_urls(world: Told, number: int) -> None:
    """Each plays as many URLs as it likes, and ends."""
    for one in range(number):
        control = Control(port=40000 + one)
        world.feed(*play_udp(control, session=f"id{one}", port=5000 + 2 * one))
        for turn in range(40):
            world.feed(control.ask("PLAY", long_url(40 * one + turn), Session=f"id{one}"))
        world.feed(control.ask("TEARDOWN", Session=f"id{one}"))
    world.wait(30)


def test_a_session_with_long_urls_keeps_fewer_entries_and_says_how_many_it_gave_up() -> None:
    world = Told()
    sessions_with_long_urls(world, 1)
    found = world.stories.of("s1")
    assert found is not None
    entries = told(found)
    assert entries[:5] == ["OPTIONS", "DESCRIBE", "SETUP", "TrackPinned", "PLAY"]
    assert entries[-2:] == ["TEARDOWN", "SessionClosed"]
    assert entries[found.beginning - 1] == "PLAY"
    assert len(entries) + found.omitted == 5 + 40 + 2
    texts = [entry.url for entry in found.entries() if isinstance(entry, Asked)]
    assert sum(map(len, texts)) < 2 * story.PART_OCTETS_MAX
    assert found.octets < 10 << 10


def test_ended_stories_take_so_many_octets_at_most_and_the_latest_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(story, "ENDED_OCTETS_MAX", 40 << 10)
    world = Told()
    sessions_with_long_urls(world, 20)
    kept = list(world.stories.ended())
    assert 3 <= len(kept) <= 8
    assert [one.summary.session for one in kept if one.summary] == [f"s{20 - n}" for n in range(len(kept))]
    assert sum(one.octets for one in kept) <= 40 << 10


def test_what_is_said_of_its_connection_is_in_its_story() -> None:
    world, control = Told(), Control()
    world.feed(*play_udp(control))
    reset = ConnectionReset(
        at=world.now,
        service_id=0,
        backend_id=1,
        client=CLIENT,
        client_port=control.port,
        still_s=3.0,
        problem="no answer",
    )
    world.apply([reset, replace(reset, client_port=control.port + 1)])

    assert told(world.stories.of("s1"))[-1] == "ConnectionReset"
    found = world.stories.of("s1")
    assert found is not None
    assert list(found.entries()).count(reset) == 1
    assert len(world.stories.failures) == 2


def test_a_session_that_moved_to_another_connection_is_found_there() -> None:
    world, control = Told(), Control()
    world.feed(*play_udp(control), control.fin())
    again = Control(port=40001)
    world.feed(again.ask("GET_PARAMETER", Session="abc"), again.ask("PLAY", Session="abc"))
    world.feed(again.segment(b"", TcpFlag.ACK))

    assert told(world.stories.of("s1"))[-1] == "PLAY"


def test_a_name_is_found_by_its_beginning() -> None:
    world, control = Told(), Control()
    for number in range(12):
        setup = control.ask("SETUP", f"{URL}/{number}", Transport=transport(5000 + 2 * number))
        world.feed(setup, control.ask("PLAY", f"{URL}/{number}", Session=f"id{number}"))

    assert world.stories.find("s2") == ["s2"]
    assert world.stories.find("s1") == ["s1"]  # a whole name is itself
    assert len(world.stories.find("s")) == story.FOUND_MAX
    assert world.stories.find("t") == []


def test_only_so_many_ended_sessions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "ENDED_MAX", 3)
    world = Told()
    for number in range(5):
        control = Control(port=40000 + number)
        world.feed(*play_udp(control, session=f"id{number}", port=5000 + 2 * number))
        world.feed(control.ask("TEARDOWN", Session=f"id{number}"))
    world.wait(30)

    assert [world.stories.of(f"s{number}") is not None for number in range(1, 6)] == [False] * 2 + [True] * 3


def test_a_track_tells_its_ports() -> None:
    world = Told()
    world.feed(*play_udp(Control()))
    found = world.stories.of("s1")
    assert found is not None
    (track,) = (entry for entry in found.entries() if isinstance(entry, TrackPinned))
    assert track.client_ports == (5000, 5001)
