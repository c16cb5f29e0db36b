"""The state machine of a neighbour: which orders and changes follow from which message and time."""

from ipaddress import ip_address

import pytest

from rtspdsr.network.resolver import (
    LOST_S,
    PROBE_S,
    SOLICIT_S,
    Lookup,
    NeighbourChange,
    Probe,
    Resolver,
    Solicit,
)
from rtspdsr.network.values import Hop, Link, NeighbourEntry, Nud

CAM = ip_address("192.0.2.7")
CAM6 = ip_address("2001:db8::7")
OURS = bytes.fromhex("020000000001")
MAC, OTHER_MAC = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
ETH0 = Link(ifindex=2, interface="eth0", mac=OURS, enabled=True, running=True)
ETH0_DOWN = Link(ifindex=2, interface="eth0", mac=OURS, enabled=False, running=False)
MANY = 1 << 16


def entry(state: Nud, mac: bytes | None = MAC) -> NeighbourEntry:
    return NeighbourEntry(address=CAM, ifindex=2, state=state, mac=mac)


def found(mac: bytes = MAC) -> NeighbourChange:
    return NeighbourChange(address=CAM, mac=mac, ifindex=2, interface="eth0", source_mac=OURS)


class Case:
    """A resolver that watches one backend behind eth0, and has said all there is to say at 100 s."""

    def __init__(self, state: Nud = Nud.REACHABLE) -> None:
        self.links = {2: ETH0}
        self.resolver = Resolver(self.links)
        self.resolver.watch([CAM], 100.0)
        self.resolver.orders(100.0, MANY)
        self.resolver.routed(CAM, Hop(ifindex=2), 100.0)
        self.resolver.orders(100.0, MANY)
        self.resolver.heard(entry(state), 100.0)
        assert self.resolver.changes(100.0) == [found()]


def test_a_new_address_is_looked_up_then_asked_for_then_found() -> None:
    resolver = Resolver({2: ETH0})
    resolver.watch([CAM], 100.0)
    assert resolver.orders(100.0, MANY) == [Lookup(CAM)]
    resolver.routed(CAM, Hop(ifindex=2), 100.0)
    assert resolver.orders(100.0, MANY) == [Solicit(CAM, 2)]
    assert resolver.orders(100.0, MANY) == []
    assert resolver.changes(100.0) == []
    resolver.heard(entry(Nud.REACHABLE), 100.1)
    assert resolver.changes(100.1) == [found()]
    assert resolver.changes(100.1) == []


def test_an_address_that_never_answers_is_lost_once_and_asked_again() -> None:
    resolver = Resolver({2: ETH0})
    resolver.watch([CAM], 100.0)
    resolver.orders(100.0, MANY)
    resolver.routed(CAM, Hop(ifindex=2), 100.0)
    resolver.orders(100.0, MANY)
    resolver.heard(entry(Nud.INCOMPLETE, None), 100.0)
    assert resolver.next_timer() == 100.0 + LOST_S
    (lost,) = resolver.changes(100.0 + LOST_S)
    assert (lost.mac, lost.interface) == (None, "eth0")
    assert "does not answer ARP" in lost.problem
    resolver.heard(entry(Nud.FAILED, None), 103.0)
    assert resolver.changes(103.0) == []
    assert resolver.orders(100.0 + SOLICIT_S, MANY) == [Solicit(CAM, 2)]


@pytest.mark.parametrize("state", [Nud.STALE, Nud.DELAY, Nud.PROBE, Nud.REACHABLE], ids=lambda s: s.name)
def test_a_state_that_is_only_doubtful_keeps_the_mac_address(state: Nud) -> None:
    case = Case()
    case.resolver.heard(entry(state), 101.0)
    assert case.resolver.changes(103.0) == []


@pytest.mark.parametrize("state", [Nud.FAILED, Nud.INCOMPLETE, Nud.NONE], ids=lambda s: s.name)
def test_a_backend_that_falls_silent_is_asked_at_once_and_lost_a_moment_later(state: Nud) -> None:
    case = Case()
    case.resolver.heard(entry(state, None), 101.0)
    assert case.resolver.orders(101.0, MANY) == [Solicit(CAM, 2)]
    assert case.resolver.changes(101.0) == []
    assert case.resolver.next_timer() == 101.0 + LOST_S
    assert [change.mac for change in case.resolver.changes(101.0 + LOST_S)] == [None]
    case.resolver.heard(entry(Nud.REACHABLE), 110.0)
    assert case.resolver.changes(110.0) == [found()]


def test_a_mac_address_that_moved_is_followed_without_a_loss() -> None:
    case = Case()
    case.resolver.heard(entry(Nud.FAILED, None), 101.0)
    case.resolver.heard(entry(Nud.REACHABLE, OTHER_MAC), 101.1)
    assert case.resolver.changes(101.1) == [found(OTHER_MAC)]
    assert case.resolver.changes(105.0) == []


def test_a_gratuitous_announcement_is_followed_at_once() -> None:
    case = Case()
    case.resolver.heard(entry(Nud.STALE, OTHER_MAC), 101.0)
    assert case.resolver.changes(101.0) == [found(OTHER_MAC)]


def test_a_known_address_is_probed_every_few_seconds() -> None:
    case = Case()
    assert case.resolver.orders(100.0 + PROBE_S - 0.1, MANY) == []
    assert case.resolver.next_timer() == 100.0 + PROBE_S
    assert case.resolver.orders(100.0 + PROBE_S, MANY) == [Probe(CAM, 2)]
    assert case.resolver.orders(100.0 + PROBE_S, MANY) == []
    case.resolver.heard(entry(Nud.REACHABLE), 106.0)
    assert case.resolver.orders(106.0 + PROBE_S, MANY) == [Probe(CAM, 2)]


