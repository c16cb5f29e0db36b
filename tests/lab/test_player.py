"""Players and servers of the lab by themselves: each backend is played from at its real address.

Nothing here goes through the balancer, so a failure here is the lab's. All watch side by side.
"""

import os
from dataclasses import dataclass

import pytest

from rtspdsr.errors import LabError
from rtspdsr.lab.lab import Lab, Result
from rtspdsr.lab.player import PlayerKind, Transport, Watch, why_vlc_cannot_play
from rtspdsr.lab.topology import url

WATCH_S = 6.0
FRAMES_MIN = 60  # of 25 a second, with all players on two cores


@dataclass(frozen=True, slots=True)
class Direct:
    """One player that plays from a backend's own address."""

    player: PlayerKind
    transport: Transport
    version: int
    backend: str
    path: str = "clip"

    def __str__(self) -> str:
        return f"{self.player}-{self.transport}-IPv{self.version}-{self.backend}-{self.path}"


CASES = (
    Direct(PlayerKind.FFMPEG, Transport.UDP, 4, "gst-a"),
    Direct(PlayerKind.FFMPEG, Transport.TCP, 4, "gst-b"),
    Direct(PlayerKind.FFMPEG, Transport.UDP, 6, "gst-b", "live"),
    Direct(PlayerKind.FFPLAY, Transport.TCP, 6, "gst-a"),
    Direct(PlayerKind.GSTREAMER, Transport.UDP, 6, "gst-a"),
    Direct(PlayerKind.GSTREAMER, Transport.MULTICAST, 4, "gst-b", "multicast"),
    Direct(PlayerKind.AIORTSP, Transport.TCP, 4, "gst-a", "live"),
    Direct(PlayerKind.FFMPEG, Transport.UDP, 4, "vlc"),
    Direct(PlayerKind.GSTREAMER, Transport.UDP, 4, "vlc", "live"),
    Direct(PlayerKind.AIORTSP, Transport.UDP, 4, "vlc"),
    Direct(PlayerKind.PUBLISHER, Transport.UDP, 4, "gst-a", "record"),
    Direct(PlayerKind.PUBLISHER, Transport.TCP, 4, "gst-b", "record"),
)


@pytest.fixture(scope="module")
def results(lab: Lab) -> dict[Direct, Result]:
    """How every case went, each at a player of its own."""
    players = ["player", *(f"player{number}" for number in range(2, len(CASES) + 1))]
    watches = [
        Watch(
            player=case.player,
            node=node,
            url=url(case.path, lab.topology.node(case.backend).address(case.version)),
            transport=case.transport,
            seconds=WATCH_S,
        )
        for case, node in zip(CASES, players, strict=True)
    ]
    return dict(zip(CASES, lab.play(watches), strict=True))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_player_gets_pictures_from_a_backend_itself(case: Direct, results: dict[Direct, Result]) -> None:
    result = results[case]
    assert result.played.frames >= FRAMES_MIN, result.played.log.read_text()[-2000:]
    assert result.delivery.backends == (case.backend,)
    assert result.delivery.balancer_bytes == 0


def test_a_player_that_gets_nothing_is_ended_and_says_so(lab: Lab) -> None:
    nowhere = url("clip", lab.topology.node("player2").address(4))
    playing = lab.start(Watch(player=PlayerKind.FFMPEG, node="player", url=nowhere, seconds=2.0))
    played = playing.wait()
    assert played.frames == 0
    assert played.exit_code != 0
    assert "Connection refused" in played.log.read_text()


def test_a_player_is_stopped_early(lab: Lab) -> None:
    real = lab.topology.node("gst-a").address(4)
    playing = lab.start(Watch(player=PlayerKind.FFMPEG, node="player", url=url("clip", real), seconds=60.0))
    playing.wait_for_frames(10)
    played = playing.stop()
    assert played.lasted_s < 30
    with pytest.raises(ProcessLookupError):
        os.kill(playing.pid, 0)
    assert played.frames >= 10


def test_what_a_player_cannot_do_is_said_before_it_starts(lab: Lab) -> None:
    with pytest.raises(LabError, match="aiortsp plays over udp or tcp, not multicast"):
        lab.start(
            Watch(player=PlayerKind.AIORTSP, node="player", url=url("clip"), transport=Transport.MULTICAST)
        )
    with pytest.raises(LabError, match="no node 'nobody'"):
        lab.start(Watch(player=PlayerKind.FFMPEG, node="nobody", url=url("clip")))


def test_vlc_plays_or_says_why_it_cannot(lab: Lab) -> None:
    watch = Watch(
        player=PlayerKind.VLC, node="player", url=url("clip", lab.topology.node("gst-a").address(4))
    )
    if reason := why_vlc_cannot_play():
        assert "live555" in reason
        with pytest.raises(LabError, match="no live555 plugin"):
            lab.start(watch)
    else:
        assert lab.start(watch).wait().frames >= FRAMES_MIN
