"""What a service manager hears, at a socket that plays one."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rtspdsr.balancer import supervisor as module
from rtspdsr.balancer.supervisor import Supervisor


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The manager's end; the environment names it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@rtspdsr-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(name.replace("@", "\0"))
        end.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield end


def heard(manager: socket.socket) -> dict[str, str]:
    """The next datagram's assignments."""
    lines = manager.recv(4096).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


async def test_each_step_is_told_in_systemd_s_words(manager: socket.socket) -> None:
    before = time.monotonic()
    async with Supervisor.of_this_process() as supervisor:
        await supervisor.starting("adopting")
        await supervisor.ready("forwarding on eth0")
        await supervisor.reloading()
        await supervisor.stopping()

    starting, ready, reloading, stopping = (heard(manager) for _ in range(4))
    assert starting["STATUS"] == "adopting"
    assert int(starting["EXTEND_TIMEOUT_USEC"]) >= 60_000_000
    assert ready == {"READY": "1", "STATUS": "forwarding on eth0"}
    assert reloading["RELOADING"] == "1"
    assert before * 1e6 - 1 <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic() * 1e6
    assert stopping["STOPPING"] == "1"


async def test_signs_of_life_come_more_often_than_the_watchdog_asks_and_cease_with_a_problem(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    problems: list[str | None] = [None, None, "the detour stands still"]
    async with Supervisor.of_this_process() as supervisor:
        assert supervisor.watchdog_s == 0.4
        watching = asyncio.create_task(supervisor.watch(lambda: problems.pop(0), lambda: "3 sessions"))
        with suppress(IndexError):  # the third look is the last
            await asyncio.wait_for(watching, 20)

    signs = [heard(manager) for _ in range(3)]
    assert signs[:2] == [{"WATCHDOG": "1", "STATUS": "3 sessions"}] * 2
    assert signs[2] == {"STATUS": "not alive: the detour stands still"}


@pytest.mark.parametrize(("usec", "pid"), [("", ""), ("0", ""), ("1000000", "1")])
async def test_a_watchdog_for_nobody_or_another_process_is_none(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch, usec: str, pid: str
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    async with Supervisor.of_this_process() as supervisor:
        assert supervisor.watchdog_s is None


async def test_children_are_not_told_where_the_manager_listens(manager: socket.socket) -> None:
    async with Supervisor.of_this_process():
        assert "NOTIFY_SOCKET" not in os.environ


async def test_without_a_manager_nothing_is_told_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    async with Supervisor.of_this_process() as supervisor:
        await supervisor.ready("forwarding")


async def test_a_manager_that_is_not_there_is_named_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "none"))
    async with Supervisor.of_this_process() as supervisor:
        await supervisor.ready("forwarding")
    assert "no service manager listens at NOTIFY_SOCKET" in capsys.readouterr().err


async def test_a_manager_that_hears_no_more_or_goes_away_ends_nothing(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEND_S", 0.01)
    async with Supervisor.of_this_process() as supervisor, asyncio.timeout(60):
        for number in range(300):  # more than its queue takes
            await supervisor.ready(f"{number} " + "x" * 1000)
        manager.close()
        for _ in range(3):
            await supervisor.ready("is anybody there?")
