"""The checks that play, made by a process of their own: same outcomes, nothing left whatever ends it."""

import asyncio
import signal
import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from rtspdsr.probe.prober import Prober, Unmade
from rtspdsr.probe.way import Way
from tests.probe.server import VIP, Server, running

URL = "rtsp://127.0.0.1/clip"
PATIENCE_S = 20.0


def way(server: Server) -> Way:
    return Way(vip=ip_address(VIP), port=server.port)


def process(prober: Prober) -> asyncio.subprocess.Process:
    assert prober._worker is not None
    return prober._worker._process


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for are plain values
            await asyncio.sleep(0.01)


async def test_a_play_tells_what_a_client_would_see() -> None:
    async with running(Server()) as server, Prober() as prober:
        outcome = await prober.play(way(server), URL)
    assert (outcome.problem, outcome.source, outcome.lost) == ("", ip_address(VIP), 0.0)
    assert outcome.bits_per_s
    assert server.asked == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN"]


async def test_checks_are_made_side_by_side_and_each_gets_its_own_outcome() -> None:
    lacking = Server(answers={"DESCRIBE": "404 Not Found"})
    async with running(Server()) as well, running(lacking) as ill, Prober() as prober:
        played, described, refused = await asyncio.gather(
            prober.play(way(well), URL),
            prober.describe(way(well), 5.0, URL),
            prober.describe(way(ill), 5.0, URL),
        )
    assert (played.problem, described.problem) == ("", "")
    assert refused.problem == "answers DESCRIBE with 404 Not Found"


async def test_a_check_that_is_cancelled_ends_its_session_at_the_server() -> None:
    async with running(Server()) as server, Prober() as prober:
        playing = asyncio.ensure_future(prober.play(way(server), URL))
        await until(lambda: server.sessions)
        playing.cancel()
        await until(lambda: not server.sessions)
        with pytest.raises(asyncio.CancelledError):
            await playing


async def test_when_the_daemon_is_gone_its_sessions_are_ended_at_the_servers() -> None:
    """Nobody is left to cancel the check: its input ends, that is all that it hears."""
    async with running(Server()) as server:
        async with Prober() as prober:
            playing = asyncio.ensure_future(prober.play(way(server), URL))
            await until(lambda: server.sessions)
        assert server.sessions == set()
        assert server.asked[-1] == "TEARDOWN"
        playing.cancel()


async def test_a_process_that_dies_is_started_again_and_the_check_is_made() -> None:
    async with running(Server()) as server, Prober() as prober:
        playing = asyncio.ensure_future(prober.play(way(server), URL))
        await until(lambda: server.sessions)
        process(prober).kill()
        assert (await playing).problem == ""


async def test_a_process_that_hangs_is_ended_and_the_next_check_has_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check that waited for it tells nothing of its backend; one made beside it is made again."""
    async with running(Server()) as server, Prober() as prober, asyncio.timeout(3 * PATIENCE_S):
        assert (await prober.describe(way(server), 5.0, URL)).problem == ""
        monkeypatch.setattr("rtspdsr.probe.prober.SLACK_S", -15.0)  # one second for a play
        beside = asyncio.ensure_future(prober.describe(way(server), 25.0, URL))
        process(prober).send_signal(signal.SIGSTOP)
        with pytest.raises(Unmade, match=r"gave no outcome within 1 s: it hung, and was ended"):
            await prober.play(way(server), URL)
        assert (await beside).problem == ""
        monkeypatch.undo()
        assert (await prober.play(way(server), URL)).problem == ""


@pytest.mark.parametrize(
    "said", ["nonsense", "[]", '{"order": 1}', "x" * (1 << 17)], ids=["text", "list", "empty", "long"]
)
async def test_what_the_process_says_beside_outcomes_costs_none(
    said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A word of some library on standard output, say."""
    talker = tmp_path / "talker"
    talker.write_text(f"#!/bin/sh\nprintf '%s\\n' '{said}'\nexec {sys.executable} \"$@\"\n")
    talker.chmod(0o755)
    monkeypatch.setattr("rtspdsr.probe.prober.sys.executable", str(talker))
    async with running(Server()) as server, Prober() as prober:
        for _ in range(2):
            assert (await prober.describe(way(server), 10.0, URL)).problem == ""


async def test_a_process_that_cannot_live_is_said_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtspdsr.probe.prober.sys.executable", "/bin/false")
    async with running(Server()) as server, Prober() as prober:
        with pytest.raises(Unmade, match="the process that plays has died, twice"):
            await prober.play(way(server), URL)


async def test_a_process_that_cannot_be_started_is_said_not_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("rtspdsr.probe.prober.sys.executable", str(tmp_path / "gone"))
    async with running(Server()) as server, Prober() as prober:
        with pytest.raises(Unmade, match="the process that plays cannot be started: No such"):
            await prober.play(way(server), URL)


async def test_a_check_that_fails_by_a_fault_of_ours_is_answered_all_the_same() -> None:
    """Each check is ordered again when its outcome is in: without one, its backend is never judged again."""
    async with running(Server()) as server, Prober() as prober, asyncio.timeout(PATIENCE_S):
        with pytest.raises(Unmade, match=r"^ValueError: "):
            await prober.play(way(server), "rtsp://[bad/clip")
        assert (await prober.play(way(server), URL)).problem == ""
