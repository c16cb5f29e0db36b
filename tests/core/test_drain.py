"""Backends taken out by the operator: their deadlines, when they are empty, and how long that will be."""

from dataclasses import replace

import pytest

from rtspdsr.core.drain import Drain, Drains, Held
from rtspdsr.core.events import (
    BackendDrained,
    BackendReadied,
    CloseReason,
    DrainBegun,
    DrainDeadlinePassed,
    Event,
    MaintenanceBegun,
    SessionOpened,
    SessionSummary,
)
from rtspdsr.model import AdminState
from tests.core.builders import Control, World, of, only, play_tcp

T = 1000.0


def drain(deadline_at: float | None = None, state: AdminState = AdminState.DRAIN) -> Drain:
    """A drain of backend 1 that begins now."""
    return Drain(
        service_id=0,
        backend_id=1,
        state=state,
        began_at=T,
        deadline_at=deadline_at,
        closed=state is AdminState.MAINT,
    )


def session(lasted_s: float, reason: CloseReason = CloseReason.TEARDOWN) -> SessionSummary:
    """The end of a session at backend 1."""
    world = World()
    world.feed(*play_tcp(Control()))
    (name,) = world.tracker.sessions
    said = world.tracker.close(name, reason, world.now)
    return replace(only(SessionSummary, said), opened_at=T, closed_at=T + lasted_s)


def test_a_drain_ends_nothing_until_its_deadline_and_tells_when_nothing_is_left() -> None:
    drains = Drains()
    (begun,) = drains.begin(drain(T + 60), sessions=3, now=T)
    assert begun == DrainBegun(at=T, service_id=0, backend_id=1, sessions=3, deadline_s=60.0)
    assert drains.look({1: Held(3)}, T + 59.9) == []
    drains.note(session(10.0))
    (passed,) = drains.look({1: Held(2)}, T + 60.0)
    assert passed == DrainDeadlinePassed(at=T + 60.0, service_id=0, backend_id=1, sessions=2)
    assert drains[1].closed
    drains.note(session(70.0, CloseReason.DRAINED))
    drains.note(session(70.0, CloseReason.DRAINED))
    assert drains.look({1: Held(0, 1)}, T + 61.0) == []  # a silent connection holds it as well
    (drained,) = drains.look({}, T + 62.0)
    assert drained == BackendDrained(
        at=T + 62.0, service_id=0, backend_id=1, finished=1, ended=2, drained_s=62.0
    )
    assert drains.look({}, T + 63.0) == []


def test_without_a_deadline_nothing_is_ever_ended() -> None:
    drains = Drains()
    assert only(DrainBegun, drains.begin(drain(), 1, T)).deadline_s is None
    assert drains.look({1: Held(1)}, T + 1e6) == []
    assert not drains[1].closed


def test_maintenance_is_closed_from_its_beginning() -> None:
    drains = Drains()
    (begun,) = drains.begin(drain(T, AdminState.MAINT), sessions=3, now=T)
    assert begun == MaintenanceBegun(at=T, service_id=0, backend_id=1, sessions=3)
    assert drains[1].closed
    assert drains.look({1: Held(3)}, T + 1) == []


def test_a_drain_asked_for_again_goes_on_with_another_deadline() -> None:
    drains = Drains()
    drains.begin(drain(T + 10), 2, T)
    drains.note(session(5.0))
    assert drains.begin(replace(drain(T + 100), began_at=T + 5), 1, T + 5) == []
    assert drains.look({1: Held(1)}, T + 20) == []
    assert (drains[1].finished, drains[1].began_at, drains[1].closed) == (1, T, False)


def test_a_backend_given_back_is_told_once() -> None:
    drains = Drains()
    drains.begin(drain(), 2, T)
    assert drains.end(1, T + 5) == [BackendReadied(at=T + 5, service_id=0, backend_id=1)]
    assert drains.end(1, T + 6) == []
    assert dict(drains) == {}


def test_an_empty_backend_that_a_restarted_daemon_finds_is_not_told_again() -> None:
    drains = Drains()
    drains.restore(drain())
    assert drains.look({}, T) == []
    drains.restore(drain())
    drains.look({1: Held(1)}, T + 1)
    assert of(BackendDrained, drains.look({}, T + 2))


def test_sessions_that_follow_their_client_are_counted() -> None:
    drains = Drains()
    drains.begin(drain(), 1, T)
    events: list[Event] = World().feed(*play_tcp(Control())) + World().feed(*play_tcp(Control(backend_id=2)))
    assert len(of(SessionOpened, events)) == 2
    for event in events:
        drains.note(event)
    assert drains[1].followed == 1


def empty_in_s(drains: Drains, left: int, ages_s: float = 0.0, now: float = T) -> float | None:
    drains.look({1: Held(left)}, now)
    return drains.empty_in_s(1, ages_s, 100, now)


def test_without_any_end_there_is_no_estimate_but_the_deadline() -> None:
    drains = Drains()
    drains.begin(drain(), 10, T)
    assert empty_in_s(drains, 10) is None
    drains.begin(drain(T + 50), 10, T)
    assert empty_in_s(drains, 10) == pytest.approx(50.1)


def test_the_estimate_is_the_expected_end_of_the_last_session() -> None:
    drains = Drains()
    for lasted_s in (10.0, 20.0, 30.0):
        drains.note(session(lasted_s))
    drains.begin(drain(), 1, T)
    assert empty_in_s(drains, 0) == 0.0
    assert empty_in_s(drains, 1) == pytest.approx(20.0, rel=0.1)
    of_ten = empty_in_s(drains, 10)
    assert of_ten == pytest.approx(20.0 * sum(1 / n for n in range(1, 11)), rel=0.01)
    assert (empty_in_s(drains, 10, ages_s=600.0) or 0.0) > (of_ten or 0.0)  # old ones make it longer


def test_sessions_that_were_ended_tell_nothing_of_how_long_they_last() -> None:
    drains = Drains()
    drains.begin(drain(), 1, T)
    drains.note(session(1.0, CloseReason.DRAINED))
    drains.note(session(1.0, CloseReason.BACKEND_DOWN))
    assert empty_in_s(drains, 5) is None


def test_a_backend_that_left_the_configuration_is_forgotten() -> None:
    drains = Drains()
    drains.begin(drain(), 1, T)
    drains.forget(1)
    assert drains.look({1: Held(1)}, T + 1) == []
    assert drains.end(1, T) == []
