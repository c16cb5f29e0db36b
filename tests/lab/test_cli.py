"""``rtspdsr lab`` as a user runs it."""

import json
import subprocess
import sys
import time
from typing import Any

from rtspdsr.errors import LabError
from rtspdsr.lab.demo import PARTS
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.topology import VIP4, VIP6
from tests.lab.helpers import remains

DEMO_MAX_S = 120.0


def rtspdsr(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "rtspdsr", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def output(*arguments: str, stdin: str = "") -> str:
    ran = rtspdsr(*arguments, stdin=stdin)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_status_shows_every_node_and_what_runs_there(lab: Lab) -> None:
    shown = output("lab", "status", "--name", lab.topology.name)
    for node in lab.topology.nodes:
        (line,) = [line for line in shown.splitlines() if line.startswith(f"| {node.name} ")]
        assert str(node.v4.ip) in line
    assert "the daemon forwards" in shown
    assert "not running" not in shown


def test_play_tells_what_the_player_got_and_what_crossed_the_balancer(lab: Lab) -> None:
    record: dict[str, Any] = json.loads(
        output(
            *["lab", "play", "--name", lab.topology.name, "--player", "ffmpeg", "--ipv6", "--seconds", "3"],
            *["--node", "player2", "--json"],
        )
    )
    assert record["url"] == f"rtsp://[{VIP6}]/clip"
    assert record["client"] == str(lab.topology.node("player2").address(6))
    assert record["backend"] in {"gst-a", "gst-b", "vlc"}
    assert record["frames"] >= 50
    assert record["delivered_bytes"] > 20 * record["balancer_bytes"] > 0
    assert record["media_sources"] == [str(VIP6)]


def test_a_player_that_gets_no_media_is_a_failure_told_in_its_own_words(lab: Lab) -> None:
    ran = rtspdsr("lab", "play", "--name", lab.topology.name, "--url", "nosuch", "--json", "--seconds", "2")
    assert ran.returncode == LabError.exit_code
    assert (json.loads(ran.stdout)["frames"], json.loads(ran.stdout)["media_sources"]) == (0, [])
    assert "got no media" in ran.stderr
    assert "404 Not Found" in ran.stderr


def test_the_daemon_of_a_lab_is_asked_as_the_lab_says(lab: Lab) -> None:
    shown = output("lab", "status", "--name", lab.topology.name)
    assert f"export RTSPDSR_CONFIG={lab.daemon.config}" in shown.splitlines()[-1]
    ask = f"{sys.executable} -m rtspdsr status; exit\n"
    assert "gst-a" in output("lab", "shell", "player3", "--name", lab.topology.name, stdin=ask)


def test_a_shell_is_on_the_node(lab: Lab) -> None:
    shown = output("lab", "shell", "player3", "--name", lab.topology.name, stdin="ip -brief address; exit\n")
    assert f"{lab.topology.node('player3').v4}" in shown


def test_a_mistake_is_answered_with_what_to_do(lab: Lab) -> None:
    unknown = rtspdsr("lab", "shell", "camera", "--name", lab.topology.name)
    assert unknown.returncode == LabError.exit_code
    assert unknown.stderr.startswith("error: the lab has no node 'camera'; it has player, ")
    absent = rtspdsr("lab", "play", "--name", "none")
    assert "start it: rtspdsr lab up --name none" in absent.stderr
    assert "Traceback" not in unknown.stderr + absent.stderr


def test_the_demo_shows_what_it_means_to_and_leaves_nothing(lab: Lab) -> None:
    began = time.monotonic()
    shown: dict[str, Any] = json.loads(output("lab", "demo", "--json"))
    assert time.monotonic() - began < DEMO_MAX_S
    assert shown["faults"] == []
    assert len(shown["plays"]) == len(PARTS)
    assert {play["backend"] for play in shown["plays"]} == {"gst-a", "gst-b", "vlc"}
    assert {source for play in shown["plays"] for source in play["media_sources"]} == {str(VIP4), str(VIP6)}
    backends = {(line["client"], line["backend"]) for line in shown["session_log"]}
    assert backends == {(play["client"], play["backend"]) for play in shown["plays"]}
    summaries = [line for line in shown["session_log"] if line["event"] == "session_summary"]
    assert len(summaries) == len(PARTS)
    assert sum(one["sessions"] for one in shown["status"]["services"][0]["backends"]) == len(PARTS)
    (overview,) = shown["review"]["overview"]
    assert overview["sessions"] == len(PARTS)
    assert remains("demo") == []
