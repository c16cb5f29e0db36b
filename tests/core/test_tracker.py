"""Whole conversations: what is pinned, for how long, and what the log is told."""

import gc
import random
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtspdsr.core.events import (
    ClientPlaced,
    CloseReason,
    PinMade,
    PinReleased,
    SessionClosed,
    SessionMovedToTcp,
    SessionOpened,
    SessionPlaying,
    SessionRecording,
    SessionResumed,
    SessionStalled,
    SessionSummary,
    TrackerFull,
    TrackPinned,
)
from rtspdsr.core.session import State
from rtspdsr.core.tracker import EVENTS_MAX, TrackerLimits
from rtspdsr.model import FlowKey, PinFlag, PinReading, Segment, TcpFlag
from tests.core.builders import (
    CLIENT,
    INTERLEAVED,
    URL,
    Control,
    World,
    of,
    only,
    play_tcp,
    play_udp,
    report,
    request,
    transport,
    udp,
)
from tests.dialogs import MUTATIONS, NAMES, Dialog, load

# --- recorded players ----------------------------------------------------------------------------


def replay(dialog: Dialog, segments: list[Segment]) -> World:
    """A world in which a recorded player has played, and has not been forgotten yet."""
    world = World(TrackerLimits(linger_s=1000.0, idle_s=2000.0))
    world.feed(*(replace(segment, opened_at=world.now) for segment in segments))
    return world


@pytest.mark.parametrize("name", NAMES)
def test_what_has_ended_is_free_without_a_search_for_cycles(name: str) -> None:
    """With 100,000 sessions such a search takes seconds: the daemon does without."""
    world = World(TrackerLimits())
    world.feed(*(replace(segment, opened_at=world.now) for segment in load(name).segments))
    gc.collect()
    gc.disable()
    try:
        world.wait(200.0)
        assert not world.tracker.sessions
        world.log.clear()
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_player_is_followed_however_the_network_treats_it(name: str, mutation: str) -> None:
    dialog = load(name)
    world = replay(dialog, MUTATIONS[mutation](dialog.segments))
    tracks = dialog.expected.tracks
    ports = {port for track in tracks for port in track.client_ports}
    control = {segment.flow for segment in dialog.segments}
    client = dialog.segments[0].flow.client

    assert set(world.pins) == {udp(port, client) for port in ports} | control
    assert {event.pin.backend_id for event in world.pins.values()} == {1}
    assert [
        (event.url, event.transport, event.client_ports, event.channels)
        for event in of(TrackPinned, world.log)
    ] == [(track.url, track.transport, track.client_ports, track.channels) for track in tracks]
    # of the sessions that VLC's server refuses (it has no TCP), the player never learns an id
    named = [one.server_session for one in world.tracker.sessions.values() if one.server_session]
    assert named == list(dialog.expected.sessions)
    assert len(world.tracker.sessions) == max(len(named), dialog.expected.connections)
    assert world.placed == {client: 1}
    started = of(SessionPlaying, world.log) + of(SessionRecording, world.log)
    assert len(started) >= len(dialog.expected.sessions)


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_player_leaves_nothing_behind(name: str) -> None:
    dialog = load(name)
    world = World()
    begin = world.now
    for segment, at in zip(dialog.segments, dialog.times, strict=True):
        world.wait(max(0.0, begin + at - world.now))
        world.feed(segment)
    world.wait(130)
    assert (world.pins, world.placed, len(world.tracker.sessions)) == ({}, {}, 0)
    summaries = of(SessionSummary, world.log)
    assert {one.server_session for one in summaries} - {None} == set(dialog.expected.sessions)


# --- pins before SETUP ---------------------------------------------------------------------------


def test_ports_are_pinned_when_the_last_byte_of_a_setup_comes() -> None:
    world, control = World(), Control()
    text = request("SETUP", f"{URL}/track1", Transport=transport(5000, 5001))
    said = world.feed(*(control.segment(text[at : at + 1]) for at in range(len(text) - 1)))
    assert not of(SessionOpened, said)
    assert udp(5000) not in world.pins
    said = world.feed(control.segment(text[-1:]))
    assert {udp(5000), udp(5001)} < set(world.pins)
    facts = [index for index, event in enumerate(said) if not isinstance(event, PinMade | ClientPlaced)]
    pins = [index for index, event in enumerate(said) if isinstance(event, PinMade)]
    assert max(pins) < min(facts)


