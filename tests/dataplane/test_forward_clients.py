"""Hostile clients through the program and the tracker together: which pins stand, and where packets go."""

import pytest

from rtspdsr.core.events import SessionClaimed, TrackerFull
from rtspdsr.core.limits import TrackerLimits
from rtspdsr.dataplane.layout import Verdict
from rtspdsr.model import FlowKey
from tests.core.builders import INTERLEAVED, of, request, transport
from tests.packets.conversation import Caller, Conversation
from tests.packets.frames import CLIENT, CLIENT6, built, media
from tests.packets.runner import LOOPBACK, TX, A, B, XdpRunner, flow

pytestmark = pytest.mark.kernel

URL = "rtsp://192.0.2.10/clip"
THIEF = "198.51.100.66"
ASK = request("OPTIONS", URL)


def setup(offer: str, **headers: str) -> bytes:
    """A SETUP that offers this."""
    return request("SETUP", f"{URL}/track1", Transport=offer, **headers)


PLAY = (ASK, request("DESCRIBE", URL), setup(transport(5000, 5001)), request("PLAY", URL, Session="abc"))
PORTS = {flow(port=5000): A, flow(port=5001): A}


@pytest.fixture
def talk(xdp: XdpRunner) -> Conversation:
    return Conversation(xdp)


def ports(talk: Conversation) -> dict[FlowKey, int]:
    """The UDP flows that are pinned."""
    return {key: backend for key, backend in talk.pins().items() if not key.service_port}


@pytest.mark.parametrize("client", [CLIENT, CLIENT6])
def test_an_honest_client_is_pinned_before_its_backend_hears_of_its_ports(
    talk: Conversation, client: str
) -> None:
    caller = Caller(talk, client).connect()
    assert {ran.verdict for ran in caller.say(*PLAY)} == {Verdict.DETOURED}
    talk.xdp.all_slots(B)  # whoever has no pin goes there now
    assert {caller.punch(port).verdict for port in (5000, 5001)} == {Verdict.PINNED}
    assert set(talk.pins().values()) == {A}
    assert len(talk.pins()) == 3


@pytest.mark.parametrize(
    ("texts", "pinned"),
    [
        pytest.param([setup("RTP/AVP;unicast;client_port=0-1")], set(), id="port 0"),
        pytest.param([setup("RTP/AVP;unicast;client_port=65535")], {65535}, id="port 65535"),
        pytest.param([setup("RTP/AVP;unicast;client_port=65535-65536")], set(), id="port 65536"),
        pytest.param([setup("RTP/AVP;unicast;client_port=5001-5000")], {5000, 5001}, id="a reversed pair"),
        pytest.param([setup(INTERLEAVED.replace("0-1", "255-256"))], set(), id="channel 256"),
        pytest.param(
            [setup("RTP/AVP;unicast;client_port=5000-5001;destination=198.51.100.66")],
            {5000, 5001},
            id="a destination that is another",
        ),
        pytest.param([request("PLAY", URL)], set(), id="PLAY before SETUP"),
        pytest.param([ASK + setup(transport(5000, 5001))], {5000, 5001}, id="two requests in a segment"),
        pytest.param(
            [b"GET / HTTP/1.0\r\nx-sessioncookie: a\r\n\r\n" + setup(transport(5000))],
            set(),
            id="a request behind the beginning of a tunnel",
        ),
        pytest.param([ASK, b"$\x01\x00", b"\x40abc"], set(), id="a frame that never ends"),
        pytest.param(
            [ASK, b"$\x01\x00", b"\x04abcd" + setup(transport(5000, 5001))],
            {5000, 5001},
            id="a request behind a frame cut in two",
        ),
        pytest.param(
            [ASK, setup(transport(7000), Content_Length="-1"), setup(transport(5000, 5001))],
            {5000, 5001},
            id="a negative Content-Length, and a request after it",
        ),
        pytest.param(
            [ASK, setup(transport(7000), Range=f"npt={'9' * 1000}-")],
            {7000, 7001},
            id="a Range that no clock has",
        ),
    ],
)
def test_what_a_client_says_pins_these_ports_of_its_own(
    talk: Conversation, texts: list[bytes], pinned: set[int]
) -> None:
    victim = Caller(talk, THIEF).connect()
    victim.say(*PLAY)
    before = talk.pins()
    caller = Caller(talk).connect()
    caller.say(*texts)
    mine = {key for key in talk.pins() if str(key.client) == CLIENT}
    assert {key.client_port for key in mine if not key.service_port} == pinned
    assert {key: backend for key, backend in talk.pins().items() if key not in mine} == before


