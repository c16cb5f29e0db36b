"""What hostile clients are known to try, each by its name: what is pinned, what is said, what it costs."""

import tracemalloc
from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from itertools import count

import pytest

from rtspdsr.core.connection import Connection
from rtspdsr.core.events import (
    Event,
    OpaqueConnection,
    OpaqueKind,
    ReassemblyGap,
    RequestMalformed,
    SessionAdopted,
    SessionClaimed,
    SessionOpened,
    SessionRevived,
    TrackerFull,
)
from rtspdsr.core.limits import TrackerLimits
from rtspdsr.core.request import TEXT_MAX
from rtspdsr.core.session import State
from rtspdsr.model import FlowKey, PinFlag, Segment, TcpFlag
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
    request,
    transport,
    udp,
)

NEXT = request("SETUP", f"{URL}/track1", Transport=transport(5000, 5001))
PINNED = {udp(5000), udp(5001)}


def ports(world: World) -> set[FlowKey]:
    """The UDP flows that are pinned."""
    return {flow for flow in world.pins if flow.service_port == 0}


# --- texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param("Content-Length: 1048577", id="a Content-Length beyond every body"),
        pytest.param("Content-Length: 99999999999999999999", id="a Content-Length beyond every number"),
        pytest.param("Content-Length: -5", id="a negative Content-Length"),
        pytest.param("Content-Length: five", id="a Content-Length that is no number"),
        pytest.param("Content-Length: 5\r\nContent-Length: 7", id="two Content-Lengths"),
        pytest.param("Content-Length: 5, 7", id="two Content-Lengths in one"),
        pytest.param("Content-Length: 0x10", id="a hexadecimal Content-Length"),
        pytest.param(f"Range: npt={'9' * 70_000}-", id="a giant Range"),
        pytest.param(f"Authorization: Basic {'QQ' * 35_000}", id="a giant Authorization"),
        pytest.param("\r\n".join(f"X-{n}: 1" for n in range(300)), id="more headers than anybody sends"),
    ],
)
def test_a_request_that_no_server_reads_pins_nothing_and_the_next_is_read(lines: str) -> None:
    world, control = World(), Control()
    text = f"SETUP {URL}/x RTSP/1.0\r\n{lines}\r\nTransport: {transport(7000)}\r\n\r\n".encode()
    said = world.feed(control.ask("OPTIONS"), *(control.segment(part) for part in cut(text, 1400)))
    assert len(only(RequestMalformed, said).problem) <= TEXT_MAX
    assert not ports(world)
    world.feed(control.segment(NEXT))
    assert ports(world) == PINNED


def cut(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [4000, 60_000])
def test_a_giant_url_is_read_and_what_is_said_of_it_is_short(size: int) -> None:
    world, control = World(), Control()
    url = f"{URL}/{'x' * size}"
    parts = cut(request("SETUP", url, Transport=transport(5000, 5001)), 1400)
    said = world.feed(control.ask("OPTIONS"), *map(control.segment, parts))
    assert ports(world) == PINNED
    assert len(only(SessionOpened, said).url) == TEXT_MAX


def test_a_url_beyond_the_header_block_is_malformed() -> None:
    world, control = World(), Control()
    parts = cut(request("SETUP", f"{URL}/{'x' * 70_000}", Transport=transport(7000)), 1400)
    said = world.feed(control.ask("OPTIONS"), *map(control.segment, parts), control.segment(NEXT))
    assert "header block of more than 65536 bytes" in only(RequestMalformed, said).problem
    assert ports(world) == PINNED


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_behind_the_beginning_of_a_tunnel_pin_nothing(method: str) -> None:
    world, control = World(), Control()
    tunnel = f"{method} /clip HTTP/1.0\r\nx-sessioncookie: a\r\n\r\n".encode()
    said = world.feed(control.segment(tunnel + NEXT), control.segment(NEXT), control.segment(tunnel))
    assert only(OpaqueConnection, said).kind is OpaqueKind.HTTP_TUNNEL
    assert not ports(world)
    assert world.pins[control.flow].pin.flags is PinFlag.UNREAD