def test_ports_that_found_no_provisional_room_are_pinned_when_the_client_is_proven() -> None:
    world, control = World(TrackerLimits(provisional_max=2)), Control()
    said = world.feed(control.ask("SETUP", f"{URL}/track1", Transport=transport(5000, 5001)))
    assert only(TrackerFull, said).limit == "provisional_max"
    assert set(world.pins) == {control.flow, udp(5000)}
    world.feed(control.ask("OPTIONS"))
    assert set(world.pins) == {control.flow, udp(5000), udp(5001)}


# --- the end of sessions -------------------------------------------------------------------------


def test_teardown_releases_after_a_linger() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    world.wait(20)
    asked_at = world.now
    world.feed(control.ask("TEARDOWN", Session="abc"))
    assert not of(PinReleased, world.wait(9.5))
    said = world.wait(1)
    assert {event.flow for event in of(PinReleased, said)} == {udp(5000), udp(5001)}
    summary = only(SessionSummary, said)
    assert (summary.reason, summary.closed_at) == (CloseReason.TEARDOWN, asked_at)
    assert only(SessionClosed, said).at > asked_at
    assert CLIENT in world.placed
    world.wait(10)
    assert world.placed == {}


def test_a_refused_teardown_is_none() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control), control.ask("TEARDOWN", Session="abc"))
    world.wait(5)
    world.feed(control.ask("GET_PARAMETER", Session="abc"))
    assert not of(SessionClosed, world.wait(30))
    assert world.tracker.sessions["s1"].state is State.PLAYING


def test_a_session_over_udp_outlives_its_connection() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control), control.fin())
    for _ in range(30):
        world.hear(udp(5001))
        assert not of(SessionClosed, world.wait(5))
    assert set(world.pins) == {udp(5000), udp(5001)}
    said = world.wait(96)
    assert only(SessionClosed, said).reason is CloseReason.EXPIRED
    assert world.pins == {}


@pytest.mark.parametrize("flags", [TcpFlag.FIN | TcpFlag.ACK, TcpFlag.RST])
def test_an_interleaved_session_ends_with_its_connection(flags: TcpFlag) -> None:
    world, control = World(), Control()
    world.feed(*play_tcp(control))
    world.wait(7)
    ended_at = world.now
    world.feed(control.segment(b"", flags))
    assert not of(SessionClosed, world.wait(9.5))
    summary = only(SessionSummary, world.wait(1))
    assert (summary.reason, summary.closed_at) == (CloseReason.CONNECTION_CLOSED, ended_at)
    assert world.pins == {}


def test_half_a_close_ends_nothing_while_the_client_is_heard() -> None:
    world, control = World(), Control()
    world.feed(*play_tcp(control), control.fin())
    for _ in range(10):
        world.hear(control.flow, delivered=5000)
        assert not of(SessionClosed, world.wait(5))
    assert only(SessionSummary, world.wait(15)).reason is CloseReason.CONNECTION_CLOSED


def test_a_reset_from_elsewhere_ends_nothing() -> None:
    world, control = World(), Control()
    world.feed(*play_tcp(control))
    forged = replace(control.segment(b"", TcpFlag.RST), sequence=control.next - 500_000)
    world.feed(forged)
    world.wait(30)
    assert set(world.tracker.sessions) == {"s1"}


def test_silence_ends_a_session_and_its_connection() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    assert not of(SessionClosed, world.wait(89))
    assert only(SessionClosed, world.wait(7)).reason is CloseReason.EXPIRED
    assert world.pins == {}


@pytest.mark.parametrize("flow", [udp(5000), udp(5001), Control().flow])
def test_anything_that_is_heard_keeps_a_session(flow: FlowKey) -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    for _ in range(10):
        world.hear(flow)
        assert not of(SessionClosed, world.wait(60))
    assert set(world.pins) == {udp(5000), udp(5001), control.flow}


