"""Figures of many sessions, and the loop that has to read segments meanwhile."""

import asyncio
from typing import Any, cast

import pytest

from rtspdsr.balancer import meter
from rtspdsr.balancer.meter import Meter, census
from rtspdsr.core.session import State
from rtspdsr.model import AdminState
from tests.balancer.test_fleet import Stand, both, stand
from tests.core.builders import Control, World, play_udp

__all__ = ["stand"]


async def test_sessions_are_counted_in_slices_between_which_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(meter, "SESSIONS_AT_ONCE", 10)
    world = World()
    for number in range(95):
        control = Control(port=40_000 + number, backend_id=1 + number % 2)
        segments = play_udp(control, session=f"id{number}", port=5000 + 2 * number)
        world.feed(*(segments if number < 90 else segments[:-1]))
    turns = 0
    counting = asyncio.create_task(census(world.tracker.sessions.values()))
    while not counting.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 10
    assert await counting == {
        (1, State.PLAYING): 45,
        (2, State.PLAYING): 45,
        (1, State.READY): 3,
        (2, State.READY): 2,
    }


@pytest.mark.kernel
def test_a_service_is_not_ready_when_one_backend_is_taken_out_and_the_other_is_down(stand: Stand) -> None:
    """New clients still go to the one that is down, for the alarm may be wrong; that is no readiness."""
    both(stand)
    unasked: Any = cast(Any, None)
    one = Meter(
        dataplane=stand.dataplane,
        fleet=stand.fleet,
        health=unasked,
        checks=unasked,
        standings=unasked,
        tracker=unasked,
        applier=unasked,
        impersonator=unasked,
        detour=unasked,
        upkeep=unasked,
        journal=unasked,
        file=unasked,
        interfaces=("eth0",),
        modes={"eth0": "native"},
        started_at=0.0,
        tally=unasked,
        feed=unasked,
    )
    assert one.readiness()["ready"]
    stand.fleet.administer(1, AdminState.DRAIN, closed=False)
    assert one.readiness()["ready"]
    stand.fleet.mark(2, down=True)
    assert one.readiness()["problems"] == ["no backend of cams takes new clients"]
