"""The loader and the maps on a real kernel: adopted, carried over, refused, removed."""

import json
import os
import socket
from array import array
from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from rtspdsr.dataplane import layout, loader
from rtspdsr.dataplane.bpffs import Home, is_bpffs
from rtspdsr.dataplane.counters import verdicts
from rtspdsr.dataplane.dataplane import Dataplane, Route, Sizes
from rtspdsr.dataplane.layout import CHUNK_PINS, SLOT_COUNT
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.dataplane.loader import Attachment
from rtspdsr.errors import AlreadyRunning, DataplaneError, InterfaceGone, MapFull
from rtspdsr.model import FlowKey, Pin, PinFlag, PinReading, Proto, Service
from tests.dataplane.conftest import NAMESPACE, Wire, ip

SIZES = Sizes(
    pins=1000, flows=1024, clients=100, newcomers=1024, services=2, backends=4, segments_bytes=1 << 20
)
VIP = ip_address("192.0.2.1")
CLIENT = ip_address("198.51.100.7")
BACKEND = ip_address("192.0.2.11")
SERVICE = Service(service_id=1, name="cams", vips=(VIP,))
FLOW = FlowKey(1, Proto.UDP, CLIENT, 5000)
UNCOUNTED = PinReading(packets=0, bytes=0, heard_at=0.0, counted=False)
ROUTE = Route(mac=b"\x02\0\0\0\0\x0b", source=b"\x02\0\0\0\0\x01", ifindex=2)


def filled(wire: Wire, sizes: Sizes = SIZES) -> Dataplane:
    """A forwarding core with a service, a backend, a client and a pin, attached."""
    dataplane = Dataplane.load(wire.home, sizes)
    dataplane.set_service(SERVICE)
    dataplane.set_backend(1, 3, (BACKEND,), ROUTE, up=True)
    dataplane.place_client(1, CLIENT, 3)
    dataplane.pin(Pin(flow=FLOW, backend_id=3, flags=PinFlag.UNREAD))
    dataplane.attach("auto")
    return dataplane


def modes(attached: Iterable[Attachment]) -> dict[str, str]:
    """How each interface was attached to."""
    return {one.interface: one.mode for one in attached}


def attached_program(interface: str) -> str:
    """What ``ip`` says of XDP on an interface."""
    return os.popen(f"ip -n {NAMESPACE} link show {interface}").read()


def test_a_first_start_mounts_bpffs_and_attaches_natively_to_a_veth(wire: Wire) -> None:
    dataplane = Dataplane.load(wire.home, SIZES)
    assert modes(dataplane.attach("auto")) == {wire.near: "native"}
    dataplane.close()
    assert is_bpffs(wire.bpffs)
    assert "prog/xdp" in attached_program(wire.near)


def test_generic_mode_is_there_where_it_is_asked_for(wire: Wire) -> None:
    dataplane = Dataplane.load(wire.home, SIZES)
    assert modes(dataplane.attach("generic")) == {wire.near: "generic"}
    dataplane.close()
    assert "xdpgeneric" in attached_program(wire.near)


def test_another_mode_takes_the_place_of_the_one_in_force_at_once(wire: Wire) -> None:
    for mode in ("generic", "native") * 5:
        dataplane = Dataplane.load(wire.home, SIZES)
        (attached,) = dataplane.attach(mode)
        assert attached.mode == mode
        dataplane.close()


def test_a_second_start_adopts_pins_statistics_and_identities(wire: Wire) -> None:
    first = filled(wire)
    first._statistics.write(first._places[FLOW], layout.PIN_STATISTICS.pack(7, *[0] * 10))
    first.close()
    second = Dataplane.load(wire.home, SIZES)
    assert second.adopted_maps
    assert second.adopted == [Pin(flow=FLOW, backend_id=3, flags=PinFlag.UNREAD)]
    assert second.left.services == {VIP: 1}
    assert second.left.backends == {3: (1, (BACKEND,))}
    assert second.route(3) == ROUTE
    assert second.read([FLOW])[FLOW].packets == 7
    second.close()


