"""The operator's API over its real Unix socket."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from aiohttp import ClientSession, UnixConnector

from rtspdsr.admin import Admin, ask
from rtspdsr.errors import AdminError, NotFound
from tests.admin.desk import BACKENDS, STATUS, Desk, session
from tests.admin.lookout import Lookout

NOBODY = 65534


async def test_status_sessions_and_backends_are_answered(admin: Path) -> None:
    assert await ask(admin, "GET", "/v1/status") == STATUS
    assert await ask(admin, "GET", "/v1/sessions") == []


@pytest.mark.parametrize("living", [1, 50, 51, 1000])
async def test_sessions_are_told_in_pieces_that_make_one_list(admin: Path, desk: Desk, living: int) -> None:
    desk.living = living
    assert await ask(admin, "GET", "/v1/sessions") == list(map(session, range(living)))
    assert await ask(admin, "GET", "/v1/backends") == BACKENDS


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
    ("client", "body", "problem"),
    [
        ("nobody", '{"backend": "a"}', "client: Input is not a valid IPv4 address"),
        ("198.51.100.7", "{}", "backend: Field required"),
        ("198.51.100.7", '{"backend": 7}', "backend: Input should be a valid string"),
        ("198.51.100.7", '{"backend": "a", "bakend": "b"}', "bakend: Extra inputs are not permitted"),
        ("198.51.100.7", "[1]", "should be a JSON object"),
        ("198.51.100.7", "{", "the body is no JSON"),
    ],
)
async def test_a_bad_request_names_what_is_wrong(admin: Path, client: str, body: str, problem: str) -> None:
    async with (
        ClientSession(connector=UnixConnector(str(admin / "admin.sock"))) as session,
        session.put(f"http://rtspdsr/v1/services/cams/clients/{client}", data=body) as response,
    ):
        assert response.status == 400
        assert problem in (await response.json())["error"]


async def test_no_daemon_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AdminError, match=r"no daemon answers at \S*admin\.sock \(No such file .*rtspdsr run"):
        await ask(tmp_path, "GET", "/v1/status")


@contextmanager
def nobody() -> Iterator[None]:
    """Without root's rights, and in no group."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that everybody may look into."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


async def test_who_may_not_open_the_socket_is_told_who_may(
    desk: Desk, lookout: Lookout, reachable: Path
) -> None:
    running = Admin(desk, reachable, watch=lookout)
    await running.start()
    assert await ask(reachable, "GET", "/v1/status") == STATUS
    with nobody(), pytest.raises(AdminError, match=r"admin\.sock is for root and its group; be one of them"):
        await ask(reachable, "GET", "/v1/status")
    await running.stop()


async def test_an_unknown_path_is_an_error_not_a_traceback(admin: Path) -> None:
    with pytest.raises(NotFound, match="GET /v1/nothing: Not Found"):
        await ask(admin, "GET", "/v1/nothing")


async def test_a_question_that_a_route_does_not_know_is_refused(admin: Path) -> None:
    with pytest.raises(AdminError, match="colour: Extra inputs are not permitted"):
        await ask(admin, "GET", "/v1/status?colour=red")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_daemon_that_is_well_says_200_and_why_not_503(
    admin: Path, lookout: Lookout, path: str
) -> None:
    async with ClientSession("http://rtspdsr", connector=UnixConnector(str(admin / "admin.sock"))) as session:
        async with session.get(path) as response:
            assert response.status == 200
        lookout.alive, lookout.problems = False, ["no backend of cams takes new clients"]
        async with session.get(path) as response:
            assert response.status == 503
            answer = await response.json()
    if path == "/readyz":
        assert (answer["ready"], answer["problems"]) == (False, lookout.problems)
    else:
        assert answer["alive"] is False


async def test_a_fault_of_the_daemons_is_told_to_it_and_hidden_from_nobody(admin: Path, desk: Desk) -> None:
    desk.broken = True
    with pytest.raises(AdminError, match="a fault of the daemon's own; its log has it as daemon_fault"):
        await ask(admin, "GET", "/v1/status")
    assert [str(error) for error in desk.faults] == ["the desk is broken"]


async def test_a_socket_left_by_a_killed_daemon_is_replaced(
    desk: Desk, lookout: Lookout, tmp_path: Path
) -> None:
    (tmp_path / "admin.sock").write_text("")
    running = Admin(desk, tmp_path, watch=lookout)
    await running.start()
    assert await ask(tmp_path, "GET", "/v1/status") == STATUS
    await running.stop()
    assert not (tmp_path / "admin.sock").exists()


async def test_sessions_are_asked_for_by_what_they_do(admin: Path, desk: Desk) -> None:
    await ask(admin, "GET", "/v1/sessions?client=198.51.100.7/24&url=*/live&state=playing&limit=5")

    (asked,) = desk.asked
    assert (str(asked.client), asked.url, asked.state, asked.limit) == (
        "198.51.100.0/24",
        "*/live",
        "playing",
        5,
    )


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("state=asleep", "state: Input should be"),
        ("client=nobody", "client: "),
        ("colour=red", "colour: Extra"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(admin: Path, query: str, problem: str) -> None:
    with pytest.raises(AdminError, match=problem):
        await ask(admin, "GET", f"/v1/sessions?{query}")


async def test_an_unknown_session_is_not_found(admin: Path) -> None:
    assert (await ask(admin, "GET", "/v1/sessions/1918"))["session"] == "1918313625c2"
    with pytest.raises(NotFound, match="no session 'ffff'"):
        await ask(admin, "GET", "/v1/sessions/ffff")
