"""How new clients are placed: by turn, by connection, where there is room; and what keeps to its place."""

import threading
from array import array
from collections import Counter

import pytest

from rtspdsr.dataplane.layout import SLOT_COUNT, TURN_COUNT, ScheduleFlag, Verdict
from rtspdsr.model import PinFlag, Proto
from tests.packets.case import Case, Given
from tests.packets.frames import BACKEND_A, BACKEND_B, BACKEND_C, CLIENT, CLIENT6, LB, ip, media, rtsp
from tests.packets.given import full, newcomer, opened, pinned, placed, slots, state, tracker_dead, turns
from tests.packets.runner import DOWN, DROP, REDIRECT, TX, A, B, C, XdpRunner, flow, mac

pytestmark = pytest.mark.kernel

TCP_FLOW = flow(Proto.TCP)
REPEATING = ScheduleFlag.BY_TURN | ScheduleFlag.REPEATS
SPILL = ScheduleFlag.REPEATS  # by slot; by turn where that is full
ALONE = ScheduleFlag.BY_CONNECTION
SYN, SYN_A, SYN_B = (rtsp(to, flags="S") for to in (LB, BACKEND_A, BACKEND_B))


def by_turn(*given: Given) -> tuple[Given, ...]:
    """Every slot on A, every turn at B."""
    return (turns(B, B, B, B), *given)


