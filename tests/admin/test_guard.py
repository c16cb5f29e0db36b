"""Who may ask: every route, over TCP and the Unix socket, with and without what it takes."""

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, UnixConnector

from rtspdsr.admin import Admin
from rtspdsr.admin.guard import COOKIE, LOGIN_S, Guard, Listen, read_token
from rtspdsr.admin.server import application
from rtspdsr.errors import AdminError, ConfigError
from tests.admin.desk import Desk
from tests.admin.lookout import Lookout

TOKEN = "0123456789abcdef0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
#: Answered to whom has no token: the login, which takes it, and what tells nothing.
PUBLIC = {
    ("POST", "/v1/login"),
    *((method, path) for method in ("GET", "HEAD") for path in ("/healthz", "/readyz")),
}


def routes() -> list[tuple[str, str]]:
    """Every route of the application, with something in the parts that vary."""
    made = application(Desk(), Lookout(), Guard(TOKEN))
    names = defaultdict(lambda: "x", service="cams", client="198.51.100.7", backend="cam-a")
    found = []
    for route in made.router.routes():
        assert route.resource is not None
        found.append((route.method, route.resource.canonical.format_map(names)))
    return found


ROUTES = routes()
PAGE = {(method, path) for method, path in ROUTES if path == "/" or path.startswith("/static/")}
CHANGING = [one for one in ROUTES if one[0] not in ("GET", "HEAD")]
PLACE = "/v1/services/cams/clients/198.51.100.7"
WRONG: list[Mapping[str, str]] = [
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": TOKEN},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer \u00fc"},
    {"Cookie": f"{COOKIE}={TOKEN}"},
    {"Cookie": f"{COOKIE}=99999999999."},
    {"Cookie": f"{COOKIE}=99999999999.{'0' * 64}"},
    {"Cookie": f"{COOKIE}=\u00b2.{'0' * 64}"},
]

#: What no client of ours sends: bytes that are no text, JSON that never ends, encodings that there are not.
GARBLED = {
    "a cookie": (b"GET /v1/status", b"Cookie: rtspdsr=99999999999.\xff", b"", 401),
    "a token": (b"GET /v1/status", b"Authorization: Bearer \xff", b"", 401),
    "an origin": (b"GET /healthz", b"Origin: http://\xff", b"", 403),
    "deep JSON": (b"POST /v1/login", b"Content-Type: application/json", b"[" * 60_000, 400),
    "a charset": (b"POST /v1/login", b"Content-Type: application/json; charset=none", b"{}", 400),
    "a compression": (b"POST /v1/login", b"Content-Encoding: gzip", b"no gzip", 400),
}


@pytest.fixture
def listen() -> Listen:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return Listen(address="127.0.0.1", port=port, token=TOKEN, hosts=("lb.example.org",))


@pytest.fixture
async def remote(
    desk: Desk, lookout: Lookout, tmp_path: Path, listen: Listen
) -> AsyncIterator[ClientSession]:
    """A client of the API over TCP, without anything that lets it in."""
    admin = Admin(desk, tmp_path, listen, lookout)
    await admin.start()
    async with ClientSession(f"http://127.0.0.1:{listen.port}") as session:
        yield session
    await admin.stop()


@pytest.fixture
async def local(remote: ClientSession, tmp_path: Path) -> AsyncIterator[ClientSession]:
    """A client of the same API on its Unix socket."""
    connector = UnixConnector(str(tmp_path / "admin.sock"))
    async with ClientSession("http://rtspdsr", connector=connector) as session:
        yield session


async def asked(session: ClientSession, method: str, path: str, **how: Any) -> int:
    """The status of an answer; the rest of it is not waited for."""
    async with session.request(method, path, **how) as response:
        return response.status


def test_there_are_routes_that_change_something() -> None:
    assert ("PUT", PLACE) in CHANGING


@pytest.mark.parametrize(("method", "path"), sorted(set(ROUTES) - PUBLIC - PAGE))
async def test_no_route_answers_without_the_token(
    remote: ClientSession, desk: Desk, method: str, path: str
) -> None:
    for wrong in WRONG:
        assert await asked(remote, method, path, headers=wrong, json={"backend": "cam-a"}) == 401, wrong
    assert desk.placed == []


@pytest.mark.parametrize(("line", "header", "body", "status"), GARBLED.values(), ids=GARBLED)
async def test_what_a_stranger_garbles_is_refused_and_is_no_fault_of_the_daemon(
    remote: ClientSession,
    listen: Listen,
    desk: Desk,
    caplog: pytest.LogCaptureFixture,
    line: bytes,
    header: bytes,
    body: bytes,
    status: int,
) -> None:
    head = b"%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\nContent-Length: %d\r\n\r\n"
    reader, writer = await asyncio.open_connection(listen.address, listen.port)
    writer.write(head % (line, header, len(body)) + body)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert desk.faults == []
    assert caplog.records == []


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_no_route_answers_pages_of_other_sites(
    remote: ClientSession, local: ClientSession, desk: Desk, method: str, path: str
) -> None:
    for foreign in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Host": "[::1"},
    ):
        headers = {**BEARER, **foreign}
        for session in (remote, local):
            assert await asked(session, method, path, headers=headers, json={"backend": "cam-a"}) == 403
    assert desk.placed == []


