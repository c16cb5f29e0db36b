"""Sessions that are watched for longer than a server waits for a sign of life: 60 to 65 s.

UDP that is steered wrongly does not break a picture for about a minute. All play side by side; most telling
is GStreamer without keepalives over RTSP, which nothing but its RTCP keeps alive.
"""

from dataclasses import dataclass
from itertools import pairwise

import pytest

from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import PlayerKind, Transport, Watch
from rtspdsr.lab.topology import VIP4, VIP6, url
from tests.lab.helpers import Line
from tests.lab.watched import Watched, assert_session, watch_at

WATCH_S = 78.0  # GStreamer's time begins when it is started, and it has to play for more than 75 s
PLAYS_S = 75.0
STEADY_S = 10.0  # media that has not come for so long has stopped

#: The first to be run waits for all of it.
pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True, slots=True)
class Part:
    """One of the long sessions."""

    player: PlayerKind
    transport: Transport
    version: int
    backend: str
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.backend}-{self.player}-{self.transport}-IPv{self.version}"


RTCP_ALONE = Part(PlayerKind.GSTREAMER, Transport.UDP, 4, "gst-a", options=("do-rtsp-keep-alive=false",))
PARTS = (
    RTCP_ALONE,
    Part(PlayerKind.FFMPEG, Transport.UDP, 4, "gst-b"),
    Part(PlayerKind.FFMPEG, Transport.TCP, 4, "gst-a"),
    Part(PlayerKind.GSTREAMER, Transport.UDP, 6, "gst-b"),
    Part(PlayerKind.FFMPEG, Transport.UDP, 4, "vlc"),
)


@dataclass(frozen=True, slots=True)
class Long:
    """What came of them, and what the log said of anything meanwhile."""

    watched: dict[Part, Watched]
    lines: list[Line]


@pytest.fixture(scope="module")
def long(lab: Lab) -> Long:
    """All of them, watched for 75 s and more."""
    before = len(lab.session_log())
    watches = [
        Watch(
            player=part.player,
            node=f"player{number}",
            url=url("clip", VIP6 if part.version == 6 else VIP4),
            transport=part.transport,
            seconds=WATCH_S,
            options=part.options,
        )
        for number, part in enumerate(PARTS, start=2)
    ]
    watched = watch_at(lab, {watch: part.backend for watch, part in zip(watches, PARTS, strict=True)})
    for one in watched:
        one.summary()
    return Long(dict(zip(PARTS, watched, strict=True)), lab.session_log()[before:])


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_a_session_plays_on_for_more_than_a_minute(part: Part, long: Long) -> None:
    one = long.watched[part]
    assert_session(one, rtcp=part.transport is Transport.UDP, share=0.8)
    assert_steady(one)


def test_a_session_lives_on_rtcp_alone(long: Long) -> None:
    one = long.watched[RTCP_ALONE]
    (play,) = one.requests("PLAY")
    end = asked_for_no_more(one)
    assert end - play.at >= PLAYS_S
    meanwhile = [packet for packet in one.sent if play.at < packet.at < end]
    assert not [packet for packet in meanwhile if packet.source_port == one.control_port and packet.carried]
    assert sum(map(len, one.reports.values())) >= PLAYS_S / 10


def test_the_log_tells_of_no_trouble_meanwhile(long: Long) -> None:
    parts = {str(one.client) for one in long.watched.values()}
    events = {line["event"] for line in long.lines if line.get("client", "") in parts}
    assert events == {
        "session_opened",
        "track_pinned",
        "session_playing",
        "session_paused",
        "session_ending",
        "session_closed",
        "session_summary",
    }
    assert not {"backend_lost", "daemon_fault", "lines_dropped"} & {line["event"] for line in long.lines}


def asked_for_no_more(one: Watched) -> float:
    """When the player sent PAUSE, or TEARDOWN without one."""
    return min(packet.at for method in ("PAUSE", "TEARDOWN") for packet in one.requests(method))


def assert_steady(one: Watched) -> None:
    """Media came all the time, from PLAY until the player asked for no more, 75 s later at the least."""
    (play,) = one.requests("PLAY")
    end = asked_for_no_more(one)
    came = [packet.at for packet in one.received if packet.is_rtp or (not one.over_udp and packet.carried)]
    times = [play.at, *(at for at in came if play.at < at < end), end]
    assert end - play.at >= PLAYS_S
    assert max(after - before for before, after in pairwise(times)) < STEADY_S
