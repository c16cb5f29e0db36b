"""Sessions of many kinds, side by side: each stays on one backend, whatever its client does.

Every tale is one client that does something unusual, told at a node of its own while all wires are heard;
the tests then look at what the wires saw, at the session log, and at what the servers say.
"""

import json
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address
from socket import SOCK_DGRAM
from typing import Any

import pytest

from rtspdsr.dataplane.layout import Verdict
from rtspdsr.lab.capture import Packet, delivery
from rtspdsr.lab.lab import Lab, Result
from rtspdsr.lab.player import Played, PlayerKind, Playing, Transport, Watch
from rtspdsr.lab.topology import CLIENTS4, CLIENTS6, VIP4, VIP6, url
from rtspdsr.model import Address, PinFlag, Proto
from tests.lab.client import PORTS, Client, family, socket_at, vip_for
from tests.lab.helpers import (
    Line,
    pins,
    reached,
    run_at,
    sent,
    verdicts,
    wait_for,
    wait_for_line,
)

STORY_S = 60.0  # the longest that a player runs; each is ended when it has shown what it is to show
PATIENCE_S = 40.0  # for a player to give up on UDP and to begin anew
FRAMES = 40  # of 25 a second: it plays, and not only from a buffer
DATAGRAM = bytes(range(250)) * 16  # 4,000 octets: three fragments
DATAGRAM_PORT = 40000
ELSEWHERE = ip_address("10.77.1.150")  # nobody's
GROUPS = IPv4Network("239.77.0.0/27")  # of the multicast mount
ICMP_UNREACHABLE = {4: 3, 6: 1}

# --- many players at once

CROWD_A_NODE = 10  # scripted clients of each family at each player's node, each with an address of its own
#: Chance alone exceeds it once in 10,000 draws (chi-square, two degrees of freedom). The addresses are always
#: the same and so is the outcome; equal shares would give 27 here.
CHI_SQUARE_MAX = 18.4


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many players at once: the scripted clients' addresses, and the real ones' results.

    unread: segments that the tracker never read, for want of room
    """

    clients: list[Address]
    results: list[Result]
    at_once: int
    packets: list[Packet]
    lines: list[Line]
    unread: int


def crowd_addresses(lab: Lab) -> Iterator[tuple[str, Address]]:
    """Further addresses of the players' nodes."""
    players = [node.name for node in lab.topology.nodes if node.name.removeprefix("player").isdigit()]
    for number, node in enumerate(["player", *players]):
        for one in range(CROWD_A_NODE):
            at = number * CROWD_A_NODE + one
            yield node, CLIENTS4[20 + at]
            yield node, CLIENTS6[0x1000 + at]


def addresses_at(lab: Lab, action: str) -> None:
    """Give the nodes their further addresses, or take them; none is ever chosen by the kernel."""
    by_node: dict[str, list[str]] = {}
    for node, one in crowd_addresses(lab):
        lifetime = " preferred_lft 0 nodad" if one.version == 6 and action == "add" else ""
        by_node.setdefault(node, []).append(
            f"ip address {action} {one}/{one.max_prefixlen} dev eth0{lifetime}"
        )
    for node, commands in by_node.items():
        run_at(lab, node, "sh", "-ec", "\n".join(commands))


def join(lab: Lab, node: str, source: Address, stack: ExitStack) -> tuple[Client, str]:
    """One of the crowd: play the sound of the shared stream over UDP, from ports that all of them use."""
    client = stack.enter_context(Client(lab, node, source))
    _, sound = client.describe("live")
    answer = client.set_up(sound, PORTS[0])
    assert client.request("PLAY", url("live", client.vip), Session=answer.session).status == 200
    client.hear_rtp(PORTS[0][0])
    rtp, rtcp = answer.server_ports
    client.udp[PORTS[0][0]].sendto(bytes(200), (str(client.vip), rtp))
    client.udp[PORTS[0][1]].sendto(b"\x80\xc9\0\1rtcp", (str(client.vip), rtcp))
    return client, answer.session