def test_a_tunnel_behind_a_request_is_nonsense_and_opens_none() -> None:
    world, control = World(), Control()
    said = world.feed(
        control.segment(request("OPTIONS") + b"GET /clip HTTP/1.0\r\nx-sessioncookie: a\r\n\r\n")
    )
    assert only(RequestMalformed, said).problem == "'GET' begins no request line"
    world.feed(control.segment(NEXT))
    assert ports(world) == PINNED


# --- ports and channels --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offer", "pinned"),
    [
        ("client_port=0", []),
        ("client_port=0-1", []),
        ("client_port=65535", [65535]),
        ("client_port=65535-65536", []),
        ("client_port=65534-65535", [65534, 65535]),
        ("client_port=5001-5000", [5000, 5001]),
        ("client_port=1-65535", [1, 65535]),
        ("client_port=5000-5001-5002", []),
        ("client_port=-1", []),
        ("client_port=\u0665\u0660\u0660\u0660", []),
        ("client_port=99999999999999999999", []),
        ("client_port=5000;client_port=6000", [5000, 5001]),
        ("client_port=5000-5001;destination=203.0.113.9", [5000, 5001]),
        ('dest_addr="203.0.113.9:5000"/"203.0.113.9:5001"', [5000, 5001]),
    ],
)
def test_ports_at_the_edge_pin_what_they_name_and_only_of_the_client(offer: str, pinned: list[int]) -> None:
    world, control = World(), Control()
    world.feed(control.ask("SETUP", f"{URL}/track1", Transport=f"RTP/AVP;unicast;{offer}"))
    assert ports(world) == {udp(port) for port in pinned}
    assert {flow.client for flow in world.pins} == {CLIENT}


@pytest.mark.parametrize(
    ("channels", "kept"), [("254-255", (254, 255)), ("255", (255,)), ("255-256", None), ("256", None)]
)
def test_channels_at_the_edge(channels: str, kept: tuple[int, ...] | None) -> None:
    world, control = World(), Control()
    offer = INTERLEAVED.replace("0-1", channels)
    said = world.feed(
        control.ask("SETUP", f"{URL}/track1", Transport=offer), control.ask("PLAY", Session="a")
    )
    tracks = [track.channels for one in world.tracker.sessions.values() for track in one.tracks]
    assert tracks == ([] if kept is None else [kept])
    assert len(of(RequestMalformed, said)) == (kept is None)


@pytest.mark.parametrize("kept", [1, 2, 3, 4, 5, 100])
def test_a_frame_cut_short_by_a_loss_hides_no_request(kept: int) -> None:
    world, control = World(), Control()
    world.feed(*play_tcp(control))
    frame = b"$\x01\x04\x00" + bytes(1024)
    cut_off = control.segment(frame)
    said = world.feed(replace(cut_off, payload=frame[:kept]), control.ask("TEARDOWN", Session="abc"))
    assert only(ReassemblyGap, said).missing_bytes == len(frame) - kept
    assert [one.state for one in world.tracker.sessions.values()] == [State.ENDING]


# --- turns ---------------------------------------------------------------------------------------


def test_play_before_setup_pins_no_port() -> None:
    world, control = World(), Control()
    said = world.feed(control.ask("PLAY"), control.ask("PLAY", Session="guess"))
    assert set(world.pins) == {control.flow}
    assert only(SessionAdopted, said).url == URL  # the server alone knows that it never gave this id


def test_play_after_teardown_revives_what_there_was_and_later_nothing() -> None:
    world, control = World(), Control()
    world.feed(*play_udp(control), control.ask("TEARDOWN", Session="abc"))
    assert of(SessionRevived, world.feed(control.ask("PLAY", Session="abc")))
    world.feed(control.ask("TEARDOWN", Session="abc"))
    world.wait(11)
    world.feed(control.ask("PLAY", Session="abc"))
    assert set(world.pins) == {control.flow}


