"""The life of a lab: made once, found, removed whole, and never left behind half made."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtspdsr.errors import LabError
from rtspdsr.lab.daemon import XdpMode
from rtspdsr.lab.lab import ROOT, Lab, Settings, down, names
from rtspdsr.lab.player import PlayerKind, Watch
from rtspdsr.lab.process import wait_until
from rtspdsr.lab.topology import VIP4, url
from tests.lab.helpers import remains, run_at

MAKING_S = 30.0


@pytest.fixture
def other() -> Iterator[str]:
    """The name of a second lab; whatever there is of it afterwards is removed."""
    name = f"o{os.getpid()}"
    yield name
    down(name)


def up_process(name: str) -> "subprocess.Popen[bytes]":
    """``rtspdsr lab up`` as a user would start it."""
    return subprocess.Popen(
        [sys.executable, "-m", "rtspdsr", "lab", "up", "--name", name],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_making_a_lab_that_stands_changes_nothing(lab: Lab) -> None:
    pids = {process.name: process.pid for process in lab.processes.known()}
    again = Lab.up(lab.topology.name, lab.settings)
    assert {process.name: process.pid for process in again.processes.known()} == pids
    assert lab.topology.name in names()


def test_making_it_otherwise_is_refused(lab: Lab) -> None:
    with pytest.raises(LabError, match=rf"is up, made with .*lab down --name {lab.topology.name}"):
        Lab.up(lab.topology.name, Settings(players=1))


def test_a_lab_that_is_not_there_is_answered_with_those_that_are(lab: Lab) -> None:
    with pytest.raises(LabError, match=rf"'none' is not up \(up: .*{lab.topology.name}.*\); start it"):
        Lab.find("none")


def test_a_second_lab_in_generic_mode_plays_beside_the_first_and_goes_without_a_trace(
    lab: Lab, other: str
) -> None:
    second = Lab.up(other, Settings(players=1, mode=XdpMode.GENERIC))
    assert second.status()["daemon"]["modes"] == {"eth0": "generic"}
    (result,) = second.play([Watch(player=PlayerKind.FFMPEG, node="player", url=url("clip"), seconds=3.0)])
    assert result.played.frames >= 50
    assert result.delivery.media_sources == (VIP4,)
    assert len(result.delivery.backends) == 1
    playing = subprocess.Popen(
        [sys.executable, "-m", "rtspdsr", "lab", "play", "--name", other, "--seconds", "60"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(
        lambda: any(one.name.startswith("ffmpeg-player-2") and one.pid for one in second.processes.known()),
        MAKING_S,
        "the player to be started",
    )
    assert down(other)
    assert remains(other) == []
    assert not down(other)
    assert lab.status()["daemon"]
    _, told = playing.communicate(timeout=MAKING_S)
    assert playing.returncode == LabError.exit_code
    assert told == f"error: lab {other!r} was removed while it was played in\n"


def test_every_node_runs_what_it_is_there_for(lab: Lab) -> None:
    nodes = {node["node"]: node for node in lab.status()["nodes"]}
    assert {name: node["running"] for name, node in nodes.items() if node["running"] is not None} == {
        "balancer": True,
        "gst-a": True,
        "gst-b": True,
        "vlc": True,
    }
    for name, node in nodes.items():
        shown = run_at(lab, name, "ip", "-brief", "address", "show", "eth0")
        assert all(address in shown for address in node["addresses"])


def test_the_machines_own_bpf_file_system_and_namespace_are_not_touched(lab: Lab) -> None:
    assert list(lab.daemon.bpffs.glob("rtspdsr/*/links/*"))
    assert not Path("/sys/fs/bpf/rtspdsr").exists()
    links = subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in links.splitlines() if "veth" in line or "br0" in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("after_s", [0.6, 1.5], ids="after {}s".format)
def test_a_making_that_is_ended_leaves_nothing(other: str, number: signal.Signals, after_s: float) -> None:
    with up_process(other) as making:
        time.sleep(after_s)
        making.send_signal(number)
        assert making.wait(MAKING_S) != 0
    assert remains(other) == []


@pytest.mark.parametrize("after_s", [0.5, 1.0, 2.0, 3.0], ids="after {}s".format)
def test_what_a_killed_making_leaves_is_removed(other: str, after_s: float) -> None:
    with up_process(other) as making:
        time.sleep(after_s)
        making.kill()
    down(other)
    assert remains(other) == []


def test_a_half_made_lab_is_made_anew(other: str) -> None:
    with up_process(other) as making:
        while not (ROOT / other / "pids").exists():
            assert making.poll() is None
            time.sleep(0.02)
        making.kill()
    assert other not in names()
    assert Lab.up(other, Settings(players=1)).status()["daemon"]
