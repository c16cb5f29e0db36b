"""A media server dies while players watch: they are told and land on a living one; nobody else notices."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime

import pytest
from typer.testing import CliRunner

from rtspdsr.cli import app
from rtspdsr.lab.daemon import NO_CHECKS
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import PlayerKind, Playing, Transport, Watch
from rtspdsr.lab.topology import VIP4, url
from tests.lab.faults import configure, dropping, dying
from tests.lab.helpers import Line, log_lines, playing, wait_for, wait_for_line

CHECKED = 'health = { check = "options", rise = 1 }'
PLAYED = CHECKED.replace(" }", f', fall = 1, play_interval_s = 10.0, probe_url = "rtsp://{VIP4}/live" }}')
#: players in their order, each at its own node
WATCHES = [
    (kind, transport)
    for kind in (PlayerKind.FFMPEG, PlayerKind.GSTREAMER, PlayerKind.AIORTSP)
    for transport in (Transport.TCP, Transport.UDP)
]
NODES = ["player", *(f"player{number}" for number in range(2, 13))]
OUT_S = 3.0  # from the death of a backend until it gets no new clients
TOLD_S = 16.0  # until the last of its players was told: GStreamer reports every 5 s


def backends(lab: Lab) -> dict[str, Line]:
    """What ``rtspdsr backends --json`` says, by backend."""
    ran = CliRunner().invoke(app, ["backends", "--json", "--config", str(lab.daemon.config)])
    assert ran.exit_code == 0, ran.output
    return {one["name"]: one for one in json.loads(ran.output)}


def states(lab: Lab) -> dict[str, str]:
    return {name: one["state"] for name, one in backends(lab).items()}


def wait_until_well(lab: Lab) -> None:
    """Every backend is up, and was checked."""
    wait_for(
        lambda: all(one["state"] == "up" and one["checks"] for one in backends(lab).values()),
        "every backend to be up",
        40.0,
    )


@pytest.fixture
def well(lab: Lab) -> Iterator[Lab]:
    """The lab with checks, which all other tests are without, and every backend up before and after."""
    configure(lab, CHECKED)
    try:
        wait_until_well(lab)
        yield lab
        wait_until_well(lab)
    finally:
        configure(lab, NO_CHECKS)


@contextmanager
def watching(
    lab: Lab, backend: str, watches: list[tuple[PlayerKind, Transport]], nodes: list[str]
) -> Iterator[list[Playing]]:
    """Players that watch a backend, each at its node; killed at the end."""
    watched = []
    for (kind, transport), node in zip(watches, nodes, strict=False):
        lab.daemon.place(str(lab.client(node, 4)), backend)
        watched.append(Watch(player=kind, node=node, url=url("clip"), transport=transport, seconds=90))
    with playing(lab, watched) as started:
        yield started


def since(line: Line, began: float) -> float:
    """How long after a moment of the wall clock a line was written."""
    return datetime.fromisoformat(line["time"]).timestamp() - began


@pytest.mark.parametrize("how", ["killed", "stopped", "cut off"])
def test_players_of_a_dead_backend_are_told_and_land_on_a_living_one(well: Lab, how: str) -> None:
    with ExitStack() as stack:
        watches = WATCHES if how != "cut off" else [one for one in WATCHES if one[1] is Transport.TCP]
        theirs = stack.enter_context(watching(well, "gst-a", watches, NODES))
        (other,) = stack.enter_context(
            watching(well, "gst-b", [(PlayerKind.FFMPEG, Transport.TCP)], NODES[len(WATCHES) :])
        )
        before = len(log_lines(well, "backend_down"))
        with dying(well, "gst-a", how) as died_at:
            wait_for(lambda: len(log_lines(well, "backend_down")) > before, "the backend to be out", 6.0)
            down = log_lines(well, "backend_down")[-1]
            assert down["backend"] == "gst-a"
            assert since(down, died_at) < OUT_S
            assert [name for name, state in states(well).items() if state != "up"] == ["gst-a"]
            wait_for(lambda: not any(one.running for one in theirs), "every player to be told", TOLD_S)
            frames, told = other.frames, len(well.session_log())
            again = well.play([Watch(player=PlayerKind.FFMPEG, node=NODES[0], url=url("clip"), seconds=2.0)])
            # By the log: on the wire a reset in its name may still be on the way to the old backend.
            opened = [one for one in well.session_log()[told:] if one["event"] == "session_opened"]
            assert [one["client"] for one in opened] == [str(well.client(NODES[0], 4))]
            assert {one["backend"] for one in opened} <= {"gst-b", "vlc"}
            assert again[0].played.frames >= 20
            assert other.running
            assert other.frames > frames + 20
            left = [one for one in well.daemon.ask("GET", "/v1/sessions") if one["backend"] == "gst-a"]
            wait_for(
                lambda: (
                    not [one for one in well.daemon.ask("GET", "/v1/sessions") if one["backend"] == "gst-a"]
                ),
                f"its sessions to be released: {left}",
                TOLD_S,
            )
        assert all(line["backend"] == "gst-a" for line in log_lines(well, "connection_reset"))


def test_an_alarm_that_is_false_ends_no_session_that_progresses(well: Lab) -> None:
    """A firewall on the backend drops the balancer's own packets: checks fail, and media flows."""
    balancer = well.topology.balancer
    resets = len(log_lines(well, "connection_reset"))
    hiding = f"ip saddr {balancer.v4.ip} tcp dport 554"
    with watching(well, "gst-a", WATCHES, NODES) as players, dropping(well, "gst-a", "input", hiding):
        wait_for(lambda: states(well)["gst-a"] == "down", "the backend to be out", 6.0)
        frames = [one.frames for one in players]
        time.sleep(10.0)
        assert all(one.running for one in players)
        assert all(one.frames > seen + 100 for one, seen in zip(players, frames, strict=True))
        assert len(log_lines(well, "connection_reset")) == resets


