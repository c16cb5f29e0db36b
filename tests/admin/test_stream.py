"""Live events: what listeners get, and what a slow one does to the others and to the daemon."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, UnixConnector

from rtspdsr.admin import Admin, feed, stream
from rtspdsr.admin.feed import SUBSCRIPTIONS_MAX, WAITING_MAX, Crowded, Feed
from tests.admin.desk import Desk
from tests.admin.lookout import Lookout

PATIENCE_S = 30.0


@pytest.fixture
async def browser(admin: Path) -> AsyncIterator[ClientSession]:
    connector = UnixConnector(str(admin / "admin.sock"), limit=0)
    async with ClientSession("http://rtspdsr", connector=connector) as session:
        yield session


async def message(response: ClientResponse) -> tuple[str, Any]:
    """The next message of a stream: what kind, and its data."""
    kind = ""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            line = (await response.content.readline()).decode()
            assert line, "the stream has ended"
            if line.startswith("event: "):
                kind = line.removeprefix("event: ").strip()
            if line.startswith("data: "):
                return kind, json.loads(line.removeprefix("data: "))


async def test_a_listener_gets_totals_and_every_line_as_it_is_written(
    browser: ClientSession, lookout: Lookout
) -> None:
    async with browser.get("/v1/events") as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        kind, totals = await message(response)
        assert (kind, totals["services"][0]["backends"][0]["sessions"]) == ("totals", 3)
        for number in range(3):
            lookout.feed.put(f'{{"event":"session_opened","session":"{number}"}}')
        for number in range(3):
            assert await message(response) == (
                "record",
                {"event": "session_opened", "session": str(number)},
            )


async def test_totals_come_again_and_again(browser: ClientSession) -> None:
    async with browser.get("/v1/events") as response:
        assert [(await message(response))[0] for _ in range(2)] == ["totals", "totals"]


async def test_silence_is_broken_by_comments(browser: ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.0)
    monkeypatch.setattr(stream, "LOOK_S", 0.01)
    async with browser.get("/v1/events") as response, asyncio.timeout(PATIENCE_S):
        while await response.content.readline() != b": still here\n":
            pass


async def test_whoever_is_too_many_is_told(browser: ClientSession, lookout: Lookout) -> None:
    listeners = [await browser.get("/v1/events") for _ in range(SUBSCRIPTIONS_MAX)]
    async with browser.get("/v1/events") as refused:
        assert refused.status == 503
        assert "listen already" in (await refused.json())["error"]
    for one in listeners:
        one.close()
    async with asyncio.timeout(PATIENCE_S):
        while len(lookout.feed):  # noqa: ASYNC110 - nothing tells when a server has noticed
            await asyncio.sleep(0.05)
    async with browser.get("/v1/events") as response:
        assert response.status == 200


async def test_whoever_does_not_read_is_let_go(
    browser: ClientSession, lookout: Lookout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STUCK_S", 0.2)
    async with browser.get("/v1/events") as response:
        assert response.status == 200
        async with asyncio.timeout(PATIENCE_S):
            while len(lookout.feed):
                lookout.feed.put("x" * 10_000)
                await asyncio.sleep(0)


async def test_a_daemon_that_ends_does_not_wait_for_listeners(
    desk: Desk, lookout: Lookout, tmp_path: Path
) -> None:
    admin = Admin(desk, tmp_path, watch=lookout)
    await admin.start()
    connector = UnixConnector(str(tmp_path / "admin.sock"))
    async with ClientSession("http://rtspdsr", connector=connector) as session:
        response = await session.get("/v1/events")
        await message(response)
        async with asyncio.timeout(PATIENCE_S):
            await admin.stop()
        assert not len(lookout.feed)


# --- the feed by itself


async def test_a_slow_listener_is_told_what_it_missed_and_others_miss_nothing() -> None:
    told = Feed()
    with told.subscribe() as slow, told.subscribe() as fast:
        heard = ""
        for number in range(WAITING_MAX + 7):
            told.put(str(number))
            heard += await fast.take(PATIENCE_S)
        assert heard.count("event: record") == WAITING_MAX + 7
        late = await slow.take(PATIENCE_S)
        assert late.count("event: record") == WAITING_MAX
        assert late.endswith(feed.message("missed", '{"missed":7}'))
        told.put("next")
        assert await slow.take(PATIENCE_S) == feed.message("record", "next")


async def test_silence_gives_nothing() -> None:
    with Feed().subscribe() as subscription:
        assert await subscription.take(0.01) == ""


def test_nobody_listens_for_longer_than_it_wants() -> None:
    told = Feed()
    with told.subscribe():
        assert len(told) == 1
    assert len(told) == 0
    told.put("heard by nobody")


def test_there_is_a_limit_of_listeners() -> None:
    told = Feed()
    held = [told.subscribe() for _ in range(SUBSCRIPTIONS_MAX)]
    for one in held:
        one.__enter__()
    with pytest.raises(Crowded), told.subscribe():
        pass
