"""The daemon's life in mid-play: killed, stopped, reloaded, doubled, detached; and a network that changes.

The daemon is a process of its own. Three players play all the while, one from each backend; whatever happens
to daemon and network, they play on where they are. The tests run in their order, each leaves things as found.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import AF_INET, AF_INET6, IPPROTO_ICMPV6, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, SOCK_RAW, SOCK_STREAM
from typing import Any

import pytest

from rtspdsr.dataplane.layout import Verdict
from rtspdsr.lab.capture import Packet
from rtspdsr.lab.lab import Lab, Settings
from rtspdsr.lab.player import PlayerKind, Playing, Transport, Watch
from rtspdsr.lab.topology import SWITCH, VIP4, VIP6, url
from rtspdsr.model import Pin, Proto
from tests.lab.client import PORTS, Client, socket_at
from tests.lab.faults import configured, cut, end, last_shares, reload, restart, without
from tests.lab.helpers import (
    Line,
    command_at,
    home,
    log_lines,
    pins,
    reached,
    run_at,
    verdicts,
    wait_for,
    wait_for_line,
)
from tests.lab.labs import lab_of_run
from tests.lab.steady import (
    FRAMES,
    PATIENCE_S,
    PLAY_S,
    Seat,
    Steady,
    assert_no_rtp_lost,
    assert_none_moved,
    assert_play_on,
    get_pictures,
    seated,
    started,
)

SETUP_COPIES_MAX = 2  # what was sent at first, and one retransmission
MOVED_MAC = "02:77:00:00:00:99"
GROUP = "ff02::1:ff00:100"  # solicited-node group of the IPv6 VIP


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of this file's own: others must not be disturbed."""
    with lab_of_run("d", Settings(players=6)) as made:
        yield made


# --- players that play all the while


PLAYS = (
    Seat(PlayerKind.FFMPEG, "player", Transport.UDP, 4, "gst-a"),
    Seat(PlayerKind.GSTREAMER, "player2", Transport.TCP, 6, "gst-b"),
    Seat(PlayerKind.FFMPEG, "player3", Transport.UDP, 4, "vlc"),
)


@pytest.fixture(scope="module")
def steady(lab: Lab) -> Iterator[list[Steady]]:
    """Three players, one from each backend."""
    with seated(lab, PLAYS) as players:
        yield players


# --- the daemon


