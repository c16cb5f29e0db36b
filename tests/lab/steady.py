"""Players that play all the while, whatever befalls the balancer, and what must hold of them meanwhile."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise

from rtspdsr.lab.capture import Capture, Packet
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import PlayerKind, Playing, Transport, Watch
from rtspdsr.lab.topology import RTSP_PORT, VIP4, VIP6, url
from rtspdsr.model import FlowKey, TcpFlag
from tests.lab.helpers import lines_since, log_end, log_lines, pins, reached, wait_for, wait_for_line
from tests.lab.synflood import SOURCES, dropped

PLAY_S = 580.0  # the longest that a player runs; the media has ten minutes
PATIENCE_S = 40.0
FRAMES = 50  # two seconds of picture
#: RTP packets of all players that may be lost at most, however many the machine's own queues have dropped.
SPARED_MAX = 200
#: What has to be heard of the wires to judge: media by UDP, resets, and what clients ask; of no flood.
HEARD = (
    f"(udp or tcp[13] & 4 != 0 or (ip6[6] = 6 and ip6[53] & 4 != 0) or tcp dst port {RTSP_PORT})"
    f" and not net {SOURCES}"
)


@dataclass(frozen=True, slots=True)
class Seat:
    """Who is to play, from where, from which backend."""

    player: PlayerKind
    node: str
    transport: Transport
    version: int
    backend: str

    @property
    def watch(self) -> Watch:
        """What the player is told."""
        where = url("clip", VIP6 if self.version == 6 else VIP4)
        return Watch(player=self.player, node=self.node, url=where, transport=self.transport, seconds=PLAY_S)


@dataclass(frozen=True, slots=True)
class Steady:
    """A player, and the backend that it plays from."""

    playing: Playing
    client: str
    backend: str
    session: str

    @property
    def over_udp(self) -> bool:
        """Whether its media comes in datagrams."""
        return self.playing.watch.transport is Transport.UDP


@contextmanager
def seated(lab: Lab, seats: Sequence[Seat]) -> Iterator[list[Steady]]:
    """Players that have shown some pictures, each from its backend; killed at the end."""
    before = log_end(lab)
    with ExitStack() as stack:
        begun = []
        for seat in seats:
            client = str(lab.client(seat.node, seat.version))
            lab.daemon.place(client, seat.backend)
            begun.append((started(lab, seat.watch, stack), client, seat.backend))
        players = []
        for playing, client, backend in begun:
            playing.wait_for_frames(FRAMES, PATIENCE_S)
            players.append(Steady(playing, client, backend, playing_since(lab, before, client, backend)))
        yield players


def playing_since(lab: Lab, octets: int, client: str, backend: str) -> str:
    """The session in which a client has begun to play from a backend since the log was so long."""

    def found() -> list[str]:
        lines = lines_since(lab, octets, "session_playing")
        return [one["session"] for one in lines if (one["client"], one["backend"]) == (client, backend)]

    wait_for(lambda: bool(found()), f"{client} to play from {backend}")
    return found()[-1]


def started(lab: Lab, watch: Watch, stack: ExitStack) -> Playing:
    """A player that ends with the stack."""
    playing = lab.start(watch)
    stack.callback(playing.kill)
    return playing


def get_pictures(steady: Iterable[Steady]) -> None:
    """Wait until each of them has some more."""
    wanted = [(one.playing, one.playing.frames + FRAMES) for one in steady]
    for playing, frames in wanted:
        playing.wait_for_frames(frames, PATIENCE_S)


def assert_play_on(lab: Lab, steady: Iterable[Steady]) -> None:
    """They get pictures still, in the sessions and from the backends that they began with."""
    get_pictures(steady)
    live = {line["session"]: line["backend"] for line in lab.daemon.ask("GET", "/v1/sessions")}
    assert {one.session: live.get(one.session) for one in steady} == {
        one.session: one.backend for one in steady
    }


def assert_none_moved(lab: Lab, packets: list[Packet], steady: Iterable[Steady]) -> None:
    """The packets of each player reached its own backend alone; ffmpeg may be silent for some seconds."""
    went: dict[str, set[str]] = {}
    for (source, _, _), backends in reached(lab, packets).items():
        went.setdefault(str(source), set()).update(backends)
    heard = [one for one in steady if one.client in went]
    assert heard
    for one in heard:
        assert went[one.client] == {one.backend}


def assert_no_rtp_lost(packets: list[Packet], node: str) -> None:
    """The sequence numbers of each RTP stream at a player's wire have no hole and no repetition."""
    assert rtp_lost(packets, node) == 0


def rtp_lost(packets: list[Packet], node: str) -> int:
    """Packets that are missing in all RTP streams at a player's wire; none comes twice."""
    streams: dict[tuple[int | None, bytes], list[int]] = {}
    for packet in packets:
        if packet.node == node and packet.to_node and packet.is_rtp and packet.source in (VIP4, VIP6):
            key = packet.destination_port, packet.payload[8:12]
            streams.setdefault(key, []).append(int.from_bytes(packet.payload[2:4]))
    assert len(streams) >= 2, streams.keys()
    lost = 0
    for numbers in streams.values():
        assert len(numbers) > FRAMES
        steps = [(after - before) & 0xFFFF for before, after in pairwise(numbers)]
        assert min(steps) == 1
        lost += sum(steps) - len(steps)
    return lost


def assert_none_reset(packets: Iterable[Packet], steady: Iterable[Steady]) -> None:
    """No connection of theirs was reset, from either end."""
    clients = {one.client for one in steady}
    resets = [one for one in packets if one.flags & TcpFlag.RST]
    assert not [one for one in resets if {str(one.source), str(one.destination)} & clients]


def pins_of(lab: Lab, clients: Collection[str]) -> dict[FlowKey, int]:
    """Which backend each flow of some clients is pinned to."""
    return {pin.flow: pin.backend_id for pin in pins(lab) if str(pin.flow.client) in clients}


@contextmanager
def unharmed(lab: Lab, steady: Sequence[Steady], name: str) -> Iterator[Capture]:
    """What happens meanwhile costs them no packet, no connection, no pin, and moves nobody.

    Packets that the queues of a machine at its limits had no room for are not what happens here: as many may
    be lost, of all players together, and ``SPARED_MAX`` at most.
    """
    clients = {one.client for one in steady}
    before = pins_of(lab, clients)
    assert {str(flow.client) for flow in before} == clients
    dropped_before = dropped()
    with lab.capture(name, HEARD) as capture:
        yield capture
        get_pictures(steady)
    spared = dropped() - dropped_before
    assert pins_of(lab, clients) == before
    packets = capture.packets()
    lost = sum(rtp_lost(packets, one.playing.watch.node) for one in steady if one.over_udp)
    if spared:
        print(f"{name}: {spared} packets dropped by the machine's own queues; {lost} of RTP are missing")
    assert lost <= min(spared, SPARED_MAX)
    assert_none_reset(packets, steady)
    assert_none_moved(lab, packets, steady)
    assert_play_on(lab, steady)
    assert not log_lines(lab, "daemon_fault")


def assert_end_well(lab: Lab, steady: Iterable[Steady]) -> None:
    """They end as they began: by TEARDOWN, where they were, and nothing has ever stalled."""
    for played in [one.playing.stop() for one in steady]:
        assert played.exit_code in (0, 255), played.log.read_text()[-2000:]
    for one in steady:
        line = wait_for_line(lab, "session_summary", session=one.session, patience_s=PATIENCE_S)
        assert (line["reason"], line["backend"], line["stalls"]) == ("teardown", one.backend, 0), line
