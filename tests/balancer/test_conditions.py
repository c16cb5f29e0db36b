"""What a daemon knew of its backends, known again by the next one; over real maps and a real directory."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rtspdsr.balancer import conditions as module
from rtspdsr.balancer.conditions import FILE, Conditions
from rtspdsr.balancer.placing import Placing
from rtspdsr.config import Config
from rtspdsr.core.events import BackendUp
from rtspdsr.core.health import Check, Order, Outcome
from rtspdsr.core.slowstart import SHARES
from rtspdsr.core.tracker import Tracker, TrackerLimits
from rtspdsr.model import AdminState
from tests.balancer import test_checks
from tests.balancer.test_checks import config
from tests.balancer.test_fleet import heard, mac
from tests.core.builders import of
from tests.dataplane.conftest import Wire

pytestmark = pytest.mark.kernel

TWO = (["192.0.2.11"], ["192.0.2.12"])


class Daemon(test_checks.Stand):
    """The parts of one daemon, from its start on."""

    def __init__(self, wire: Wire, state: Path, wanted: Config) -> None:
        super().__init__(wire)
        self.faults: list[Exception] = []
        tracker = Tracker(TrackerLimits(), map(str, count()))
        self.placing = Placing(
            self.dataplane, tracker, self.fleet, lambda _: None, self._apply, self.faults.append
        )
        self.checks = self.configure(wanted)
        self.conditions = Conditions(state, self.fleet, self.health, self.placing, self.faults.append)
        self.conditions.recall()
        for number in (11, 12):
            self.fleet.neighbour(heard(f"192.0.2.{number}", mac(number)), 1.0)
        self.look()

    def look(self) -> None:
        for service in self.fleet.services:
            self.placing.look(service)

    def find(self, backend_id: int, problem: str, times: int = 1) -> None:
        """Have so many checks in a row find something."""
        for _ in range(times):
            self.health.due(time.monotonic() + 1e6)
            order = Order(backend_id, Check.OPTIONS)
            self.checks._take(self.health.take(order, Outcome(problem=problem), time.monotonic()))
        self.look()

    def states(self) -> list[str]:
        return [str(self.fleet.state(one)) for one in self.fleet.services[0].backends]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.conditions.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self.dataplane.close()


@pytest.fixture
def start(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Daemon]:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    return lambda **service: Daemon(wire, tmp_path, config(*TWO, health={"fall": 1, "rise": 2}, **service))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is on disk
            await asyncio.sleep(0.01)


def written(state: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((state / FILE).read_text()) if (state / FILE).exists() else {}
    return found


async def test_a_backend_that_was_down_stays_out_until_its_checks_pass(
    start: Callable[..., Daemon], tmp_path: Path
) -> None:
    first = start()
    async with first.running():
        first.find(2, "")
        first.find(1, "refuses connections")
        assert first.states() == ["down", "up"]
        await until(lambda: "cams/a" in written(tmp_path))
    second = start()
    async with second.running():
        assert second.states() == ["down", "up"]
        assert [one.name for one in second.fleet.usable(second.fleet.services[0])] == ["b"]
        assert second.health.problem(1) == "refuses connections"
        second.find(1, "", times=2)
        assert second.states() == ["up", "up"]
        (up,) = of(BackendUp, second.said)
        assert 0 <= up.down_s < 60
        await until(lambda: written(tmp_path) == {})
    assert (first.faults, second.faults) == ([], [])


async def test_when_all_of_a_service_were_down_all_may_serve(
    start: Callable[..., Daemon], tmp_path: Path
) -> None:
    down = {"down_at": time.time(), "problems": {"options": "refuses connections"}}
    (tmp_path / FILE).write_text(json.dumps({"cams/a": down, "cams/b": down}))
    daemon = start()
    async with daemon.running():
        assert daemon.states() == ["up", "up"]


async def test_one_that_was_down_may_serve_when_the_operator_has_taken_out_the_others(
    start: Callable[..., Daemon], tmp_path: Path
) -> None:
    down = {"down_at": time.time(), "problems": {"options": "refuses connections"}}
    daemon = start()
    daemon.fleet.administer(2, AdminState.MAINT, closed=True)
    (tmp_path / FILE).write_text(json.dumps({"cams/a": down}))
    daemon.conditions.recall()
    async with daemon.running():
        assert daemon.states() == ["up", "maint"]


async def test_a_slow_start_goes_on_where_it_was(start: Callable[..., Daemon], tmp_path: Path) -> None:
    first = start(slow_start_s=3600.0)
    async with first.running():
        first.find(2, "")
        first.find(1, "refuses connections")
        first.find(1, "", times=2)
        await until(lambda: "back_at" in written(tmp_path).get("cams/a", {}))
        record = written(tmp_path)
    record["cams/a"]["back_at"] -= 1900  # the third of four parts, and not its edge: it was rounded
    (tmp_path / FILE).write_text(json.dumps(record))
    second = start(slow_start_s=3600.0)
    async with second.running():
        one, other = second.fleet.services[0].backends
        assert (second.placing.share(one), second.placing.share(other)) == (SHARES[2], 1.0)


async def test_a_fault_is_told_and_survived(
    start: Callable[..., Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    daemon = start()
    daemon.find(2, "")
    daemon.find(1, "refuses connections")
    with monkeypatch.context() as broken:
        broken.setattr(daemon.health, "fallen", None)  # what calls it raises TypeError
        async with daemon.running():
            await until(lambda: daemon.faults)
            broken.undo()
            await until(lambda: "cams/a" in written(tmp_path))
    assert {type(one) for one in daemon.faults} == {TypeError}


@pytest.mark.parametrize("text", ["{", "[]", '{"cams/a": 7}', '{"cams/a": {"down_at": "x", "problems": {}}}'])
async def test_a_file_that_makes_no_sense_is_told_and_every_backend_counts_as_up(
    start: Callable[..., Daemon], tmp_path: Path, text: str
) -> None:
    (tmp_path / FILE).write_text(text)
    daemon = start()
    async with daemon.running():
        assert daemon.states() == ["up", "up"]
        (fault,) = daemon.faults
        assert "which says which backends were down" in str(fault)
        await until(lambda: (tmp_path / FILE).read_text() == "{}\n")
