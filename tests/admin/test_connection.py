"""Connections over TCP: what strangers may take of the daemon, and what is said of it."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

import rtspdsr.admin.connection
from rtspdsr.admin import Admin
from rtspdsr.admin.attempts import WRONG_MAX
from rtspdsr.admin.connection import CONNECTIONS_MAX, OF_ONE_MAX, Connection, Room
from rtspdsr.admin.guard import Listen
from tests.admin.desk import Desk
from tests.admin.lookout import Lookout

TOKEN = "0123456789abcdef0123456789abcdef"
HEAD = b"%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
CUT_SHORT = {
    "without the token": HEAD % (b"PUT /v1/services/a/clients/b", b"Content-Length: 99\r\n"),
    "a login": HEAD % (b"POST /v1/login", b"Content-Length: 99\r\n") + b"{",
    "in its head": b"GET /heal",
}
NONSENSE = {
    "chunks that are none": HEAD % (b"POST /v1/login", b"Transfer-Encoding: chunked\r\n") + b"zz\r\n",
    "a request line without end": b"GET /" + b"a" * 20_000,
    "a header without end": HEAD % (b"GET /healthz", b"X: " + b"a" * 20_000 + b"\r\n"),
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a version that there is not": b"GET / HTTP/9.9.9\r\n\r\n",
    "a control character": b"GET /\x00\x1b[31m HTTP/1.1\r\n\r\n",
}


@pytest.fixture
async def port(desk: Desk, lookout: Lookout, tmp_path: Path) -> AsyncIterator[int]:
    """Where the API listens on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = Listen(address="127.0.0.1", port=free.getsockname()[1], token=TOKEN)
    admin = Admin(desk, tmp_path, listen, lookout)
    await admin.start()
    yield listen.port
    await admin.stop()


