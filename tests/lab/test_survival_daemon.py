"""What befalls the daemon while eight players play: no packet, no connection and no pin may be lost by it.

Half of them over UDP, half interleaved. The faults come in their order, each leaves things as found, and the
same players play through all of them: what shows only after a timeout shows in a later one.
"""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from random import Random

import pytest

from rtspdsr.lab.capture import Packet
from rtspdsr.lab.lab import Lab, Settings
from rtspdsr.lab.player import PlayerKind, Transport
from tests.lab.arrivals import Arrivals
from tests.lab.faults import (
    WallClock,
    another_release,
    configured,
    kill_in_a_row,
    reload,
    restart,
    stopped,
    weigh,
)
from tests.lab.helpers import lines_since, log_end, log_lines, pins, run_at, wait_for
from tests.lab.labs import lab_of_run
from tests.lab.steady import Seat, Steady, assert_end_well, seated, unharmed

KILLS = 100
RELOADS = 100
STOPPED_S = 30.0
WATCH_S = 75.0  # servers end a session that they do not hear of after 60 to 65 s
SEED = 7826
PINS_WAIT_S = 120.0  # idle, and a reading
PAUSE_S = 0.1  # between two new sessions of a node
SAME_S = 20.0  # a port that comes again sooner is of the same connection
LATE = 0.01  # of all requests: on a busy machine a daemon gets its turn late, and dies with more unread
COPIES_MAX = 2  # of a request: what was sent at first, and one retransmission
STEPS_S = (3600, -86_400, 10 * 365 * 86_400, 0)

#: Each test waits for eight players, some of them for a minute of play.
pytestmark = pytest.mark.timeout(900)

FFMPEG, GSTREAMER, UDP, TCP = PlayerKind.FFMPEG, PlayerKind.GSTREAMER, Transport.UDP, Transport.TCP
SEATS = (
    Seat(FFMPEG, "player", UDP, 4, "gst-a"),
    Seat(FFMPEG, "player2", TCP, 4, "gst-a"),
    Seat(GSTREAMER, "player3", UDP, 6, "gst-a"),
    Seat(GSTREAMER, "player4", TCP, 6, "gst-b"),
    Seat(FFMPEG, "player5", UDP, 6, "gst-b"),
    Seat(FFMPEG, "player6", TCP, 6, "gst-b"),
    Seat(GSTREAMER, "player7", UDP, 4, "vlc"),
    Seat(GSTREAMER, "player8", TCP, 4, "gst-a"),
)
NEWCOMERS = ("player9", "player10")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of this file's own: others must not be disturbed."""
    with lab_of_run("s", Settings(players=10)) as made:
        yield made


@pytest.fixture(scope="module")
def steady(lab: Lab) -> Iterator[list[Steady]]:
    """Eight players that play through all of the rest."""
    with seated(lab, SEATS) as players:
        yield players


def assert_asked_once_more_at_most(packets: list[Packet]) -> None:
    """What a request in flight costs: the same octets from the same port once more."""
    sent: dict[tuple[object, ...], list[float]] = {}
    for packet in packets:
        if packet.node in NEWCOMERS and not packet.to_node and b" rtsp://" in packet.payload:
            sent.setdefault((packet.source, packet.source_port, packet.payload), []).append(packet.at)
    assert sent
    copies = [sum(at < times[0] + SAME_S for at in times) for times in sent.values()]
    again, often = sum(count > 1 for count in copies), sum(count > COPIES_MAX for count in copies)
    print(f"of {len(copies):,} requests {again} were sent again, {often} of them more than once")
    assert often <= LATE * len(copies)


def program(lab: Lab) -> str:
    """The tag of the XDP program in force: a digest of its instructions."""
    (link,) = json.loads(run_at(lab, "balancer", "ip", "-json", "-details", "link", "show", "eth0"))
    tag: str = link["xdp"]["prog"]["tag"]
    return tag


def test_a_daemon_that_is_killed_a_hundred_times_costs_nobody_anything(lab: Lab) -> None:
    began = len(log_lines(lab, "daemon_started"))
    with seated(lab, SEATS) as players:
        with unharmed(lab, players, "killed") as wires, Arrivals(lab, NEWCOMERS, PAUSE_S) as newcomers:
            kill_in_a_row(lab, KILLS, Random(SEED))
        assert_end_well(lab, players)
    assert newcomers.failed == []
    assert newcomers.set_up >= KILLS
    lived = len(log_lines(lab, "daemon_started")) - began
    print(f"{lived} of {KILLS + 1} came so far as to take packets; {newcomers.set_up} new sessions")
    assert_asked_once_more_at_most(wires.packets())
    wait_for(lambda: not pins(lab), "every pin to go", PINS_WAIT_S)


def test_steps_of_the_wall_clock_change_nothing_but_the_times_in_the_log(
    lab: Lab, steady: list[Steady]
) -> None:
    clock, began = WallClock(lab), log_end(lab)
    with unharmed(lab, steady, "clock"):
        restart(lab, under=clock.under)
        for ahead_s in STEPS_S:
            clock.ahead_s = ahead_s
            with Arrivals(lab, NEWCOMERS, pause_s=60.0) as newcomers:
                wait_for(lambda it=newcomers: it.tried == len(NEWCOMERS), "two sessions")  # type: ignore[misc]
            assert newcomers.failed == []
            year = time.gmtime(time.time() + ahead_s).tm_year
            assert reload(lab)["time"].startswith(f"{year}-")
    assert "expired" not in {one["reason"] for one in lines_since(lab, began, "session_summary")}


def test_an_upgrade_of_the_same_layout_swaps_the_program_alone(lab: Lab, steady: list[Steady]) -> None:
    before = program(lab)
    with unharmed(lab, steady, "upgrade"), Arrivals(lab, NEWCOMERS, PAUSE_S) as newcomers:
        lines = restart(lab, under=another_release(lab))
        assert program(lab) != before
        assert {one["session"] for one in lines if one["event"] == "session_adopted"} >= {
            one.session for one in steady
        }
        restart(lab)
        assert program(lab) == before
    assert newcomers.failed == []


def test_a_hundred_reloads_move_nobody(lab: Lab, steady: list[Steady]) -> None:
    with unharmed(lab, steady, "reloads"), Arrivals(lab, NEWCOMERS, PAUSE_S) as newcomers:
        for number in range(RELOADS // 2):
            with configured(lab, partial(weigh, weight=60 + number)):
                assert len(reload(lab)["changes"]) == 1
            assert len(reload(lab)["changes"]) == 1
    assert newcomers.failed == []


def test_a_daemon_that_stands_still_for_half_a_minute_is_not_missed(lab: Lab, steady: list[Steady]) -> None:
    with unharmed(lab, steady, "stopped"), Arrivals(lab, NEWCOMERS, PAUSE_S) as newcomers:
        with stopped(lab):
            time.sleep(STOPPED_S)
        met = newcomers.set_up
        wait_for(lambda: newcomers.set_up > met + 1, "new sessions after it")
    assert newcomers.failed == []


def test_nothing_comes_of_it_later(lab: Lab, steady: list[Steady]) -> None:
    upgraded_at = datetime.fromisoformat(log_lines(lab, "daemon_started")[-1]["time"]).timestamp()
    with unharmed(lab, steady, "later"):
        time.sleep(max(0.0, upgraded_at + WATCH_S - time.time()))
    assert_end_well(lab, steady)
    wait_for(lambda: not pins(lab), "every pin to go", PINS_WAIT_S)