def rtspdsr(lab: Lab, *arguments: str, config: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """The command line on the balancer, with the lab's configuration or another."""
    command = [sys.executable, "-m", "rtspdsr", *arguments, "--config", str(config or lab.daemon.config)]
    return subprocess.run(
        command_at(lab, "balancer", *command), capture_output=True, text=True, check=False, timeout=30
    )


# --- killed


@dataclass(frozen=True, slots=True)
class Killed:
    """What was seen around a SIGKILL.

    early, late: scripted clients that sent SETUP right after it, and once its deadline had passed
    victim:      session of a player that began before and ended after
    """

    packets: list[Packet]
    lines: list[Line]
    early: int
    late: int
    victim: str


def set_up_and_play(client: Client, track: str) -> str:
    """SETUP and PLAY of one track; its Session id."""
    session = client.set_up(track, PORTS[0]).session
    assert client.request("PLAY", url("live"), Session=session).status == 200
    client.hear_rtp(PORTS[0][0], 5)
    return session


@pytest.fixture(scope="module")
def killed(lab: Lab, steady: list[Steady]) -> Killed:
    """Kill the daemon in mid-play; set sessions up without it; start it; end the sessions."""
    began = len(lab.session_log())
    nodes = ("player4", "player5")
    with lab.capture("killed") as capture, ExitStack() as stack:
        for node in (*nodes, "player6"):
            lab.daemon.place(str(lab.client(node, 4)), "gst-a")
        victim = started(
            lab, Watch(player=PlayerKind.FFMPEG, node="player6", url=url("clip"), seconds=PLAY_S), stack
        )
        victim.wait_for_frames(FRAMES, PATIENCE_S)
        early, late = (stack.enter_context(Client(lab, node)) for node in nodes)
        tracks = [client.describe("live")[1] for client in (early, late)]
        dead = verdicts(lab)[Verdict.TRACKER_DEAD]
        end(lab, signal.SIGKILL)
        sessions = [set_up_and_play(early, tracks[0])]
        wait_for(lambda: verdicts(lab)[Verdict.TRACKER_DEAD] > dead, "segments to be forwarded unread")
        sessions.append(set_up_and_play(late, tracks[1]))
        victim.wait_for_frames(victim.frames + FRAMES, PATIENCE_S)
        lab.daemon.start()
        for client, session in zip((early, late), sessions, strict=True):
            assert client.request("GET_PARAMETER", url("live"), Session=session).status == 200
            assert client.request("TEARDOWN", url("live"), Session=session).status == 200
        victim.wait_for_frames(victim.frames + FRAMES, PATIENCE_S)
        victim.stop()
        opened = [one for one in lab.session_log()[began:] if one["event"] == "session_opened"]
        name = next(one["session"] for one in opened if one["client"] == str(lab.client("player6", 4)))
        wait_for_line(lab, "session_summary", patience_s=PATIENCE_S, session=name)
        for client in (early, late):
            wait_for_line(lab, "session_summary", patience_s=PATIENCE_S, client=str(client.source))
    return Killed(capture.packets(), lab.session_log()[began:], early.port, late.port, name)


def test_no_media_is_lost_when_the_daemon_is_killed(lab: Lab, killed: Killed) -> None:
    for node in ("player", "player3", "player6"):
        assert_no_rtp_lost(killed.packets, node)


def test_sessions_are_adopted_after_the_daemon_was_killed(
    lab: Lab, killed: Killed, steady: list[Steady]
) -> None:
    adopted = {one["session"]: one for one in killed.lines if one["event"] == "session_adopted"}
    assert {one.session: adopted[one.session]["backend"] for one in steady} == {
        one.session: one.backend for one in steady
    }
    assert_none_moved(lab, killed.packets, steady)
    assert_play_on(lab, steady)


def test_summaries_come_after_the_daemon_was_killed(lab: Lab, killed: Killed) -> None:
    summaries = {one["session"]: one for one in killed.lines if one["event"] == "session_summary"}
    victim = summaries[killed.victim]
    assert (victim["reason"], victim["backend"], victim["stalls"]) == ("teardown", "gst-a", 0)
    started_at = next(one["time"] for one in killed.lines if one["event"] == "daemon_started")
    assert victim["opened_at"] < victim["played_at"] < started_at < victim["closed_at"]
    assert len(victim["client_ports"]) == 4
    rtcp = [
        packet
        for packet in killed.packets
        if packet.node == "player6" and not packet.to_node and packet.proto == Proto.UDP
    ]
    assert victim["client_packets"] > 0.8 * len(rtcp) > 0
    for node in ("player4", "player5"):
        (unheard,) = [one for one in summaries.values() if one["client"] == str(lab.client(node, 4))]
        assert (unheard["reason"], unheard["backend"]) == ("teardown", "gst-a")
        assert unheard["opened_at"] <= unheard["played_at"]
        assert unheard["client_ports"] == list(PORTS[0])


@pytest.mark.parametrize("when", ["early", "late"])
def test_a_setup_without_a_daemon_reaches_its_backend(lab: Lab, killed: Killed, when: str) -> None:
    port = getattr(killed, when)
    setups = [
        packet
        for packet in killed.packets
        if packet.source_port == port and packet.proto == Proto.TCP and packet.payload.startswith(b"SETUP")
    ]
    written = [packet for packet in setups if packet.node.startswith("player") and not packet.to_node]
    arrived = {packet.node for packet in setups if packet.to_node and packet.node != "balancer"}
    assert arrived == {"gst-a"}
    assert len(written) <= (SETUP_COPIES_MAX if when == "early" else 1)


# --- stopped, started, doubled


def test_sigterm_leaves_forwarding_in_place_and_says_so(lab: Lab, steady: list[Steady]) -> None:
    with lab.capture("stopped") as capture:
        end(lab, signal.SIGTERM)
        stopped = log_lines(lab, "daemon_stopped")[-1]
        assert "stays in place" in stopped["forwarding"]
        assert "rtspdsr detach" in stopped["forwarding"]
        assert lab.session_log()[-1] == stopped
        with ExitStack() as stack:
            watch = Watch(player=PlayerKind.FFMPEG, node="player4", url=url("clip", VIP6), seconds=PLAY_S)
            started(lab, watch, stack).wait_for_frames(FRAMES, PATIENCE_S)
        get_pictures(steady)
        lab.daemon.start()
        assert_play_on(lab, steady)
    assert_no_rtp_lost(capture.packets(), "player")
    assert_none_moved(lab, capture.packets(), steady)


def test_the_log_says_in_which_mode_xdp_runs(lab: Lab, steady: list[Steady]) -> None:
    assert log_lines(lab, "daemon_started")[-1]["mode"] == {"eth0": "native"}
    with configured(lab, lambda text: text.replace('mode = "native"', 'mode = "generic"')):
        lines = restart(lab)
        assert [one["mode"] for one in lines if one["event"] == "daemon_started"] == [{"eth0": "generic"}]
        assert "xdpgeneric" in run_at(lab, "balancer", "ip", "link", "show", "eth0")
        assert_play_on(lab, steady)
    lines = restart(lab)
    assert [one["mode"] for one in lines if one["event"] == "daemon_started"] == [{"eth0": "native"}]
    assert_play_on(lab, steady)


def test_other_map_sizes_keep_sessions(lab: Lab, steady: list[Steady]) -> None:
    def flows() -> dict[Any, Pin]:
        return {pin.flow: pin for pin in pins(lab) if pin.flow.client != lab.client("player4", 6)}

    before = flows()
    with lab.capture("sizes") as capture:
        with configured(lab, lambda text: text.replace("pins_max = 10000", "pins_max = 50000")):
            lines = restart(lab)
        assert lab.daemon.ask("GET", "/v1/status")["pins_max"] == 50000
        assert flows() == before
        assert {one["session"] for one in lines if one["event"] == "session_adopted"} >= {
            one.session for one in steady
        }
        assert_play_on(lab, steady)
    assert_no_rtp_lost(capture.packets(), "player")
    assert_none_moved(lab, capture.packets(), steady)
    restart(lab)
    assert_play_on(lab, steady)


def test_a_second_daemon_on_the_interface_is_refused(lab: Lab, steady: list[Steady]) -> None:
    ran = rtspdsr(lab, "run")
    assert ran.returncode == 3
    assert ran.stderr.startswith("error: another rtspdsr daemon serves eth0")
    assert "stop it first" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert_play_on(lab, steady)


def test_a_second_daemon_with_pins_elsewhere_is_refused(
    lab: Lab, steady: list[Steady], tmp_path: Path
) -> None:
    elsewhere = lab.state / "elsewhere"
    config = tmp_path / "other.toml"
    text = lab.daemon.config.read_text().replace(str(lab.daemon.bpffs), str(elsewhere / "bpf"))
    for mine in (lab.daemon.run_dir, lab.daemon.state_dir, lab.daemon.log):
        text = text.replace(str(mine), str(elsewhere / mine.name))
    config.write_text(text)
    try:
        ran = rtspdsr(lab, "run", config=config)
    finally:
        subprocess.run(["umount", str(elsewhere / "bpf")], check=True)
    assert ran.returncode == 3, ran.stderr
    assert ran.stderr.startswith("error: an XDP program is already attached to eth0")
    assert "Traceback" not in ran.stderr
    assert_play_on(lab, steady)


# --- reloaded


def test_a_bad_file_is_refused_with_every_mistake_and_the_old_one_stays(
    lab: Lab, steady: list[Steady]
) -> None:
    def spoil(text: str) -> str:
        text = text.replace("weight = 50", 'weight = "heavy"').replace("pins_max", "pins_maxx")
        return without(text, "gst-b").replace(f'vips = ["{VIP4}"', 'vips = ["10.77.0.999"')

    before = (lab.daemon.run_dir / "config.json").read_text()
    with configured(lab, spoil):
        line = reload(lab)
        checked = rtspdsr(lab, "check")
    assert line["event"] == "config_refused"
    mistakes = " ".join(line["mistakes"])
    for key in ("service[0].vips[0]", "service[0].backend[1].weight", "dataplane.pins_maxx"):
        assert key in mistakes
    assert len(line["mistakes"]) == 3
    assert checked.returncode == 2
    assert all(mistake in checked.stderr for mistake in line["mistakes"])
    assert (lab.daemon.run_dir / "config.json").read_text() == before
    assert_play_on(lab, steady)


def test_a_good_file_is_put_in_force_and_moves_nobody(lab: Lab, steady: list[Steady]) -> None:
    def change(text: str) -> str:
        return without(text, "vlc").replace("weight = 100", "weight = 300", 1)

    with lab.capture("reload") as capture:
        with configured(lab, change):
            shown = json.loads(rtspdsr(lab, "check", "--diff", "--json").stdout)
            line = reload(lab)
            assert line["event"] == "config_reloaded"
            assert line["changes"] == shown["changes"]
            assert any("'vlc' removed" in one for one in line["changes"])
            assert any("'gst-a': weight: 100 -> 300" in one for one in line["changes"])
            assert len(line["changes"]) == 2
            wait_for(lambda: set(last_shares(lab)) == {"gst-a", "gst-b"}, "a table without vlc")
            assert last_shares(lab)["gst-a"] / last_shares(lab)["gst-b"] == pytest.approx(3, rel=0.1)
            get_pictures(steady)
        shown = json.loads(rtspdsr(lab, "check", "--diff", "--json").stdout)
        line = reload(lab)
        assert line["changes"] == shown["changes"]
        assert any("'vlc' added" in one for one in line["changes"])
        wait_for(lambda: set(last_shares(lab)) == {"gst-a", "gst-b", "vlc"}, "a table with vlc")
        assert "nothing would change" in rtspdsr(lab, "check", "--diff").stdout
        assert_play_on(lab, steady)
    assert_none_moved(lab, capture.packets(), steady)
    assert_no_rtp_lost(capture.packets(), "player3")


# --- the network changes


def test_a_backend_that_changes_its_mac_is_followed(lab: Lab, steady: list[Steady]) -> None:
    node = lab.topology.node("gst-b")
    run_at(lab, SWITCH, "bridge", "fdb", "replace", MOVED_MAC, "dev", "gst-b", "master", "static")
    began = len(lab.session_log())
    try:
        run_at(lab, "gst-b", "ip", "link", "set", "eth0", "address", MOVED_MAC)
        wait_for_line(lab, "backend_resolved", backend="gst-b", mac=MOVED_MAC, patience_s=PATIENCE_S)
        assert_play_on(lab, steady)  # the one at gst-b over TCP: it stands still without its ACKs
    finally:
        run_at(lab, "gst-b", "ip", "link", "set", "eth0", "address", str(node.mac))
    wait_for(
        lambda: any(one.get("mac") == node.mac for one in lab.session_log()[began:]),
        "the old MAC",
        PATIENCE_S,
    )
    assert_play_on(lab, steady)


def lost_since(lab: Lab, began: int) -> set[str]:
    """Backends that the log says were lost."""
    return {one["backend"] for one in lab.session_log()[began:] if one["event"] == "backend_lost"}


def test_a_backend_that_is_gone_gets_no_slots_and_others_play_on(lab: Lab, steady: list[Steady]) -> None:
    began = len(lab.session_log())
    with ExitStack() as stack, lab.capture("gone") as capture:
        cut(lab, "vlc", stack)
        wait_for(lambda: lost_since(lab, began) == {"vlc"}, "vlc to be lost", PATIENCE_S)
        wait_for(lambda: set(last_shares(lab)) == {"gst-a", "gst-b"}, "a table without vlc")
        get_pictures(steady[:2])
    assert_no_rtp_lost(capture.packets(), "player")
    assert_none_moved(lab, capture.packets(), steady[:2])
    wait_for(lambda: set(last_shares(lab)) == {"gst-a", "gst-b", "vlc"}, "a table with all", PATIENCE_S)
    assert_play_on(lab, steady)


# --- the VIP on the wire


def test_the_vip_answers_its_neighbours(lab: Lab) -> None:
    mac = str(lab.topology.balancer.mac)
    before = verdicts(lab)
    assert mac in run_at(lab, "player6", "arping", "-c", "2", "-I", "eth0", str(VIP4)).lower()
    run_at(lab, "player6", "ip", "neigh", "flush", "dev", "eth0")
    assert " 2 received" in run_at(lab, "player6", "ping", "-c", "2", "-i", "0.2", str(VIP4))
    assert " 2 received" in run_at(lab, "player6", "ping", "-6", "-c", "2", "-i", "0.2", str(VIP6))
    for vip in (VIP4, VIP6):
        assert mac in run_at(lab, "player6", "ip", "neigh", "show", str(vip))
    after = verdicts(lab)
    assert after[Verdict.ARP_ANSWERED] >= before[Verdict.ARP_ANSWERED] + 3
    assert after[Verdict.ND_ANSWERED] > before[Verdict.ND_ANSWERED]
    assert after[Verdict.ECHO_ANSWERED] == before[Verdict.ECHO_ANSWERED] + 4


def test_what_listens_on_the_balancer_is_not_reachable_at_the_vip(lab: Lab) -> None:
    for kind, everywhere, port, vip in ((AF_INET, "0.0.0.0", 8080, VIP4), (AF_INET6, "::", 8081, VIP6)):
        with (
            socket_at(lab, "balancer", kind, SOCK_STREAM) as listener,
            socket_at(lab, "player6", kind, SOCK_STREAM) as own_client,
            socket_at(lab, "player6", kind, SOCK_STREAM) as vip_client,
        ):
            listener.bind((everywhere, port))
            listener.listen()
            own_client.connect((str(lab.topology.balancer.address(vip.version)), port))
            before = verdicts(lab)[Verdict.NOT_SERVED]
            vip_client.setblocking(False)
            with suppress(BlockingIOError):
                vip_client.connect((str(vip), port))
            wait_for(
                lambda before=before: verdicts(lab)[Verdict.NOT_SERVED] >= before + 2,  # type: ignore[misc]
                "a SYN and another to be dropped",
            )
            listener.settimeout(0)
            accepted, _ = listener.accept()
            accepted.close()
            with pytest.raises(BlockingIOError):
                listener.accept()


def test_another_owner_of_the_vip_is_an_alarm(lab: Lab) -> None:
    mac = lab.topology.node("player6").mac
    run_at(lab, "player6", "ip", "address", "add", f"{VIP4}/32", "dev", "eth0")
    try:
        run_at(lab, "player6", "arping", "-U", "-c", "1", "-I", "eth0", str(VIP4))
        line = wait_for_line(lab, "vip_claimed", vip=str(VIP4))
    finally:
        run_at(lab, "player6", "ip", "address", "del", f"{VIP4}/32", "dev", "eth0")
    assert (line["mac"], line["interface"], line["defended"]) == (mac, "eth0", True)
    advertise(lab, "player6")
    line = wait_for_line(lab, "vip_claimed", vip=str(VIP6))
    assert (line["mac"], line["interface"]) == (mac, "eth0")
    ours = str(lab.topology.balancer.mac)
    wait_for(
        lambda: ours in run_at(lab, "player", "ip", "neigh", "show", str(VIP4)), "the VIP to be defended"
    )


def advertise(lab: Lab, node: str) -> None:
    """Send an unsolicited neighbour advertisement for the IPv6 VIP to all nodes (RFC 4861 section 4.4)."""
    link = bytes.fromhex(str(lab.topology.node(node).mac).replace(":", ""))
    message = b"\x88\0\0\0" + b"\x20\0\0\0" + VIP6.packed + b"\x02\x01" + link
    with socket_at(lab, node, AF_INET6, SOCK_RAW, IPPROTO_ICMPV6) as mouth:
        mouth.setsockopt(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255)
        scope = json.loads(run_at(lab, node, "ip", "-json", "link", "show", "eth0"))[0]["ifindex"]
        mouth.sendto(message, ("ff02::1", 0, 0, scope))


# --- the log file


def test_the_log_is_opened_anew_after_a_rename(lab: Lab) -> None:
    renamed = lab.daemon.log.with_suffix(".renamed")
    lab.daemon.log.rename(renamed)
    lab.daemon.process.signal(signal.SIGUSR1)
    wait_for(lab.daemon.log.exists, "a new log file")
    size = renamed.stat().st_size
    assert reload(lab)["event"] == "config_reloaded"
    assert renamed.stat().st_size == size
    # As it was, for the tests that follow.
    lines = lab.daemon.log.read_text()
    with renamed.open("a") as file:
        file.write(lines)
    renamed.rename(lab.daemon.log)
    lab.daemon.process.signal(signal.SIGUSR1)


def test_the_log_is_rotated_by_size(lab: Lab) -> None:
    first, second = Path(f"{lab.daemon.log}.1"), Path(f"{lab.daemon.log}.2")
    limits = "[log]\nrotate_mib = 1\nrotate_keep = 2\n"
    with configured(lab, lambda text: text.replace("[log]\n", limits)), Client(lab, "player5") as client:
        assert reload(lab)["event"] == "config_reloaded"
        _, sound = client.describe("live")
        session = client.set_up(sound, PORTS[0]).session
        # each is one line
        refused = [f"RTP/AVP;unicast;destination=10.0.0.{one};client_port=21000-21001" for one in range(16)]
        while not (first.exists() and second.exists()):  # one is renamed after the other
            answer = client.request("SETUP", sound, Transport=",".join(refused), Session=session)
            assert answer.status == 200
        for file in (first, second):
            lines = [json.loads(line) for line in file.read_text().splitlines()]  # whole ones
            assert (1 << 20) - (256 << 10) < file.stat().st_size <= 1 << 20
            assert lines[-1]["event"] == "destination_refused"
    assert reload(lab)["event"] == "config_reloaded"


# --- the end


def test_the_players_end_as_they_began(lab: Lab, steady: list[Steady]) -> None:
    assert_play_on(lab, steady)
    for played in [one.playing.stop() for one in steady]:
        assert played.exit_code in (0, 255), played.log.read_text()[-2000:]
    for one in steady:
        line = wait_for_line(lab, "session_summary", session=one.session, patience_s=PATIENCE_S)
        assert (line["reason"], line["backend"]) == ("teardown", one.backend)


def test_when_no_backend_is_left_the_last_table_stays(lab: Lab) -> None:
    """Over UDP: a server gives a TCP connection up that stands still for 10 s."""
    began = len(lab.session_log())
    lab.daemon.place(str(lab.client("player", 4)), "gst-a")
    watch = Watch(player=PlayerKind.FFMPEG, node="player", url=url("clip"), seconds=PLAY_S)
    with ExitStack() as stack:
        playing = started(lab, watch, stack)
        playing.wait_for_frames(FRAMES, PATIENCE_S)
        with ExitStack() as cuts:
            for node in lab.topology.backends:
                cut(lab, node.name, cuts)
            wait_for(lambda: len(lost_since(lab, began)) == 3, "all to be lost", PATIENCE_S)
            wait_for(lambda: last_shares(lab) == {}, "word of a table that stays")
            backends = lab.daemon.ask("GET", "/v1/status")["services"][0]["backends"]
            assert {one["state"] for one in backends} == {"unresolved"}
        wait_for(lambda: set(last_shares(lab)) == {"gst-a", "gst-b", "vlc"}, "a table with all", PATIENCE_S)
        playing.wait_for_frames(playing.frames + FRAMES, PATIENCE_S)


def test_when_every_backend_looks_lost_sessions_go_on_and_new_ones_are_placed(lab: Lab) -> None:
    """They serve, but nothing of them is heard at the balancer: no ARP, no ND."""
    began = len(lab.session_log())
    macs = ", ".join(str(node.mac) for node in lab.topology.backends)
    chain = "add chain netdev deaf it { type filter hook ingress device eth0 priority 0; }"
    deaf = ["add table netdev deaf", chain, f"add rule netdev deaf it ether saddr {{ {macs} }} drop"]

    def play(node: str, transport: Transport) -> Playing:
        watch = Watch(
            player=PlayerKind.FFMPEG, node=node, url=url("clip"), transport=transport, seconds=PLAY_S
        )
        return started(lab, watch, stack)

    with ExitStack() as stack:
        lab.daemon.place(str(lab.client("player", 4)), "gst-a")
        lab.daemon.place(str(lab.client("player2", 4)), "gst-b")
        players = [play("player", Transport.TCP), play("player2", Transport.UDP)]
        for one in players:
            one.wait_for_frames(FRAMES, PATIENCE_S)
        run_at(lab, "balancer", "nft", "; ".join(deaf))
        try:
            wait_for(lambda: len(lost_since(lab, began)) == 3, "all to be lost", PATIENCE_S)
            before = verdicts(lab)[Verdict.NO_BACKEND]
            players.append(play("player4", Transport.UDP))
            for one in players:
                one.wait_for_frames(one.frames + FRAMES, PATIENCE_S)
            assert verdicts(lab)[Verdict.NO_BACKEND] == before
        finally:
            run_at(lab, "balancer", "nft", "delete table netdev deaf")
        wait_for(lambda: set(last_shares(lab)) == {"gst-a", "gst-b", "vlc"}, "a table with all", PATIENCE_S)
        for one in players:
            one.wait_for_frames(one.frames + FRAMES, PATIENCE_S)


def test_detach_is_refused_while_a_daemon_runs(lab: Lab) -> None:
    ran = rtspdsr(lab, "detach")
    assert ran.returncode == 3
    assert "another rtspdsr daemon serves eth0" in ran.stderr
    assert home(lab).pins.exists()


def test_detach_removes_everything(lab: Lab) -> None:
    groups = run_at(lab, "balancer", "ip", "maddress", "show", "dev", "eth0")
    assert GROUP in groups
    end(lab, signal.SIGTERM)
    assert "xdp" in run_at(lab, "balancer", "ip", "link", "show", "eth0")
    ran = rtspdsr(lab, "detach")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert not home(lab).path.exists()
    assert "xdp" not in run_at(lab, "balancer", "ip", "link", "show", "eth0")
    assert GROUP not in run_at(lab, "balancer", "ip", "maddress", "show", "dev", "eth0")
    missed = subprocess.run(
        command_at(lab, "player6", "ping", "-c", "1", "-W", "1", str(VIP4)), capture_output=True, check=False
    )
    assert missed.returncode == 1
    assert "nothing to detach" in rtspdsr(lab, "detach").stdout


def test_a_daemon_started_after_detach_serves_and_follows_its_link(lab: Lab) -> None:
    """Last: once the link was down, a group that was joined cannot be left any more (the kernel's limit)."""
    began = len(lab.session_log())
    lab.daemon.start()
    with lab.capture("link") as capture, ExitStack() as stack:
        lab.daemon.place(str(lab.client("player", 4)), "gst-a")
        watch = Watch(player=PlayerKind.FFMPEG, node="player", url=url("clip"), seconds=PLAY_S)
        playing = started(lab, watch, stack)
        playing.wait_for_frames(FRAMES, PATIENCE_S)
        run_at(lab, "balancer", "sh", "-ec", "ip link set eth0 down; ip link set eth0 up")
        for node, vip in (("player2", VIP4), ("player3", VIP6)):
            watch = Watch(player=PlayerKind.GSTREAMER, node=node, url=url("live", vip), seconds=PLAY_S)
            started(lab, watch, stack).wait_for_frames(FRAMES, PATIENCE_S)
        restored = wait_for_line(lab, "network_restored", interface="eth0")
        assert any(str(lab.topology.balancer.v6) in one for one in restored["restored"])
        playing.wait_for_frames(playing.frames + FRAMES, PATIENCE_S)
        playing.stop()
        lines = lab.session_log()[began:]
        assert len([one for one in lines if one["event"] == "session_playing"]) == 3
    assert_no_rtp_lost(capture.packets(), "player")
    went = reached(lab, capture.packets())
    client = lab.client("player", 4)
    assert {name for flow, backends in went.items() if flow[0] == client for name in backends} == {"gst-a"}