@pytest.mark.parametrize("state", [Nud.PERMANENT, Nud.NOARP], ids=lambda s: s.name)
def test_an_entry_set_by_hand_is_never_probed(state: Nud) -> None:
    case = Case(state)
    assert case.resolver.orders(120.0, MANY) == []


def test_many_backends_are_probed_more_slowly_and_in_batches() -> None:
    resolver = Resolver({2: ETH0})
    addresses = [CAM + index for index in range(1000)]
    resolver.watch(addresses, 100.0)
    assert len(resolver.orders(100.0, 32)) == 32
    resolver.orders(100.0, MANY)
    for address in addresses:
        resolver.routed(address, Hop(ifindex=2), 100.0)
    resolver.orders(100.0, MANY)
    for address in addresses:
        resolver.heard(NeighbourEntry(address=address, ifindex=2, state=Nud.REACHABLE, mac=MAC), 100.0)
    assert len(resolver.changes(100.0)) == 1000
    assert resolver.orders(109.9, MANY) == []
    assert len(resolver.orders(110.0, MANY)) == 1000


@pytest.mark.parametrize(
    ("hop", "link", "problem"),
    [
        (None, ETH0, "no route to 192.0.2.7"),
        (Hop(ifindex=2, gateway=ip_address("192.0.2.1")), ETH0, "behind router 192.0.2.1"),
        (Hop(ifindex=1, local=True), ETH0, "an address of this machine"),
        (Hop(ifindex=2), ETH0_DOWN, "interface eth0 is down"),
        (
            Hop(ifindex=2),
            Link(ifindex=2, interface="tun0", mac=b"", enabled=True, running=True),
            "interface tun0 has no MAC address",
        ),
    ],
    ids=["no route", "router", "own address", "link down", "not Ethernet"],
)
def test_an_unreachable_address_is_lost_at_once_with_its_reason(
    hop: Hop | None, link: Link, problem: str
) -> None:
    resolver = Resolver({2: link})
    resolver.watch([CAM], 100.0)
    resolver.orders(100.0, MANY)
    resolver.routed(CAM, hop, 100.0)
    (lost,) = resolver.changes(100.0)
    assert lost.mac is None
    assert problem in lost.problem


def test_after_lost_messages_every_entry_is_read_again_also_one_set_by_hand() -> None:
    case = Case(Nud.PERMANENT)
    case.resolver.resync()
    assert case.resolver.orders(101.0, MANY) == [Lookup(CAM)]
    case.resolver.routed(CAM, Hop(ifindex=2), 101.0)
    assert case.resolver.next_timer() is not None
    assert case.resolver.orders(101.0, MANY) == [Solicit(CAM, 2)]
    case.resolver.heard(entry(Nud.PERMANENT, OTHER_MAC), 101.0)
    assert case.resolver.changes(101.0) == [found(OTHER_MAC)]
    assert case.resolver.orders(101.0, MANY) == []


def test_a_link_that_goes_down_and_up_loses_and_finds_its_backend() -> None:
    case = Case()
    case.links[2] = ETH0_DOWN
    case.resolver.links_changed(101.0)
    case.resolver.heard(entry(Nud.NONE), 101.0)
    assert case.resolver.orders(101.0, MANY) == [Lookup(CAM)]
    case.resolver.routed(CAM, None, 101.0)
    assert [change.problem for change in case.resolver.changes(101.0)] == ["interface eth0 is down"]

    case.links[2] = ETH0
    case.resolver.links_changed(150.0)
    assert case.resolver.orders(150.0, MANY) == [Lookup(CAM)]
    case.resolver.routed(CAM, Hop(ifindex=2), 150.0)
    assert case.resolver.orders(150.0, MANY) == [Solicit(CAM, 2)]
    assert case.resolver.changes(150.0) == []
    case.resolver.heard(entry(Nud.REACHABLE), 150.2)
    assert case.resolver.changes(150.2) == [found()]


def test_a_route_by_another_interface_is_followed() -> None:
    case = Case()
    case.links[3] = Link(ifindex=3, interface="eth1", mac=OTHER_MAC, enabled=True, running=True)
    case.resolver.routes_changed()
    assert case.resolver.orders(101.0, MANY) == [Lookup(CAM)]
    case.resolver.routed(CAM, Hop(ifindex=3), 101.0)
    assert case.resolver.orders(101.0, MANY) == [Solicit(CAM, 3)]
    case.resolver.heard(entry(Nud.REACHABLE), 101.1)  # of the interface it left
    assert case.resolver.changes(101.1) == []
    case.resolver.heard(NeighbourEntry(address=CAM, ifindex=3, state=Nud.REACHABLE, mac=MAC), 101.2)
    (change,) = case.resolver.changes(101.2)
    assert (change.interface, change.source_mac) == ("eth1", OTHER_MAC)


def test_our_own_new_mac_address_is_a_change() -> None:
    case = Case()
    case.links[2] = Link(ifindex=2, interface="eth0", mac=OTHER_MAC, enabled=True, running=True)
    assert [change.source_mac for change in case.resolver.changes(101.0)] == [OTHER_MAC]


def test_a_reload_keeps_what_is_known_and_forgets_what_left() -> None:
    case = Case()
    case.resolver.watch([CAM, CAM6], 101.0)
    assert case.resolver.orders(101.0, MANY) == [Lookup(CAM6)]
    case.resolver.routed(CAM6, Hop(ifindex=2), 101.0)
    assert case.resolver.changes(101.0) == []
    case.resolver.watch([CAM6], 101.5)
    case.resolver.heard(entry(Nud.REACHABLE, OTHER_MAC), 101.5)
    assert case.resolver.changes(101.5) == []
    assert case.resolver.addresses == {CAM6}
