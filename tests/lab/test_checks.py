"""Checks of real media servers through the VIP: what they measure, what they name, and what they leave."""

import json
import signal
import sys

import pytest

from rtspdsr.lab import server
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.topology import VIP4, VIP6, url
from rtspdsr.model import Address
from tests.lab.helpers import Line, run_at, wait_for


def check(
    lab: Lab, kind: str, backend: str, path: str = "live", vip: Address = VIP4, times: int = 1
) -> list[Line]:
    """What checks at the balancer find of one backend."""
    gateway = lab.topology.node(backend).address(vip.version)
    command = [sys.executable, "-m", "tests.lab.check_at", kind, str(gateway), str(vip), url(path, vip)]
    return [json.loads(line) for line in run_at(lab, "balancer", *command, str(times)).splitlines()]


@pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("backend", ["gst-a", "vlc"])
def test_a_play_measures_what_a_client_would_get(lab: Lab, backend: str, vip: Address) -> None:
    (found,) = check(lab, "play", backend, vip=vip)
    assert found["problem"] == ""
    assert found["source"] == str(vip)
    assert found["response_s"] < 1.0
    assert found["first_rtp_s"] < 4.0
    assert 100_000 < found["bits_per_s"] < 1_000_000
    assert found["lost"] == 0
    assert found["jitter_s"] < 0.1


@pytest.mark.parametrize("kind", ["tcp", "options", "describe"])
@pytest.mark.parametrize("backend", ["gst-a", "vlc"])
def test_the_cheap_checks_pass_with_real_servers(lab: Lab, backend: str, kind: str) -> None:
    assert check(lab, kind, backend)[0]["problem"] == ""


@pytest.mark.parametrize("backend", ["gst-a", "vlc"])
def test_what_is_not_there_is_named(lab: Lab, backend: str) -> None:
    assert (
        check(lab, "play", backend, "nothing")[0]["problem"].lower() == "answers describe with 404 not found"
    )


def test_a_backend_that_is_not_prepared_is_named_with_its_address(lab: Lab) -> None:
    """Its route to the balancer with the VIP as source is taken away: media leaves with its own address."""
    node, balancer = lab.topology.node("gst-a"), lab.topology.balancer
    routes = run_at(lab, "gst-a", "ip", "route", "show", "table", "all", "src", str(VIP4)).splitlines()
    (route,) = (line.split() for line in routes if line.startswith(f"{balancer.v4.ip} "))
    run_at(lab, "gst-a", "ip", "route", "del", *route)
    try:
        (found,) = check(lab, "play", "gst-a")
    finally:
        server.prepare(lab.topology, lab.processes, node, lab.state / "prepared" / "gst-a.json")
    assert found["problem"] == f"RTP came from {node.v4.ip}, not from the VIP: run rtspdsr backend prepare"
    assert found["source"] == str(node.v4.ip)


def test_a_server_that_hangs_is_said_to_hang(lab: Lab) -> None:
    process = lab.processes["gst-b"]
    process.signal(signal.SIGSTOP)
    try:
        assert (
            "does not answer OPTIONS within 0.8 s: does it hang?"
            in check(lab, "options", "gst-b")[0]["problem"]
        )
        assert (
            "does not answer OPTIONS within 3 s: does it hang?" in check(lab, "play", "gst-b")[0]["problem"]
        )
    finally:
        process.signal(signal.SIGCONT)


def sessions_at(lab: Lab, backend: str) -> list[str]:
    """The server's own list of its sessions."""
    process = lab.processes[backend]
    before = process.log.read_text().count('"event": "sessions"')
    process.signal(signal.SIGUSR1)
    wait_for(lambda: process.log.read_text().count('"event": "sessions"') > before, "the list of sessions")
    lines = [line for line in process.log.read_text().splitlines() if '"event": "sessions"' in line]
    listed: list[str] = json.loads(lines[-1])["sessions"]
    return listed


def test_no_session_is_left_at_the_server(lab: Lab) -> None:
    before = set(sessions_at(lab, "gst-b"))
    found = check(lab, "brief", "gst-b", times=50)
    assert len(found) == 50
    assert {one["problem"] for one in found} == {""}
    wait_for(lambda: set(sessions_at(lab, "gst-b")) <= before, "its sessions to be over", 5.0)
