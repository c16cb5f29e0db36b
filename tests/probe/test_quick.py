"""The cheap checks, against servers that are dead, silent, foreign or well."""

import asyncio
import socket
from ipaddress import ip_address

import pytest

from rtspdsr.probe.quick import options, tcp
from rtspdsr.probe.way import Way
from tests.probe.server import VIP, Server, running

URL = "rtsp://127.0.0.1/clip"
TIMEOUT_S = 0.3


def way(port: int) -> Way:
    return Way(vip=ip_address(VIP), port=port)


async def test_a_server_that_is_well_passes_and_its_time_is_taken() -> None:
    async with running(Server()) as server:
        for outcome in (
            await tcp(way(server.port), TIMEOUT_S),
            await options(way(server.port), TIMEOUT_S, URL),
        ):
            assert outcome.passed
            assert outcome.response_s is not None
            assert 0 < outcome.response_s < TIMEOUT_S
        assert server.asked == ["OPTIONS"]
        await asyncio.sleep(0.05)
        assert server.connections == 0


@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found", "501 Not Implemented"])
async def test_any_answer_shows_that_it_serves(status: str) -> None:
    async with running(Server(answers={"OPTIONS": status})) as server:
        assert (await options(way(server.port), TIMEOUT_S, URL)).passed


async def test_a_fault_of_its_own_is_a_failure() -> None:
    async with running(Server(answers={"OPTIONS": "503 Service Unavailable"})) as server:
        outcome = await options(way(server.port), TIMEOUT_S, URL)
    assert outcome.problem == "answers OPTIONS with 503 Service Unavailable"


async def test_a_server_that_hangs_takes_connections_and_does_not_answer() -> None:
    async with running(Server(silent=frozenset({"OPTIONS"}))) as server:
        outcome = await options(way(server.port), TIMEOUT_S, URL)
        assert outcome.problem == "takes connections, and does not answer OPTIONS within 0.3 s: does it hang?"
        assert (await tcp(way(server.port), TIMEOUT_S)).passed


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"SSH-2.0-x\r\n", "answers OPTIONS with 'SSH-2.0-x', which is not RTSP"),
        (b"HTTP/1.1 200 OK\r\n", "answers OPTIONS with 'HTTP/1.1 200 OK', which is not RTSP"),
        (b"\x1b[2Jx\r\n", "answers OPTIONS with '\\x1b[2Jx', which is not RTSP"),
        (b"a" * 9000, f"answers OPTIONS with '{'a' * 60}', which is not RTSP"),
    ],
)
async def test_what_is_no_answer_is_named_without_control_characters(raw: bytes, problem: str) -> None:
    async with running(Server(raw=raw)) as server:
        assert (await options(way(server.port), TIMEOUT_S, URL)).problem == problem


async def test_nobody_listens() -> None:
    with socket.create_server((VIP, 0)) as taken:
        port = taken.getsockname()[1]
    for outcome in (await tcp(way(port), TIMEOUT_S), await options(way(port), TIMEOUT_S, URL)):
        assert outcome.problem == f"refuses connections at 127.0.0.1:{port}: is the media server running?"
        assert outcome.response_s is None


async def test_a_full_backlog_takes_no_connection() -> None:
    with socket.create_server((VIP, 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [await way(port).connect()]
        assert "takes no connection at 127.0.0.1" in (await tcp(way(port), TIMEOUT_S)).problem
        waiting[0].close()


async def test_a_connection_that_is_closed_at_once() -> None:
    async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(close, VIP, 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        problem = (await options(way(port), TIMEOUT_S, URL)).problem
    assert problem in (
        "closes the connection without an answer to OPTIONS",
        f"resets the connection to 127.0.0.1:{port}",
    )