def leave(client: Client, session: str) -> None:
    """Hear once more, and end."""
    client.hear_rtp(PORTS[0][0])
    assert client.request("TEARDOWN", url("live", client.vip), Session=session).status == 200


@pytest.fixture(scope="module")
def crowd(lab: Lab) -> Crowd:
    """A dozen real players and 240 scripted ones, all at once."""
    before, unread = len(lab.session_log()), verdicts(lab)[Verdict.RING_FULL]
    places = list(crowd_addresses(lab))
    watches = [
        Watch(
            player=PlayerKind.FFMPEG,
            node=node,
            url=url("live", VIP6 if number % 2 else VIP4),
            seconds=STORY_S,
        )
        for number, node in enumerate(dict.fromkeys(node for node, _ in places))
    ]
    addresses_at(lab, "add")
    playing: list[Playing] = []
    try:
        with lab.capture("crowd") as capture, ExitStack() as stack, ThreadPoolExecutor(8) as pool:
            playing += [lab.start(watch) for watch in watches]
            # First, from every backend: gst-rtsp-server aborts (gst_rtsp_media_get_rates) when one who wants
            # both tracks of a shared stream comes after those who have the sound alone.
            for one in playing:
                one.wait_for_frames(1, PATIENCE_S)
            joined = list(pool.map(lambda place: join(lab, place[0], place[1], stack), places))
            for one in playing:
                one.wait_for_frames(FRAMES, PATIENCE_S)
            at_once = len(lab.daemon.ask("GET", "/v1/sessions"))
            list(pool.map(lambda one: leave(*one), joined))
            played = [one.stop() for one in playing]
    finally:
        for one in playing:
            one.kill()
        addresses_at(lab, "del")
    packets = capture.packets()
    results = [Result(played=one, delivery=lab.delivery(packets, one.watch)) for one in played]
    unread = verdicts(lab)[Verdict.RING_FULL] - unread
    return Crowd(
        [source for _, source in places], results, at_once, packets, lab.session_log()[before:], unread
    )


def test_many_players_at_once_all_play(crowd: Crowd) -> None:
    assert crowd.unread == 0
    assert crowd.at_once >= len(crowd.clients) + len(crowd.results)
    for result in crowd.results:
        assert result.played.frames >= FRAMES, result.played.log
        assert result.delivery.media_sources == (
            ip_address(result.played.watch.url.split("/")[2].strip("[]")),
        )


def test_none_of_many_sessions_mixes_backends(lab: Lab, crowd: Crowd) -> None:
    flows, went = reached(lab, crowd.packets), sent(lab, crowd.packets)
    clients = [*crowd.clients, *(result.delivery.client for result in crowd.results)]
    by_client: dict[Address, set[str]] = {client: set() for client in clients}
    for (client, _, _), backends in flows.items():
        by_client[client] |= set(backends)
    assert {client: backends for client, backends in by_client.items() if len(backends) != 1} == {}
    for (client, proto, port), backends in flows.items():
        if proto == Proto.UDP:
            assert backends.total() == went[client, proto, port], (client, port)
    opened = {line["client"]: line["backend"] for line in crowd.lines if line["event"] == "session_opened"}
    assert {str(client): backends.pop() for client, backends in by_client.items()} == opened


def test_many_sessions_are_spread_by_weight(lab: Lab, crowd: Crowd) -> None:
    clients = set(crowd.clients)
    spread = Counter(
        next(iter(backends))
        for (client, proto, port), backends in reached(lab, crowd.packets).items()
        if proto == Proto.UDP and port == PORTS[0][1] and client in clients
    )
    assert spread.total() == len(clients)
    weights = {node.name: node.weight for node in lab.topology.backends}
    expected = {name: len(clients) * weight / sum(weights.values()) for name, weight in weights.items()}
    distance = sum((spread[name] - wanted) ** 2 / wanted for name, wanted in expected.items())
    assert distance < CHI_SQUARE_MAX, (spread, expected)


# --- tales, told side by side


@dataclass(frozen=True, slots=True)
class Tale:
    """What a client lived through, as far as the wires and the log cannot tell it."""

    client: Address
    played: tuple[Played, ...] = ()
    server_session: str = ""
    client_ports: tuple[int, ...] = ()


