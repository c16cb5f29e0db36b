"""The lab's wires: what the switch knows, what the NATs do, what the balancer's link carries."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from rtspdsr.lab.capture import Packet
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.topology import SWITCH
from rtspdsr.model import Proto
from tests.lab.helpers import command_at, python_at, run_at, wait_for

LOCAL_PORT = 41000

SEND = """
import socket, sys
local, host, *ports = sys.argv[1:]
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind(("", int(local)))
for port in ports:
    sender.sendto(b"from inside", (host, int(port)))
"""

SEND_AND_HEAR = """
import socket, sys
local, host, port = sys.argv[1:]
both = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
both.bind(("", int(local)))
both.settimeout(2.0)
both.sendto(b"from inside", (host, int(port)))
print("sent", flush=True)
try:
    while True:
        print("heard", both.recvfrom(100)[1][1], flush=True)
except TimeoutError:
    pass
"""


def from_outside(lab: Lab, router: str, ports: list[int]) -> list[int]:
    """Source ports as gst-a sees them when the player behind the router sends to each of its ports."""
    target = str(lab.topology.node("gst-a").address(4))
    player = router.replace("router", "player")
    with lab.capture("nat") as capture:
        python_at(lab, player, SEND, str(LOCAL_PORT), target, *map(str, ports))
        wait_for(lambda: len(at_gst_a(capture.packets(), lab, router)) >= len(ports), "the datagrams")
        return [packet.source_port or 0 for packet in at_gst_a(capture.packets(), lab, router)]


def at_gst_a(packets: list[Packet], lab: Lab, router: str) -> list[Packet]:
    outside = lab.topology.node(router).address(4)
    return [
        packet
        for packet in packets
        if packet.node == "gst-a"
        and packet.to_node
        and packet.proto == Proto.UDP
        and packet.source == outside
    ]


def test_a_keeping_nat_shows_the_players_own_port(lab: Lab) -> None:
    assert from_outside(lab, "router-keep", [7001, 7002, 7003]) == [LOCAL_PORT] * 3


def test_a_randomising_nat_shows_another_port_for_each_remote_port(lab: Lab) -> None:
    seen = from_outside(lab, "router-random", [7001, 7002, 7003])
    assert len(set(seen)) == 3
    assert LOCAL_PORT not in seen


@pytest.fixture
def hearing(lab: Lab) -> Iterator["subprocess.Popen[str]"]:
    """A player behind the keeping NAT that has sent to player2's port 7100 and listens for two seconds."""
    target = str(lab.topology.node("player2").address(4))
    hearer = ["python3", "-c", SEND_AND_HEAR, str(LOCAL_PORT + 1), target, "7100"]
    with subprocess.Popen(
        command_at(lab, "player-keep", *hearer), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_nat_lets_in_only_the_address_and_port_that_was_sent_to(
    lab: Lab, hearing: "subprocess.Popen[str]"
) -> None:
    assert hearing.stdout
    assert hearing.stdout.readline() == "sent\n"
    outside = str(lab.topology.node("router-keep").address(4))
    for sender, local in (("player2", "7101"), ("player3", "7100"), ("player2", "7100")):
        python_at(lab, sender, SEND, local, outside, str(LOCAL_PORT + 1))
    assert hearing.stdout.read().split("\n") == ["heard 7100", ""]


def test_the_switch_floods_no_frame_of_a_node_that_has_been_silent(lab: Lab) -> None:
    # A frame to an address that the switch did not know would be seen at every port.
    target = str(lab.topology.node("gst-b").address(4))
    with lab.capture("flood") as capture:
        python_at(lab, "player12", SEND, str(LOCAL_PORT), target, "7200")
        wait_for(lambda: any(one.destination_port == 7200 for one in capture.packets()), "the datagram")
        seen = [one.node for one in capture.packets() if one.destination_port == 7200 and one.to_node]
    assert seen == ["gst-b"]


def test_packets_are_cut_and_summed_before_they_reach_xdp(lab: Lab) -> None:
    features = json.loads(run_at(lab, SWITCH, "ethtool", "--json", "-k", lab.topology.balancer.name))[0]
    for feature in ("tx-checksumming", "tx-tcp-segmentation", "generic-receive-offload"):
        assert features[feature]["active"] is False, feature
