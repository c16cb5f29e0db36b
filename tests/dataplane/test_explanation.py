"""What is explained is what the packet does: the program runs on the same maps, and both must agree."""

import time
from array import array
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.packet import Packet

from rtspdsr.dataplane.explanation import Explanation, Kind, explain, slot_of
from rtspdsr.dataplane.layout import SLOT_COUNT, ScheduleFlag
from rtspdsr.model import Proto
from tests.packets.case import Given
from tests.packets.frames import CLIENT, CLIENT6, CLIENT_PORT, RTSP_PORT, VIP, VIP6, built, ip, media, rtsp
from tests.packets.given import full, newcomer, opened, pinned, placed, slots, state, tracker_dead, turns
from tests.packets.runner import DOWN, DROP, LOST, MACHINES, A, B, C, XdpRunner, client_of, flow, mac

pytestmark = pytest.mark.kernel


def told(xdp: XdpRunner, kind: Kind, version: int = 4, port: int | None = CLIENT_PORT) -> Explanation:
    """What is explained of that kind of packet to the port that frames go to."""
    client, vip = ip_address(client_of(version)), ip_address(VIP if version == 4 else VIP6)
    found = explain(xdp.maps, [vip], client, port, time.monotonic_ns())
    (one,) = [it for it in found if it.kind is kind and it.service_port in (0, RTSP_PORT)]
    return one


def sent(kind: Kind, version: int = 4) -> Packet:
    """A frame of that kind that the tracker need not read."""
    match kind:
        case Kind.NEW_CONNECTION:
            return rtsp(version=version, flags="S", seq=7)
        case Kind.CONNECTION:
            return rtsp(version=version, flags="A")
        case Kind.FRAGMENT:
            network = ip(4)
            network.flags, network.frag = "MF", 0
            return media(network=network)
        case Kind.DATAGRAM:
            return media(version=version)


def agree(xdp: XdpRunner, kind: Kind, version: int = 4) -> Explanation:
    """Explain a packet, run it, and hold one against the other."""
    one = told(xdp, kind, version, None if kind is Kind.FRAGMENT else CLIENT_PORT)
    ran = xdp.run(built(sent(kind, version)))
    assert ran.verdict is one.verdict, one.steps
    if one.backend_id is None:
        assert ran.action == DROP
    else:
        assert ran.packet[:6] == mac(MACHINES[one.backend_id].mac), one.steps
        assert one.steps[-1].taken
    return one


