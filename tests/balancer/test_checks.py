"""Which checks a configuration asks for, and by which VIP and port each backend is reached."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from itertools import repeat
from typing import Any

import pytest

from rtspdsr.balancer.checks import Checks
from rtspdsr.balancer.fleet import Fleet
from rtspdsr.balancer.registry import Registry
from rtspdsr.config import Config
from rtspdsr.core.events import BackendUp, ChecksHindered, Event
from rtspdsr.core.health import Check, Health, Order, Outcome
from rtspdsr.dataplane.dataplane import Dataplane, Sizes
from rtspdsr.model import BackendState
from rtspdsr.network.neighbours import NeighbourChange
from rtspdsr.probe.prober import Unmade
from rtspdsr.probe.way import Way
from tests.dataplane.conftest import Wire

pytestmark = pytest.mark.kernel

SIZES = Sizes(pins=100, flows=64, clients=10, newcomers=64, services=2, backends=4, segments_bytes=1 << 16)
VIP4, VIP6 = "192.0.2.1", "2001:db8::1"


def config(
    *addresses: list[str],
    vips: tuple[str, ...] = (VIP4,),
    health: dict[str, Any] | None = None,
    **service: Any,
) -> Config:
    """One service, with backends ``a``, ``b``... at these addresses."""
    backends = [{"name": "abc"[at], "addresses": one} for at, one in enumerate(addresses)]
    table = {"name": "cams", "vips": list(vips), "backend": backends, "health": health or {}, **service}
    return Config.model_validate({"dataplane": {"interfaces": ["eth0"]}, "service": [table]})


class Stand:
    """Checks over real maps, and what they said."""

    def __init__(self, wire: Wire) -> None:
        self.dataplane = Dataplane.load(wire.home, SIZES)
        registry = Registry(SIZES.services, SIZES.backends, {}, {})
        self.fleet = Fleet(self.dataplane, registry, lambda _service: None)
        self.health = Health(repeat(0.5))
        self.said: list[Event] = []

    def configure(self, wanted: Config) -> Checks:
        checks = Checks(self.fleet, self.health, self._apply, wanted)
        self.fleet.configure(wanted)
        checks.configure(wanted)
        return checks

    def _apply(self, events: Iterable[Event]) -> None:
        self.said += events

    def kinds(self) -> dict[int, list[str]]:
        """The checks of each backend."""
        return {one: sorted(member.checks) for one, (_, member) in self.health.members.items()}


@pytest.fixture
def stand(wire: Wire) -> Iterator[Stand]:
    made = Stand(wire)
    yield made
    made.dataplane.close()


def test_without_a_word_every_backend_is_asked_options(stand: Stand) -> None:
    stand.configure(config(["192.0.2.11"], ["192.0.2.12"]))
    assert stand.kinds() == {1: ["options"], 2: ["options"]}


def test_a_probe_url_is_played_beside_it(stand: Stand) -> None:
    stand.configure(config(["192.0.2.11"], health={"check": "describe", "probe_url": f"rtsp://{VIP4}/x"}))
    assert stand.kinds() == {1: ["describe", "play"]}


def test_none_is_checked_where_none_is_wanted(stand: Stand) -> None:
    stand.configure(config(["192.0.2.11"], health={"check": "none"}))
    assert stand.kinds() == {}
    assert stand.said == []


def test_what_is_encrypted_is_connected_to_and_not_asked(stand: Stand) -> None:
    stand.configure(config(["192.0.2.11"], ports=[322], opaque_ports=[322]))
    assert stand.kinds() == {1: ["tcp"]}


def test_a_backend_without_an_address_of_the_vips_family_is_named_and_counts_as_well(stand: Stand) -> None:
    stand.configure(config(["2001:db8::11"], ["192.0.2.12"]))
    assert stand.kinds() == {2: ["options"]}
    (hindered,) = (event for event in stand.said if isinstance(event, ChecksHindered))
    assert hindered.problem == "cams/a has no address of the family of its VIP"


def test_each_backend_has_a_way_of_its_own_and_one_for_each_vip_that_it_can_be_reached_by(
    stand: Stand,
) -> None:
    wanted = config(["192.0.2.11", "2001:db8::11"], ["192.0.2.12"], vips=(VIP4, VIP6))
    checks = stand.configure(wanted)
    assert list(checks._legs()) == []
    for address in ("192.0.2.11", "2001:db8::11", "192.0.2.12"):
        stand.fleet.neighbour(heard(address), 1.0)
    legs = [(leg.backend_id, str(leg.vip), str(leg.gateway), leg.ifindex) for leg in checks._legs()]
    assert legs == [
        (1, VIP4, "192.0.2.11", 2),
        (1, VIP6, "2001:db8::11", 2),
        (2, VIP4, "192.0.2.12", 2),
    ]
    assert checks.way(2, ip_address(VIP4), 554).mark == 0x52440002


def heard(address: str) -> NeighbourChange:
    return NeighbourChange(
        address=ip_address(address),
        mac=bytes([2, 0, 0, 0, 0, 9]),
        ifindex=2,
        interface="eth0",
        source_mac=b"\x02\0\0\0\0\x01",
    )


def test_what_checks_find_decides_who_takes_new_clients_until_checks_are_switched_off(stand: Stand) -> None:
    wanted = config(["192.0.2.11"], ["192.0.2.12"], health={"fall": 1})
    checks = stand.configure(wanted)
    for address in ("192.0.2.11", "192.0.2.12"):
        stand.fleet.neighbour(heard(address), 1.0)
    service = stand.fleet.services[0]
    now = stand.health.next_timer() or 0.0
    stand.health.due(now + 10)
    for backend_id, problem in ((1, "refuses"), (2, "")):
        outcome = Outcome(problem=problem)
        checks._take(stand.health.take(Order(backend_id, Check.OPTIONS), outcome, now + 10))
    assert [stand.fleet.state(one) for one in service.backends] == [BackendState.DOWN, BackendState.UP]
    assert [one.name for one in stand.fleet.usable(service)] == ["b"]
    stand.configure(config(["192.0.2.11"], ["192.0.2.12"], health={"check": "none"}))
    assert [one.name for one in stand.fleet.usable(stand.fleet.services[0])] == ["a", "b"]
    assert not [event for event in stand.said if isinstance(event, BackendUp)]


async def test_a_check_that_cannot_be_made_is_told_and_not_held_against_its_backend(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = stand.configure(
        config(["192.0.2.11"], ["192.0.2.12"], health={"fall": 1, "probe_url": f"rtsp://{VIP4}/x"})
    )
    played: dict[int, Outcome | Exception] = {1: Unmade("it hung"), 2: Outcome(), 3: TypeError("a fault")}

    async def play(way: Way, _url: str) -> Outcome:
        outcome = played[way.mark & 0xFF]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(checks._prober, "play", play)
    order = Order(1, Check.PLAY)
    stand.health.due(1e9)
    for backend_id in (1, 2):
        await checks._make(Order(backend_id, Check.PLAY))
    played[1] = played[3]
    await checks._make(order)
    assert not stand.health.is_down(1)
    assert [event.problem for event in stand.said if isinstance(event, ChecksHindered)] == [
        "the check play cannot be made: it hung",
        "the check play cannot be made: TypeError: a fault",
    ]
    assert checks.unmade == 2
    assert order in stand.health.due(2e9)
