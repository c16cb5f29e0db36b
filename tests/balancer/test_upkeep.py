"""The heartbeat, and what it promises to TCP; and the search for reference cycles."""

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rtspdsr.balancer import upkeep as module
from rtspdsr.balancer.upkeep import Upkeep

LEAST_RETRANSMISSION_S = 0.2  # TCP_RTO_MIN of Linux
COARSE_S = 0.004  # by so much the clock that XDP reads may lag
UNREAD_S = 0.02  # so long the loop may be busy at a stretch, and a segment lie in the ring when it beats


class Heard:
    """A forwarding core that hears deadlines."""

    def __init__(self) -> None:
        self.ahead_s: list[float] = []
        self.enough = asyncio.Event()

    def renew(self, alive_until: float) -> None:
        self.ahead_s.append(alive_until - time.monotonic())
        if len(self.ahead_s) == 3:
            self.enough.set()


async def test_a_deadline_is_over_before_tcp_sends_again_what_died_with_the_daemon() -> None:
    heard = Heard()
    upkeep = Upkeep(cast(Any, heard), cast(Any, None), cast(Any, None), cast(Any, None))
    beat = asyncio.ensure_future(upkeep.beat())
    await heard.enough.wait()
    beat.cancel()
    assert max(heard.ahead_s) + COARSE_S + UNREAD_S < LEAST_RETRANSMISSION_S


# --- tidying


class Knot:
    """One that refers to itself: no reference count frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
async def tidied(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, object]]:
    """Tidying is under way; the sessions that it sees."""
    monkeypatch.setattr(module, "TIDY_S", 0.001)
    monkeypatch.setattr(module, "TIDY_ALL_S", 0.0)
    sessions: dict[str, object] = {"a": None}
    tracker = SimpleNamespace(sessions=sessions)
    upkeep = Upkeep(cast(Any, None), cast(Any, tracker), cast(Any, None), cast(Any, None))
    gc.disable()
    tidying = asyncio.ensure_future(upkeep.tidy())
    yield sessions
    tidying.cancel()
    gc.unfreeze()
    gc.enable()


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for are plain values
            await asyncio.sleep(0.001)


async def test_a_new_cycle_is_freed(tidied: dict[str, object]) -> None:
    await asyncio.sleep(0.01)
    gone = weakref.ref(Knot())
    await until(lambda: gone() is None)


async def test_what_is_old_is_searched_only_while_there_is_no_session(tidied: dict[str, object]) -> None:
    old: list[Knot] = [Knot()]
    gone = weakref.ref(old[0])
    known = gc.get_freeze_count()
    await until(lambda: gc.get_freeze_count() != known)
    await asyncio.sleep(0.01)
    old.clear()
    await asyncio.sleep(0.05)
    assert gone() is not None
    tidied.clear()
    await until(lambda: gone() is None)
