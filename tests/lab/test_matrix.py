"""Every server with every player, transport and family, through the VIP; a cell of the matrix is a test.

The cells of a lab play side by side, each client at an address and a backend of its own; then each test looks
at its own cell: at the player, at all wires, at the session log.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from rtspdsr.lab.daemon import XdpMode
from rtspdsr.lab.lab import Lab, Settings
from rtspdsr.lab.player import PlayerKind, Transport, Watch, why_vlc_cannot_play
from rtspdsr.lab.topology import VIP4, VIP6, ServerKind, url
from tests.lab.labs import lab_of_run
from tests.lab.watched import Watched, assert_session, watch_at

WATCH_S = 12.0  # GStreamer and aiortsp report every 4 to 6 s
#: Half of what is usual, so that the sessions that ffplay leaves without a word end while the tests wait.
DAEMON = "[tracker]\nidle_s = 30.0"


@dataclass(frozen=True, slots=True)
class Cell:
    """One player that plays from one kind of server."""

    server: ServerKind
    player: PlayerKind
    transport: Transport
    version: int = 4
    mode: XdpMode = XdpMode.NATIVE

    def __str__(self) -> str:
        cell = f"{self.server}-{self.player}-{self.transport}-IPv{self.version}"
        return cell if self.mode is XdpMode.NATIVE else f"{cell}-{self.mode}"

    @property
    def has_rtcp(self) -> bool:
        """GStreamer obeys VLC's ``b=RR:0`` and sends none."""
        return self.transport is Transport.UDP and (self.server, self.player) != (
            ServerKind.VLC,
            PlayerKind.GSTREAMER,
        )


GST, VLC = ServerKind.GST, ServerKind.VLC
FFMPEG, FFPLAY, GSTREAMER = PlayerKind.FFMPEG, PlayerKind.FFPLAY, PlayerKind.GSTREAMER
UDP, TCP = Transport.UDP, Transport.TCP

NATIVE = (
    *(Cell(GST, player, how, 4) for player in (FFMPEG, FFPLAY, GSTREAMER) for how in (UDP, TCP)),
    *(Cell(GST, player, how, 6) for player in (FFMPEG, FFPLAY, GSTREAMER) for how in (UDP, TCP)),
    *(Cell(GST, PlayerKind.AIORTSP, how) for how in (UDP, TCP)),
    *(Cell(VLC, player, UDP) for player in (FFMPEG, FFPLAY, GSTREAMER)),
)
VLC_PLAYS = tuple(Cell(GST, PlayerKind.VLC, how) for how in (UDP, TCP))
GENERIC = (
    Cell(GST, FFMPEG, UDP, 4, XdpMode.GENERIC),
    Cell(GST, FFMPEG, TCP, 4, XdpMode.GENERIC),
    Cell(GST, GSTREAMER, UDP, 6, XdpMode.GENERIC),
    Cell(GST, GSTREAMER, TCP, 6, XdpMode.GENERIC),
    Cell(VLC, FFMPEG, UDP, 4, XdpMode.GENERIC),
)
#: Generic mode plays while the sessions that ffplay leaves over UDP wait for their end.
IN_ORDER = sorted((*NATIVE, *GENERIC), key=lambda cell: cell.player is FFPLAY)


def places(lab: Lab, cells: tuple[Cell, ...]) -> dict[Watch, str]:
    """Each cell at a player's node of its own; those of gst-rtsp-server pair by pair at either of two."""
    servers: dict[ServerKind, list[str]] = {}
    for node in lab.topology.backends:
        assert node.server
        servers.setdefault(node.server, []).append(node.name)
    return {
        Watch(
            player=cell.player,
            node="player" if number == 0 else f"player{number + 1}",
            url=url("clip", VIP6 if cell.version == 6 else VIP4),
            transport=cell.transport,
            seconds=WATCH_S,
        ): servers[cell.server][number // 2 % len(servers[cell.server])]
        for number, cell in enumerate(cells)
    }


class Matrix:
    """The cells played so far, all of one mode at the first that is asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._watched: dict[Cell, Watched] = {}

    def __getitem__(self, cell: Cell) -> Watched:
        if cell not in self._watched:
            cells = GENERIC if cell.mode is XdpMode.GENERIC else NATIVE
            if cell.mode is XdpMode.NATIVE and not why_vlc_cannot_play():
                cells += VLC_PLAYS
            settings = Settings(players=len(cells), mode=cell.mode)
            lab = self._stack.enter_context(lab_of_run(f"mx{cell.mode[0]}", settings, DAEMON))
            self._watched |= zip(cells, watch_at(lab, places(lab, cells)), strict=True)
        return self._watched[cell]


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    """All cells, each played when the first of its mode is asked for."""
    with ExitStack() as stack:
        yield Matrix(stack)


@pytest.fixture(scope="module")
def vlc_can_play() -> None:
    """Skip where VLC cannot play rtsp:// at all."""
    if why := why_vlc_cannot_play():
        print(why)
        pytest.skip(why)


@pytest.mark.parametrize("cell", IN_ORDER, ids=str)
def test_a_player_plays_through_the_vip(cell: Cell, matrix: Matrix) -> None:
    assert_session(matrix[cell], rtcp=cell.has_rtcp)


@pytest.mark.usefixtures("vlc_can_play")
@pytest.mark.parametrize("cell", VLC_PLAYS, ids=str)
def test_vlc_plays_through_the_vip(cell: Cell, matrix: Matrix) -> None:
    assert_session(matrix[cell], rtcp=cell.has_rtcp)