def test_an_adopted_place_is_not_given_out_twice(wire: Wire) -> None:
    filled(wire).close()
    second = Dataplane.load(wire.home, SIZES)
    other = replace(FLOW, client_port=6000)
    second.pin(Pin(flow=other, backend_id=3))
    assert len(set(second._places.values())) == 2
    second.close()


def test_other_sizes_carry_everything_into_new_maps(wire: Wire) -> None:
    first = filled(wire)
    first._statistics.write(first._places[FLOW], layout.PIN_STATISTICS.pack(7, *[0] * 10))
    first.close()
    second = Dataplane.load(wire.home, replace(SIZES, pins=2000))
    assert not second.adopted_maps
    assert second.adopted == [Pin(flow=FLOW, backend_id=3, flags=PinFlag.UNREAD)]
    assert second.read([FLOW])[FLOW].packets == 7
    second.attach("auto")
    second.close()
    third = Dataplane.load(wire.home, replace(SIZES, pins=2000))
    assert third.adopted_maps
    assert third.adopted == [Pin(flow=FLOW, backend_id=3, flags=PinFlag.UNREAD)]
    third.close()


def test_another_layout_version_is_read_by_the_names_of_its_members(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(wire).close()
    monkeypatch.setattr("rtspdsr.dataplane.bpffs.LAYOUT_VERSION", layout.LAYOUT_VERSION + 1)
    second = Dataplane.load(wire.home, SIZES)
    assert not second.adopted_maps
    assert second.adopted == [Pin(flow=FLOW, backend_id=3, flags=PinFlag.UNREAD)]
    assert second.left.clients == {(1, CLIENT): 3}
    second.attach("auto")
    second.close()
    assert [one.name for one in wire.home.standing()] == [f"v{layout.LAYOUT_VERSION + 1}"]


def redescribed(wire: Wire, change: Callable[[dict[str, Any]], None], version: int = 1) -> None:
    """Let the maps that stand be those of another version, whose structs are described otherwise."""
    first = filled(wire)
    counted = dict.fromkeys((name for name, _ in layout.PIN_STATISTICS.members), 0)
    counted |= {"packets": 7, "heard_ticks": 8_000_000_000}
    first._statistics.write(first._places[FLOW], layout.PIN_STATISTICS.pack(*counted.values()))
    first.close()
    members = {one.name: list(one.members) for one in layout.LAYOUTS}
    change(members)
    (wire.home.pins / "layout").unlink()
    with Map.create_array("layout", 8192, 1) as description:
        description.update(layout.index(0), json.dumps(members).encode().ljust(8192, b"\0"))
        description.pin(wire.home.pins / "layout")
    if version != layout.LAYOUT_VERSION:
        wire.home.pins.rename(wire.home.path / f"v{version}")


def in_nanoseconds(members: dict[str, Any]) -> None:
    """As version 1 had it."""
    members["pin_statistics"] = [
        (name.replace("_ticks", "_at"), code) for name, code in members["pin_statistics"]
    ]


def test_times_in_another_unit_are_left_behind(wire: Wire) -> None:
    redescribed(wire, in_nanoseconds)
    second = Dataplane.load(wire.home, SIZES)
    assert second.adopted == [Pin(flow=FLOW, backend_id=3, flags=PinFlag.UNREAD)]
    assert (second.read([FLOW])[FLOW].packets, second.read([FLOW])[FLOW].heard_at) == (7, 0.0)
    second.close()


def test_maps_of_our_version_that_are_described_otherwise_are_not_taken_for_ours(wire: Wire) -> None:
    redescribed(wire, in_nanoseconds, layout.LAYOUT_VERSION)
    second = Dataplane.load(wire.home, SIZES)
    assert not second.adopted_maps
    assert second.read([FLOW])[FLOW].heard_at == 0.0
    second.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda members: members.pop("vip"),
        lambda members: members.update(flow_key=[("client", "16s"), ("service", "Q")]),
        lambda members: members.update(pin=[("statistics", "Q")]),
        lambda members: members.update(pin_statistics=[("packets", "Q")]),
        lambda members: members.update(backend="what is this"),
    ],
    ids=["a struct is missing", "other members", "a member is missing", "another size", "not a layout"],
)
def test_maps_that_do_not_say_what_is_needed_are_refused(
    wire: Wire, change: Callable[[dict[str, Any]], None]
) -> None:
    redescribed(wire, change)
    with pytest.raises(DataplaneError, match=r"v1 are of another version.*rtspdsr detach"):
        Dataplane.load(wire.home, SIZES)


