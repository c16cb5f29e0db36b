"""What becomes of interfaces, and what is remembered of them."""

from ipaddress import IPv6Address, ip_address, ip_network

import pytest

from rtspdsr.network.links import ATTEMPTS, RETRY_S, LinkChange, Links, Memory, Restored, leads_to
from rtspdsr.network.values import Link, LinkGone, StaticAddress, StaticRoute

MAC, OTHER_MAC = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
UP = Link(ifindex=2, interface="eth0", mac=MAC, enabled=True, running=True)
NO_CARRIER = Link(ifindex=2, interface="eth0", mac=MAC, enabled=True, running=False)
DOWN = Link(ifindex=2, interface="eth0", mac=MAC, enabled=False, running=False)
ADDRESS = StaticAddress(address=IPv6Address("2001:db8::1"), prefix_length=64)


def route(network: str, gateway: str = "") -> StaticRoute:
    return StaticRoute(
        network=ip_network(network), table=254, metric=0, tos=0, gateway=gateway, message=object()
    )


NEAR, FAR = route("198.51.100.0/24"), route("203.0.113.0/24", "198.51.100.1")


def change(ifindex: int = 2, mac: bytes = MAC, *, up: bool = True) -> LinkChange:
    return LinkChange(interface="eth0", ifindex=ifindex, mac=mac, up=up)


def test_the_present_state_is_told_first_also_of_an_interface_that_is_not_there() -> None:
    links = Links(["eth0", "eth1"])
    links.reset([UP, Link(ifindex=1, interface="lo", mac=bytes(6), enabled=True, running=True)])
    assert links.changes() == [change(), LinkChange(interface="eth1", ifindex=0, mac=b"", up=False)]
    assert links.changes() == []
    assert links.watched() == {2}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (UP, []),
        (NO_CARRIER, [change(up=False)]),
        (DOWN, [change(up=False)]),
        (LinkGone(2), [change(ifindex=0, mac=b"", up=False)]),
        (
            Link(ifindex=2, interface="eth0", mac=OTHER_MAC, enabled=True, running=True),
            [change(mac=OTHER_MAC)],
        ),
        (
            Link(ifindex=2, interface="lan", mac=MAC, enabled=True, running=True),
            [change(ifindex=0, mac=b"", up=False)],
        ),
        (Link(ifindex=9, interface="lan", mac=MAC, enabled=True, running=True), []),
    ],
    ids=["same", "carrier lost", "set down", "removed", "new MAC", "renamed", "another interface"],
)
def test_a_message_becomes_a_change(message: Link | LinkGone, expected: list[LinkChange]) -> None:
    links = Links(["eth0"])
    links.reset([UP])
    links.changes()
    links.receive(message)
    assert links.changes() == expected


def test_an_interface_made_again_has_its_new_index() -> None:
    links = Links(["eth0"])
    links.reset([UP])
    links.changes()
    links.receive(LinkGone(2))
    links.receive(Link(ifindex=7, interface="eth0", mac=MAC, enabled=True, running=True))
    assert links.changes() == [change(ifindex=7)]


def remembering() -> Memory:
    memory = Memory()
    memory.receive(UP, 10.0)
    memory.remember(2, [ADDRESS], [FAR, NEAR])
    return memory


def test_what_went_with_the_link_is_missing_when_it_is_up_again() -> None:
    memory = remembering()
    memory.receive(DOWN, 20.0)
    memory.remember(2, [], [])
    assert memory.due(20.0) == []
    memory.receive(NO_CARRIER, 30.0)
    assert memory.due(30.0) == [2]
    assert memory.missing(2, [], []) == [ADDRESS, NEAR, FAR]  # the router's own network comes first
    assert memory.missing(2, [ADDRESS], [NEAR]) == [FAR]
    assert memory.attempted(UP, ["a", "b"], [], 30.0) == Restored(interface="eth0", restored=("a", "b"))
    assert memory.due(100.0) == []
    assert memory.next_timer() is None


def test_a_carrier_that_comes_and_goes_takes_nothing() -> None:
    memory = remembering()
    memory.receive(NO_CARRIER, 20.0)
    memory.receive(UP, 21.0)
    assert memory.due(21.0) == []


def test_what_the_operator_removed_while_the_link_was_up_stays_removed() -> None:
    memory = remembering()
    memory.remember(2, [], [NEAR])
    memory.receive(DOWN, 20.0)
    memory.receive(UP, 21.0)
    assert memory.missing(2, [], []) == [NEAR]


def test_nothing_is_said_when_nothing_was_lost() -> None:
    memory = remembering()
    memory.receive(DOWN, 20.0)
    memory.receive(UP, 21.0)
    assert memory.attempted(UP, [], [], 21.0) is None
    assert memory.due(100.0) == []


def test_a_refusal_is_tried_again_and_told_when_given_up() -> None:
    memory = remembering()
    memory.receive(DOWN, 20.0)
    memory.receive(UP, 30.0)
    assert memory.attempted(UP, ["address"], ["route: no"], 30.0) is None
    assert memory.due(30.0) == []
    assert memory.next_timer() == 30.0 + RETRY_S
    for attempt in range(1, ATTEMPTS - 1):
        assert memory.attempted(UP, [], ["route: no"], 30.0 + attempt) is None
    assert memory.attempted(UP, [], ["route: no"], 45.0) == Restored(
        interface="eth0", restored=("address",), refused=("route: no",)
    )
    assert memory.next_timer() is None


def test_an_interface_that_is_removed_is_forgotten() -> None:
    memory = remembering()
    memory.receive(LinkGone(2), 20.0)
    memory.receive(UP, 21.0)
    assert memory.due(21.0) == []


@pytest.mark.parametrize(
    ("network", "leads"),
    [("192.0.2.0/24", True), ("192.0.3.0/24", False), ("0.0.0.0/0", False), ("2001:db8::/32", False)],
)
def test_only_routes_to_backends_and_vips_are_ours_to_restore(network: str, leads: bool) -> None:
    assert leads_to(route(network), [ip_address("192.0.2.7")]) is leads


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (NEAR, "route 198.51.100.0/24"),
        (FAR, "route 203.0.113.0/24 via 198.51.100.1"),
        (
            StaticRoute(network=ip_network("::/0"), table=77, metric=5, tos=0, gateway="", message=object()),
            "route ::/0 table 77 metric 5",
        ),
        (ADDRESS, "address 2001:db8::1/64"),
    ],
    ids=str,
)
def test_restored_things_are_told_as_ip_writes_them(one: StaticRoute | StaticAddress, text: str) -> None:
    assert str(one) == text