def begin(lab: Lab, node: str, backend: str, version: int = 4) -> Address:
    """Send the new connections of a node to a backend, as an operator would; its address."""
    client = lab.client(node, version)
    lab.daemon.place(str(client), backend)
    return client


def block_udp(lab: Lab, node: str) -> None:
    """Let no UDP arrive at a node any more."""
    lines = ["add table inet block", "add chain inet block in { type filter hook input priority 0; }"]
    run_at(lab, node, "nft", "; ".join([*lines, "add rule inet block in meta l4proto udp drop"]))


def watch_until(lab: Lab, watch: Watch, frames: int = FRAMES) -> Played:
    """Play until so many frames have come, and end as Ctrl-C would."""
    playing = lab.start(watch)
    try:
        playing.wait_for_frames(frames, PATIENCE_S)
        return playing.stop()
    finally:
        playing.kill()


def two_backends(lab: Lab) -> Tale:
    """Play at one backend; be placed at another; play there too, while the first plays on."""
    client = begin(lab, "player", "gst-a")
    first = lab.start(Watch(player=PlayerKind.FFMPEG, node="player", url=url("clip"), seconds=STORY_S))
    first.wait_for_frames(FRAMES, PATIENCE_S)
    begin(lab, "player", "gst-b")
    second = lab.start(Watch(player=PlayerKind.GSTREAMER, node="player", url=url("clip"), seconds=STORY_S))
    second.wait_for_frames(FRAMES, PATIENCE_S)
    for one in (first, second):
        one.wait_for_frames(one.frames + 2 * FRAMES, PATIENCE_S)
    return Tale(client, (first.stop(), second.stop()))


def fall_back(lab: Lab, player: PlayerKind, node: str, backend: str, *options: str) -> Tale:
    """Play as the player likes it best, until it has got pictures."""
    client = begin(lab, node, backend)
    watch = Watch(
        player=player,
        node=node,
        url=url("clip"),
        transport=Transport.AUTO,
        seconds=STORY_S,
        options=options,
    )
    return Tale(client, (watch_until(lab, watch),))


def ffmpeg_moves_to_tcp(lab: Lab) -> Tale:
    """Get no UDP, and ask for TCP on the same connection."""
    block_udp(lab, "player2")
    return fall_back(lab, PlayerKind.FFMPEG, "player2", "gst-a", "-timeout", "2000000")


def gstreamer_moves_to_tcp(lab: Lab) -> Tale:
    """Get no UDP, and begin anew over TCP."""
    block_udp(lab, "player3")
    return fall_back(lab, PlayerKind.GSTREAMER, "player3", "gst-b", "timeout=2000000")


def behind_random_nat(lab: Lab) -> Tale:
    """Get no UDP because the NAT in between changes ports."""
    return fall_back(lab, PlayerKind.FFMPEG, "player-random", "gst-a", "-timeout", "2000000")


def moves_to_tcp(lab: Lab) -> Tale:
    """Play over UDP; set the same track of the same session up interleaved, and play on."""
    begin(lab, "player12", "gst-a")
    with Client(lab, "player12") as client:
        _, sound = client.describe("clip")
        session = client.set_up(sound, PORTS[0]).session
        assert client.request("PLAY", url("clip"), Session=session).status == 200
        client.hear_rtp(PORTS[0][0], 5)
        transport = "RTP/AVP/TCP;unicast;interleaved=4-5"
        assert client.request("SETUP", sound, Transport=transport, Session=session).status == 200
        assert client.request("PLAY", url("clip"), Session=session).status == 200
        assert 4 in client.hear_frames(100)
        assert client.request("TEARDOWN", url("clip"), Session=session).status == 200
        return Tale(client.source, server_session=session, client_ports=(client.port,))


def publishes_over_udp(lab: Lab) -> Tale:
    """Send a stream (ANNOUNCE, RECORD)."""
    client = begin(lab, "player4", "gst-b")
    watch = Watch(player=PlayerKind.PUBLISHER, node="player4", url=url("record"), seconds=STORY_S)
    return Tale(client, (watch_until(lab, watch, 5 * FRAMES),))


