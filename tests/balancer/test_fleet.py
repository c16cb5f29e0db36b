"""Backends that come, go and move, as the forwarding core and the log see it; on real maps."""

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from rtspdsr.balancer.fleet import Fleet
from rtspdsr.balancer.registry import Registry
from rtspdsr.config import Config
from rtspdsr.core.events import BackendLost, BackendResolved
from rtspdsr.dataplane import layout
from rtspdsr.dataplane.dataplane import Dataplane, Sizes
from rtspdsr.dataplane.layout import BackendFlag, VipState
from rtspdsr.model import AdminState, Backend, BackendState, FlowKey, Pin, Proto, Service, Traffic
from rtspdsr.network.neighbours import NeighbourChange
from tests.dataplane.conftest import Wire

SIZES = Sizes(pins=100, flows=64, clients=10, newcomers=64, services=2, backends=4, segments_bytes=1 << 16)
VIP = "192.0.2.1"


def config(*addresses: str, vips: tuple[str, ...] = (VIP,)) -> Config:
    """One service with a backend at each address, named after its last number."""
    backends = [{"name": f"cam-{one.rsplit('.')[-1]}", "addresses": [one]} for one in addresses]
    return Config.model_validate(
        {
            "dataplane": {"interfaces": ["eth0"]},
            "service": [{"name": "cams", "vips": list(vips), "backend": backends}],
        }
    )


def heard(address: str, mac: bytes | None, problem: str = "") -> NeighbourChange:
    """What the neighbours say of an address."""
    return NeighbourChange(
        address=ip_address(address),
        mac=mac,
        ifindex=2,
        interface="eth0",
        source_mac=b"\x02\0\0\0\0\x01",
        problem=problem,
    )


def mac(number: int) -> bytes:
    return bytes([2, 0, 0, 0, 0, number])


class Stand:
    """A fleet over real maps, and the services whose tables it asked for."""

    def __init__(self, wire: Wire) -> None:
        self.requested: list[str] = []
        self.dataplane = Dataplane.load(wire.home, SIZES)
        left = self.dataplane.left
        registry = Registry(SIZES.services, SIZES.backends, left.services, left.backends)
        self.fleet = Fleet(self.dataplane, registry, lambda service: self.requested.append(service.name))

    def flags(self, backend_id: int) -> int:
        """What XDP reads of a backend."""
        entry = self.dataplane._maps["backends"].lookup(layout.index(backend_id)) or b""
        return int(layout.BACKEND.named(entry)["flags"])

    def vips(self) -> set[str]:
        """What XDP serves."""
        places = [layout.VIP.named(value) for _, value in self.dataplane._maps["vips"].entries()]
        return {str(layout.address(one["address"])) for one in places if one["state"] == VipState.SERVED}


@pytest.fixture
def stand(wire: Wire) -> Iterator[Stand]:
    made = Stand(wire)
    yield made
    made.dataplane.close()


def usable(stand: Stand) -> list[str]:
    return [one.name for one in stand.fleet.usable(stand.fleet.services[0])]


def test_a_backend_takes_clients_once_it_is_resolved(stand: Stand) -> None:
    stand.fleet.configure(config("192.0.2.11", "192.0.2.12"))
    assert usable(stand) == []
    stand.requested.clear()
    (event,) = stand.fleet.neighbour(heard("192.0.2.11", mac(11)), 5.0)
    assert event == BackendResolved(
        at=5.0, service_id=0, backend_id=1, mac="02:00:00:00:00:0b", interface="eth0"
    )
    assert usable(stand) == ["cam-11"]
    assert stand.flags(1) == BackendFlag.RESOLVED | BackendFlag.UP
    assert stand.flags(2) == 0
    assert stand.requested == ["cams"]


def test_the_fleet_is_settled_when_every_backend_was_heard_of(stand: Stand) -> None:
    stand.fleet.configure(config("192.0.2.11", "192.0.2.12"))
    stand.fleet.neighbour(heard("192.0.2.11", mac(11)), 1.0)
    assert not stand.fleet.settled.is_set()
    stand.fleet.neighbour(heard("192.0.2.12", None, "no ARP answer"), 2.0)
    assert stand.fleet.settled.is_set()


def test_a_lost_backend_takes_no_clients_and_the_log_says_why(stand: Stand) -> None:
    stand.fleet.configure(config("192.0.2.11"))
    stand.fleet.neighbour(heard("192.0.2.11", mac(11)), 1.0)
    (event,) = stand.fleet.neighbour(heard("192.0.2.11", None, "no ARP answer"), 9.0)
    assert event == BackendLost(at=9.0, service_id=0, backend_id=1, problem="no ARP answer")
    assert usable(stand) == []


