"""The command line beside real servers and players: what it says is what happens."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from rtspdsr.lab.lab import Lab
from rtspdsr.lab.network import NETNS
from rtspdsr.lab.player import PlayerKind, Transport, Watch
from rtspdsr.lab.topology import VIP4, VIP6, url
from rtspdsr.model import Proto
from tests.lab.helpers import Line, command_at, log_lines, reached, run_at, wait_for, wait_for_line

LONG_S = 400.0  # longer than all of these tests take on a machine that is busy; players are ended after them
UDP = Watch(
    player=PlayerKind.FFMPEG, transport=Transport.UDP, url=url("live"), node="player4", seconds=LONG_S
)
TCP = Watch(
    player=PlayerKind.GSTREAMER, transport=Transport.TCP, url=url("live"), node="player5", seconds=LONG_S
)
HEARD_S = 8.0  # receiver reports come every five seconds


def command(lab: Lab, *words: str) -> list[str]:
    """The command line on the balancer."""
    return [sys.executable, "-m", "rtspdsr", *words, "--config", str(lab.daemon.config)]


def rtspdsr(lab: Lab, *words: str) -> str:
    """What a command on the balancer prints."""
    return run_at(lab, "balancer", *command(lab, *words))


def told(lab: Lab, *words: str) -> Any:
    """The same as JSON."""
    return json.loads(rtspdsr(lab, *words, "--json"))


@pytest.fixture(scope="module")
def lines(lab: Lab) -> Iterator[list[Line]]:
    """The log's lines that say that two sessions play, one over UDP and one interleaved."""
    began = len(lab.session_log())
    playing = [lab.start(watch) for watch in (UDP, TCP)]
    try:
        clients = [str(lab.client(watch.node, VIP4.version)) for watch in (UDP, TCP)]

        def begun() -> dict[str, Line]:
            """Of earlier tests' sessions there may be lines as well."""
            new = [one for one in lab.session_log()[began:] if one["event"] == "session_playing"]
            return {one["client"]: one for one in new}

        wait_for(lambda: begun().keys() >= set(clients), "two sessions to play", 40.0)
        yield [begun()[client] for client in clients]
    finally:
        for one in playing:
            one.kill()


def test_sessions_are_found_and_tell_how_media_arrives(lab: Lab, lines: list[Line]) -> None:
    def row(line: Line) -> Any:
        (found,) = told(lab, "sessions", "--client", line["client"], "--state", "playing")
        return found

    over_udp, over_tcp = lines
    wait_for(lambda: bool(row(over_udp)["delivered_packets_per_s"]), "receiver reports to be read", 30)
    wait_for(lambda: bool(row(over_tcp)["delivered_bytes_per_s"]), "acknowledgements to be read", 30)
    assert [row(line)["backend"] for line in lines] == [line["backend"] for line in lines]
    assert row(over_udp)["last_loss"] == 0.0


def test_a_living_session_tells_its_story(lab: Lab, lines: list[Line]) -> None:
    over_udp, _ = lines
    story = told(lab, "session", over_udp["session"][:8])

    requests = [one["method"] for one in story["entries"] if one["event"] == "request"]
    assert requests[:5] == ["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY"]
    ports = [line["client_ports"] for line in log_lines(lab, "track_pinned", session=over_udp["session"])]
    assert [one["client_ports"] for one in story["tracks"]] == ports
    assert story["course"][-1]["loss"] == 0.0
    shown = rtspdsr(lab, "session", over_udp["session"])
    for text in ("PLAY rtsp://", "/live", over_udp["client"], "track pinned: udp ports", "pkt/s"):
        assert text in shown


def test_what_explain_says_is_what_the_packets_do(lab: Lab, lines: list[Line]) -> None:
    with lab.capture("explain") as capture:
        time.sleep(HEARD_S)
    heard = {
        flow: set(backends)
        for flow, backends in reached(lab, capture.packets()).items()
        if str(flow[0]) in {line["client"] for line in lines}
    }
    assert {proto for _, proto, _ in heard} == {Proto.TCP, Proto.UDP}
    for (client, proto, port), backends in heard.items():
        kind = "connection" if proto == Proto.TCP else "datagram"
        (way,) = [one for one in told(lab, "explain", f"{client}:{port}") if one["kind"] == kind]
        assert ({way["backend"]}, way["verdict"]) == (backends, "pinned")


def test_top_tells_what_goes_past_the_balancer(lab: Lab, lines: list[Line]) -> None:
    found = told(lab, "top", "--once", "--interval", "6")

    rates = {one["name"]: one["delivered_bits_per_s"] for one in found["backends"]}
    assert all(rates[line["backend"]] > 100_000 for line in lines)
    assert {urlsplit(one["url"]).path.rstrip("/") for one in found["urls"]} >= {"/live"}


def remains(lab: Lab) -> list[str]:
    """What is left of a selftest on this machine and on the balancer."""
    links, tables = ("ip", "-o", "link"), ("nft", "list", "tables")
    at_balancer = run_at(lab, "balancer", *links) + run_at(lab, "balancer", *tables)
    return [str(path) for path in NETNS.glob("rdself-*")] + [at_balancer] * ("rdself" in at_balancer)


def test_selftest_plays_from_every_backend_and_disturbs_nobody(lab: Lab, lines: list[Line]) -> None:
    found = told(lab, "selftest", "--url", url("clip"))["trials"]

    assert {(one["backend"], one["vip"]) for one in found} == {
        (node.name, str(vip)) for node in lab.topology.backends for vip in (VIP4, VIP6)
    }
    for one in found:
        assert (one["problem"], one["skipped"], one["source"]) == ("", "", one["vip"])
        (opened,) = log_lines(lab, "session_opened", session=one["session"])
        assert opened["backend"] == one["backend"]
    alive = {one["session"] for one in told(lab, "sessions", "--state", "playing")}
    assert alive >= {line["session"] for line in lines}
    assert remains(lab) == []


def test_an_interrupted_selftest_leaves_nothing(lab: Lab, lines: list[Line]) -> None:
    began = len(log_lines(lab, "session_playing"))
    heeding = ("env", "--default-signal=INT")  # a test run in the background hands it on ignored
    words = command_at(lab, "balancer", *heeding, *command(lab, "selftest", "--url", url("clip")))
    with subprocess.Popen(words) as running:
        wait_for(lambda: len(log_lines(lab, "session_playing")) > began, "its client to play", 30)
        (*_, line) = log_lines(lab, "session_playing")
        running.send_signal(signal.SIGINT)
    assert running.returncode != 0
    wait_for_line(lab, "session_ending", session=line["session"])
    assert remains(lab) == []