# --- sessions of others --------------------------------------------------------------------------


def test_an_id_used_from_another_address_changes_nothing_and_is_told_once_a_second() -> None:
    world, owner = World(), Control()
    world.feed(*play_udp(owner))
    one, before = world.tracker.sessions["s1"], dict(world.pins)
    methods = ("PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER", "OPTIONS", "DESCRIBE", "RECORD")
    said: list[Event] = []
    for number in range(10_000):
        thief = Control(client=IPv4Address(0x0A000000 + number // 100), port=20_000 + number, backend_id=1)
        said += world.feed(thief.ask("OPTIONS"), thief.ask(methods[number % 8], Session="abc"), thief.fin())
        world.hear(owner.flow)
        said += world.wait(0.01, step=0.01)
    claims = of(SessionClaimed, said)
    assert 90 <= len(claims) <= 110  # in 100 s
    assert {claim.other for claim in claims} == {"s1"}
    assert 9_800 <= sum(claim.claims for claim in claims) <= 10_000
    assert {flow: world.pins[flow] for flow in before} == before
    assert set(world.tracker.sessions) == {"s1"}
    assert (one.state, one.client, one.client_port) == (State.PLAYING, CLIENT, owner.port)
    world.wait(20)
    assert set(world.pins) == set(before)


def test_a_setup_that_names_anothers_session_pins_the_thiefs_own_ports_alone() -> None:
    world, owner = World(), Control()
    world.feed(*play_udp(owner))
    thief = Control(client=ip_address("198.51.100.66"))
    said = world.feed(thief.ask("SETUP", f"{URL}/track1", Transport=transport(5000, 5001), Session="abc"))
    assert only(SessionClaimed, said).other == "s1"
    assert ports(world) == PINNED | {udp(5000, thief.client), udp(5001, thief.client)}
    assert world.tracker.sessions["s1"].pins


# --- much ----------------------------------------------------------------------------------------


def loris(source: int, number: int) -> Control:
    """One of a source's many connections that never finish their request."""
    return Control(client=IPv4Address(0xC6120000 + source), port=1024 + number)


def test_slow_loris_from_one_address_takes_its_share_and_others_are_pinned_in_time() -> None:
    limits = TrackerLimits()
    world = World(limits)
    crowd = [loris(0, number) for number in range(50_000)]
    said = world.feed(*(one.segment(b"OPTIONS rtsp://h/ RTSP/1.0\r\nX: ") for one in crowd))
    said += world.feed(*(one.segment(b"y") for one in crowd))
    assert {event.limit for event in of(TrackerFull, said)} == {"client_connections_max"}
    assert len(of(TrackerFull, said)) == 1
    assert len(world.pins) == limits.client_connections_max
    assert memory(world) < 4 << 20
    world.feed(*play_udp(Control()))
    assert ports(world) == PINNED


def test_slow_loris_without_an_acknowledgement_leaves_others_room_in_the_provisional_budget() -> None:
    world = World(TrackerLimits(provisional_max=1600))
    for number in range(1600):
        world.feed(loris(0, number).segment(b"OPTIONS rtsp://h/ "))
    assert len(world.pins) == 100
    world.feed(Control().segment(NEXT))
    assert ports(world) == PINNED


@pytest.mark.parametrize("network", ["2001:db8::", "2001:db8:0:1::"])
def test_of_ipv6_all_addresses_of_a_network_are_one_client(network: str) -> None:
    world = World(TrackerLimits(client_connections_max=10))
    first = int(ip_address("2001:db8::"))
    for number in range(20):
        world.feed(Control(client=ip_address(first + number)).ask("OPTIONS"))
    assert len(world.pins) == 10
    world.feed(Control(client=ip_address(int(ip_address(network)) + 99)).ask("OPTIONS"))
    assert len(world.pins) == (10 if network == "2001:db8::" else 11)


def test_when_memory_is_short_those_who_have_not_finished_for_longest_give_way() -> None:
    limits = TrackerLimits(buffer_bytes=1 << 20, client_connections_max=100)
    world, player = World(limits), Control()
    world.feed(player.ask("OPTIONS"))
    crowd = [loris(number // 100, number) for number in range(2000)]
    text = b"OPTIONS rtsp://h/ RTSP/1.0\r\nX: " + b"x" * 1000
    said: list[Event] = []
    for one in crowd:
        said += world.feed(one.segment(text))
        world.now += 0.001
        assert memory(world) <= limits.buffer_bytes
    assert {event.limit for event in of(TrackerFull, said)} == {"buffer_mib"}
    assert len(of(TrackerFull, said)) <= 3
    unread = [one for one in crowd if world.pins[one.flow].pin.flags is PinFlag.UNREAD]
    assert unread == crowd[: len(unread)] != []
    world.feed(player.segment(NEXT), *play_udp(Control(client=ip_address("203.0.113.1"))))
    assert ports(world) == PINNED | {udp(port, ip_address("203.0.113.1")) for port in (5000, 5001)}


def test_an_end_gives_a_clients_share_back() -> None:
    world = World(TrackerLimits(client_connections_max=1))
    for number in count(1):
        control = Control(port=40_000 + number)
        world.feed(control.ask("OPTIONS"), control.ask("OPTIONS"), control.fin())
        assert set(world.pins) == {control.flow}
        world.wait(15)
        if number == 3:
            break


def test_a_bare_syn_costs_the_tracker_nothing() -> None:
    world = World()
    world.feed(Control().segment(b"", TcpFlag.SYN))  # whatever Python itself sets up at the first
    tracemalloc.start()
    for number in range(20_000):
        syn = loris(number // 50_000, number % 50_000).segment(b"", TcpFlag.SYN)
        world.tracker.receive(syn, world.now)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 20_000
    assert (world.tracker.bound(), world.tracker.next_timer()) == ([], None)


def memory(world: World) -> int:
    """Bytes that the tracker has booked for requests that are not complete."""
    return sum(one.buffered for one in world.tracker.bound() if isinstance(one, Connection))


def test_one_connection_never_keeps_more_than_its_header_block() -> None:
    """A hole with much behind it, closed octet by octet by a header without end; then a request put off."""
    control, limits = Control(), TrackerLimits()
    connection = Connection.begun_by(control.segment(b""), limits, 1.0)
    hole = 40_000
    behind = [
        replace(control.segment(b""), sequence=1001 + hole + at, payload=b"x" * 500)
        for at in range(0, 40_000, 500)
    ]
    filling = b"PLAY rtsp://h/ RTSP/1.0\r\nA: " + b"b" * hole
    front = [
        replace(control.segment(b""), sequence=1001 + at, payload=filling[at : at + 100])
        for at in range(0, hole, 100)
    ]
    most = 0
    for segment in (*behind, *front):
        connection.receive(segment, 1.0, [])
        most = max(most, connection.buffered)
    assert limits.header_bytes // 2 < most <= limits.header_bytes


def test_the_cut_of_a_stream_does_not_matter() -> None:
    text = b"".join(
        segment.payload for segment in (*play_udp(Control()), Control().ask("TEARDOWN", Session="abc"))
    )
    logs = []
    for size in (1, 2, 7, 64, 1460, len(text)):
        world, control = World(), Control()
        segments: list[Segment] = [control.segment(part) for part in cut(text, size)]
        world.feed(*segments)
        logs.append(
            [(type(event).__name__, getattr(event, "url", "")) for event in world.log if not_a_pin(event)]
        )
    assert all(log == logs[0] for log in logs)
    assert ("SessionPlaying", "") in logs[0]


def not_a_pin(event: Event) -> bool:
    """Effects come when a client is proven, which depends on the number of its segments."""
    return type(event).__name__ not in ("PinMade", "PinReleased", "ClientPlaced")