def test_an_id_of_another_client_moves_none_of_its_packets(talk: Conversation) -> None:
    owner = Caller(talk).connect()
    owner.say(*PLAY)
    before = talk.pins()
    for number, method in enumerate(("TEARDOWN", "PAUSE", "PLAY", "SETUP", "RECORD") * 20):
        thief = Caller(talk, THIEF, port=30_000 + number).connect()
        thief.say(ASK, request(method, URL, Session="abc", Transport=transport(5000, 5001)))
        thief.leave()
    claims = of(SessionClaimed, talk.said)
    assert [claim.claims for claim in claims] == [1]  # of a hundred within a second
    assert before.items() <= talk.pins().items()
    talk.xdp.all_slots(B)
    assert owner.punch(5001).verdict is Verdict.PINNED
    assert {backend for key, backend in ports(talk).items() if str(key.client) == CLIENT} == {A}


def test_connections_beyond_a_clients_share_are_forwarded_and_others_pinned(xdp: XdpRunner) -> None:
    talk = Conversation(xdp, TrackerLimits(client_connections_max=5))
    crowd = [Caller(talk, THIEF, port=20_000 + number).connect() for number in range(20)]
    for one in crowd:
        one.say(b"OPTIONS rtsp://h/ RTSP/1.0\r\nX: ")
    assert len(talk.pins()) == 5
    assert {event.limit for event in of(TrackerFull, talk.said)} == {"client_connections_max"}
    Caller(talk).connect().say(*PLAY)
    assert ports(talk) == PORTS


def test_a_setup_without_a_handshake_makes_provisional_pins_which_go(talk: Conversation) -> None:
    for number in range(50):
        Caller(talk, f"203.0.113.{number}").say(setup(transport(5000, 5001)))
    assert len(talk.pins()) == 150
    talk.wait(11)
    assert talk.pins() == {}


def test_a_million_spoofed_datagrams_make_no_pin_and_write_no_map(xdp: XdpRunner) -> None:
    """From twenty addresses, 50,000 each: to begin a test run takes longer than a thousand frames."""
    frame = built(media())
    for number in range(20):
        sender = (0x0A000000 + number).to_bytes(4)
        spoofed = frame[:26] + sender + frame[30:34] + number.to_bytes(2) + frame[36:]
        xdp.program.test_run(spoofed, ifindex=LOOPBACK, repeat=50_000)
    told = xdp.told()
    assert +told.verdicts == {Verdict.BY_SLOT: 1_000_000}
    assert (told.segments, told.notices) == ((), ())
    assert not [name for name in ("pins", "flows", "clients", "newcomers") if list(xdp.maps[name].entries())]


def test_with_every_pin_taken_a_new_session_goes_by_its_client_and_nothing_is_evicted(xdp: XdpRunner) -> None:
    talk = Conversation(xdp, TrackerLimits(pins_max=4))
    Caller(talk).connect().say(*PLAY)
    before = talk.pins()
    late = Caller(talk, THIEF).connect()
    late.say(*PLAY)
    told = {event.limit for event in of(TrackerFull, talk.said)}
    assert (told, len(talk.pins())) == ({"pins_max"}, 4)
    assert before.items() <= talk.pins().items()
    talk.xdp.all_slots(B)  # where neither of them is to go
    assert {late.punch(port).verdict for port in (5000, 5001)} == {Verdict.BY_CLIENT}
    assert talk.xdp.traffic(B).packets == 0


def test_with_the_ring_full_requests_go_on_unread_and_sessions_stay(talk: Conversation) -> None:
    playing, late = Caller(talk).connect(), Caller(talk, THIEF).connect()
    playing.say(*PLAY)
    before = talk.pins()
    talk.xdp.fill_segments()
    assert talk.xdp.program.test_run(late.segment(ASK), ifindex=LOOPBACK).action == TX
    assert talk.xdp.told().verdicts[Verdict.RING_FULL] == 1
    assert talk.pins() == before
    assert playing.punch(5001).verdict is Verdict.PINNED