def test_a_lost_backend_keeps_its_last_mac_for_the_sessions_that_it_has(stand: Stand) -> None:
    stand.fleet.configure(config("192.0.2.11"))
    stand.fleet.neighbour(heard("192.0.2.11", mac(11)), 1.0)
    stand.fleet.neighbour(heard("192.0.2.11", None, "no ARP answer"), 9.0)
    assert stand.flags(1) == BackendFlag.RESOLVED
    route = stand.dataplane.route(1)
    assert route is not None
    assert route.mac == mac(11)
    (event,) = stand.fleet.neighbour(heard("192.0.2.11", mac(11)), 12.0)
    assert isinstance(event, BackendResolved)
    assert stand.flags(1) == BackendFlag.RESOLVED | BackendFlag.UP


def test_a_backend_that_was_never_resolved_is_not_reachable(stand: Stand) -> None:
    stand.fleet.configure(config("192.0.2.11"))
    stand.fleet.neighbour(heard("192.0.2.11", None, "no ARP answer"), 9.0)
    assert stand.flags(1) == 0


def test_a_changed_mac_is_followed(stand: Stand) -> None:
    stand.fleet.configure(config("192.0.2.11"))
    stand.fleet.neighbour(heard("192.0.2.11", mac(11)), 1.0)
    (event,) = stand.fleet.neighbour(heard("192.0.2.11", mac(99)), 2.0)
    assert isinstance(event, BackendResolved)
    route = stand.dataplane.route(1)
    assert route is not None
    assert route.mac == mac(99)
    macs = {key[:6] for key, _ in stand.dataplane._maps["backend_macs"].entries()}
    assert macs == {mac(99)}


def test_the_same_news_twice_is_told_once(stand: Stand) -> None:
    stand.fleet.configure(config("192.0.2.11"))
    stand.fleet.neighbour(heard("192.0.2.11", mac(11)), 1.0)
    stand.requested.clear()
    assert stand.fleet.neighbour(heard("192.0.2.11", mac(11)), 2.0) == []
    assert stand.requested == []


def test_a_backend_that_answers_at_one_of_two_addresses_is_neither_lost_nor_news(stand: Stand) -> None:
    both = config("192.0.2.11").model_dump(mode="json", by_alias=True)
    both["service"][0]["backend"][0]["addresses"].append("2001:db8::11")
    stand.fleet.configure(Config.model_validate(both))
    for address in ("192.0.2.11", "2001:db8::11"):
        stand.fleet.neighbour(heard(address, mac(11)), 1.0)
    stand.requested.clear()
    assert stand.fleet.neighbour(heard("192.0.2.11", None, "no ARP answer"), 9.0) == []
    assert stand.requested == []
    (event,) = stand.fleet.neighbour(heard("2001:db8::11", None, "no ND answer"), 9.5)
    assert isinstance(event, BackendLost)


def test_a_backend_out_of_the_configuration_keeps_its_sessions_until_the_last_pin_is_gone(
    stand: Stand,
) -> None:
    stand.fleet.configure(config("192.0.2.11", "192.0.2.12"))
    for number in (11, 12):
        stand.fleet.neighbour(heard(f"192.0.2.{number}", mac(number)), 1.0)
    flow = FlowKey(0, Proto.UDP, ip_address("198.51.100.7"), 5000)
    stand.dataplane.pin(Pin(flow=flow, backend_id=2))
    stand.fleet.configure(config("192.0.2.11"))
    assert stand.flags(2) == BackendFlag.RESOLVED
    stand.fleet.retire(stand.dataplane.pinned_backends())
    assert stand.flags(2) == BackendFlag.RESOLVED
    stand.dataplane.unpin(flow)
    stand.fleet.retire(stand.dataplane.pinned_backends())
    assert stand.flags(2) == BackendFlag.RESOLVED
    stand.fleet.retire(stand.dataplane.pinned_backends())
    assert stand.flags(2) == 0
    assert not stand.fleet.leaving


def test_a_backend_with_the_number_of_one_that_is_gone_begins_with_counts_of_its_own(stand: Stand) -> None:
    stand.fleet.configure(config("192.0.2.11", "192.0.2.12"))
    counted = stand.dataplane._maps["backend_traffic"]
    cpus = len(counted.lookup_percpu(layout.index(2)))
    counted.update(layout.index(2), layout.TRAFFIC.pack(7, 700) * cpus)
    assert stand.dataplane.backend_traffic(2) == Traffic(packets=7 * cpus, bytes=700 * cpus)
    stand.fleet.configure(config("192.0.2.11"))
    assert [stand.fleet.retire(set()) for _ in range(2)] == [set(), {2}]
    stand.fleet.configure(config("192.0.2.11", "192.0.2.13"))
    assert stand.fleet.services[0].backends[1].backend_id == 2
    assert stand.dataplane.backend_traffic(2) == Traffic(packets=0, bytes=0)


def test_a_backend_that_comes_back_before_it_is_retired_is_up_again(stand: Stand) -> None:
    stand.fleet.configure(config("192.0.2.11", "192.0.2.12"))
    stand.fleet.neighbour(heard("192.0.2.12", mac(12)), 1.0)
    stand.fleet.configure(config("192.0.2.11"))
    stand.fleet.configure(config("192.0.2.11", "192.0.2.12"))
    assert stand.flags(2) == BackendFlag.RESOLVED | BackendFlag.UP
    assert usable(stand) == ["cam-12"]


