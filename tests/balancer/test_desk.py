"""What the operator asks, over real maps."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rtspdsr.balancer.applier import Applier
from rtspdsr.balancer.desk import Desk
from rtspdsr.balancer.journal import Journal
from rtspdsr.core.tracker import Tracker, TrackerLimits
from rtspdsr.dataplane.dataplane import Dataplane, Sizes
from rtspdsr.model import BackendState, PlaceBy
from rtspdsr.sessionlog import Lines, SessionLog
from tests.core.builders import CLIENT, Control, play_udp
from tests.dataplane.conftest import Wire

pytestmark = pytest.mark.kernel

SIZES = Sizes(pins=100, flows=64, clients=10, newcomers=64, services=2, backends=4, segments_bytes=1 << 16)
LINGER_S = 5.0


class Fleet:
    """One service with a backend that takes new clients."""

    def find(self, _service: str, _backend: str) -> tuple[object, object]:
        return SimpleNamespace(service_id=0, place_by=PlaceBy.CLIENT), SimpleNamespace(backend_id=2)

    def state(self, _backend: object) -> BackendState:
        return BackendState.UP


@pytest.fixture
def desk(wire: Wire, tmp_path: Path) -> Iterator[Desk]:
    dataplane = Dataplane.load(wire.home, SIZES)
    tracker = Tracker(TrackerLimits(linger_s=LINGER_S), (f"s{number}" for number in count(1)))
    journal = Journal(tmp_path)
    log = SessionLog(Lines(cast(Any, None)), SimpleNamespace(put=lambda _line: None))
    applier = Applier(dataplane, tracker, log, journal, lambda _order: None, ())
    other = {name: cast(Any, None) for name in Desk.__dataclass_fields__}
    known = {"dataplane": dataplane, "tracker": tracker, "applier": applier, "fleet": Fleet()}
    yield Desk(**(other | known))
    journal.close()
    dataplane.close()


def pass_time(desk: Desk, seconds: range) -> None:
    for second in seconds:
        desk.applier.apply(desk.tracker.tick(float(second)))


def test_the_linger_of_what_a_client_did_before_does_not_undo_that_it_was_placed(desk: Desk) -> None:
    control = Control(backend_id=1)
    for segment in [*play_udp(control), control.ask("TEARDOWN", Session="abc"), control.fin()]:
        desk.applier.apply(desk.tracker.receive(segment, 100.0))
    pass_time(desk, range(101, 108))
    assert not desk.tracker.sessions
    assert desk.dataplane.clients_at([1]) == [(0, CLIENT)]  # its linger
    desk.place("cams", CLIENT, "cam-b")
    assert desk.dataplane.clients_at([2]) == [(0, CLIENT)]
    pass_time(desk, range(108, 200))
    assert desk.dataplane.clients_at([2]) == [(0, CLIENT)]
