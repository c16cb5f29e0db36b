"""The admin API of a real daemon: live events, metrics that move while a player plays, changing readiness."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, UnixConnector
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import PlayerKind, Watch
from rtspdsr.lab.topology import url

PATIENCE_S = 40.0
PLAY_S = 100.0
#: A service that nobody serves.
UNSERVED = """
[[service]]
name = "unserved"
vips = ["10.77.0.101"]
health = { check = "none" }
backend = [{ name = "nobody", addresses = ["10.77.0.250"] }]
"""


@pytest.fixture
async def operator(lab: Lab) -> AsyncIterator[ClientSession]:
    """A client of the daemon's API."""
    connector = UnixConnector(str(lab.daemon.run_dir / "admin.sock"))
    async with ClientSession("http://rtspdsr", connector=connector) as session:
        yield session


async def until(come: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition; an assertion fails that names it."""
    for _ in range(int(PATIENCE_S / 0.2)):
        if await come():
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"waited {PATIENCE_S:g} s for {what}")


async def metrics(operator: ClientSession) -> dict[tuple[str, str], float]:
    """Sums over all labels but state, reason and verdict, which stand beside the name."""
    async with operator.get("/metrics") as response:
        text = await response.text()
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            label = next((one.labels[key] for key in ("state", "reason", "verdict") if key in one.labels), "")
            found[one.name, label] = found.get((one.name, label), 0.0) + one.value
    return found


async def message(stream: ClientResponse) -> tuple[str, dict[str, Any]]:
    """The next live event: what kind, and its data."""
    kind = ""
    while line := (await stream.content.readline()).decode():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ").strip()
        if line.startswith("data: "):
            return kind, json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream has ended")


async def record(stream: ClientResponse, **wanted: str) -> dict[str, Any]:
    """The next line of the session log with those values."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            kind, data = await message(stream)
            if kind == "record" and wanted.items() <= data.items():
                return data


async def test_events_come_live_and_metrics_move_while_a_player_plays(
    lab: Lab, operator: ClientSession
) -> None:
    client = str(lab.client("player5", 4))
    before = await metrics(operator)
    async with operator.get("/v1/events") as stream:
        assert (await message(stream))[0] == "totals"
        watch = Watch(player=PlayerKind.FFMPEG, node="player5", url=url("clip"), seconds=PLAY_S)
        playing = await asyncio.to_thread(lab.start, watch)
        try:
            opened = await record(stream, event="session_opened", client=client)
            name = opened["session"]
            await record(stream, event="session_playing", session=name)

            async def delivered() -> bool:
                now = await metrics(operator)
                return (
                    all(
                        now[key] > before[key]
                        for key in (
                            ("rtspdsr_sessions_opened_total", ""),
                            ("rtspdsr_service_client_bytes_total", ""),
                            ("rtspdsr_delivered_packets_total", ""),
                            ("rtspdsr_reported_loss_ratio_count", ""),
                            ("rtspdsr_verdict_packets_total", "detoured"),
                            ("rtspdsr_loop_lag_seconds_count", ""),
                        )
                    )
                    and now["rtspdsr_sessions", "playing"] >= 1
                )

            await until(delivered, "metrics to tell of what was delivered")
        finally:
            await asyncio.to_thread(playing.stop)
        await record(stream, event="session_closed", session=name)
    ended = await metrics(operator)
    key = ("rtspdsr_sessions_closed_total", "teardown")
    assert ended[key] > before[key]


async def test_answers_of_the_daemon_are_as_its_document_says(operator: ClientSession) -> None:
    async with operator.get("/v1/openapi.json") as response:
        document = await response.json()
    for path, operations in document["paths"].items():
        schemas = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        if "{" in path or "application/json" not in schemas or operations["get"].get("parameters"):
            continue
        async with operator.get(path) as response:
            assert response.status == 200, path
            schema = {**schemas["application/json"]["schema"], "components": document["components"]}
            Draft202012Validator(schema).validate(await response.json())


async def test_readiness_goes_and_comes_with_the_backends_of_each_service(
    lab: Lab, operator: ClientSession
) -> None:
    async def ready() -> bool:
        async with operator.get("/readyz") as response:
            answer = await response.json()
            assert (response.status == 200) == answer["ready"] == (not answer["problems"])
            return bool(answer["ready"])

    async def unready() -> bool:
        return not await ready()

    async with operator.get("/healthz") as response:
        assert (response.status, (await response.json())["alive"]) == (200, True)
    assert await ready()
    before = lab.daemon.config.read_text()
    lab.daemon.config.write_text(before + UNSERVED)
    try:
        lab.daemon.process.signal(signal.SIGHUP)
        await until(unready, "a service without a backend to be seen")
    finally:
        lab.daemon.config.write_text(before)
        lab.daemon.process.signal(signal.SIGHUP)
    await until(ready, "all services to be served again")