def test_silence_is_believed_only_when_it_was_just_read() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    world.now += 1000
    world.hear(udp(5001))
    assert not of(SessionClosed, world.wait(1))


# --- media in the connection ---------------------------------------------------------------------


def test_a_publisher_is_scanned_while_it_records() -> None:
    world, control = World(), Control()
    flags = []
    for segment in (
        control.ask("ANNOUNCE"),
        control.ask("SETUP", f"{URL}/streamid=0", Transport=f"{INTERLEAVED};mode=record"),
        control.ask("RECORD", Session="abc"),
    ):
        world.feed(segment)
        flags.append(world.pins[control.flow].pin.flags)
    assert flags == [PinFlag.NONE, PinFlag.NONE, PinFlag.UPSTREAM]
    control.segment(bytes(100_000))  # media, which passes unseen
    world.feed(control.segment(bytes(700) + request("TEARDOWN", Session="abc")))
    assert world.pins[control.flow].pin.flags is PinFlag.NONE
    summary = only(SessionSummary, world.wait(11))
    assert summary.reason is CloseReason.TEARDOWN


def test_a_publisher_that_pauses_is_read_again() -> None:
    world, control = World(), Control()
    world.feed(
        control.ask("SETUP", f"{URL}/streamid=0", Transport=f"{INTERLEAVED};mode=record"),
        control.ask("RECORD", Session="abc"),
    )
    control.segment(bytes(100_000))
    world.feed(control.ask("PAUSE", Session="abc"))
    said = world.feed(
        control.ask("SETUP", f"{URL}/streamid=1", Transport=transport(5000, 5001), Session="abc")
    )
    assert only(TrackPinned, said).client_ports == (5000, 5001)


def test_moving_to_tcp_is_told_once_and_frees_the_ports_after_a_linger() -> None:
    world, control = World(), Control()
    world.feed(
        control.ask("SETUP", f"{URL}/track1", Transport=transport(5000, 5001)),
        control.ask("SETUP", f"{URL}/track2", Transport=transport(5002, 5003), Session="abc"),
        control.ask("PLAY", Session="abc"),
        control.ask("PAUSE", Session="abc"),
    )
    said = world.feed(
        control.ask("SETUP", f"{URL}/track1", Transport=INTERLEAVED, Session="abc"),
        control.ask("SETUP", f"{URL}/track2", Transport="RTP/AVP/TCP;interleaved=2-3", Session="abc"),
        control.ask("PLAY", Session="abc"),
    )
    assert len(of(SessionMovedToTcp, said)) == 1
    assert len(world.pins) == 5
    world.hear(control.flow, delivered=50_000)
    world.wait(11)
    assert set(world.pins) == {control.flow}
    summary = only(SessionSummary, world.apply(world.tracker.close("s1", CloseReason.DRAINED, world.now)))
    assert (summary.transports, summary.client_ports) == (("tcp", "tcp"), ())


# --- quality -------------------------------------------------------------------------------------


def test_the_summary_of_a_session_over_udp() -> None:
    world, control = World(), Control(opened_at=99.5)
    first, *rest = play_udp(control)
    frame = b"Ethernet, IP and TCP headers" + first.payload
    for segment in (replace(first, frame=frame), *rest):
        world.feed(segment)
        world.now += 0.1
    for step in range(1, 5):
        world.hear(udp(5001), packets=2, report=report(1000 * step, lost=step, fraction=step / 16, jitter=9))
        world.hear(control.flow, packets=1)
        world.wait(5)
    world.feed(control.ask("TEARDOWN", Session="abc"))
    summary = only(SessionSummary, world.wait(11))
    assert (summary.transports, summary.client_ports) == (("udp",), (5000, 5001))
    assert (summary.delivered_packets, summary.lost_packets, summary.jitter) == (3000, 4, 9)
    assert (summary.worst_loss, summary.last_loss) == (0.25, 0.25)
    # what was counted, and the first request, which came before its pin was there to count it
    assert (summary.client_packets, summary.client_bytes) == (13, 1200 + len(frame))
    assert summary.delivered_bytes is None
    assert summary.setup_s == pytest.approx(0.8)
    assert summary.first_delivery_s == pytest.approx(0.9)
    assert (summary.url, summary.user_agent, summary.server_session) == (URL, "Lavf", "abc")