def test_only_configured_vips_are_served(stand: Stand) -> None:
    stand.fleet.configure(config("192.0.2.11", vips=(VIP, "2001:db8::1")))
    assert stand.vips() == {VIP, "2001:db8::1"}
    stand.fleet.configure(config("192.0.2.11", vips=("192.0.2.2",)))
    assert stand.vips() == {"192.0.2.2"}


def test_a_restart_serves_at_once_what_an_earlier_daemon_had_resolved(wire: Wire) -> None:
    first = Stand(wire)
    first.fleet.configure(config("192.0.2.11"))
    first.fleet.neighbour(heard("192.0.2.11", mac(11)), 1.0)
    first.dataplane.attach("generic")
    first.dataplane.close()
    second = Stand(wire)
    second.fleet.configure(config("192.0.2.11"))
    assert usable(second) == ["cam-11"]
    assert second.flags(1) == BackendFlag.RESOLVED | BackendFlag.UP
    second.dataplane.close()


def test_a_restart_without_a_vip_takes_it_out_of_service(wire: Wire) -> None:
    first = Stand(wire)
    first.fleet.configure(config("192.0.2.11", vips=(VIP, "2001:db8::1")))
    first.dataplane.attach("generic")
    first.dataplane.close()
    second = Stand(wire)
    second.fleet.configure(config("192.0.2.11"))
    assert second.vips() == {VIP}
    second.dataplane.close()


def test_a_restart_without_a_backend_sends_it_no_new_clients(wire: Wire) -> None:
    first = Stand(wire)
    first.fleet.configure(config("192.0.2.11", "192.0.2.12"))
    first.fleet.neighbour(heard("192.0.2.12", mac(12)), 1.0)
    first.dataplane.attach("generic")
    first.dataplane.close()
    second = Stand(wire)
    second.fleet.configure(config("192.0.2.11"))
    assert second.flags(2) == BackendFlag.RESOLVED
    second.dataplane.close()


def both(stand: Stand) -> tuple[Service, Backend, Backend]:
    """A service with two backends that are up."""
    stand.fleet.configure(config("192.0.2.11", "192.0.2.12"))
    for number in (11, 12):
        stand.fleet.neighbour(heard(f"192.0.2.{number}", mac(number)), 1.0)
    (service,) = stand.fleet.services
    first, second = service.backends
    return service, first, second


UP = BackendFlag.RESOLVED | BackendFlag.UP


def test_a_draining_backend_is_in_no_table_and_takes_connections_of_its_own_clients(stand: Stand) -> None:
    _, first, _ = both(stand)
    stand.requested.clear()
    stand.fleet.administer(1, AdminState.DRAIN, closed=False)
    assert (usable(stand), stand.fleet.state(first), stand.flags(1)) == (["cam-12"], BackendState.DRAIN, UP)
    assert stand.requested == ["cams"]
    stand.fleet.administer(1, AdminState.DRAIN, closed=True)
    assert stand.flags(1) == BackendFlag.RESOLVED
    stand.fleet.administer(1, AdminState.READY, closed=False)
    assert (usable(stand), stand.flags(1)) == (["cam-11", "cam-12"], UP)


def test_a_draining_backend_that_dies_is_shown_as_dead_and_one_in_maintenance_is_not(stand: Stand) -> None:
    _, first, second = both(stand)
    stand.fleet.administer(1, AdminState.DRAIN, closed=False)
    stand.fleet.administer(2, AdminState.MAINT, closed=True)
    for number in (11, 12):
        stand.fleet.neighbour(heard(f"192.0.2.{number}", None, "no ARP answer"), 9.0)
    assert stand.fleet.state(first) is BackendState.UNRESOLVED
    assert stand.fleet.state(second) is BackendState.MAINT


def test_when_none_is_fit_an_alarm_may_be_wrong_and_the_operators_will_is_not(stand: Stand) -> None:
    service, *_ = both(stand)
    stand.fleet.administer(1, AdminState.DRAIN, closed=False)
    stand.fleet.mark(2, down=True)
    assert usable(stand) == ["cam-12"]
    assert stand.fleet.fit(service) == []
    assert not stand.fleet.is_withdrawn(service)
    stand.fleet.administer(2, AdminState.DRAIN, closed=False)
    assert usable(stand) == []
    assert stand.fleet.is_withdrawn(service)


def test_a_backend_is_known_by_name_and_state(stand: Stand) -> None:
    stand.fleet.configure(config("192.0.2.11"))
    service, backend = stand.fleet.find("cams", "cam-11")
    assert stand.fleet.state(backend) is BackendState.UNRESOLVED
    assert (stand.fleet.service(service.service_id), stand.fleet.backend(1)) == ("cams", "cam-11")
    assert stand.fleet.backend(4) is None