def plays_multicast(lab: Lab) -> Tale:
    """Play what a backend sends to a group."""
    client = begin(lab, "player5", "gst-b")
    watch = Watch(
        player=PlayerKind.GSTREAMER,
        node="player5",
        url=url("multicast"),
        transport=Transport.MULTICAST,
        seconds=STORY_S,
    )
    return Tale(client, (watch_until(lab, watch),))


def closes_and_reopens(lab: Lab) -> Tale:
    """Close the control connection while VLC's server goes on sending; take the session up on another."""
    begin(lab, "player6", "vlc")
    with Client(lab, "player6") as client:
        ports = [client.port]
        video, sound = client.describe("clip")
        session = client.set_up(video, PORTS[0]).session
        client.set_up(sound, PORTS[1], session)
        assert client.request("PLAY", url("clip"), Session=session).status == 200
        client.hear_rtp(PORTS[0][0], 5)
        client.disconnect()
        client.hear_rtp(PORTS[0][0], 50)
        client.udp[PORTS[0][1]].sendto(b"\x80\xc9\0\1rtcp", (str(VIP4), 5005))  # no connection, still pinned
        client.connect()
        ports.append(client.port)
        assert client.request("GET_PARAMETER", url("clip"), Session=session).status == 200
        client.hear_rtp(PORTS[0][0], 5)
        assert client.request("TEARDOWN", url("clip"), Session=session).status == 200
        return Tale(client.source, server_session=session, client_ports=tuple(ports))


def two_on_one_connection(lab: Lab) -> Tale:
    """Have two sessions on one connection; end one, and play on with the other."""
    begin(lab, "player7", "gst-a")
    with Client(lab, "player7") as client:
        sounds = {path: client.describe(path)[1] for path in ("clip", "live")}
        pairs = dict(zip(sounds, PORTS, strict=False))
        sessions = {path: client.set_up(sound, pairs[path]).session for path, sound in sounds.items()}
        for path, session in sessions.items():
            assert client.request("PLAY", url(path), Session=session).status == 200
            client.hear_rtp(pairs[path][0], 5)
        assert client.request("TEARDOWN", url("clip"), Session=sessions["clip"]).status == 200
        client.hear_rtp(pairs["live"][0], 50)
        assert client.request("TEARDOWN", url("live"), Session=sessions["live"]).status == 200
        return Tale(client.source, server_session=sessions["clip"], client_ports=(client.port,))


def closes_its_port(lab: Lab) -> Tale:
    """Close the ports in mid-play, over both families: the client's kernel tells the VIP so by ICMP."""
    with ExitStack() as stack:
        for version in (4, 6):
            begin(lab, "player8", "gst-b", version)
            client = stack.enter_context(Client(lab, "player8", lab.client("player8", version)))
            video, _ = client.describe("live")
            session = client.set_up(video, PORTS[0]).session
            assert client.request("PLAY", url("live", client.vip), Session=session).status == 200
            client.hear_rtp(PORTS[0][0], 5)
            before = unreachable_sent(lab, version)
            client.udp[PORTS[0][0]].close()
            wait_for(
                lambda version=version, before=before: unreachable_sent(lab, version) > before,  # type: ignore[misc]
                f"an ICMP error over IPv{version}",
            )
    return Tale(lab.client("player8", 4))


def unreachable_sent(lab: Lab, version: int) -> int:
    """How many ICMP errors of this kind player8 has sent."""
    if version == 6:
        counters = dict(map(str.split, run_at(lab, "player8", "cat", "/proc/net/snmp6").splitlines()))
        return int(counters["Icmp6OutDestUnreachs"])
    lines = run_at(lab, "player8", "cat", "/proc/net/snmp").splitlines()
    names, values = (line.split() for line in lines if line.startswith("Icmp:"))
    return int(dict(zip(names, values, strict=True))["OutDestUnreachs"])


