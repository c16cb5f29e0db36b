"""The operator's API over its real Unix socket."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, UnixConnector

from rtspdsr.admin import Admin, ask
from rtspdsr.errors import AdminError, RtspDsrError
from rtspdsr.model import Address


class Desk:
    """An operator's desk that notes what it was asked to do."""

    def __init__(self) -> None:
        self.placed: list[tuple[str, str, str]] = []
        self.living = 0

    def status(self) -> dict[str, Any]:
        return {"sessions": 2}

    def sessions(self) -> Iterator[dict[str, Any]]:
        return ({"session": str(number)} for number in range(self.living))

    def backends(self) -> list[dict[str, Any]]:
        return [{"name": "cam-a", "state": "down"}]

    def place(self, service: str, client: Address, backend: str) -> None:
        if backend == "down":
            raise RtspDsrError("backend down takes no new clients: it is unresolved")
        self.placed.append((service, str(client), backend))


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def admin(desk: Desk, tmp_path: Path) -> AsyncIterator[Path]:
    """A directory with a daemon's socket in it."""
    running = Admin(desk, tmp_path)
    await running.start()
    yield tmp_path
    await running.stop()


async def test_status_sessions_and_backends_are_answered(admin: Path) -> None:
    assert await ask(admin, "GET", "/v1/status") == {"sessions": 2}
    assert await ask(admin, "GET", "/v1/sessions") == []


@pytest.mark.parametrize("living", [1, 50, 51, 1000])
async def test_sessions_are_told_in_pieces_that_make_one_list(admin: Path, desk: Desk, living: int) -> None:
    desk.living = living
    assert await ask(admin, "GET", "/v1/sessions") == [{"session": str(number)} for number in range(living)]
    assert await ask(admin, "GET", "/v1/backends") == [{"name": "cam-a", "state": "down"}]


async def test_only_root_and_its_group_may_open_the_socket(admin: Path) -> None:
    assert (admin / "admin.sock").stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize("client", ["198.51.100.7", "2001:db8::7"])
async def test_a_client_is_placed(admin: Path, desk: Desk, client: str) -> None:
    await ask(admin, "PUT", f"/v1/services/cams/clients/{client}", {"backend": "cam-b"})
    assert desk.placed == [("cams", client, "cam-b")]


async def test_what_the_daemon_refuses_is_told_in_its_words(admin: Path) -> None:
    with pytest.raises(AdminError, match="takes no new clients: it is unresolved"):
        await ask(admin, "PUT", "/v1/services/cams/clients/198.51.100.7", {"backend": "down"})


@pytest.mark.parametrize(
    ("client", "body"),
    [("nobody", '{"backend": "a"}'), ("198.51.100.7", "{}"), ("198.51.100.7", "[1]"), ("198.51.100.7", "{")],
)
async def test_a_bad_request_says_what_is_expected(admin: Path, client: str, body: str) -> None:
    async with (
        ClientSession(connector=UnixConnector(str(admin / "admin.sock"))) as session,
        session.put(f"http://rtspdsr/v1/services/cams/clients/{client}", data=body) as response,
    ):
        assert response.status == 400
        assert "expected an address in the path" in (await response.json())["error"]


async def test_no_daemon_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AdminError, match=r"no daemon answers at .*admin\.sock.*rtspdsr run"):
        await ask(tmp_path, "GET", "/v1/status")


async def test_an_unknown_path_is_an_error_not_a_traceback(admin: Path) -> None:
    with pytest.raises(AdminError):
        await ask(admin, "GET", "/v1/nothing")


async def test_a_socket_left_by_a_killed_daemon_is_replaced(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "admin.sock").write_text("")
    running = Admin(desk, tmp_path)
    await running.start()
    assert await ask(tmp_path, "GET", "/v1/status") == {"sessions": 2}
    await running.stop()
    assert not (tmp_path / "admin.sock").exists()