TCP, UDP = flow(Proto.TCP), flow()
SITUATIONS: dict[str, tuple[Given, ...]] = {
    "nothing known": (),
    "a pin of the connection": (pinned(TCP, B),),
    "a pin of the port": (pinned(UDP, B),),
    "pins whose backend is down": (pinned(TCP, B), pinned(UDP, B), state(B, DOWN)),
    "pins whose backend is gone": (pinned(TCP, B), pinned(UDP, B), state(B, LOST)),
    "a connection that was seen": (opened(TCP, B),),
    "a connection placed anew, over a pin that was left": (opened(TCP, B), pinned(TCP, A), state(A, DOWN)),
    "a client with sessions": (placed(CLIENT, B), placed(CLIENT6, B)),
    "a client with sessions at a backend that is down": (
        placed(CLIENT, B),
        placed(CLIENT6, B),
        state(B, DOWN),
    ),
    "a client placed a moment ago": (newcomer(CLIENT, C), newcomer(CLIENT6, C)),
    "a client placed long ago": (newcomer(CLIENT, C, age_s=31), newcomer(CLIENT6, C, age_s=31)),
    "a client placed long ago, and no tracker": (newcomer(CLIENT, C, age_s=31), tracker_dead),
    "everybody is down": (state(A, DOWN), state(B, DOWN), state(C, DOWN)),
    "everybody is gone": (state(A, LOST), state(B, LOST), state(C, LOST)),
    "no slots": (slots(0),),
    "by turn": (turns(B, C),),
    "by turn, and the first is full": (turns(B, C), full(B)),
    "by turn, and all are full": (turns(B, C), full(A, B, C)),
    "by turn, and none are left": (turns(),),
    "by turn, again and again": (turns(C, B, flags=ScheduleFlag.BY_TURN | ScheduleFlag.REPEATS),),
    "by slot, and that is full": (turns(C, B, flags=ScheduleFlag.REPEATS), full(A)),
    "all full, and no tracker": (full(A, B, C), tracker_dead),
    "each connection by itself": (turns(flags=ScheduleFlag.BY_CONNECTION), placed(CLIENT, B)),
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", [Kind.NEW_CONNECTION, Kind.CONNECTION, Kind.DATAGRAM])
@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_what_is_explained_is_what_the_packet_does(
    xdp: XdpRunner, situation: tuple[Given, ...], kind: Kind, version: int
) -> None:
    for furnish in situation:
        furnish(xdp)
    agree(xdp, kind, version)


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS)
def test_the_same_of_fragments(xdp: XdpRunner, situation: tuple[Given, ...]) -> None:
    for furnish in situation:
        furnish(xdp)
    agree(xdp, Kind.FRAGMENT)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            [
                *(pinned(key, one) for key in (TCP, UDP) for one in (A, B, C)),
                *(make(CLIENT, one) for make in (placed, newcomer) for one in (A, B, C)),
                *(opened(TCP, one, initial=initial) for one in (A, B, C) for initial in (7, 999)),
                *(state(one, how) for one in (A, B, C) for how in (DOWN, LOST)),
                *(full(one) for one in (A, B, C)),
                *(slots(one) for one in (0, A, B, C)),
                turns(B, C, A),
                turns(C, B, flags=ScheduleFlag.REPEATS),
                turns(flags=ScheduleFlag.BY_CONNECTION),
                tracker_dead,
            ]
        ),
        max_size=8,
    ),
    st.sampled_from([Kind.CONNECTION, Kind.DATAGRAM, Kind.FRAGMENT]),
)
def test_whatever_the_maps_hold_they_agree(xdp: XdpRunner, furnished: list[Given], kind: Kind) -> None:
    xdp.reset()
    for furnish in furnished:
        furnish(xdp)
    agree(xdp, kind)


@pytest.mark.parametrize("client", ["198.51.100.7", "203.0.113.250", "2001:db8::1"])
def test_the_slot_of_a_client_is_the_program_s(xdp: XdpRunner, client: str) -> None:
    table = array("I", [A]) * SLOT_COUNT
    table[slot_of(ip_address(client))] = B
    xdp.slot_table(table)
    version = ip_address(client).version

    ran = xdp.run(built(media(version=version, network=ip(version, client))))

    assert ran.packet[:6] == mac(MACHINES[B].mac)


def test_nothing_is_changed_by_explaining(xdp: XdpRunner) -> None:
    xdp.turns(B, C)
    assert [told(xdp, Kind.NEW_CONNECTION).backend_id for _ in range(3)] == [B, B, B]
    assert xdp.written_newcomer(CLIENT) is None


def test_the_tiers_are_told_in_their_order_with_what_they_hold(xdp: XdpRunner) -> None:
    xdp.pin(TCP, B)
    xdp.backend(B, DOWN)
    xdp.client(CLIENT, C)

    one = told(xdp, Kind.NEW_CONNECTION)

    assert [(step.tier, step.backend_id, step.problem, step.taken) for step in one.steps] == [
        ("pin", B, "takes no new clients", False),
        ("flow", None, "none", False),
        ("client", C, "", True),
    ]


@pytest.mark.parametrize("port", [None, 51000])
def test_a_vip_of_another_family_or_of_nobody_is_left_out(xdp: XdpRunner, port: int | None) -> None:
    vips = [ip_address(VIP6), ip_address("192.0.2.99")]
    assert list(explain(xdp.maps, vips, ip_address(CLIENT), port, 0)) == []