def sends_fragments(lab: Lab) -> Tale:
    """Send a datagram that takes three packets, over both families."""
    for version in (4, 6):
        client = begin(lab, "player9", "gst-a", version)
        vip = vip_for(client)
        with (
            socket_at(lab, "gst-a", family(client), SOCK_DGRAM) as ear,
            socket_at(lab, "player9", family(client), SOCK_DGRAM) as mouth,
        ):
            ear.bind((str(vip), DATAGRAM_PORT))
            mouth.bind((str(client), DATAGRAM_PORT))
            mouth.sendto(DATAGRAM, (str(vip), DATAGRAM_PORT))
            octets, source = ear.recvfrom(65536)
        assert octets == DATAGRAM
        assert source[:2] == (str(client), DATAGRAM_PORT)
    return Tale(lab.client("player9", 4))


def tls_greeting() -> bytes:
    """What a TLS client says first."""
    said = ssl.MemoryBIO()
    talk = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), said, server_hostname="cams.example")
    with pytest.raises(ssl.SSLWantReadError):
        talk.do_handshake()
    return said.read()


TUNNEL = b"GET /clip HTTP/1.0\r\nx-sessioncookie: tunnel1\r\nAccept: application/x-rtsp-tunnelled\r\n\r\n"
OPAQUE: dict[str, Callable[[], bytes]] = {
    "tls": tls_greeting,
    "http_tunnel": lambda: TUNNEL,
    "not_rtsp": lambda: b"\x05\x01\x00\xff" * 16,
}


def speaks_in_riddles(lab: Lab) -> Tale:
    """Open connections that cannot be read; be placed elsewhere; speak on the old ones again."""
    begin(lab, "player10", "gst-b")
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(lab, "player10")) for _ in OPAQUE]
        for client, greeting in zip(clients, OPAQUE.values(), strict=True):
            client.send(greeting())
        ports = {client.port for client in clients}
        wait_for(lambda: ports <= opaque_ports(lab), f"pins of the connections from {ports}")
        begin(lab, "player10", "gst-a")
        return Tale(clients[0].source, client_ports=tuple(client.port for client in clients))


def opaque_ports(lab: Lab) -> set[int]:
    """Client ports of the connections of player10 that are pinned to gst-b, and not read."""
    backends = {line["name"]: line for line in lab.daemon.ask("GET", "/v1/status")["services"][0]["backends"]}
    numbers = {name: number for number, name in enumerate(backends, start=1)}
    return {
        pin.flow.client_port
        for pin in pins(lab)
        if pin.flow.client == lab.client("player10", 4)
        and pin.flow.proto == Proto.TCP
        and pin.flags & PinFlag.UNREAD
        and pin.backend_id == numbers["gst-b"]
    }


def names_a_destination(lab: Lab) -> Tale:
    """Ask for media to be sent to somebody else."""
    begin(lab, "player11", "gst-a")
    with Client(lab, "player11") as client:
        _, sound = client.describe("clip")
        rtp, rtcp = PORTS[0]
        transport = f"RTP/AVP;unicast;destination={ELSEWHERE};client_port={rtp}-{rtcp}"
        client.request("SETUP", sound, Transport=transport)
        mine = {pin.flow.client_port for pin in pins(lab) if pin.flow.client == client.source}
        assert {rtp, rtcp, client.port} <= mine
        assert ELSEWHERE not in {pin.flow.client for pin in pins(lab)}
        return Tale(client.source, client_ports=(client.port,))


TALES = (
    two_backends,
    ffmpeg_moves_to_tcp,
    moves_to_tcp,
    gstreamer_moves_to_tcp,
    behind_random_nat,
    publishes_over_udp,
    plays_multicast,
    closes_and_reopens,
    two_on_one_connection,
    closes_its_port,
    sends_fragments,
    speaks_in_riddles,
    names_a_destination,
)