CASES = [
    Case(name="a new client takes the next turn", sent=SYN, action=TX, verdict=Verdict.BY_TURN,
         expected=SYN_B, given=by_turn()),
    Case(name="a new client of IPv6 takes a turn", sent=rtsp(version=6, flags="S"), action=TX,
         verdict=Verdict.BY_TURN, expected=rtsp(BACKEND_B, version=6, flags="S"), given=by_turn()),
    Case(name="a turn may lead to another interface", sent=SYN, action=REDIRECT, verdict=Verdict.BY_TURN,
         expected=rtsp(BACKEND_C, flags="S"), given=(turns(C),)),
    Case(name="a turn of a backend that is down is passed over", sent=SYN, action=TX, verdict=Verdict.BY_TURN,
         expected=SYN_B, given=(turns(A, A, B), state(A, DOWN))),
    Case(name="a turn of a full backend is passed over", sent=SYN, action=TX, verdict=Verdict.BY_TURN,
         expected=SYN_B, given=(turns(A, A, B), full(A))),
    Case(name="a client with sessions takes no turn", sent=SYN, action=TX, verdict=Verdict.BY_CLIENT,
         expected=SYN_A, given=by_turn(placed(CLIENT, A))),
    Case(name="a client with sessions follows them to a full backend", sent=SYN, action=TX,
         verdict=Verdict.BY_CLIENT, expected=SYN_A, given=by_turn(placed(CLIENT, A), full(A))),
    Case(name="a client placed a moment ago takes no turn", sent=SYN, action=TX, verdict=Verdict.BY_NEWCOMER,
         expected=SYN_A, given=by_turn(newcomer(CLIENT, A))),
    Case(name="a client placed a moment ago follows itself to a backend that is full now", sent=SYN,
         action=TX, verdict=Verdict.BY_NEWCOMER, expected=SYN_A, given=by_turn(newcomer(CLIENT, A), full(A))),
    Case(name="a client placed long ago, without a session, is new", sent=SYN, action=TX,
         verdict=Verdict.BY_TURN, expected=SYN_B, given=by_turn(newcomer(CLIENT, A, age_s=31))),
    Case(name="while the tracker is dead a client stays where it was placed, however long ago", sent=SYN,
         action=TX, verdict=Verdict.BY_NEWCOMER, expected=SYN_A,
         given=by_turn(newcomer(CLIENT, A, age_s=3600), tracker_dead)),
    Case(name="a SYN sent again takes no second turn", sent=SYN, action=TX, verdict=Verdict.BY_FLOW,
         expected=SYN_A, given=by_turn(opened(TCP_FLOW, A, initial=1000))),
    Case(name="a SYN sent again follows its flow to a full backend", sent=SYN, action=TX,
         verdict=Verdict.BY_FLOW, expected=SYN_A, given=by_turn(opened(TCP_FLOW, A, initial=1000), full(A))),
    Case(name="UDP of an unknown client takes no turn", sent=media(), action=TX, verdict=Verdict.BY_SLOT,
         expected=media(BACKEND_A), given=by_turn()),
    Case(name="an ACK whose state is lost takes no turn", sent=rtsp(), action=TX, verdict=Verdict.BY_SLOT,
         expected=rtsp(BACKEND_A), given=by_turn()),
    Case(name="after the last turn slots say", sent=SYN, action=TX, verdict=Verdict.BY_SLOT,
         expected=SYN_A, given=(turns(),)),
    Case(name="when no turn will do slots say", sent=SYN, action=TX, verdict=Verdict.BY_SLOT,
         expected=SYN_A, given=(turns(*[B] * 20), full(B))),
    Case(name="a new client of a full backend's slot takes a turn", sent=SYN, action=TX,
         verdict=Verdict.BY_TURN, expected=SYN_B, given=(turns(B, flags=SPILL), full(A))),
    Case(name="a slot with room comes before turns that are for others", sent=SYN, action=TX,
         verdict=Verdict.BY_SLOT, expected=SYN_A, given=(turns(B, flags=SPILL),)),
    Case(name="a new client is dropped when every backend is full", sent=SYN, action=DROP,
         verdict=Verdict.NO_ROOM, given=(turns(A, B, flags=REPEATING), full(A, B, C))),
    Case(name="UDP of an unknown client goes by slot to a full backend", sent=media(), action=TX,
         verdict=Verdict.BY_SLOT, expected=media(BACKEND_A), given=(full(A, B, C),)),
    Case(name="while the tracker is dead nobody is dropped for want of room", sent=SYN, action=TX,
         verdict=Verdict.BY_SLOT, expected=SYN_A, given=(full(A, B, C), tracker_dead)),
    Case(name="a backend that is down and full is better than none", sent=SYN, action=TX,
         verdict=Verdict.BY_SLOT, expected=SYN_A, given=(full(A), state(A, DOWN))),
    Case(name="a connection placed by itself takes a turn, wherever its client is", sent=SYN, action=TX,
         verdict=Verdict.BY_TURN, expected=SYN_B,
         given=(turns(B, flags=REPEATING | ALONE), placed(CLIENT, A), newcomer(CLIENT, A))),
    Case(name="a pinned connection placed by itself follows its pin", sent=rtsp(), action=TX,
         verdict=Verdict.PINNED, expected=rtsp(BACKEND_B),
         given=(turns(flags=ALONE), pinned(TCP_FLOW, B, PinFlag.NONE), placed(CLIENT, A))),
    Case(name="UDP follows its client where connections are placed by themselves", sent=media(), action=TX,
         verdict=Verdict.BY_CLIENT, expected=media(BACKEND_B),
         given=(turns(flags=ALONE), placed(CLIENT, B))),
    Case(name="an ACK whose state is lost finds the slot of its connection", sent=rtsp(), action=TX,
         verdict=Verdict.BY_SLOT, expected=rtsp(BACKEND_A),
         given=(turns(flags=ALONE), slots(A), placed(CLIENT, B))),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_placing(xdp: XdpRunner, case: Case) -> None:
    case.check(xdp)


def address(number: int) -> str:
    """A client's address; a thousand of them."""
    return f"198.51.{100 + number // 250}.{1 + number % 250}"


def opens(xdp: XdpRunner, client: str, port: int = 40000) -> int | None:
    """The backend that a client's SYN goes to; None if it is dropped."""
    ran = xdp.run(bytes(rtsp(network=ip(4, client=client), flags="S", sport=port)))
    to = {mac(BACKEND_A.mac): A, mac(BACKEND_B.mac): B, mac(BACKEND_C.mac): C}
    return to[ran.packet[:6]] if ran.action != DROP else None


def test_turns_are_dealt_in_their_order_and_again_from_the_first(xdp: XdpRunner) -> None:
    xdp.turns(A, B, B, C, flags=REPEATING)
    begin = xdp.schedules.taken(3) % 4
    went = [opens(xdp, address(number)) for number in range(12)]
    assert went == [(A, B, B, C)[(begin + number) % 4] for number in range(12)]


def test_turns_that_do_not_repeat_begin_with_the_first_and_end(xdp: XdpRunner) -> None:
    for _ in range(2):  # wherever the count of turns stands
        xdp.turns(B, C, B)
        went = [opens(xdp, address(number)) for number in range(6)]
        assert went == [B, C, B, A, A, A]
        for key, _ in list(xdp.maps["newcomers"].entries()):
            xdp.maps["newcomers"].delete(key)
        for key, _ in list(xdp.maps["flows"].entries()):
            xdp.maps["flows"].delete(key)


def test_a_clients_connections_and_datagrams_follow_its_first_turn(xdp: XdpRunner) -> None:
    xdp.turns(B, C, A)
    assert opens(xdp, CLIENT) == B
    taken = xdp.schedules.taken(3)
    assert opens(xdp, CLIENT) == B  # sent again
    assert opens(xdp, CLIENT, port=40001) == B
    assert xdp.run(bytes(media())).packet[:6] == mac(BACKEND_B.mac)
    assert xdp.run(bytes(rtsp(sport=40000))).verdict is Verdict.BY_FLOW
    assert xdp.schedules.taken(3) == taken
    assert opens(xdp, address(1)) == C


def test_a_newcomer_does_not_grow_younger_by_coming_again(xdp: XdpRunner) -> None:
    """Else one that asks every few seconds, and never has a session, would keep its place for ever."""
    xdp.newcomer(CLIENT, B, age_s=20)
    before = dict(xdp.maps["newcomers"].entries())
    assert opens(xdp, CLIENT, port=40001) == B
    assert dict(xdp.maps["newcomers"].entries()) == before


def test_no_more_clients_come_than_there_is_room_for(xdp: XdpRunner) -> None:
    xdp.turns(A, B, flags=REPEATING)
    xdp.room(A, 3)
    xdp.room(B, 5)
    xdp.room(C, 0)
    went = [opens(xdp, address(number)) for number in range(12)]
    assert Counter(went) == {A: 3, B: 5, None: 4}
    xdp.room(B, 1)
    assert opens(xdp, address(20)) == B


def test_by_slot_no_more_clients_come_than_there_is_room_for(xdp: XdpRunner) -> None:
    xdp.turns(B, C, flags=SPILL)
    xdp.room(A, 3)
    went = [opens(xdp, address(number)) for number in range(9)]
    assert went[:3] == [A, A, A]
    assert Counter(went[3:]) == {B: 3, C: 3}


def test_connections_placed_by_themselves_spread_over_slots_and_find_them_again(xdp: XdpRunner) -> None:
    xdp.turns(flags=ALONE)
    xdp.slot_table(array("I", [A, B, C] * (SLOT_COUNT // 3 + 1))[:SLOT_COUNT])
    went = {port: opens(xdp, CLIENT, port=port) for port in range(40000, 40300)}
    counted = Counter(went.values())
    assert set(counted) == {A, B, C}
    assert min(counted.values()) > 70  # of 100 each, four standard deviations of a binomial share
    for key, _ in list(xdp.maps["flows"].entries()):
        xdp.maps["flows"].delete(key)
    assert {port: opens(xdp, CLIENT, port=port) for port in went} == went


def test_unpinned_datagrams_follow_the_latest_connection_where_each_is_placed_by_itself(
    xdp: XdpRunner,
) -> None:
    xdp.turns(B, C, flags=ScheduleFlag.BY_TURN | ALONE)
    assert [opens(xdp, CLIENT, port=port) for port in (40000, 40001)] == [B, C]
    assert xdp.run(bytes(media())).packet[:6] == mac(BACKEND_C.mac)


@pytest.mark.parametrize("client", [CLIENT, CLIENT6])
def test_a_schedule_is_changed_without_moving_a_connection(xdp: XdpRunner, client: str) -> None:
    version = 6 if client == CLIENT6 else 4
    xdp.turns(B)
    xdp.run(bytes(rtsp(version=version, flags="S")))
    for flags in (ScheduleFlag(0), REPEATING, ALONE):
        xdp.turns(C, flags=flags)
        ran = xdp.run(bytes(rtsp(version=version)))
        assert (ran.verdict, ran.packet[:6]) == (Verdict.BY_FLOW, mac(BACKEND_B.mac))


def test_a_full_table_of_turns_is_dealt_to_its_end(xdp: XdpRunner) -> None:
    xdp.turns(*[B] * (TURN_COUNT - 1), C)
    with pytest.raises(ValueError, match="4096 turns at most"):
        xdp.turns(*[B] * (TURN_COUNT + 1))


def test_cpus_deal_every_turn_once_and_never_exceed_the_room(xdp: XdpRunner) -> None:
    """Many SYNs of new clients at one time, from threads that run the program side by side."""
    each, threads = 200, 4
    xdp.turns(A, B, flags=REPEATING)
    xdp.room(A, 300)
    taken, before = xdp.schedules.taken(3), [xdp.schedules.admitted(one) for one in (A, B)]
    frames = [
        [bytes(rtsp(network=ip(4, client=f"198.51.{100 + thread}.{1 + n}"), flags="S")) for n in range(each)]
        for thread in range(threads)
    ]

    def send(some: list[bytes]) -> None:
        for frame in some:
            xdp.program.test_run(frame, ifindex=1)

    running = [threading.Thread(target=send, args=(some,)) for some in frames]
    for one in running:
        one.start()
    for one in running:
        one.join()
    written = Counter(int.from_bytes(value[8:12], "little") for _, value in xdp.maps["newcomers"].entries())
    assert written == {A: 300, B: 500}
    assert sum(written.values()) == each * threads
    assert xdp.schedules.admitted(B) - before[1] == 500
    assert xdp.schedules.taken(3) - taken >= each * threads
