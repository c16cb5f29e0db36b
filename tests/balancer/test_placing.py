"""Schedules put in force: what the forwarding core reads of turns, rooms and slow starts; on real maps."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from rtspdsr.balancer.fleet import Fleet
from rtspdsr.balancer.placing import Placing
from rtspdsr.balancer.registry import Registry
from rtspdsr.config import Config
from rtspdsr.core.events import BackendFull, Event, ServiceFull
from rtspdsr.core.slowstart import SHARES
from rtspdsr.core.tracker import Tracker, TrackerLimits
from rtspdsr.dataplane import layout
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.dataplane.layout import ScheduleFlag
from rtspdsr.model import Service
from tests.balancer.test_fleet import SIZES, heard, mac
from tests.core.builders import Control, request
from tests.dataplane.conftest import Wire


def config(number: int = 2, most: int = 0, **service: Any) -> Config:
    backends = [
        {"name": f"cam-{10 + one}", "addresses": [f"192.0.2.{10 + one}"], "max_sessions": most}
        for one in range(1, number + 1)
    ]
    return Config.model_validate(
        {
            "dataplane": {"interfaces": ["eth0"]},
            "service": [{"name": "cams", "vips": ["192.0.2.1"], "backend": backends, **service}],
        }
    )


class Stand:
    """Schedules over real maps; every backend is resolved."""

    def __init__(self, wire: Wire) -> None:
        self.dataplane = Dataplane.load(wire.home, SIZES)
        registry = Registry(SIZES.services, SIZES.backends, {}, {})
        self.requested: list[str] = []
        self.said: list[Event] = []
        self.faults: list[Exception] = []
        self.fleet = Fleet(self.dataplane, registry, lambda _: None)
        self.tracker = Tracker(TrackerLimits(), map(str, count()))
        self.placing = Placing(
            self.dataplane,
            self.tracker,
            self.fleet,
            lambda service: self.requested.append(service.name),
            self.said.extend,
            self.faults.append,
        )

    def configure(self, config: Config) -> None:
        self.fleet.configure(config)
        for address in self.fleet.addresses():
            number = int(str(address).rpartition(".")[2])
            self.fleet.neighbour(heard(str(address), mac(number)), 1.0)
        self.settle()

    def settle(self) -> None:
        for service in self.fleet.services:
            self.placing.look(service)

    def schedule(self) -> tuple[ScheduleFlag, list[int]]:
        """What XDP reads: the flags, and the turns in force."""
        maps = self.dataplane._maps
        read = layout.SCHEDULE.named(maps["schedules"].lookup(layout.index(0)) or b"")
        turns = (maps["turns"].lookup(layout.index(read["base"] + n)) or b"" for n in range(read["count"]))
        return ScheduleFlag(read["flags"]), [int.from_bytes(turn, "little") for turn in turns]

    def room(self, backend_id: int) -> int | None:
        """How many new clients XDP would still give to a backend."""
        until, limited = layout.ROOM.unpack(
            self.dataplane._maps["rooms"].lookup(layout.index(backend_id)) or b""
        )
        return until - self.dataplane.schedules.admitted(backend_id) if limited else None

    def play(self, backend_id: int, port: int) -> None:
        """A session at a backend."""
        control = Control(backend_id=backend_id, port=port)
        setup = request("SETUP", "rtsp://192.0.2.1/clip/1", Transport="RTP/AVP/TCP;interleaved=0-1")
        for event in self.tracker.receive(control.segment(setup), 1.0):
            self.placing.note(event)


@pytest.fixture
def stand(wire: Wire) -> Iterator[Stand]:
    made = Stand(wire)
    yield made
    made.dataplane.close()


def test_by_hash_there_are_no_turns_and_no_limits(stand: Stand) -> None:
    stand.configure(config())
    assert stand.schedule() == (ScheduleFlag.REPEATS, [])
    assert stand.room(1) is None


def test_a_reload_changes_the_schedule(stand: Stand) -> None:
    stand.configure(config())
    stand.configure(config(schedule="weighted-round-robin", place_by="connection"))
    flags, turns = stand.schedule()
    assert flags == ScheduleFlag.BY_TURN | ScheduleFlag.REPEATS | ScheduleFlag.BY_CONNECTION
    assert sorted(turns) == [1, 2]
    stand.configure(config(schedule="least-sessions"))
    assert stand.schedule()[0] == ScheduleFlag.BY_TURN
    stand.configure(config())
    assert stand.schedule() == (ScheduleFlag.REPEATS, [])


def test_turns_follow_the_sessions_that_there_are(stand: Stand) -> None:
    for port in (40000, 40001, 40002):
        stand.play(1, port)
    stand.configure(config(schedule="least-sessions"))
    assert stand.schedule()[1][:5] == [2, 2, 2, 1, 2]


def test_a_backend_that_is_down_has_no_turns(stand: Stand) -> None:
    stand.configure(config(schedule="weighted-round-robin"))
    stand.fleet.mark(1, down=True)
    stand.settle()
    assert set(stand.schedule()[1]) == {2}


def test_sessions_use_up_the_room_and_the_log_says_who_is_full(stand: Stand) -> None:
    stand.configure(config(most=2))
    assert [stand.room(one) for one in (1, 2)] == [2, 2]
    stand.play(1, 40000)
    stand.settle()
    assert [stand.room(one) for one in (1, 2)] == [1, 2]
    assert stand.said == []
    for backend_id, port in ((1, 40001), (2, 40002), (2, 40003)):
        stand.play(backend_id, port)
    stand.settle()
    assert [stand.room(one) for one in (1, 2)] == [0, 0]
    assert Counter(map(type, stand.said)) == {BackendFull: 2, ServiceFull: 1}
    assert all(stand.placing.is_full(one) for one in stand.fleet.services[0].backends)
    stand.configure(config())
    assert stand.room(1) is None


def test_a_backend_that_comes_back_starts_slowly(stand: Stand) -> None:
    stand.configure(config(slow_start_s=3600.0))
    service = stand.fleet.services[0]
    assert [one.weight for one in stand.placing.usable(service)] == [100, 100]
    stand.fleet.mark(2, down=True)
    stand.settle()
    stand.fleet.mark(2, down=False)
    stand.settle()
    assert [one.weight for one in stand.placing.usable(service)] == [100, 100 * SHARES[0]]
    assert stand.requested == []  # a table of the first share was asked for by the fleet


def test_each_step_of_a_slow_start_asks_for_one_table(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("rtspdsr.balancer.placing.time.monotonic", lambda: now)
    stand.configure(config(slow_start_s=40.0))
    stand.fleet.mark(2, down=True)
    stand.settle()
    stand.fleet.mark(2, down=False)
    for _ in range(200):
        stand.settle()
        now += 0.25
    assert len(stand.requested) == len(SHARES)
    assert [one.weight for one in stand.placing.usable(stand.fleet.services[0])] == [100, 100]


async def test_a_fault_in_one_service_is_told_and_the_schedules_of_others_stay_in_force(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.configure(config(schedule="weighted-round-robin"))
    looked: list[str] = []

    def look(service: Service) -> None:
        looked.append(service.name)
        raise ZeroDivisionError

    monkeypatch.setattr(stand.placing, "look", look)
    monkeypatch.setattr("rtspdsr.balancer.placing.LOOK_S", 0.0)
    async with asyncio.timeout(20):
        running = asyncio.create_task(stand.placing.run())
        while len(looked) < 3:  # noqa: ASYNC110 - what is waited for are plain values
            await asyncio.sleep(0)
        running.cancel()
    assert {type(one) for one in stand.faults} == {ZeroDivisionError}


async def test_with_many_services_others_have_their_turns_between_two(stand: Stand) -> None:
    stand.configure(config())
    stand.fleet.services = stand.fleet.services * 10
    turns = 0
    settling = asyncio.create_task(stand.placing.settle())
    while not settling.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 10


async def test_what_a_reload_has_brought_is_not_overwritten_by_what_was_under_way(stand: Stand) -> None:
    stand.configure(config(schedule="least-sessions"))
    stand.fleet.services = stand.fleet.services * 3
    settling = asyncio.create_task(stand.placing.settle())
    await asyncio.sleep(0)
    stand.configure(config())
    await settling
    assert stand.schedule() == (ScheduleFlag.REPEATS, [])