@dataclass(frozen=True, slots=True)
class Tales:
    """All that was told, and what the wires saw meanwhile."""

    lab: Lab
    told: dict[Callable[[Lab], Tale], Future[Tale]]
    packets: list[Packet]
    began: int
    recorded: list[dict[str, Any]]

    def lines(self, client: Address, event: str) -> list[Line]:
        """What the log says of a client since then."""
        return [
            line
            for line in self.lab.session_log()[self.began :]
            if line["event"] == event and line.get("client") == str(client)
        ]

    def summaries(self, client: Address, *names: str) -> list[Line]:
        """The summaries of the sessions that a client opened, or of those named, in that order."""
        names = names or tuple(line["session"] for line in self.lines(client, "session_opened"))
        wait_for(
            lambda: set(names) <= {line["session"] for line in self.lines(client, "session_summary")},
            f"summaries of {client}",
            PATIENCE_S,
        )
        found = {line["session"]: line for line in self.lines(client, "session_summary")}
        return [found[name] for name in names]

    def of(self, client: Address) -> list[Packet]:
        """What the wires saw of a client."""
        return [packet for packet in self.packets if client in (packet.source, packet.destination)]

    def backends(self, client: Address, proto: Proto, port: int) -> Counter[str]:
        """Where the packets of one of its flows went; all that it sent have arrived."""
        packets = self.of(client)
        went = reached(self.lab, packets)[client, proto, port]
        assert went.total() == sent(self.lab, packets)[client, proto, port]
        return went


@pytest.fixture(scope="module")
def tales(lab: Lab) -> Tales:
    """Every tale, side by side; a tale that fails fails its own tests alone."""
    began = len(lab.session_log())
    with lab.capture("tales") as capture, ThreadPoolExecutor(len(TALES)) as pool:
        told: dict[Callable[[Lab], Tale], Future[Tale]] = {tale: pool.submit(tale, lab) for tale in TALES}
        wait(told.values())
        for node in ("player2", "player3"):
            run_at(lab, node, "nft", "flush ruleset")
    return Tales(lab, told, capture.packets(), began, recordings(lab, "gst-b"))


def recordings(lab: Lab, backend: str) -> list[dict[str, Any]]:
    """What a server says that it has recorded: access units by track, of each publisher that has gone."""
    lines = lab.processes[backend].log.read_text().splitlines()
    events = [json.loads(line) for line in lines if line.startswith('{"event"')]
    return [event for event in events if event["event"] == "recorded"]


def test_two_sessions_of_one_client_play_on_at_two_backends(lab: Lab, tales: Tales) -> None:
    tale = tales.told[two_backends].result()
    assert [one.exit_code for one in tale.played] in ([255, 0], [0, 0]), tale.played
    opened = {line["backend"]: line for line in tales.lines(tale.client, "session_opened")}
    assert opened["gst-a"]["user_agent"].startswith("Lavf")
    assert opened["gst-b"]["user_agent"].startswith("GStreamer")
    assert len(tales.lines(tale.client, "session_opened")) == 2
    for backend, line in opened.items():
        assert set(tales.backends(tale.client, Proto.TCP, line["client_port"])) == {backend}
        pinned = [
            track for track in tales.lines(tale.client, "track_pinned") if track["session"] == line["session"]
        ]
        assert len(pinned) == 2
        for track in pinned:
            assert len(track["client_ports"]) == 2
            for port in track["client_ports"]:
                assert set(tales.backends(tale.client, Proto.UDP, port)) == {backend}


@pytest.mark.parametrize("tale", [ffmpeg_moves_to_tcp, behind_random_nat])
def test_ffmpeg_falls_back_to_tcp_on_its_connection(tales: Tales, tale: Callable[[Lab], Tale]) -> None:
    told = tales.told[tale].result()
    first, second = tales.lines(told.client, "session_opened")
    assert first["client_port"] == second["client_port"]
    transports = {
        name: {
            line["transport"] for line in tales.lines(told.client, "track_pinned") if line["session"] == name
        }
        for name in (first["session"], second["session"])
    }
    assert transports == {first["session"]: {"udp"}, second["session"]: {"tcp"}}
    assert [line["session"] for line in tales.lines(told.client, "session_paused")] == [first["session"]]
    (summary,) = tales.summaries(told.client, second["session"])
    assert summary["reason"] == "teardown"
    assert summary["delivered_bytes"] > 50_000
    seen = delivery(tales.packets, tales.lab.topology, told.client, VIP4)
    assert seen.backends == ("gst-a",)
    assert seen.reached["gst-a"]["udp"] == seen.sent["udp"] > 0
    assert seen.media_sources == (VIP4,)