def test_maps_without_a_table_of_vips_are_refused(wire: Wire) -> None:
    redescribed(wire, lambda members: None)
    (wire.home.path / "v1" / "vips").unlink()
    with pytest.raises(DataplaneError, match=r"v1 are of another version.*rtspdsr detach"):
        Dataplane.load(wire.home, SIZES)


def test_until_it_is_attached_a_migration_leaves_the_old_maps_in_force(wire: Wire) -> None:
    filled(wire).close()
    Dataplane.load(wire.home, replace(SIZES, pins=2000)).close()
    third = Dataplane.load(wire.home, SIZES)
    assert third.adopted_maps
    assert third.pins == 1
    third.close()


def test_a_second_daemon_is_refused_while_the_first_one_lives(wire: Wire) -> None:
    first = Dataplane.load(wire.home, SIZES)
    with pytest.raises(AlreadyRunning, match=f"another rtspdsr daemon serves {wire.near}"):
        Dataplane.load(wire.home, SIZES)
    first.close()
    Dataplane.load(wire.home, SIZES).close()


def test_a_foreign_program_on_the_interface_is_reported_not_replaced(wire: Wire) -> None:
    filled(wire).close()
    dataplane = Dataplane(loader.load(_Elsewhere(wire.bpffs, (wire.near,)), SIZES.entries()))
    with pytest.raises(AlreadyRunning, match=f"already attached to {wire.near}.*rtspdsr detach"):
        dataplane.attach("auto")
    dataplane.close()


class _Elsewhere(Home):
    """A home at another place of the same bpffs."""

    @property
    def path(self) -> Path:
        return self.bpffs / "elsewhere"


def test_a_missing_interface_is_named(wire: Wire) -> None:
    with pytest.raises(DataplaneError, match="no interface nosuch0"):
        Dataplane.load(Home(wire.bpffs, ("nosuch0",)), SIZES)


def test_an_interface_made_anew_is_attached_to_again(wire: Wire) -> None:
    filled(wire).close()
    ip("link", "del", wire.near)
    ip("link", "add", wire.near, "type", "veth", "peer", "name", wire.far)
    second = Dataplane.load(wire.home, SIZES)
    assert modes(second.attach("auto")) == {wire.near: "native"}
    assert second.pins == 1
    second.close()


def test_one_interface_is_attached_to_without_the_others(wire: Wire) -> None:
    dataplane = Dataplane.load(Home(wire.bpffs, (wire.near, wire.far)), SIZES)
    dataplane.attach("auto")
    ip("link", "del", wire.near)  # and with it its peer
    ip("link", "add", wire.far, "type", "veth", "peer", "name", "rdc2")
    (attached,) = modes([dataplane.attach_interface("auto", wire.far)]).items()
    assert attached == (wire.far, "native")
    with pytest.raises(InterfaceGone, match=f"no interface {wire.near}"):
        dataplane.attach_interface("auto", wire.near)
    with pytest.raises(InterfaceGone, match=f"no interface {wire.near}"):
        dataplane.attach("auto")
    dataplane.close()


def test_why_native_mode_is_not_used_is_told(wire: Wire) -> None:
    dataplane = Dataplane.load(Home(wire.bpffs, ("lo",)), SIZES)
    (attached,) = dataplane.attach("auto")
    assert attached.mode == "generic"
    (notice,) = attached.notices
    assert notice.startswith("native mode is refused, so generic mode is used: cannot attach")
    assert dataplane.attach("auto")[0].notices == ()
    dataplane.close()