def test_the_summary_of_an_interleaved_session() -> None:
    world, control = World(), Control()
    world.feed(*play_tcp(control))
    for _ in range(4):
        world.hear(control.flow, packets=50, delivered=70_000)
        world.wait(5)
    summary = only(SessionSummary, world.apply(world.tracker.close("s1", CloseReason.DRAINED, world.now)))
    assert summary.delivered_bytes == 280_000
    assert summary.reason is CloseReason.DRAINED
    assert summary.first_delivery_s == pytest.approx(0.5)
    assert world.pins == {}


def test_reports_within_the_connection_count() -> None:
    world, control = World(), Control()
    world.feed(*play_tcp(control))
    for highest in (500, 900):
        block = (7).to_bytes(4) + bytes([64, 0, 0, 3]) + highest.to_bytes(4) + (11).to_bytes(4) + bytes(8)
        packet = bytes([0x81, 201, 0, 7]) + bytes(4) + block
        world.now += 1
        frame = b"$\x01" + len(packet).to_bytes(2) + packet
        world.feed(control.segment(frame[:4]), control.segment(frame[4:]))
    quality = world.tracker.sessions["s1"].quality
    assert (quality.delivered_packets, quality.lost_packets, quality.last_loss) == (400, 3, 0.25)


def test_media_that_stops_is_a_stall_and_keepalives_do_not_hide_it() -> None:
    world, control = World(), Control()
    world.feed(*play_tcp(control))
    world.hear(control.flow, delivered=100_000)
    world.wait(5)
    said = []
    for _ in range(3):
        world.feed(control.ask("GET_PARAMETER", Session="abc"))
        world.hear(control.flow, delivered=150)
        said += world.wait(5)
    assert only(SessionStalled, said).silent_s >= 10
    assert not of(SessionResumed, said)
    world.hear(control.flow, delivered=100_000)
    assert only(SessionResumed, world.wait(5)).stalled_s >= 10
    assert world.tracker.sessions["s1"].quality.stalls == 1


def test_a_player_that_left_without_a_word_does_not_stall() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    for highest in (100, 200):
        world.hear(udp(5001), report=report(highest))
        world.wait(5)
    world.hear(udp(5001), report=report(250))  # is read only after it has left
    world.now += 0.1
    world.feed(control.fin())
    said = world.wait(100)
    assert not of(SessionStalled, said)
    summary = only(SessionSummary, said)
    assert (summary.reason, summary.stalls, summary.stalled_s) == (CloseReason.EXPIRED, 0, 0.0)
    assert summary.delivered_packets == 150


@pytest.mark.parametrize("highest", [200, 300], ids=["that gets nothing", "that gets something for a while"])
def test_a_player_that_reports_without_its_connection_is_seen_to_stall(highest: int) -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    world.hear(udp(5001), report=report(200))
    world.wait(2)
    world.feed(control.fin())
    said = []
    for _ in range(4):
        world.hear(udp(5001), report=report(highest))
        said += world.wait(5)
    assert only(SessionStalled, said).silent_s >= 10


def test_a_player_without_reports_does_not_stall() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    for _ in range(8):
        world.hear(control.flow)
        assert not of(SessionStalled, world.wait(5))


# --- many ----------------------------------------------------------------------------------------


def test_a_backend_that_goes_ends_what_it_has_and_nothing_else() -> None:
    world = World()
    controls = [
        Control(client=ip_address(f"198.51.100.{number}"), backend_id=1 + number % 2) for number in range(20)
    ]
    for control in controls:
        world.feed(*play_udp(control))
    said = world.release(2, CloseReason.BACKEND_DOWN)
    assert {event.reason for event in of(SessionSummary, said)} == {CloseReason.BACKEND_DOWN}
    assert len(of(SessionSummary, said)) == 10
    assert {event.pin.backend_id for event in world.pins.values()} == {1}
    assert set(world.placed.values()) == {1}
    assert len(world.pins) == 30


