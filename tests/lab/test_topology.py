"""The description of a lab, without making one."""

import pytest

from rtspdsr.errors import LabError
from rtspdsr.lab.topology import (
    CLIENTS4,
    CLIENTS6,
    PLAYERS_MAX,
    VIP4,
    VIP6,
    Role,
    topology,
    url,
)

INTERFACE_NAME_MAX = 15  # of the kernel; ports of the switch are named after nodes


def test_no_address_is_given_twice_even_in_the_largest_lab() -> None:
    nodes = topology("lab", PLAYERS_MAX).nodes
    addresses = [one.ip for node in nodes for one in (node.v4, node.v6) if one]
    assert len({*addresses, VIP4, VIP6}) == len(addresses) + 2
    macs = [node.mac for node in nodes if node.mac]
    assert len(set(macs)) == len(macs)


def test_clients_are_in_the_networks_that_backends_are_prepared_for() -> None:
    lab = topology("lab", PLAYERS_MAX)
    for node in (*lab.role(Role.PLAYER), *lab.role(Role.ROUTER)):
        wire = lab.wire(node.name)
        assert wire.v4.ip in CLIENTS4
        assert wire.address(6) in CLIENTS6
    for node in lab.backends:
        assert node.v4.ip not in CLIENTS4


def test_every_node_can_name_a_port_of_the_switch() -> None:
    assert max(len(node.name) for node in topology("lab", PLAYERS_MAX).nodes) <= INTERFACE_NAME_MAX


def test_a_player_behind_a_nat_is_seen_at_its_routers_port() -> None:
    lab = topology()
    assert lab.wire("player-keep").name == "router-keep"
    assert lab.wire("player").name == "player"


def test_namespaces_of_one_lab_do_not_begin_with_those_of_another() -> None:
    assert not set(topology("a").namespaces) & set(topology("ab").namespaces)


@pytest.mark.parametrize("name", ["", "-", "a-b", "Lab", "a" * 13, "../x", "*"])
def test_a_name_that_could_not_name_namespaces_and_files_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="1 to 12 small letters or digits"):
        topology(name)


@pytest.mark.parametrize("players", [0, PLAYERS_MAX + 1])
def test_a_number_of_players_without_addresses_is_refused(players: int) -> None:
    with pytest.raises(LabError, match=f"1 to {PLAYERS_MAX} players"):
        topology("lab", players)


def test_an_unknown_node_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(LabError, match=r"no node 'camera'.*player, .*gst-a, gst-b, vlc"):
        topology().node("camera")


def test_an_ipv6_url_has_brackets() -> None:
    assert url("clip") == "rtsp://10.77.0.100/clip"
    assert url("clip", VIP6) == "rtsp://[fd77::100]/clip"
