"""The check that plays, against servers that do each thing wrong; whatever happens, no session is left."""

import asyncio
from collections.abc import Iterator
from ipaddress import ip_address
from operator import attrgetter
from typing import NamedTuple

import pytest

from rtspdsr.probe import play as module
from rtspdsr.probe.play import describe, play
from rtspdsr.probe.way import Way
from tests.probe.server import VIP, Server, running

URL = "rtsp://127.0.0.1/clip"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait is a tenth of what it is in earnest, but the one that hears RTP."""
    for name, seconds in {
        "PLAY_S": 3.0,
        "ANSWER_S": 0.3,
        "FIRST_RTP_S": 0.5,
        "LISTEN_S": 0.6,
        "END_S": 0.5,
    }.items():
        monkeypatch.setattr(module, name, seconds)


def way(server: Server) -> Way:
    return Way(vip=ip_address(VIP), port=server.port)


async def test_a_server_that_is_well_is_measured() -> None:
    async with running(Server()) as server:
        outcome = await play(way(server), URL)
    assert outcome.problem == ""
    assert outcome.source == ip_address(VIP)
    assert outcome.lost == 0.0
    assert outcome.response_s is not None
    assert outcome.first_rtp_s is not None
    assert outcome.jitter_s is not None
    assert outcome.bits_per_s is not None
    assert outcome.response_s < 0.3
    assert outcome.first_rtp_s < 0.5
    assert outcome.jitter_s < 0.02
    assert 400_000 < outcome.bits_per_s < 900_000
    assert server.asked == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN"]
    assert server.sessions == set()


class Case(NamedTuple):
    name: str
    server: Server
    problem: str
    url: str = URL


CASES = [
    Case("nothing there by that name", Server(answers={"DESCRIBE": "404 Not Found"}),
         "answers DESCRIBE with 404 Not Found"),
    Case("a password is wanted", Server(answers={"DESCRIBE": "401 Unauthorized"}),
         "answers DESCRIBE with 401 Unauthorized: give a user and password in probe_url"),
    Case("a play that is refused", Server(answers={"PLAY": "500 Internal Server Error"}),
         "answers PLAY with 500 Internal Server Error"),
    Case("a terminal is not written to", Server(answers={"DESCRIBE": "404 \x1b[2J"}),
         "answers DESCRIBE with 404 \\x1b[2J"),
    Case("RTP from its own address", Server(rtp_from="127.0.0.2"),
         "RTP came from 127.0.0.2, not from the VIP: run rtspdsr backend prepare"),
    Case("no RTP", Server(rtp_from=None), "accepts PLAY, and no RTP comes within 0.5 s"),
    *(Case(f"hangs at {method}", Server(silent=frozenset({method})),
           f"takes connections, and does not answer {method} within 0.3 s: does it hang?")
      for method in ("OPTIONS", "DESCRIBE", "SETUP", "PLAY")),
    Case("a header without end", Server(raw=b"RTSP/1.0 200 OK\r\n" + b"X-Y: z\r\n" * 40_000),
         "answers OPTIONS unreadably: sends more than 256 KiB of answers"),
    Case("another protocol", Server(raw=b"HTTP/1.1 200 OK\r\n\r\n"),
         "answers OPTIONS unreadably: sends what is not RTSP (ValueError)"),
    Case("a description of nothing", Server(kind="nonsense"), f"describes {URL} without any media"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=attrgetter("name"))
async def test_what_is_wrong_is_named_and_no_session_is_left(case: Case) -> None:
    async with running(case.server) as server:
        outcome = await play(way(server), case.url)
        await asyncio.sleep(0.05)
        assert outcome.problem == case.problem
        assert server.connections == 0
    if "SETUP" not in server.silent:
        assert server.sessions == set()


@pytest.fixture
def _quiet(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("_quiet")
async def test_a_broken_server_fills_no_log() -> None:
    async with running(Server(raw=b"\xff\xfe\r\n\r\n")) as server:
        assert not (await play(way(server), URL)).passed


async def test_a_password_in_the_url_is_used() -> None:
    server = Server(answers={"DESCRIBE": "401 Unauthorized"}, headers={"WWW-Authenticate": 'Basic realm="x"'})
    async with running(server):
        outcome = await play(way(server), "rtsp://user:geheim%21@127.0.0.1/clip")
    assert outcome.problem == ""
    assert server.asked.count("DESCRIBE") == 2


async def test_a_server_without_udp_is_heard_in_the_control_connection() -> None:
    async with running(Server(interleaved=True)) as server:
        outcome = await play(way(server), URL)
    assert outcome.problem == ""
    assert outcome.bits_per_s is not None
    assert outcome.bits_per_s > 400_000
    assert server.asked == ["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY", "TEARDOWN"]


async def test_sound_alone_is_played_too() -> None:
    async with running(Server(kind="audio")) as server:
        assert (await play(way(server), URL)).problem == ""


async def test_lost_packets_are_counted_also_where_numbers_wrap() -> None:
    async with running(Server(skip=frozenset(range(65_530, 65_540)))) as server:
        outcome = await play(way(server), URL)
    assert outcome.lost is not None
    assert 0.1 < outcome.lost < 0.35


async def test_a_session_whose_answer_was_late_is_ended_all_the_same() -> None:
    async with running(Server(late_s=0.25)) as server:
        checking = asyncio.create_task(play(way(server), URL))
        await server.heard["SETUP"].wait()
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking
        assert server.asked[-1] == "TEARDOWN"
        assert server.sessions == set()


@pytest.mark.parametrize("step", ["DESCRIBE", "SETUP", "PLAY"])
async def test_cancelling_it_twice_leaves_nothing_either(step: str) -> None:
    async with running(Server()) as server:
        checking = asyncio.create_task(play(way(server), URL))
        await server.heard[step].wait()
        checking.cancel()
        await asyncio.sleep(0)
        checking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await checking
        await asyncio.sleep(0.05)
        assert server.sessions == set()
        assert server.connections == 0


async def test_describe_is_its_beginning_alone() -> None:
    async with running(Server()) as server:
        assert (await describe(way(server), 0.3, URL)).passed
        assert server.asked == ["DESCRIBE"]
        server.answers["DESCRIBE"] = "404 Not Found"
        assert (await describe(way(server), 0.3, URL)).problem == "answers DESCRIBE with 404 Not Found"