async def said(port: int, octets: bytes, *, leaving: bool = False) -> bytes:
    """All that comes back until the daemon closes; ``leaving``: it is told that no more comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(octets)
    if leaving:
        writer.write_eof()
    try:
        async with asyncio.timeout(30):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("octets", "leaving"),
    [*((one, False) for one in NONSENSE.values()), *((one, True) for one in CUT_SHORT.values())],
    ids=[*NONSENSE, *CUT_SHORT],
)
async def test_nonsense_is_told_in_a_line_however_often_it_comes(
    port: int,
    desk: Desk,
    octets: bytes,
    leaving: bool,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = [await said(port, octets, leaving=leaving) for _ in range(20)]

    told = capsys.readouterr().err.splitlines()
    assert len(told) <= 1
    assert all(line.startswith("admin API: ") and line.isprintable() for line in told)
    assert caplog.records == []
    assert desk.faults == []
    assert not any(b"aiohttp" in answer or b"Python" in answer for answer in answers)


async def test_what_cannot_be_read_is_refused_like_everything_else(port: int) -> None:
    answer = await said(port, NONSENSE["a request line without end"])
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert b"Server: rtspdsr\r\n" in answer
    assert b'{"error": "this is no request that can be read: ' in answer


async def test_a_body_that_does_not_come_is_not_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtspdsr.admin.server.BODY_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD % (b"POST /v1/login", b"Content-Length: 99\r\n"))
    async with asyncio.timeout(30):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_who_says_nothing_is_let_go(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtspdsr.admin.server.IDLE_S", 0.1)
    for octets in (b"", b"GET /hea", HEAD % (b"GET /healthz", b"")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(octets)
        async with asyncio.timeout(30):
            await reader.read()  # until the daemon closes it
        writer.close()


async def test_there_are_so_many_connections_and_no_more(
    port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtspdsr.admin.connection, "OF_ONE_MAX", 3)
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    for _, writer in held:
        writer.write(HEAD % (b"GET /healthz", b""))
    for reader, _ in held:
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")

    assert await said(port, HEAD % (b"GET /healthz", b"")) == b""
    assert "no room for one more connection, from 127.0.0.1" in capsys.readouterr().err

    for reader, writer in held:
        writer.write(HEAD % (b"GET /healthz", b"Connection: close\r\n"))
        await reader.read()
        writer.close()
    assert (await said(port, HEAD % (b"GET /healthz", b"Connection: close\r\n"))).startswith(b"HTTP/1.1 200 ")


def test_one_address_cannot_take_the_room_of_all() -> None:
    room = Room()
    assert [room.enter("192.0.2.1") for _ in range(OF_ONE_MAX + 1)] == [True] * OF_ONE_MAX + [False]
    assert room.enter("192.0.2.2")
    room.leave("192.0.2.1")
    assert room.enter("192.0.2.1")
    others = [room.enter(f"198.51.100.{number}") for number in range(CONNECTIONS_MAX)]
    assert others.count(True) == CONNECTIONS_MAX - OF_ONE_MAX - 1


def test_one_host_of_ipv6_cannot_take_it_by_its_many_addresses() -> None:
    room = Room()
    hosts = [room.enter(f"2001:db8::{number:x}") for number in range(CONNECTIONS_MAX)]
    assert hosts.count(True) == OF_ONE_MAX
    assert room.enter("2001:db8:0:1::1")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        HEAD % (b"GET /healthz", b"Connection: close\r\n"),
        HEAD % (b"GET /v1/status", b"Connection: close\r\n"),
        HEAD % (b"GET /v1/status", b"Connection: close\r\nAuthorization: Bearer %s\r\n" % TOKEN.encode()),
        NONSENSE["another protocol"],
    ],
    ids=["silent", "answered", "refused", "let in", "nonsense"],
)
async def test_what_has_ended_is_freed_without_a_search_for_cycles(port: int, octets: bytes) -> None:
    """While there are sessions, the daemon searches for cycles in what is new alone (balancer/upkeep.py)."""

    def visit() -> None:  # by a plain socket: a transport of the test's own would be in a cycle, too
        with socket.create_connection(("127.0.0.1", port), 30) as visitor, suppress(ConnectionError):
            visitor.sendall(octets)
            visitor.shutdown(socket.SHUT_WR)
            while visitor.recv(1 << 16):
                pass

    def kept() -> list[object]:
        return [one for one in gc.get_objects() if isinstance(one, Connection | asyncio.Transport)]

    listening = len(kept())
    gc.disable()
    try:
        for _ in range(3):
            await asyncio.to_thread(visit)
        async with asyncio.timeout(20):
            while len(kept()) > listening:  # noqa: ASYNC110 - objects that go tell nobody
                await asyncio.sleep(0.1)
    finally:
        gc.enable()


@pytest.mark.parametrize("way", ["login", "bearer"])
async def test_who_tries_many_tokens_is_told_to_leave_off_and_keeps_out_nobody(
    port: int, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def attempt(token: str) -> bytes:
        if way == "bearer":
            return HEAD % (
                b"GET /v1/status",
                b"Connection: close\r\nAuthorization: Bearer %s\r\n" % token.encode(),
            )
        body = b'{"token": "%s"}' % token.encode()
        return HEAD % (b"POST /v1/login", b"Connection: close\r\nContent-Length: %d\r\n" % len(body)) + body

    assert (await said(port, attempt(TOKEN))).startswith(b"HTTP/1.1 200 ")
    for number in range(WRONG_MAX):
        assert (await said(port, attempt(f"{number:032}"))).startswith(b"HTTP/1.1 401 ")
    refused = await said(port, attempt("wrong" * 8))

    assert refused.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 60\r\n" in refused
    assert (await said(port, attempt(TOKEN))).startswith(b"HTTP/1.1 200 ")  # of others, behind the same proxy
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "admin API: a wrong token came from 127.0.0.1"


@pytest.mark.parametrize("path", [b"/healthz", b"/readyz", b"/metrics", b"/v1/status", b"/"])
async def test_a_head_is_answered_as_a_get_without_its_body(port: int, path: bytes) -> None:
    how = b"Connection: close\r\nAuthorization: Bearer %s\r\n" % TOKEN.encode()
    got, _, _ = (await said(port, HEAD % (b"GET " + path, how))).partition(b"\r\n")
    head, _, body = (await said(port, HEAD % (b"HEAD " + path, how))).partition(b"\r\n\r\n")
    assert head.partition(b"\r\n")[0] == got == b"HTTP/1.1 200 OK"
    assert body == b""