async def test_an_unknown_path_takes_the_token_too(remote: ClientSession) -> None:
    assert await asked(remote, "GET", "/v1/nothing") == 401
    assert await asked(remote, "GET", "/v1/nothing", headers=BEARER) == 404


async def test_the_token_lets_in(remote: ClientSession, desk: Desk) -> None:
    assert await asked(remote, "GET", "/v1/status", headers=BEARER) == 200
    assert await asked(remote, "PUT", PLACE, headers=BEARER, json={"backend": "cam-b"}) == 200
    assert desk.placed == [("cams", "198.51.100.7", "cam-b")]


async def test_whoever_can_open_the_socket_needs_no_token(local: ClientSession, desk: Desk) -> None:
    assert await asked(local, "PUT", PLACE, json={"backend": "cam-b"}) == 200
    async with local.post("/v1/login", json={"token": ""}) as response:
        assert await response.json() == {"expires_s": None}
        assert not response.cookies


@pytest.mark.parametrize("host", ["localhost:9", "192.0.2.1", "[2001:db8::1]:9", "LB.example.org"])
async def test_it_answers_to_its_address_and_its_names(remote: ClientSession, host: str) -> None:
    assert await asked(remote, "GET", "/v1/status", headers={**BEARER, "Host": host}) == 200


async def test_a_refusal_says_what_is_needed(remote: ClientSession) -> None:
    async with remote.get("/v1/status") as response:
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert "Authorization: Bearer TOKEN" in (await response.json())["error"]


async def test_a_browser_logs_in_changes_something_and_logs_out(
    remote: ClientSession, desk: Desk, listen: Listen
) -> None:
    origin = {"Origin": f"http://127.0.0.1:{listen.port}"}
    async with remote.post("/v1/login", json={"token": TOKEN}, headers=origin) as response:
        assert await response.json() == {"expires_s": LOGIN_S}
        cookie = response.cookies[COOKIE]
        assert cookie["httponly"]
        assert (cookie["samesite"], cookie["path"], cookie["secure"]) == ("Strict", "/", "")
        assert TOKEN not in cookie.value
    logged_in = {"Cookie": f"{COOKIE}={cookie.value}"}
    assert await asked(remote, "GET", "/v1/status", headers=logged_in) == 200
    assert await asked(remote, "PUT", PLACE, headers=logged_in, json={"backend": "cam-b"}) == 403
    assert (
        await asked(remote, "PUT", PLACE, headers={**logged_in, **origin}, json={"backend": "cam-b"}) == 200
    )
    assert desk.placed == [("cams", "198.51.100.7", "cam-b")]
    async with remote.delete("/v1/login", headers={**logged_in, **origin}) as response:
        assert response.cookies[COOKIE]["max-age"] == "0"


async def test_a_login_behind_tls_has_a_cookie_for_tls_alone(remote: ClientSession) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "Host": "lb.example.org", "Origin": "https://lb.example.org"}
    async with remote.post("/v1/login", json={"token": TOKEN}, headers=forwarded) as response:
        assert response.cookies[COOKIE]["secure"]


async def test_a_wrong_token_logs_nobody_in(remote: ClientSession) -> None:
    async with remote.post("/v1/login", json={"token": "wrong"}) as response:
        assert response.status == 401
        assert not response.cookies


async def test_a_login_ends(remote: ClientSession) -> None:
    over = Guard(TOKEN).log_in(TOKEN, "192.0.2.1", now=1_700_000_000.0)
    cookie = SimpleCookie({COOKIE: over or ""})[COOKIE].coded_value
    assert await asked(remote, "GET", "/v1/status", headers={"Cookie": f"{COOKIE}={cookie}"}) == 401


async def test_a_login_by_another_token_is_none(remote: ClientSession) -> None:
    other = Guard("x" * 32).log_in("x" * 32, "192.0.2.1", now=4_000_000_000.0)
    assert await asked(remote, "GET", "/v1/status", headers={"Cookie": f"{COOKIE}={other}"}) == 401


async def test_answers_tell_browsers_to_keep_and_embed_nothing(remote: ClientSession) -> None:
    async with remote.get("/v1/sessions", headers=BEARER) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["Server"] == "rtspdsr"


async def test_an_address_that_is_taken_is_said_with_what_to_do(
    desk: Desk, lookout: Lookout, tmp_path: Path, listen: Listen
) -> None:
    with socket.create_server(("127.0.0.1", listen.port)):
        admin = Admin(desk, tmp_path, listen, lookout)
        with pytest.raises(AdminError, match=r"cannot listen at 127\.0\.0\.1 port \d+: .*admin\.listen"):
            await admin.start()
        await admin.stop()


# --- the token's file


def test_a_token_is_one_long_word_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o640)
    file.write_text(f"{TOKEN}\n")
    assert read_token(file) == TOKEN


@pytest.mark.parametrize("text", ["", "short", "two words, and more than thirty-two characters", "x" * 31])
def test_a_token_that_is_easily_guessed_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o640)
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"admin\.token_file: .* at least 32 characters; openssl rand"):
        read_token(file)


def test_a_token_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"admin\.token_file: everybody can read .*; chmod 640"):
        read_token(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"admin\.token_file: .*absent cannot be read"):
        read_token(tmp_path / "absent")
