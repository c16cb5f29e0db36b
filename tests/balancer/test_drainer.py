"""The operator's will put into effect, over real maps: kept, refused, forgotten; who follows and who not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from itertools import count
from pathlib import Path

import pytest

from rtspdsr.balancer.administration import Administration
from rtspdsr.balancer.drainer import Drainer
from rtspdsr.balancer.fleet import Fleet
from rtspdsr.balancer.registry import Registry
from rtspdsr.balancer.slottables import SlotTables
from rtspdsr.core.events import (
    BackendDrained,
    BackendReadied,
    ClientPlaced,
    ClientReleased,
    DrainBegun,
    Event,
    TableFilled,
)
from rtspdsr.core.tracker import Tracker, TrackerLimits
from rtspdsr.dataplane import layout
from rtspdsr.dataplane.dataplane import Dataplane, Sizes
from rtspdsr.errors import AdminError
from rtspdsr.model import AdminState, BackendState
from tests.balancer.test_fleet import config, heard, mac
from tests.core.builders import CLIENT, Control, of, play_udp, transport
from tests.dataplane.conftest import Wire

pytestmark = pytest.mark.kernel

SIZES = Sizes(pins=100, flows=64, clients=10, newcomers=64, services=2, backends=4, segments_bytes=1 << 16)
TWO = ("192.0.2.11", "192.0.2.12")


class Stand:
    """A drainer among the parts of a daemon that it works with, and what was said."""

    def __init__(self, dataplane: Dataplane, state: Path) -> None:
        self.dataplane = dataplane
        self.said: list[Event] = []
        self.faults: list[Exception] = []
        self.fleet = Fleet(dataplane, Registry(SIZES.services, SIZES.backends, {}, {}), self._changed)
        self.tables = SlotTables(dataplane, self.fleet.usable, self.fleet.is_withdrawn, self._filled)
        self.tracker = Tracker(TrackerLimits(), (f"s{number}" for number in count(1)))
        self.drainer = Drainer(
            self.fleet, self.tracker, dataplane, Administration(state), self._apply, self._failed
        )
        self.configure(*TWO)
        for number in (11, 12):
            self.fleet.neighbour(heard(f"192.0.2.{number}", mac(number)), 1.0)

    def configure(self, *addresses: str) -> None:
        wanted = config(*addresses)
        self.fleet.configure(wanted)
        self.drainer.configure(wanted)

    async def want(
        self, backend: str, state: AdminState, deadline_s: float | None = None, *, force: bool = False
    ) -> None:
        """Have the operator want something, and the table follow."""
        await self.drainer.administer(*self.fleet.find("cams", backend), state, deadline_s, force=force)
        await self.tables.settle()

    def states(self) -> dict[str, str]:
        """By backend."""
        return {one.name: self.fleet.state(one) for one in self.fleet.services[0].backends}

    def _apply(self, events: Iterable[Event]) -> None:
        for event in events:
            self.drainer.note(event)
            if isinstance(event, ClientReleased):
                self.dataplane.release_client(event.service_id, event.client)
            if isinstance(event, ClientPlaced):
                self.dataplane.place_client(event.service_id, event.client, event.backend_id)
            self.said.append(event)

    def _changed(self, service: object) -> None:
        self.tables.request(service)  # type: ignore[arg-type]

    def _filled(self, service: object, shares: dict[str, int]) -> None:
        self._apply([TableFilled(at=0.0, service_id=0, shares=shares)])

    def _failed(self, error: Exception) -> None:
        self.faults.append(error)


@pytest.fixture
def dataplane(wire: Wire) -> Iterable[Dataplane]:
    made = Dataplane.load(wire.home, SIZES)
    yield made
    made.close()


@pytest.fixture
async def stand(dataplane: Dataplane, tmp_path: Path) -> AsyncIterator[Stand]:
    made = Stand(dataplane, tmp_path)
    await made.tables.settle()
    yield made
    assert made.faults == []


@asynccontextmanager
async def running(stand: Stand) -> AsyncIterator[None]:
    task = asyncio.create_task(stand.drainer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(come: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not come():  # noqa: ASYNC110 (what is waited for is on disk and in maps)
            await asyncio.sleep(0.02)


def shares(stand: Stand) -> dict[str, int]:
    """Of the table put in force last."""
    return of(TableFilled, stand.said)[-1].shares


async def test_a_drained_backend_is_in_no_table_until_it_is_ready_again(stand: Stand) -> None:
    await stand.want("cam-11", AdminState.DRAIN, 60)
    assert stand.states() == {"cam-11": "drain", "cam-12": "up"}
    assert shares(stand) == {"cam-12": 65537}
    (begun,) = of(DrainBegun, stand.said)
    assert begun.deadline_s == pytest.approx(60, abs=2)
    await stand.want("cam-11", AdminState.READY)
    assert set(shares(stand)) == {"cam-11", "cam-12"}
    assert len(of(BackendReadied, stand.said)) == 1


async def test_it_survives_a_restart_and_is_lost_with_the_configuration(
    stand: Stand, dataplane: Dataplane, tmp_path: Path
) -> None:
    await stand.want("cam-11", AdminState.DRAIN, 60)
    again = Stand(dataplane, tmp_path)
    assert again.states()["cam-11"] == "drain"
    assert of(DrainBegun, again.said) == []
    again.configure("192.0.2.12")
    async with running(again):
        await until(lambda: Administration(tmp_path).load() == {})
    again.configure(*TWO)
    assert again.states()["cam-11"] == "up"


async def test_what_a_reload_takes_away_does_not_come_back_with_a_wish_that_is_being_written(
    stand: Stand, tmp_path: Path
) -> None:
    await stand.want("cam-11", AdminState.DRAIN, 60)
    wanting = asyncio.create_task(stand.want("cam-12", AdminState.DRAIN, force=True))
    await asyncio.sleep(0)  # it waits for the disk now
    stand.configure("192.0.2.12")
    await wanting
    async with running(stand):
        await until(lambda: Administration(tmp_path).load().keys() == {("cams", "cam-12")})
    stand.configure(*TWO)
    assert stand.states() == {"cam-11": "up", "cam-12": "drain"}


async def test_a_wish_for_a_backend_that_leaves_while_it_is_written_is_refused_and_not_kept(
    stand: Stand, tmp_path: Path
) -> None:
    wanting = asyncio.create_task(stand.want("cam-11", AdminState.DRAIN))
    await asyncio.sleep(0)
    stand.configure("192.0.2.12")
    with pytest.raises(AdminError, match=r"cams/cam-11 has just left the configuration"):
        await wanting
    async with running(stand):
        await until(lambda: Administration(tmp_path).load() == {})


async def test_the_last_backend_is_only_taken_out_by_force_and_then_nobody_is_placed(
    stand: Stand, dataplane: Dataplane
) -> None:
    await stand.want("cam-11", AdminState.DRAIN)
    with pytest.raises(AdminError, match=r"no other backend of cams is up and ready.*--force"):
        await stand.want("cam-12", AdminState.MAINT)
    assert stand.states()["cam-12"] == BackendState.UP
    await stand.want("cam-12", AdminState.MAINT, force=True)
    assert shares(stand) == {}
    table = dataplane._maps["slot_tables"].lookup(layout.index(0)) or b""
    assert layout.SLOT_TABLE.named(table)["filled"] == 0
    await stand.want("cam-12", AdminState.READY)
    assert shares(stand) == {"cam-12": 65537}


async def test_whoever_has_nothing_there_is_placed_anew_and_whoever_has_sessions_follows_them(
    stand: Stand, dataplane: Dataplane
) -> None:
    control = Control()
    for segment in play_udp(control):
        stand._apply(stand.tracker.receive(segment, 100.0))
    idle, newcomer = ip_address("198.51.100.8"), ip_address("198.51.100.9")
    for client in (CLIENT, idle):
        dataplane.place_client(0, client, 1)
    dataplane._maps["newcomers"].update(layout.pack_client(0, newcomer), layout.NEWCOMER.pack(1, 1))
    async with running(stand):
        await stand.want("cam-11", AdminState.DRAIN)
        await until(lambda: dict(dataplane.clients_at({1})) == {0: CLIENT})
        await until(lambda: list(dataplane._maps["newcomers"].entries()) == [])
        stand._apply(stand.tracker.receive(control.ask("TEARDOWN", Session="abc"), 101.0))
        await until(lambda: dataplane.clients_at({1}) == [])


async def test_an_empty_backend_is_told_to_be_so(stand: Stand) -> None:
    async with running(stand):
        await stand.want("cam-11", AdminState.MAINT)
        await until(lambda: bool(of(BackendDrained, stand.said)))


async def test_a_fault_while_it_looks_is_told_and_it_looks_again(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*_: object) -> list[Event]:
        raise ZeroDivisionError

    await stand.want("cam-11", AdminState.DRAIN)
    monkeypatch.setattr(stand.drainer.drains, "look", look)
    monkeypatch.setattr("rtspdsr.balancer.drainer.LOOK_S", 0.0)
    async with running(stand):
        await until(lambda: len(stand.faults) > 1)
    assert {type(one) for one in stand.faults} == {ZeroDivisionError}
    stand.faults.clear()


@pytest.mark.parametrize(
    "onward",
    [("GET_PARAMETER", {"Session": "abc"}), ("SETUP", {"Transport": transport(6000, 6001)})],
    ids=["refused", "next"],
)
async def test_whoever_goes_on_after_a_teardown_stays_with_its_backend(
    stand: Stand, dataplane: Dataplane, onward: tuple[str, dict[str, str]]
) -> None:
    """The server has refused it, or the next session begins on the same connection: neither can move."""
    control = Control()
    for segment in play_udp(control):
        stand._apply(stand.tracker.receive(segment, 100.0))
    await stand.want("cam-11", AdminState.DRAIN)
    stand._apply(stand.tracker.receive(control.ask("TEARDOWN", Session="abc"), 101.0))
    await until(lambda: dataplane.clients_at({1}) == [])
    method, headers = onward
    stand._apply(stand.tracker.receive(control.ask(method, **headers), 102.0))
    assert dict(dataplane.clients_at({1})) == {0: CLIENT}


@pytest.mark.parametrize("state", [AdminState.READY, AdminState.DRAIN])
async def test_what_is_left_stays_when_the_deadline_is_withdrawn(stand: Stand, state: AdminState) -> None:
    for segment in play_udp(Control()):
        stand._apply(stand.tracker.receive(segment, 100.0))
    await stand.want("cam-11", AdminState.DRAIN, 0.0)
    await stand.drainer._look()
    assert len(stand.drainer._endings) == 1
    await stand.want("cam-11", state)
    await stand.drainer._step()
    assert len(stand.tracker.sessions) == 1
    assert not stand.drainer._endings
