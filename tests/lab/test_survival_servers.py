"""What befalls the media servers and the wires while eight players play at others: they must not notice.

Half of them over UDP, half interleaved. The faults come in their order, each leaves things as found, and the
same players play through all of them; at the end they are watched for longer than any timeout.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import pytest

from rtspdsr.lab.lab import Lab, Settings
from rtspdsr.lab.player import PlayerKind, Transport, Watch
from rtspdsr.lab.topology import url
from tests.lab.arrivals import Arrivals
from tests.lab.faults import configure, configured, dying, flapping, last_shares, reload, without
from tests.lab.helpers import log_lines, pins, playing, wait_for, wait_for_line
from tests.lab.labs import lab_of_run
from tests.lab.steady import Seat, Steady, assert_end_well, seated, unharmed
from tests.lab.synflood import SOURCES, SynFlood

CHECKED = 'health = { check = "options" }'
OUT_S = 3.0  # from the death of a backend until it gets no new clients
PATIENCE_S = 40.0
WATCH_S = 75.0  # servers end a session that they do not hear of after 60 to 65 s
CLIENTS, CLIENTS_PER_S = 20_000, 5_000  # whose share is counted: that of a fifth is true to 1.4 %
SHARE = 0.07  # of its weight, by which a backend's share of new clients may be off
FLOOD_PER_S, FLOOD_S = 100_000, 15.0
SUCCESS = 0.99
TRIED = 200  # new sessions at the least
#: Of the daemon's memory: in any case, and for each new session (about 5 were seen); nothing for a SYN.
GROWN_KIB, SESSION_KIB = 2048, 12
#: A backend that comes and goes needs 3, 6, 12 ... passes in a row, a second each: so often it can return in
#: the time watched, each time with a table, and one more for each time that it goes.
TABLES_MAX = 11

#: Each test waits for eight players, one of them for more than a minute of play.
pytestmark = pytest.mark.timeout(600)

FFMPEG, GSTREAMER, UDP, TCP = PlayerKind.FFMPEG, PlayerKind.GSTREAMER, Transport.UDP, Transport.TCP
SEATS = (
    Seat(FFMPEG, "player", UDP, 4, "gst-a"),
    Seat(FFMPEG, "player2", TCP, 4, "gst-a"),
    Seat(GSTREAMER, "player3", UDP, 6, "gst-a"),
    Seat(GSTREAMER, "player4", TCP, 6, "gst-a"),
    Seat(FFMPEG, "player5", UDP, 6, "gst-b"),
    Seat(FFMPEG, "player6", TCP, 6, "gst-b"),
    Seat(GSTREAMER, "player7", UDP, 4, "gst-b"),
    Seat(GSTREAMER, "player8", TCP, 4, "gst-b"),
)
NEWCOMERS = ("player9", "player10")
VICTIMS, ATTACKER = ("player11", "player12"), "player13"
WEIGHTS = {"gst-a": 100, "gst-b": 100, "vlc": 50}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of this file's own, whose backends are checked."""
    with lab_of_run("v", Settings(players=13)) as made:
        configure(made, CHECKED)
        yield made


@pytest.fixture(scope="module")
def steady(lab: Lab) -> Iterator[list[Steady]]:
    """Eight players at two backends; the third is the one that things befall."""
    with seated(lab, SEATS) as players:
        yield players


def assert_shared(lab: Lab) -> None:
    """Of clients that were never here each backend gets a share by its weight."""
    with (
        lab.capture("share", f"src net {SOURCES}") as capture,
        SynFlood(lab, ATTACKER, CLIENTS_PER_S) as newcomers,
    ):
        wait_for(lambda: newcomers.sent >= CLIENTS, "so many clients")
    placed = Counter(one.node for one in capture.packets() if one.to_node and one.node in WEIGHTS)
    each = placed.total() / sum(WEIGHTS.values())
    assert placed == pytest.approx({name: each * weight for name, weight in WEIGHTS.items()}, rel=SHARE)


def states(lab: Lab) -> dict[str, str]:
    """Every backend's state."""
    return {one["name"]: one["state"] for one in lab.daemon.ask("GET", "/v1/backends")}


def wait_until_well(lab: Lab) -> None:
    """Every backend is up, and in the table."""
    wait_for(lambda: set(states(lab).values()) == {"up"}, "every backend to be up", PATIENCE_S)
    wait_for(lambda: set(last_shares(lab)) == set(WEIGHTS), "a table with all", PATIENCE_S)


def memory_kib(lab: Lab) -> int:
    """Memory that the daemon has in use."""
    text = Path(f"/proc/{lab.daemon.process.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def test_a_backend_that_goes_and_comes_moves_no_session_and_has_its_share(
    lab: Lab, steady: list[Steady]
) -> None:
    with unharmed(lab, steady, "share"):
        before = last_shares(lab)
        with configured(lab, lambda text: without(text, "vlc")):
            reload(lab)
            wait_for(lambda: "vlc" not in last_shares(lab), "a table without vlc", PATIENCE_S)
        reload(lab)
        wait_until_well(lab)
        assert last_shares(lab) == before
        assert_shared(lab)


