"""A backend is called poor when its clients tell of clearly more trouble than those of the others."""

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspdsr.core.events import (
    CloseReason,
    Event,
    PinMade,
    PinReleased,
    SessionClosed,
    SessionOpened,
    SessionPaused,
    SessionResumed,
    SessionStalled,
    StandingChanged,
)
from rtspdsr.core.standing import Standing, Standings
from rtspdsr.model import FlowKey, Pin, Proto

CLIENT = ip_address("198.51.100.7")
SERVICE = {0: [1, 2, 3]}


class Watch:
    """Sessions and connections of backends 1, 2, 3, by number."""

    def __init__(self) -> None:
        self.standings = Standings()
        self.now = 100.0
        self.made = 0

    def where(self, backend_id: int, number: int) -> dict[str, Any]:
        return {
            "at": self.now, "service_id": 0, "backend_id": backend_id,
            "client": CLIENT, "client_port": 40_000, "session": f"s{number}",
        }  # fmt: skip

    def sessions(self, backend_id: int, count: int, stalled: int = 0) -> list[int]:
        """So many sessions begin, and some of them stall; the numbers of those."""
        numbers = range(self.made, self.made + count)
        self.made += count
        for number in numbers:
            self.standings.note(SessionOpened(**self.where(backend_id, number), url="", user_agent=""))
        for number in numbers[:stalled]:
            self.standings.note(SessionStalled(**self.where(backend_id, number), silent_s=10.0))
        return list(numbers[:stalled])

    def connections(self, backend_id: int, count: int, unanswered: int = 0) -> None:
        """So many connections begin; some of their clients never acknowledge anything."""
        for number in range(count):
            self.made += 1
            flow = FlowKey(0, Proto.TCP, CLIENT, self.made, 554)
            pin = Pin(flow=flow, backend_id=backend_id)
            self.standings.note(PinMade(at=self.now, pin=pin, provisional=True))
            if number >= unanswered:
                self.standings.note(PinMade(at=self.now, pin=pin, provisional=False))
            self.standings.note(PinReleased(at=self.now, flow=flow))

    def judge(self, wait_s: float = 5.0) -> list[Event]:
        self.now += wait_s
        return self.standings.judge(SERVICE, self.now)


def test_one_whose_sessions_stall_is_told_with_its_reason() -> None:
    watch = Watch()
    watch.sessions(1, 12, stalled=5)
    watch.sessions(2, 20, stalled=1)
    watch.sessions(3, 20)
    (changed,) = watch.judge()
    assert changed == StandingChanged(
        at=watch.now,
        service_id=0,
        backend_id=1,
        standing="poor",
        problem="5 of 12 sessions stalled, 1 of 40 at the others",
    )
    assert watch.standings.of(1).standing is Standing.POOR
    assert watch.standings.of(2).standing is Standing.GOOD
    assert watch.judge() == []


def test_one_whose_connections_get_no_answer_is_told() -> None:
    watch = Watch()
    watch.connections(1, 50, unanswered=2)
    watch.connections(2, 10, unanswered=8)
    (changed,) = watch.judge()
    assert isinstance(changed, StandingChanged)
    assert changed.problem == "8 of 10 new connections got no answer, 2 of 50 at the others"


@pytest.mark.parametrize(
    "stalled",
    [(0, 0, 0), (2, 0, 0), (6, 5, 6), (20, 20, 20), (4, 3, 0)],
    ids=["none", "too few", "everywhere", "all of all", "no clear difference"],
)
def test_what_happens_everywhere_or_by_chance_lowers_nobody(stalled: tuple[int, int, int]) -> None:
    watch = Watch()
    for backend_id, count in enumerate(stalled, 1):
        watch.sessions(backend_id, 20, stalled=count)
    assert watch.judge() == []


def test_a_lone_backend_is_compared_with_nobody() -> None:
    watch = Watch()
    watch.sessions(1, 20, stalled=20)
    assert watch.standings.judge({0: [1]}, 200.0) == []


@pytest.mark.parametrize("end", [SessionResumed, SessionClosed, SessionPaused])
def test_it_stands_well_again_when_stalls_are_over_and_not_at_once(end: type) -> None:
    watch = Watch()
    numbers = watch.sessions(1, 20, stalled=10)
    watch.sessions(2, 20)
    assert len(watch.judge()) == 1
    more: dict[type, dict[str, Any]] = {
        SessionResumed: {"stalled_s": 20.0},
        SessionClosed: {"reason": CloseReason.EXPIRED},
        SessionPaused: {},
    }
    for number in numbers:
        watch.standings.note(end(**watch.where(1, number), **more[end]))
    assert watch.judge(20.0) == []
    (changed,) = watch.judge(15.0)
    assert isinstance(changed, StandingChanged)
    assert (changed.standing, changed.problem) == ("good", "")


def test_connections_are_forgotten_after_a_while() -> None:
    watch = Watch()
    watch.connections(1, 10, unanswered=8)
    watch.connections(2, 50)
    assert len(watch.judge()) == 1
    watch.judge(61.0)
    (changed,) = watch.judge(61.0)
    assert isinstance(changed, StandingChanged)
    assert changed.standing == "good"


def test_one_that_left_the_configuration_is_forgotten() -> None:
    watch = Watch()
    watch.sessions(1, 12, stalled=12)
    watch.sessions(2, 20)
    watch.judge()
    watch.standings.judge({0: [2, 3]}, watch.now + 5)
    assert watch.standings.of(1).standing is Standing.GOOD


def test_what_was_told_of_one_is_not_told_of_the_next_that_has_its_number() -> None:
    watch = Watch()
    watch.connections(1, 10, unanswered=8)
    stalled = watch.sessions(1, 12, stalled=12)
    watch.connections(2, 50)
    watch.sessions(2, 20)
    watch.judge()
    assert watch.standings.of(1).standing is Standing.POOR

    watch.standings.forget(1)
    assert watch.standings.of(1).standing is Standing.GOOD
    watch.standings.note(SessionClosed(**watch.where(1, stalled[0]), reason=CloseReason.EXPIRED))
    watch.connections(1, 10)
    watch.sessions(1, 12)
    assert watch.judge() == []


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 30), st.integers(0, 30)), max_size=12))
def test_never_is_every_backend_worse_than_the_others(counts: list[tuple[int, int, int]]) -> None:
    watch = Watch()
    for backend_id, count, stalled in counts:
        watch.sessions(backend_id, count, min(stalled, count))
        watch.connections(backend_id, count, min(stalled, count))
        watch.judge(1.0)
        assert all(watch.standings.of(one).standing in Standing for one in (1, 2, 3))
    fresh = watch.standings
    fresh._judged.clear()
    stalls = [event for event in watch.judge() if isinstance(event, StandingChanged)]
    assert len({event.backend_id for event in stalls if "stalled" in event.problem}) < 3