def test_a_session_changes_its_transport_and_stays_one(tales: Tales) -> None:
    told = tales.told[moves_to_tcp].result()
    (opened,) = tales.lines(told.client, "session_opened")
    (moved,) = tales.lines(told.client, "session_moved_to_tcp")
    assert moved["session"] == opened["session"]
    (summary,) = tales.summaries(told.client)
    assert (summary["reason"], summary["transports"]) == ("teardown", ["tcp"])
    assert summary["server_session"] == told.server_session
    assert summary["delivered_bytes"] > 10_000
    assert delivery(tales.packets, tales.lab.topology, told.client, VIP4).backends == ("gst-a",)


def test_gstreamer_falls_back_to_tcp_in_a_new_session(tales: Tales) -> None:
    told = tales.told[gstreamer_moves_to_tcp].result()
    first, second = tales.summaries(told.client)
    assert (set(first["transports"]), set(second["transports"])) == ({"udp"}, {"tcp"})
    assert first["client_port"] != second["client_port"]
    assert second["delivered_bytes"] > 50_000
    assert delivery(tales.packets, tales.lab.topology, told.client, VIP4).backends == ("gst-b",)


def test_a_publisher_over_udp_reaches_one_backend_whole(tales: Tales) -> None:
    told = tales.told[publishes_over_udp].result()
    (summary,) = tales.summaries(told.client)
    assert (summary["backend"], summary["reason"]) == ("gst-b", "teardown")
    assert tales.lines(told.client, "session_recording")
    assert tales.recorded[-1]["video"] >= told.played[0].frames - FRAMES
    assert tales.recorded[-1]["audio"] > 0
    for port in summary["client_ports"]:
        assert set(tales.backends(told.client, Proto.UDP, port)) == {"gst-b"}


def test_multicast_is_played_from_one_backend_and_pins_no_port(tales: Tales) -> None:
    told = tales.told[plays_multicast].result()
    assert told.played[0].frames >= FRAMES
    (summary,) = tales.summaries(told.client)
    assert (summary["backend"], set(summary["transports"])) == ("gst-b", {"multicast"})
    assert summary["client_ports"] == []
    backends = {node.name for node in tales.lab.topology.backends}
    media = [packet for packet in tales.packets if packet.destination in GROUPS and packet.is_rtp]
    senders = Counter(packet.node for packet in media if packet.node in backends and not packet.to_node)
    assert set(senders) == {"gst-b"}
    assert senders["gst-b"] >= FRAMES


def test_a_session_goes_on_without_its_connection_and_on_another(tales: Tales) -> None:
    told = tales.told[closes_and_reopens].result()
    (summary,) = tales.summaries(told.client)
    assert (summary["reason"], summary["server_session"]) == ("teardown", told.server_session)
    assert summary["client_port"] == told.client_ports[1]
    for port in told.client_ports:
        assert set(tales.backends(told.client, Proto.TCP, port)) == {"vlc"}
    assert tales.backends(told.client, Proto.UDP, PORTS[0][1]) == {"vlc": 1}
    reopened_at = next(
        packet.at for packet in tales.of(told.client) if packet.source_port == told.client_ports[1]
    )
    closed_at = max(
        packet.at for packet in tales.of(told.client) if packet.source_port == told.client_ports[0]
    )
    between = [
        packet for packet in tales.of(told.client) if packet.is_rtp and closed_at < packet.at < reopened_at
    ]
    assert len(between) >= 50


