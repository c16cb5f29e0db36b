"""Backends that the operator takes out, with real servers and players: who follows, and who is ended."""

import json
import signal
import time
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from rtspdsr.cli import app
from rtspdsr.lab.capture import Packet
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import PlayerKind, Transport, Watch
from rtspdsr.lab.topology import VIP4, VIP6, url
from rtspdsr.model import Proto
from tests.lab.client import Client
from tests.lab.helpers import Line, log_lines, playing, wait_for, wait_for_line

Wanted = tuple[PlayerKind, Transport, str, int]

TCP, UDP = Transport.TCP, Transport.UDP
FFMPEG, GSTREAMER, AIORTSP = PlayerKind.FFMPEG, PlayerKind.GSTREAMER, PlayerKind.AIORTSP
#: who watches what; the servers differ in what they can do
AT_GST = [
    (FFMPEG, TCP, "clip", 4),
    (FFMPEG, TCP, "clip", 6),
    (GSTREAMER, TCP, "clip", 4),
    (FFMPEG, UDP, "clip", 4),
    (GSTREAMER, UDP, "clip", 6),
    (AIORTSP, UDP, "clip", 4),
    (PlayerKind.PUBLISHER, TCP, "record", 4),
]
AT_VLC = [(FFMPEG, UDP, "clip", 4), (GSTREAMER, UDP, "clip", 4), (AIORTSP, UDP, "clip", 4)]
NODES = ["player", *(f"player{number}" for number in range(2, 13))]
TOLD_S = 20.0  # from the deadline until the last player has ended, on a machine at its limits
RTCP_MAX = 200  # octets of a frame
SILENT_S = 1.0  # nothing is sent for so long: it has stopped


def backend(lab: Lab, *words: str) -> Line:
    """What a command of ``rtspdsr backend`` answers."""
    ran = CliRunner().invoke(app, ["backend", *words, "--json", "--config", str(lab.daemon.config)])
    assert ran.exit_code == 0, ran.output or ran.exception
    answer: Line = json.loads(ran.output)
    return answer


@pytest.fixture
def ready(lab: Lab) -> Iterator[Lab]:
    """The lab; whatever a test takes out of it is given back."""
    try:
        yield lab
    finally:
        for one in lab.topology.backends:
            backend(lab, "ready", f"lab/{one.name}")


def watches(lab: Lab, name: str, wanted: list[Wanted]) -> list[Watch]:
    """What each node is to watch; their new connections go to a backend."""
    for (_, _, _, version), node in zip(wanted, NODES, strict=False):
        lab.daemon.place(str(lab.client(node, version)), name)
    return [
        Watch(
            player=kind,
            node=node,
            url=url(path, VIP4 if version == 4 else VIP6),
            transport=transport,
            seconds=90,
        )
        for (kind, transport, path, version), node in zip(wanted, NODES, strict=False)
    ]


def server_sessions(lab: Lab, name: str) -> set[str]:
    """The ids that a gst-rtsp-server says are alive."""

    def told() -> list[Line]:
        lines = map(json.loads, lab.processes[name].log.read_text().splitlines())
        return [line for line in lines if line["event"] == "sessions"]

    before = len(told())
    lab.processes[name].signal(signal.SIGUSR1)
    wait_for(lambda: len(told()) > before, f"{name} to tell its sessions")
    return set(told()[-1]["sessions"])


def media(packets: list[Packet], name: str, after: float) -> list[Packet]:
    """RTP that a backend sent after a moment: its datagrams that are larger than any of RTCP."""
    sent = (one for one in packets if one.node == name and not one.to_node and one.proto == Proto.UDP)
    return [one for one in sent if one.length > RTCP_MAX and one.at > after]


def asked(packets: list[Packet], name: str) -> set[str]:
    """In whose name a backend was asked to end sessions."""
    heard = (one for one in packets if one.node == name and one.to_node)
    words = (b"TEARDOWN ", b"User-Agent: rtspdsr")
    return {str(one.source) for one in heard if all(word in one.payload for word in words)}


def drained(lab: Lab, name: str, began: int) -> list[Line]:
    """Sessions of a backend that were ended since the log had so many lines."""
    lines = lab.session_log()[began:]
    return [one for one in lines if one["event"] == "session_summary" and one["backend"] == name]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("name", "wanted"), [("gst-a", AT_GST), ("vlc", AT_VLC)], ids=["gst-a", "vlc"])