def test_a_flood_of_syns_harms_no_session_and_new_ones_begin(lab: Lab, steady: list[Steady]) -> None:
    with SynFlood(lab, ATTACKER, FLOOD_PER_S) as flood:
        flood.settle()
        with unharmed(lab, steady, "flood"), Arrivals(lab, NEWCOMERS) as newcomers:
            wait_for(lambda: newcomers.tried >= 20, "new sessions, and the memory that they take", PATIENCE_S)
            memory, sent, tried, began = memory_kib(lab), flood.sent, newcomers.tried, time.monotonic()
            wait_for(lambda: newcomers.tried >= TRIED and time.monotonic() > began + FLOOD_S, "them", 120.0)
            sent, rate = flood.sent - sent, (flood.sent - sent) / (time.monotonic() - began)
            grown, new = memory_kib(lab) - memory, newcomers.tried - tried
            assert not [pin for pin in pins(lab) if pin.flow.client in SOURCES]
    told = f"{rate:,.0f} SYNs a second; {len(newcomers.failed)} of {newcomers.tried} new sessions failed"
    print(f"{told}; {grown} KiB more for {new} of them and {sent:,} SYNs")
    assert len(newcomers.failed) <= (1 - SUCCESS) * newcomers.tried, newcomers.failed
    assert grown <= GROWN_KIB + SESSION_KIB * new
    wait_until_well(lab)


def test_when_a_backend_dies_its_players_are_told_and_others_notice_nothing(
    lab: Lab, steady: list[Steady]
) -> None:
    for node in VICTIMS:
        lab.daemon.place(str(lab.client(node, 4)), "vlc")
    victims = [
        Watch(player=kind, node=node, url=url("clip"), seconds=90.0)
        for kind, node in zip((FFMPEG, GSTREAMER), VICTIMS, strict=True)
    ]
    with unharmed(lab, steady, "death"), playing(lab, victims) as players:
        before = len(log_lines(lab, "backend_down"))
        with dying(lab, "vlc", "killed") as died_at:
            wait_for(lambda: len(log_lines(lab, "backend_down")) > before, "vlc to be out", PATIENCE_S)
            down = log_lines(lab, "backend_down")[-1]
            out_s = datetime.fromisoformat(down["time"]).timestamp() - died_at
            print(f"out of placement after {out_s:.1f} s")
            assert (down["backend"], out_s < OUT_S) == ("vlc", True)
            wait_for(lambda: not any(one.running for one in players), "its players to be told", PATIENCE_S)
            wait_for(lambda: "vlc" not in last_shares(lab), "a table without it", PATIENCE_S)
        wait_until_well(lab)


def test_a_backend_that_flaps_moves_nobody_and_few_tables_are_made(lab: Lab, steady: list[Steady]) -> None:
    before, tables = len(log_lines(lab, "backend_down")), len(log_lines(lab, "table_filled"))
    with (
        unharmed(lab, steady, "flapping"),
        Arrivals(lab, NEWCOMERS, pause_s=0.5) as newcomers,
        flapping(lab, "vlc"),
    ):
        time.sleep(WATCH_S)
    made = len(log_lines(lab, "table_filled")) - tables
    print(f"{made} tables made")
    assert newcomers.failed == []
    assert len(log_lines(lab, "backend_down")) > before
    assert 0 < made <= TABLES_MAX


def test_the_players_end_as_they_began(lab: Lab, steady: list[Steady]) -> None:
    assert_end_well(lab, steady)


def test_when_all_backends_die_and_return_players_play_again(lab: Lab) -> None:
    wait_for(lambda: set(states(lab).values()) == {"up"}, "vlc to be trusted again", 120.0)
    began = len(lab.session_log())
    watches = [
        Watch(player=FFMPEG, node=node, url=url("clip"), transport=transport, seconds=90.0)
        for node, transport in zip(VICTIMS, (UDP, TCP), strict=True)
    ]
    for node, backend in zip(VICTIMS, ("gst-a", "gst-b"), strict=True):
        lab.daemon.place(str(lab.client(node, 4)), backend)
    with playing(lab, watches) as players, ExitStack() as deaths:
        for name in WEIGHTS:
            deaths.enter_context(dying(lab, name, "killed"))
        wait_for_line(lab, "service_failing", patience_s=PATIENCE_S)
        wait_for(lambda: not any(one.running for one in players), "the players to be told", PATIENCE_S)
    wait_until_well(lab)
    for name, node in zip(WEIGHTS, NEWCOMERS + VICTIMS, strict=False):
        lab.daemon.place(str(lab.client(node, 4)), name)
    again = [
        Watch(player=FFMPEG, node=node, url=url("clip"), seconds=30.0) for node in (NEWCOMERS + VICTIMS)[:3]
    ]
    with playing(lab, again):
        lines = [one for one in lab.session_log()[began:] if one["event"] == "session_playing"]
        assert {one["backend"] for one in lines[-3:]} == set(WEIGHTS)
    assert not log_lines(lab, "daemon_fault")