def test_when_every_backend_looks_dead_the_table_stays_and_players_go_on(well: Lab) -> None:
    """The fault is ours: nothing of the balancer's own leaves it."""
    warned = len(log_lines(well, "service_failing"))
    with ExitStack() as stack:
        players = stack.enter_context(watching(well, "gst-a", WATCHES[:2], NODES))
        tables = len(log_lines(well, "table_filled"))
        stack.enter_context(dropping(well, "balancer", "output", "tcp dport 554"))
        wait_for(lambda: len(log_lines(well, "service_failing")) > warned, "the warning", 8.0)
        time.sleep(2.0)
        assert set(states(well).values()) == {"up"}
        assert len(log_lines(well, "table_filled")) == tables
        assert all(one.running for one in players)
        result = well.play([Watch(player=PlayerKind.FFMPEG, node=NODES[5], url=url("clip"), seconds=2.0)])
        assert result[0].played.frames >= 20


@pytest.mark.timeout(300)
def test_a_backend_whose_sessions_stall_stands_poor_and_is_not_taken_out(lab: Lab) -> None:
    """Without any check: what its players do not acknowledge any more tells of it."""
    watches = [
        (PlayerKind.FFMPEG, Transport.TCP)
    ] * 6  # the others give up by themselves before a stall is told
    # What earlier tests left behind would thin the share of those that stall.
    wait_for(lambda: not lab.daemon.ask("GET", "/v1/sessions"), "earlier sessions to expire", 150.0)
    with watching(lab, "gst-a", watches, NODES), watching(lab, "gst-b", watches, NODES[6:]):
        time.sleep(2.0)
        with dying(lab, "gst-a", "stopped"):
            wait_for_line(lab, "standing_changed", patience_s=30.0, backend="gst-a", standing="poor")
            shown = backends(lab)["gst-a"]
    told = re.fullmatch(
        r"(\d+) of (\d+) sessions stalled, (\d+) of (\d+) at the others", shown["standing_problem"]
    )
    assert told, shown["standing_problem"]
    stalled, here, others_stalled, elsewhere = map(int, told.groups())
    assert stalled / here > others_stalled / elsewhere
    assert (shown["state"], backends(lab)["gst-b"]["standing"]) == ("up", "good")


@pytest.mark.timeout(300)
def test_a_backend_that_answers_and_plays_nothing_is_out_and_the_reason_is_shown(well: Lab) -> None:
    """UDP from the server is lost on its way: only a check that plays can know."""
    configure(well, PLAYED)
    try:
        wait_for(lambda: all("play" in one["checks"] for one in backends(well).values()), "plays", 25.0)
        shown = CliRunner().invoke(
            app, ["backends", "--config", str(well.daemon.config)], env={"COLUMNS": "200"}
        )
        assert "RTP after" in shown.output
        assert str(VIP4) in shown.output
        with dropping(well, "gst-a", "output", "udp sport 1024-65535"):
            problem = "accepts PLAY, and no RTP comes within 5 s"
            wait_for(lambda: backends(well)["gst-a"]["problem"] == problem, "the reason to be shown", 40.0)
            # out once another backend has passed the same check: that is the witness
            wait_for(lambda: states(well)["gst-a"] == "down", "gst-a to be out", 40.0)
            status = CliRunner().invoke(app, ["status", "--config", str(well.daemon.config)])
            assert f"gst-a: {problem}" in status.output
            assert states(well)["gst-b"] == "up"
    finally:
        configure(well, CHECKED)