def test_at_the_deadline_the_rest_is_ended_at_the_backend_and_then_at_the_players(
    ready: Lab, name: str, wanted: list[Wanted]
) -> None:
    began = len(ready.session_log())
    bystanding = Watch(player=FFMPEG, node=NODES[-1], url=url("clip"), transport=TCP, seconds=90)
    ready.daemon.place(str(ready.client(NODES[-1], 4)), "gst-b")
    with (
        playing(ready, [bystanding]) as (bystander,),
        playing(ready, watches(ready, name, wanted)) as theirs,
        ready.capture(f"drain-{name}") as capture,
    ):
        answer = backend(ready, "drain", name, "--deadline", "1s", "--wait")
        ended_at, frames = time.time(), bystander.frames
        assert (answer["sessions"], answer["drain"]["empty"]) == (0, True)
        wait_for(lambda: not any(one.running for one in theirs), "every player to be told", TOLD_S)
        time.sleep(SILENT_S)
        wait_for(lambda: bystander.frames > frames, "the player of another backend to go on")
    ended = drained(ready, name, began)
    assert [one["reason"] for one in ended] == ["drained"] * len(wanted)
    for event in ("drain_begun", "drain_deadline_passed", "backend_drained"):
        (line,) = (one for one in ready.session_log()[began:] if one["event"] == event)
        assert line["backend"] == name
    assert (line["finished"], line["ended"]) == (0, len(wanted))
    # The server was asked in the name of each player, and has stopped.
    packets = capture.packets()
    publishers = {one["client"] for one in ended if one["url"].endswith("record")}
    assert asked(packets, name) >= {one["client"] for one in ended} - publishers
    assert media(packets, name, ended_at) == []
    if name == "gst-a":
        ids = {one["server_session"] for one in ended if one["client"] not in publishers}
        assert server_sessions(ready, name).isdisjoint(ids)


def test_a_session_whose_connection_is_closed_is_ended_on_a_connection_of_our_own(ready: Lab) -> None:
    """VLC goes on sending when the control connection closes; its silence is the witness."""
    ready.daemon.place(str(ready.client("player", 4)), "vlc")
    with Client(ready, "player") as client:
        (video, *_) = client.describe("clip")
        session = client.set_up(video, (21000, 21001)).session
        client.request("PLAY", url("clip"), Session=session, Range="npt=0-")
        client.hear_rtp(21000, 20)
        client.disconnect()

        def alone() -> bool:
            held = backend(ready, "drain", "vlc")
            return bool(held["sessions"] == 1 and held["drain"]["connections"] == 0)

        client.hear_rtp(21000, 20)
        with ready.capture("alone") as capture:
            wait_for(alone, "the session to be without its connection", 30.0)
            backend(ready, "maint", "vlc", "--wait")  # it waits until the connection's linger is over
            told_at = time.time() + 1.0
            time.sleep(1.0 + SILENT_S)
    assert media(capture.packets(), "vlc", told_at) == []
    assert log_lines(ready, "session_summary", server_session=session)[-1]["reason"] == "drained"


def test_new_clients_go_elsewhere_and_those_that_have_sessions_follow_them_over_reload_and_restart(
    ready: Lab,
) -> None:
    for node in NODES[1:4]:  # placed there by hand, and never came
        ready.daemon.place(str(ready.client(node, 4)), "gst-a")
    with playing(ready, watches(ready, "gst-a", [(FFMPEG, TCP, "clip", 4)])) as (first,):
        assert backend(ready, "drain", "gst-a")["drain"]["deadline_in_s"] is None
        reloaded = len(log_lines(ready, "config_reloaded"))
        ready.daemon.process.signal(signal.SIGHUP)
        wait_for(lambda: len(log_lines(ready, "config_reloaded")) > reloaded, "the reload")
        ready.daemon.process.signal(signal.SIGKILL)
        wait_for(lambda: ready.daemon.process.pid is None, "the daemon to be dead")
        ready.daemon.start()
        assert backend(ready, "drain", "gst-a")["state"] == "drain"
        again = Watch(player=FFMPEG, node=NODES[0], url=url("clip"), seconds=2.0)
        others = [Watch(player=FFMPEG, node=node, url=url("clip"), seconds=2.0) for node in NODES[1:4]]
        results = ready.play([again, *others])
        assert all(one.played.frames >= 20 for one in results)
        assert set(results[0].delivery.backends) == {"gst-a"}
        assert all(set(one.delivery.backends) <= {"gst-b", "vlc"} for one in results[1:])
        assert first.running
        held = backend(ready, "drain", "gst-a")
        assert held["drain"]["followed"] == 1
        assert held["clients"][0]["client"] == str(ready.client(NODES[0], 4))
    backend(ready, "ready", "gst-a")
    wait_for_line(ready, "backend_readied", backend="gst-a")
    assert {one["name"]: one["state"] for one in ready.daemon.ask("GET", "/v1/backends")}["gst-a"] == "up"
