"""Every backend's counters, and the loop that has to read segments meanwhile."""

import asyncio

import pytest

from rtspdsr.balancer import status
from tests.balancer.test_fleet import Stand, both, stand
from tests.core.builders import World

__all__ = ["stand"]

pytestmark = pytest.mark.kernel


async def test_backends_are_read_a_few_at_a_time(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "BACKENDS_AT_ONCE", 1)
    both(stand)
    turns = 0
    reading = asyncio.create_task(status.readings(stand.dataplane, stand.fleet, World().tracker))
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    assert set(await reading) == {1, 2}
    assert turns > 2