def test_what_the_driver_hides_is_told(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtspdsr.dataplane.offload.driver", lambda _interface: "ixgbe")
    first = filled(wire)
    assert [len(one.notices) for one in first.attach("auto")] == [1]
    first.close()
    second = Dataplane.load(wire.home, SIZES)
    assert [len(one.notices) for one in second.attach("auto")] == [1]
    second.close()


def test_interfaces_that_are_gone_leave_no_entry(wire: Wire) -> None:
    first = filled(wire)
    near = socket.if_nametoindex(wire.near)
    for ifindex in (near, 4711, 4712):
        first.set_interface(ifindex, ROUTE.source)
    first.forget_interface(4711)
    first.forget_interface(4711)
    assert known_interfaces(first) == {near, 4712}
    first.close()
    second = Dataplane.load(wire.home, SIZES)
    assert known_interfaces(second) == {near}
    second.close()


def known_interfaces(dataplane: Dataplane) -> set[int]:
    """The interfaces that XDP has a MAC address of."""
    return {int.from_bytes(key, "little") for key, _ in dataplane._maps["interfaces"].entries()}


def test_a_full_map_names_the_key_that_sizes_it(wire: Wire) -> None:
    dataplane = Dataplane.load(wire.home, replace(SIZES, pins=3))
    for port in range(3):
        dataplane.pin(Pin(flow=replace(FLOW, client_port=port), backend_id=1))
    with pytest.raises(MapFull, match=r"'pins' is full at 3 entries; raise dataplane\.pins_max"):
        dataplane.pin(Pin(flow=FLOW, backend_id=1))
    assert dataplane.pins == 3
    dataplane.unpin(replace(FLOW, client_port=0))
    dataplane.pin(Pin(flow=FLOW, backend_id=1))
    dataplane.close()


def slot(dataplane: Dataplane, service_id: int, number: int) -> int:
    """The backend id in a slot of the table in force; 0 if none stands."""
    maps = dataplane._maps
    table = maps["slot_tables"].lookup(layout.index(service_id)) or b""
    base, filled = layout.SLOT_TABLE.unpack(table)
    backend_id = int.from_bytes(maps["slots"].lookup(layout.index(base + number)) or b"", "little")
    return backend_id if filled else 0


def test_a_new_slot_table_takes_the_place_of_the_last_one_whole(wire: Wire) -> None:
    dataplane = Dataplane.load(wire.home, SIZES)
    assert slot(dataplane, 1, 0) == 0
    for backend_id in (1, 2, 3):
        dataplane.slots.write(1, array("H", [backend_id]) * SLOT_COUNT)
        assert {slot(dataplane, 1, at) for at in (0, 1, SLOT_COUNT - 1)} == {backend_id}
    assert slot(dataplane, 0, 0) == 0
    dataplane.close()


def test_a_service_without_a_table_places_nobody_until_it_has_one_again(wire: Wire) -> None:
    dataplane = Dataplane.load(wire.home, SIZES)
    dataplane.slots.write(1, array("H", [1]) * SLOT_COUNT)
    dataplane.slots.clear(1)
    assert slot(dataplane, 1, 0) == 0
    dataplane.slots.write(1, array("H", [2]) * SLOT_COUNT)
    assert slot(dataplane, 1, 0) == 2
    dataplane.close()


def test_newcomers_of_a_backend_are_forgotten_and_its_clients_told(wire: Wire) -> None:
    dataplane = filled(wire)
    other = ip_address("2001:db8::7")
    for client, backend_id in ((CLIENT, 3), (other, 2)):
        dataplane._maps["newcomers"].update(
            layout.pack_client(1, client), layout.NEWCOMER.pack(1, backend_id)
        )
    dataplane.place_client(1, other, 2)
    dataplane.forget_newcomers({3, 4})
    left = [layout.CLIENT_KEY.unpack(key) for key, _ in dataplane._maps["newcomers"].entries()]
    assert [layout.address(client) for client, _ in left] == [other]
    assert dataplane.clients_at({3, 4}) == [(1, CLIENT)]
    dataplane.close()


def test_statistics_grow_by_chunks_and_survive_a_restart(wire: Wire) -> None:
    sizes = replace(SIZES, pins=3 * CHUNK_PINS)
    first = Dataplane.load(wire.home, sizes)
    for port in range(CHUNK_PINS + 5):
        if first.scarce:
            first.grow()
        client = ip_address(0x0A000000 + port)
        first.pin(Pin(flow=replace(FLOW, client=client), backend_id=1))
    assert 0 not in first._places.values()
    assert len(set(first._places.values())) == CHUNK_PINS + 5
    first.attach("auto")
    first.close()
    second = Dataplane.load(wire.home, sizes)
    assert second.pins == CHUNK_PINS + 5
    second.close()


def test_a_pin_without_a_place_is_counted_as_soon_as_there_is_room(wire: Wire) -> None:
    dataplane = Dataplane.load(wire.home, replace(SIZES, pins=3 * CHUNK_PINS))
    for port in range(CHUNK_PINS - 1):
        dataplane.pin(Pin(flow=replace(FLOW, client=ip_address(0x0A000000 + port)), backend_id=1))
    late, again = replace(FLOW, client_port=1), replace(FLOW, client_port=2)
    for flow in (late, again):
        dataplane.pin(Pin(flow=flow, backend_id=2, flags=PinFlag.UPSTREAM))
        assert dataplane.read([flow]) == {flow: UNCOUNTED}
    dataplane.grow()
    dataplane.pin(Pin(flow=again, backend_id=3))
    assert dataplane.read([again])[again].counted
    assert dataplane.news([late]) == {late: UNCOUNTED}, "what came before is not known"
    assert dataplane.read([late])[late].counted
    standing = {pin.flow: (pin, place) for pin, place in dataplane._standing_pins()}
    assert standing[late][0] == Pin(flow=late, backend_id=2, flags=PinFlag.UPSTREAM)
    assert standing[again][0] == Pin(flow=again, backend_id=3)
    assert 0 not in {place for _, place in standing.values()}
    dataplane.close()


def test_news_are_told_once_and_of_those_pins_that_packets_came_for(wire: Wire) -> None:
    dataplane = Dataplane.load(wire.home, SIZES)
    silent = replace(FLOW, client_port=1)
    for flow in (FLOW, silent):
        dataplane.pin(Pin(flow=flow, backend_id=1))
    assert dataplane.news([FLOW, silent]) == {}
    for packets in (1, 2):
        count(dataplane, FLOW, packets)
        assert dataplane.news([FLOW, silent]) == dataplane.read([FLOW])
        assert dataplane.news([FLOW, silent]) == {}
    assert dataplane.read([FLOW])[FLOW].packets == 2
    dataplane.unpin(FLOW)
    assert dataplane.news([FLOW]) == {}
    dataplane.pin(Pin(flow=FLOW, backend_id=1))
    count(dataplane, FLOW, 2)
    assert dataplane.news([FLOW])[FLOW].packets == 2, "of another pin than before"
    dataplane.close()


def count(dataplane: Dataplane, flow: FlowKey, packets: int) -> None:
    """As XDP would have."""
    counted = dict.fromkeys((name for name, _ in layout.PIN_STATISTICS.members), 0) | {"packets": packets}
    dataplane._statistics.write(dataplane._places[flow], layout.PIN_STATISTICS.pack(*counted.values()))


def test_a_place_that_was_given_back_rests_for_as_long_as_there_are_others(wire: Wire) -> None:
    dataplane = Dataplane.load(wire.home, SIZES)
    taken = []
    for _ in range(100):
        dataplane.pin(Pin(flow=FLOW, backend_id=1))
        taken.append(dataplane._places[FLOW])
        dataplane.unpin(FLOW)
    assert len(set(taken)) == 100
    dataplane.close()


def test_a_detached_interface_is_free_at_once(wire: Wire) -> None:
    for _ in range(5):
        filled(wire).close()
        loader.detach(wire.home)
        assert "xdp" not in attached_program(wire.near)
        assert not wire.home.path.exists()


def test_verdicts_are_read_without_a_daemon(wire: Wire) -> None:
    filled(wire).close()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((wire.far, 0))
        raw.send(b"\xff" * 6 + b"\x02\0\0\0\0\x09" + b"\x88\xb5" + bytes(50))
    assert verdicts(wire.home)[layout.Verdict.NOT_IP] == 1


def test_pins_without_a_description_say_what_to_do(wire: Wire) -> None:
    filled(wire).close()
    (wire.home.pins / "layout").unlink()
    Map.create_array("layout", 16, 1).pin(wire.home.pins / "layout")
    with pytest.raises(DataplaneError, match=r"are of another version.*rtspdsr detach"):
        Dataplane.load(wire.home, SIZES)