def test_much_work_is_done_in_parts() -> None:
    world = World()
    for number in range(500):
        control = Control(client=ip_address(0x0A000000 + number))
        world.feed(*play_udp(control), control.ask("TEARDOWN", Session="abc"), control.fin())
    world.now += 10
    first = world.apply(world.tracker.tick(world.now))
    assert 0 < len(of(SessionSummary, first)) < 500
    world.wait(20)
    assert (world.pins, world.placed, len(world.tracker.sessions)) == ({}, {}, 0)


def test_sessions_with_many_pins_are_ended_in_smaller_parts() -> None:
    world = World()
    offer = ",".join(transport(port, port + 1) for port in range(5000, 5032, 2))
    for number in range(100):
        control = Control(client=ip_address(0x0A000000 + number))
        world.feed(
            control.ask("SETUP", f"{URL}/track1", Transport=offer),
            control.ask("SETUP", f"{URL}/track2", Transport=offer.replace("=5", "=6"), Session="abc"),
            control.ask("TEARDOWN", Session="abc"),
            control.fin(),
        )
    parts = []
    while (timer := world.tracker.next_timer()) is not None:
        world.now = max(world.now, timer)
        parts.append(len(world.apply(world.tracker.tick(world.now))))
    assert max(parts) <= EVENTS_MAX + 100
    assert (world.pins, world.placed, len(world.tracker.sessions)) == ({}, {}, 0)


def test_every_session_is_read_about_every_five_seconds() -> None:
    world = World()
    for number in range(50):
        world.feed(*play_udp(Control(client=ip_address(0x0A000000 + number))))
        world.wait(0.1, step=0.1)
    asked: dict[FlowKey, list[float]] = {}
    world.wait(20)
    for _ in range(200):
        world.now += 0.1
        flows = world.tracker.due(world.now, 1000)
        world.tracker.measure({}, world.now)
        for flow in flows:
            asked.setdefault(flow, []).append(world.now)
    assert set(asked) == set(world.pins)
    for times in asked.values():
        steps = [after - before for before, after in pairwise(times)]
        assert all(4.9 <= step <= 5.2 for step in steps)


def test_due_gives_whole_sessions_and_little_more_than_asked_for() -> None:
    world = World()
    for number in range(50):
        world.feed(*play_udp(Control(client=ip_address(0x0A000000 + number))))
    world.now += 10
    seen = []
    while flows := world.tracker.due(world.now, 10):
        assert len(flows) <= 12
        assert len({flow.client for flow in flows}) * 3 == len(flows)
        world.tracker.measure({}, world.now)
        seen += flows
    assert sorted(map(str, seen)) == sorted(map(str, world.pins))


def test_what_cannot_be_counted_is_taken_for_alive_until_it_is_counted() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control))
    uncounted = PinReading(packets=0, bytes=0, heard_at=0.0, counted=False)
    world.readings[udp(5001)] = uncounted
    assert not of(SessionClosed, world.wait(300))
    del world.readings[udp(5001)]
    assert not of(SessionClosed, world.wait(80))
    assert only(SessionClosed, world.wait(15)).reason is CloseReason.EXPIRED


def test_a_connection_that_cannot_be_counted_is_taken_for_alive() -> None:
    world, control = World(), Control()
    world.feed(control.ask("OPTIONS", URL), control.ask("OPTIONS", URL))
    world.readings[control.flow] = PinReading(packets=0, bytes=0, heard_at=0.0, counted=False)
    world.wait(300)
    assert control.flow in world.pins
    del world.readings[control.flow]
    world.wait(100)
    assert not world.pins


def test_new_limits_hold_from_then_on() -> None:
    world = World()
    world.feed(*play_udp(Control()))
    world.tracker.limits = TrackerLimits(idle_s=20.0, pins_max=3)
    said = world.feed(Control(port=40001).ask("OPTIONS"))
    assert only(TrackerFull, said).limit == "pins_max"
    assert only(SessionClosed, world.wait(26)).reason is CloseReason.EXPIRED


