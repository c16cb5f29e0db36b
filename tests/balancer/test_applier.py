"""Events put in force over real maps: whatever is at fault beside an effect, the effect is there."""

import json
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from rtspdsr.balancer import applier as module
from rtspdsr.balancer.applier import Applier
from rtspdsr.balancer.journal import Journal
from rtspdsr.core.events import ClientPlaced, Effect, Event, PinMade, ResetOrdered
from rtspdsr.core.tracker import Tracker, TrackerLimits
from rtspdsr.dataplane.dataplane import Dataplane, Sizes
from rtspdsr.model import FlowKey, Pin, Proto
from rtspdsr.sessionlog import Lines, SessionLog
from tests.core.builders import CLIENT, Control, play_udp
from tests.dataplane.conftest import Wire

pytestmark = pytest.mark.kernel

SIZES = Sizes(pins=100, flows=64, clients=10, newcomers=64, services=2, backends=4, segments_bytes=1 << 16)
FLOW = FlowKey(0, Proto.UDP, ip_address("198.51.100.9"), 7000)
EFFECTS: list[Event] = [
    ClientPlaced(at=1.0, service_id=0, client=FLOW.client, backend_id=1),
    PinMade(at=1.0, pin=Pin(flow=FLOW, backend_id=1)),
]


class Names:
    def service(self, _service_id: int) -> str | None:
        return "cams"

    def backend(self, _backend_id: int) -> str | None:
        return "cam-a"


class Stand:
    """An applier among the parts that it works with; what onlookers saw, and what was logged."""

    def __init__(self, dataplane: Dataplane, state: Path) -> None:
        self.dataplane = dataplane
        self.tracker = Tracker(TrackerLimits(), (f"s{number}" for number in count(1)))
        self.journal = Journal(state)
        self.seen: list[Event] = []
        self.lines: list[dict[str, Any]] = []
        self.log = SessionLog(Lines(Names()), self)
        self.applier = self.looked_at_by(self.seen.append)

    def put(self, line: str) -> None:
        self.lines.append(json.loads(line))

    def looked_at_by(self, *onlookers: Callable[[Event], None]) -> Applier:
        return Applier(self.dataplane, self.tracker, self.log, self.journal, self._speak, onlookers)

    def _speak(self, order: Effect) -> None:
        raise ZeroDivisionError(order)

    def stands(self) -> bool:
        """Whether the effects are in force."""
        placed = (FLOW.service_id, FLOW.client) in set(self.dataplane.clients())
        return placed and FLOW in self.dataplane.read([FLOW])

    def faults(self) -> list[dict[str, Any]]:
        """As logged."""
        return [line for line in self.lines if line["event"] == "daemon_fault"]


@pytest.fixture
def stand(wire: Wire, tmp_path: Path) -> Iterator[Stand]:
    dataplane = Dataplane.load(wire.home, SIZES)
    made = Stand(dataplane, tmp_path)
    yield made
    made.journal.close()
    dataplane.close()


def at_fault(_: object) -> None:
    raise ZeroDivisionError("of ours")


def test_a_fault_of_an_onlooker_costs_neither_a_pin_nor_what_others_see(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPEAT_S", 3600.0)
    applier = stand.looked_at_by(at_fault, stand.seen.append)
    applier.apply(EFFECTS)
    assert stand.stands()
    assert [one for one in stand.seen if isinstance(one, Effect)] == EFFECTS
    (fault,) = stand.faults()
    assert "ZeroDivisionError: of ours" in fault["problem"]
    assert applier.faults == len(EFFECTS) + 1  # the onlooker fails on the line that tells of it, too


def test_faults_are_told_once_in_a_while_and_all_of_them_are_counted(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPEAT_S", 3600.0)
    applier = stand.looked_at_by(at_fault)
    for _ in range(100):
        applier.apply(EFFECTS)
    assert len(stand.faults()) == 1
    assert applier.faults == 100 * len(EFFECTS) + 1


@pytest.mark.parametrize("where", ["log", "journal", "snapshot"])
def test_a_fault_of_the_log_or_the_journal_costs_no_pin(
    stand: Stand, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name = {
        "log": (stand.log, "write"),
        "journal": (stand.journal, "write"),
        "snapshot": (stand.tracker, "snapshot"),
    }[where]
    monkeypatch.setattr(cast(Any, owner), name, at_fault)
    for segment in play_udp(Control()):
        stand.applier.apply([*stand.tracker.receive(segment, 100.0), *EFFECTS])
    assert stand.stands()
    media = [FlowKey(0, Proto.UDP, CLIENT, port) for port in (5000, 5001)]
    assert set(stand.dataplane.read(media)) == set(media)
    assert stand.applier.faults


def test_a_fault_in_one_effect_costs_that_effect_alone(stand: Stand) -> None:
    order = ResetOrdered(at=1.0, flow=FLOW, backend_id=1, sequence=0, next_sequence=0)
    stand.applier.apply([order, *EFFECTS])
    assert stand.stands()
    assert stand.applier.faults == 1
