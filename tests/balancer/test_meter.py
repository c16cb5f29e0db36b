"""Figures of many sessions, and the loop that has to read segments meanwhile."""

import asyncio

import pytest

from rtspdsr.balancer import meter
from rtspdsr.balancer.meter import census
from rtspdsr.core.session import State
from tests.core.builders import Control, World, play_udp


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