def test_two_sessions_on_one_connection_end_one_by_one(tales: Tales) -> None:
    told = tales.told[two_on_one_connection].result()
    clip, live = tales.summaries(told.client)
    assert clip["session"] != live["session"]
    assert (clip["url"], live["url"]) == (url("clip"), url("live"))
    assert {clip["client_port"], live["client_port"]} == set(told.client_ports)
    assert clip["server_session"] == told.server_session != live["server_session"]
    assert (clip["reason"], live["reason"]) == ("teardown", "teardown")
    assert clip["closed_at"] < live["closed_at"]
    assert set(tales.backends(told.client, Proto.TCP, told.client_ports[0])) == {"gst-a"}


@pytest.mark.parametrize("version", [4, 6])
def test_an_icmp_error_reaches_the_backend_of_its_session(tales: Tales, version: int) -> None:
    tales.told[closes_its_port].result()
    client = tales.lab.client("player8", version)
    errors = [
        packet
        for packet in tales.of(client)
        if packet.source == client
        and packet.proto == (1 if version == 4 else 58)
        and packet.payload[0] == ICMP_UNREACHABLE[version]
    ]
    arrived = Counter(packet.node for packet in errors if packet.to_node and packet.node != "balancer")
    gone = sum(not packet.to_node and packet.node == "player8" for packet in errors)
    assert gone > 0
    assert arrived == {"gst-b": gone}


@pytest.mark.parametrize("version", [4, 6])
def test_a_datagram_in_fragments_reaches_the_clients_backend_whole(tales: Tales, version: int) -> None:
    tales.told[sends_fragments].result()
    client = tales.lab.client("player9", version)
    fragments = [
        packet
        for packet in tales.of(client)
        if packet.source == client and packet.proto == Proto.UDP and packet.to_node
    ]
    assert Counter(packet.node for packet in fragments) == {"balancer": 3, "gst-a": 3}


def test_what_cannot_be_read_is_pinned_and_logged_as_opaque(tales: Tales) -> None:
    told = tales.told[speaks_in_riddles].result()
    kinds = {line["client_port"]: line["kind"] for line in tales.lines(told.client, "opaque_connection")}
    assert kinds == dict(zip(told.client_ports, OPAQUE, strict=True))
    assert tales.lines(told.client, "session_opened") == []
    for port in told.client_ports:
        assert set(tales.backends(told.client, Proto.TCP, port)) == {"gst-b"}


def test_a_destination_in_a_transport_header_is_logged_and_not_followed(tales: Tales) -> None:
    told = tales.told[names_a_destination].result()
    (refused,) = tales.lines(told.client, "destination_refused")
    assert refused["destination"] == str(ELSEWHERE)
    (track,) = tales.lines(told.client, "track_pinned")
    assert track["client_ports"] == list(PORTS[0])


def test_media_upstream_over_tcp_does_not_detour(lab: Lab) -> None:
    client = begin(lab, "player4", "gst-a")
    before, began, done = verdicts(lab), len(lab.session_log()), len(recordings(lab, "gst-a"))
    watch = Watch(
        player=PlayerKind.PUBLISHER,
        node="player4",
        url=url("record"),
        transport=Transport.TCP,
        seconds=STORY_S,
    )
    with lab.capture("publisher") as capture:
        played = watch_until(lab, watch, 4 * FRAMES)
        wait_for(lambda: len(recordings(lab, "gst-a")) > done, "the server to count what it recorded")
    after = verdicts(lab)
    packets = [packet for packet in capture.packets() if packet.source == client]
    media = [packet for packet in packets if packet.node == "player4" and packet.payload[:1] == b"$"]
    assert len(media) >= 4 * FRAMES
    assert after[Verdict.DETOURED] - before[Verdict.DETOURED] <= 20
    assert after[Verdict.PINNED] - before[Verdict.PINNED] >= len(media)
    assert recordings(lab, "gst-a")[-1]["video"] >= played.frames - FRAMES
    summary = wait_for_line(lab, "session_summary", client=str(client), session=newest(lab, began))
    assert (summary["reason"], set(summary["transports"])) == ("teardown", {"tcp"})
    assert summary["client_bytes"] > 100_000


def newest(lab: Lab, began: int) -> str:
    """The session that began to record since then."""
    (line,) = [line for line in lab.session_log()[began:] if line["event"] == "session_recording"]
    return str(line["session"])