# --- whatever clients do -------------------------------------------------------------------------

_METHODS = st.sampled_from(["OPTIONS", "DESCRIBE", "PLAY", "PAUSE", "RECORD", "TEARDOWN", "GET_PARAMETER"])
_IDS = st.sampled_from([None, "abc", "xyz"])
_OFFERS = st.sampled_from(
    [
        transport(5000, 5001),
        transport(5001),
        INTERLEAVED,
        "RTP/AVP;multicast",
        f"{INTERLEAVED},{transport(6000)}",
    ]
)
_STEP = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 3), _METHODS, st.sampled_from([URL, f"{URL}/track1"]), _IDS),
    st.tuples(st.just("setup"), st.integers(0, 3), _OFFERS, st.sampled_from(["track1", "track2"]), _IDS),
    st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from([TcpFlag.FIN | TcpFlag.ACK, TcpFlag.RST])),
    st.tuples(st.just("reopen"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("bytes"), st.integers(0, 3), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("lose"), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0.3, 2.0, 12.0, 100.0])),
    st.tuples(st.just("backend"), st.integers(1, 2)),
)


class Crowd:
    """Four clients, two to an address, that do as they are told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = random.Random(1)
        self.controls = [
            Control(
                client=ip_address(f"198.51.100.{number // 2}"),
                port=40000 + number,
                backend_id=1 + number // 2,
            )
            for number in range(4)
        ]

    def step(self, what: str, *how: object) -> None:
        getattr(self, what)(*how)

    def ask(self, number: int, method: str, url: str, server_session: str | None) -> None:
        headers = {"Session": server_session} if server_session else {}
        self.world.feed(self.controls[number].ask(method, url, **headers))

    def setup(self, number: int, offer: str, track: str, server_session: str | None) -> None:
        headers = {"Session": server_session} if server_session else {}
        self.world.feed(self.controls[number].ask("SETUP", f"{URL}/{track}", Transport=offer, **headers))

    def end(self, number: int, flags: TcpFlag) -> None:
        self.world.feed(self.controls[number].segment(b"", flags))

    def reopen(self, number: int, same_port: bool) -> None:
        old = self.controls[number]
        initial = self.random.randrange(1 << 32)
        port = old.port if same_port else self.random.randrange(41000, 60000)
        self.controls[number] = replace(old, port=port, initial=initial, next=(initial + 1) & 0xFFFFFFFF)

    def bytes(self, number: int, data: bytes) -> None:
        self.world.feed(self.controls[number].segment(data))

    def lose(self, number: int) -> None:
        self.controls[number].ask("OPTIONS")

    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    def backend(self, backend_id: int) -> None:
        self.world.release(backend_id, CloseReason.BACKEND_DOWN)


@settings(max_examples=150)
@given(st.lists(_STEP, max_size=40))
def test_whatever_clients_do_pins_are_those_of_sessions_and_connections(
    steps: list[tuple[object, ...]],
) -> None:
    world = World()
    crowd = Crowd(world)
    for what, *how in steps:
        crowd.step(str(what), *how)
        sessions = world.tracker.sessions.values()
        ports = {flow for flow in world.pins if flow.service_port == 0}
        assert ports == {held.flow for one in sessions for held in one.pins}
        assert {one.client for one in sessions} <= set(world.placed)
    world.wait(220, step=1.0)
    assert (world.pins, world.placed, len(world.tracker.sessions)) == ({}, {}, 0)
    opened = {event.session for event in world.log if isinstance(event, SessionClosed)}
    assert len(of(SessionSummary, world.log)) == len(opened)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=60), st.integers(0, 31)), max_size=30))
def test_any_segments_are_survived(segments: list[tuple[int, bytes, int]]) -> None:
    world, control = World(), Control()
    for offset, payload, flags in segments:
        world.feed(replace(control.segment(payload, TcpFlag(flags)), sequence=1001 + offset))
    world.wait(220, step=1.0)
    assert (world.pins, world.placed) == ({}, {})
