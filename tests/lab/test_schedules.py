"""Schedules at work with real players: turns, full backends, a crowd behind one address, a reload."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from typer.testing import CliRunner

from rtspdsr.cli import app
from rtspdsr.dataplane.layout import Verdict
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.errors import AdminError
from rtspdsr.lab.daemon import NO_CHECKS
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import PlayerKind, Playing, Transport, Watch
from rtspdsr.lab.topology import url
from tests.lab.client import PORTS, Client
from tests.lab.helpers import home, log_lines, verdicts, wait_for, wait_for_line

NODES = ["player", *(f"player{number}" for number in range(2, 8))]
NAT = "player-keep"
LATE_S = 60.0  # a refused teardown is waited for, then the client's next SYN, which comes ever later


@contextmanager
def configured(lab: Lab, service: str, backend: str = "") -> Iterator[None]:
    """The lab's service with other keys, every backend of one weight; as it was afterwards."""
    former = lab.daemon.config.read_text()
    lines = [
        f"weight = 100\n{backend}" if one.startswith("weight = ") else one for one in former.splitlines()
    ]
    reload(lab, "\n".join(lines).replace(NO_CHECKS, f"{service}\n{NO_CHECKS}") + "\n")
    try:
        yield
    finally:
        reload(lab, former)


def reload(lab: Lab, text: str) -> None:
    before = len(log_lines(lab, "config_reloaded"))
    lab.daemon.config.write_text(text)
    lab.daemon.process.signal(signal.SIGHUP)
    wait_for(lambda: len(log_lines(lab, "config_reloaded")) > before, "the configuration to be in force")


@pytest.fixture
def unknown(lab: Lab) -> Lab:
    """The lab once no client of an earlier test is placed any more."""

    def left(name: str) -> list[bytes]:
        with Map.from_pin(home(lab).pins / name) as found:
            return [key for key, _ in found.entries()]

    wait_for(lambda: not left("clients"), "the clients of earlier tests to be forgotten", 60.0)
    with Map.from_pin(home(lab).pins / "newcomers") as newcomers:
        for key in left("newcomers"):
            newcomers.delete(key)
    return lab


@contextmanager
def playing(lab: Lab, nodes: list[str]) -> Iterator[list[Playing]]:
    """ffmpeg at each node, one after the other, over UDP, as VLC serves nothing else; ended at the end."""
    started: list[Playing] = []
    try:
        for node in nodes:
            started.append(start(lab, node))
            started[-1].wait_for_frames(5)
        yield started
    finally:
        for one in started:
            one.stop()


def start(lab: Lab, node: str) -> Playing:
    watch = Watch(player=PlayerKind.FFMPEG, node=node, url=url("clip"), transport=Transport.UDP, seconds=120)
    return lab.start(watch)


def status(lab: Lab) -> dict[str, dict[str, object]]:
    """What ``rtspdsr status --json`` says of the service's backends, by name."""
    ran = CliRunner().invoke(app, ["status", "--json", "--config", str(lab.daemon.config)])
    assert ran.exit_code == 0, ran.output
    return {one["name"]: one for one in json.loads(ran.output)["services"][0]["backends"]}


def opened(lab: Lab, since: int) -> list[str]:
    """The backends of the sessions opened since then, in their order."""
    return [line["backend"] for line in log_lines(lab, "session_opened")[since:]]


def test_turns_fill_backends_until_they_are_full_and_a_reload_moves_nobody(unknown: Lab) -> None:
    lab = unknown
    before = len(log_lines(lab, "session_opened"))
    backends = {node.name for node in lab.topology.backends}
    turns = 'schedule = "weighted-round-robin"'
    with configured(lab, turns, "max_sessions = 2"), playing(lab, NODES[:6]) as players:
        where = opened(lab, before)
        assert [set(where[:3]), set(where[3:])] == [backends, backends]
        assert all(one["full"] and one["max_sessions"] == 2 for one in status(lab).values())
        refused = verdicts(lab)[Verdict.NO_ROOM]
        late = start(lab, NODES[6])
        try:
            wait_for(lambda: verdicts(lab)[Verdict.NO_ROOM] > refused, "a new client to find no room")
            wait_for_line(lab, "service_full", service="lab")
            reload(lab, lab.daemon.config.read_text().replace("weighted-round-robin", "least-sessions"))
            players[0].stop()
            late.wait_for_frames(5, LATE_S)
            assert opened(lab, before)[6:] == where[:1]
            for one in players[1:]:
                one.wait_for_frames(one.frames + 10)
        finally:
            late.stop()


def test_a_crowd_behind_one_address_is_spread_if_connections_are_placed_by_themselves(unknown: Lab) -> None:
    lab = unknown
    before = len(log_lines(lab, "session_opened"))
    backends = {node.name for node in lab.topology.backends}
    turns = 'schedule = "weighted-round-robin"'
    with configured(lab, f'{turns}\nplace_by = "connection"'), playing(lab, [NAT] * 3):
        assert set(opened(lab, before)) == backends
        with pytest.raises(AdminError, match="place_by"):
            lab.daemon.place(str(lab.client(NODES[0], 4)), min(backends))
    before = len(log_lines(lab, "session_opened"))
    with configured(lab, turns), playing(lab, [NAT] * 3):
        assert len(set(opened(lab, before))) == 1


def test_by_bandwidth_a_new_client_goes_where_least_is_delivered_whatever_the_sessions(unknown: Lab) -> None:
    """gst-b has most sessions, and none of them plays; the others have one each that does."""
    lab = unknown
    with configured(lab, 'schedule = "least-bandwidth"'), ExitStack() as ends:
        before = len(log_lines(lab, "session_opened"))
        for node in NODES[:2]:
            lab.daemon.place(str(lab.client(node, 4)), "gst-b")
            idle = ends.enter_context(Client(lab, node))
            video, _ = idle.describe("clip")
            idle.set_up(video, PORTS[0])
        for node, name in zip(NODES[2:4], ("gst-a", "vlc"), strict=True):
            lab.daemon.place(str(lab.client(node, 4)), name)
            player = start(lab, node)
            ends.callback(player.stop)
            player.wait_for_frames(5, LATE_S)
        assert opened(lab, before) == ["gst-b", "gst-b", "gst-a", "vlc"]

        newcomer = NODES[4]
        wait_for(
            lambda: would_go(lab, str(lab.client(newcomer, 4))) == "gst-b",
            "the daemon to have heard what is delivered where",
            LATE_S,
        )
        late = start(lab, newcomer)
        ends.callback(late.stop)
        late.wait_for_frames(5, LATE_S)
        assert opened(lab, before)[4:] == ["gst-b"]
        assert {name: one["sessions"] for name, one in status(lab).items()} == {
            "gst-a": 1,
            "gst-b": 3,
            "vlc": 1,
        }


def would_go(lab: Lab, client: str) -> str | None:
    """Where ``rtspdsr explain`` says that a client's new connection would go, by the turn that is next."""
    ran = CliRunner().invoke(app, ["explain", client, "--json", "--config", str(lab.daemon.config)])
    assert ran.exit_code == 0, ran.output
    way = next(one for one in json.loads(ran.output) if one["kind"] == "new connection")
    assert way["steps"][-1]["tier"] in ("turn", "slot")
    return str(way["backend"]) if way["steps"][-1]["tier"] == "turn" else None
