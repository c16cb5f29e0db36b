"""Taking a backend out as an operator does, over a desk that stands in for the daemon."""

import asyncio
import json
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rtspdsr.admin import Admin
from rtspdsr.admin.answers import BackendDetail
from rtspdsr.cli import app
from rtspdsr.cli.drain import seconds
from rtspdsr.errors import AdminError, UsageError
from rtspdsr.model import AdminState
from tests.admin.desk import BACKEND, Desk


class Drained(Desk):
    """A desk whose backend is drained when that is wanted, and empties as it is looked at.

    looks: how it stands at each look, the last for ever
    """

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[BackendDetail] = [ready()]

    async def backend(self, service: str, backend: str) -> BackendDetail:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]


def ready() -> BackendDetail:
    """The backend before anything was wanted of it."""
    return {**BACKEND, "state": "up", "admin_state": "ready", "drain": None}


def draining(sessions: int, *, deadline_in_s: float | None = 1740.0) -> BackendDetail:
    """The backend with so many sessions left."""
    made = deepcopy(BACKEND)
    assert made["drain"] is not None
    made["sessions"] = sessions
    made["drain"]["deadline_in_s"] = deadline_in_s
    if not sessions:
        made["drain"] |= {"empty": True, "empty_in_s": 0.0}
        made["urls"], made["clients"] = [], []
    return made


@pytest.fixture
def desk() -> Drained:
    return Drained()


@pytest.fixture
async def config(desk: Drained, tmp_path: Path) -> AsyncIterator[Path]:
    """A configuration whose daemon answers."""
    running = Admin(desk, tmp_path)
    await running.start()
    file = tmp_path / "rtspdsr.toml"
    file.write_text(
        f'[daemon]\nrun_dir = "{tmp_path}"\n[dataplane]\ninterfaces = ["eth0"]\n[[service]]\nname = "cams"\n'
        'vips = ["192.0.2.10"]\n[[service.backend]]\nname = "cam-a"\naddresses = ["192.0.2.21"]\n'
    )
    yield file
    await running.stop()


async def run(config: Path, *words: str) -> Any:
    """A command of ``rtspdsr backend``, while the daemon's loop turns."""
    arguments = ["backend", *words, "--config", str(config)]
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env={"COLUMNS": "120"})


async def test_drain_tells_what_holds_the_backend_and_for_how_long(config: Path, desk: Drained) -> None:
    desk.looks = [ready(), draining(1)]
    ran = await run(config, "drain", "cam-a", "--deadline", "30m")
    assert ran.exit_code == 0, ran.output
    assert desk.administered == [("cams", "cam-a", AdminState.DRAIN, 1800.0, False)]
    assert "cams/cam-a: drains for 1 min; in 29 min what is left is ended" in ran.output
    assert "1 session left, 3 finished, 1 followed, empty in about 3 min 20 s" in ran.output
    assert "a new session of a client that has sessions there follows them" in ran.output
    assert ran.output.count("rtsp://192.0.2.10/live") == 2
    assert ran.output.count("198.51.100.7") == 2


async def test_asked_again_it_only_looks_and_the_deadline_stays(config: Path, desk: Drained) -> None:
    desk.looks = [draining(1)]
    assert (await run(config, "drain", "cams/cam-a")).exit_code == 0
    assert desk.administered == []
    await run(config, "drain", "cams/cam-a", "--deadline", "none")
    assert desk.administered == [("cams", "cam-a", AdminState.DRAIN, None, False)]


async def test_wait_returns_when_nothing_is_left(config: Path, desk: Drained) -> None:
    desk.looks = [ready(), draining(2), draining(1), draining(0)]
    ran = await run(config, "drain", "cam-a", "--wait")
    assert ran.exit_code == 0, ran.output
    assert "2 sessions left" in ran.output
    assert "cams/cam-a is empty after 1 min: 3 sessions finished, 0 ended" in ran.output


async def test_wait_fails_when_somebody_gives_the_backend_back(config: Path, desk: Drained) -> None:
    desk.looks = [ready(), draining(2), ready()]
    ran = await run(config, "drain", "cam-a", "--wait")
    assert isinstance(ran.exception, AdminError)
    assert "cams/cam-a is ready by now: somebody else has said so" in str(ran.exception)


async def test_json_is_one_object_how_it_stands_at_the_end(config: Path, desk: Drained) -> None:
    desk.looks = [ready(), draining(2), draining(0)]
    ran = await run(config, "maint", "cam-a", "--json", "--force")
    assert desk.administered == [("cams", "cam-a", AdminState.MAINT, None, True)]
    assert json.loads(ran.output)["sessions"] == 2


async def test_ready_says_whether_the_backend_is_fit(config: Path, desk: Drained) -> None:
    assert (await run(config, "ready", "cam-a")).output == "cams/cam-a is ready, and gets new clients\n"
    desk.looks = [{**ready(), "state": "down", "problem": "no connection"}]
    assert "is ready, but it is down: no connection" in (await run(config, "ready", "cam-a")).output


async def test_a_name_that_there_is_not_tells_those_that_there_are(config: Path) -> None:
    ran = await run(config, "drain", "cam-x")
    assert "no backend cam-x; there are cams/cam-a" in str(ran.exception)


@pytest.mark.parametrize(
    ("text", "meant"), [("90", 90), ("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172_800)]
)
def test_times_are_read(text: str, meant: float) -> None:
    assert seconds(text) == meant


@pytest.mark.parametrize("text", ["", "soon", "-5m", "5m1h", "1.5h"])
def test_what_is_no_time_says_how_to_give_one(text: str) -> None:
    with pytest.raises(UsageError, match="give a time such as 30m"):
        seconds(text)
