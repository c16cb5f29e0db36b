"""How sessions of a living backend are ended: what is sent to whom, at which sequence numbers, and when."""

from collections.abc import Callable

import pytest

from rtspdsr.core.ending import BETWEEN_S, HEED_S, STILL_S, STUBBORN_S, Endings
from rtspdsr.core.events import (
    CloseReason,
    Ends,
    Event,
    FlowForgotten,
    LoneTeardownOrdered,
    ResetOrdered,
    SessionClosed,
    TeardownOrdered,
)
from rtspdsr.core.heard import Heard
from rtspdsr.model import FlowKey, PinReading, Segment
from tests.core.builders import INTERLEAVED, URL, Control, World, of, only, play_tcp, play_udp, request

STEP_S = 0.1


class Deathbed(World):
    """A tracker whose sessions are ended.

    ack:  the client's last acknowledgement, and next, what it sends next
    """

    def __init__(self) -> None:
        super().__init__()
        self.endings = Endings(self.tracker.on)
        self.ack, self.next = 7000, 0
        self.flow: FlowKey | None = None
        self.said = False

    def play(self, control: Control, over: Callable[[Control], list[Segment]] = play_tcp) -> Control:
        self.feed(*over(control))
        self.flow, self.next = control.flow, control.next
        return control

    def bound(self) -> Heard:
        (heard,) = self.tracker.bound()
        return heard

    def end(
        self, seconds: float = 10.0, moving: Callable[[], None] = lambda: None
    ) -> list[tuple[float, Event]]:
        """End what is bound, and let time pass until that is over."""
        heard, began = self.bound(), self.now
        self.endings.begin(heard, self.now)
        said: list[tuple[float, Event]] = []
        while self.now < began + seconds:
            moving()
            reading = PinReading(
                packets=9, bytes=900, heard_at=self.now, acknowledged=self.ack, next_sequence=self.next
            )
            readings = {} if self.flow is None else {self.flow: reading}
            events, over = self.endings.look(heard, readings, self.now)
            said += [(round(self.now - began, 1), event) for event in events]
            self.said = bool(said)
            if over:
                if not heard.closed:
                    released = self.tracker.release(heard, CloseReason.DRAINED, self.now)
                    said += [(round(self.now - began, 1), event) for event in self.apply(released)]
                break
            self.now += STEP_S
        return said


@pytest.fixture
def bed() -> Deathbed:
    return Deathbed()


def events(said: list[tuple[float, Event]]) -> list[Event]:
    return [event for _, event in said]


def test_the_backend_is_asked_in_the_clients_name_then_both_ends_are_reset(bed: Deathbed) -> None:
    control = bed.play(Control())
    said = bed.end()
    asked = of(TeardownOrdered, events(said))
    assert asked[0] == asked[1]  # the same bytes at the same place: a frame may be lost, TCP takes one
    assert (asked[0].flow, asked[0].backend_id) == (control.flow, 1)
    assert (asked[0].sequence, asked[0].next_sequence) == (7000, control.next)
    assert asked[0].requests.decode().split("\r\n") == [
        f"TEARDOWN {URL} RTSP/1.0",
        "CSeq: 2",
        "Session: abc",
        "User-Agent: rtspdsr",
        "",
        "",
    ]
    behind = control.next + len(asked[0].requests)
    resets = of(ResetOrdered, events(said))
    assert [(one.ends, one.sequence, one.next_sequence) for one in resets] == [
        (Ends.BOTH, 7000, control.next),
        (Ends.BACKEND, 7000, behind),
    ]
    assert only(FlowForgotten, events(said)).flow == control.flow
    assert only(SessionClosed, events(said)).reason is CloseReason.DRAINED
    assert (bed.pins, bed.placed, len(bed.endings)) == ({}, {}, 0)


def test_the_server_has_time_to_read_before_its_connection_is_reset(bed: Deathbed) -> None:
    bed.play(Control(), play_udp)
    said = bed.end()
    first = next(at for at, event in said if isinstance(event, ResetOrdered))
    assert first == pytest.approx(HEED_S, abs=0.15)


def test_a_client_is_reset_when_its_acknowledgements_have_come_to_rest_at_the_last_of_them(
    bed: Deathbed,
) -> None:
    bed.play(Control())
    began = bed.now

    def flow() -> None:
        if bed.now < began + 0.75:  # what was on its way
            bed.ack += 1000

    said = bed.end(moving=flow)
    (at, reset), *_ = [(at, event) for at, event in said if isinstance(event, ResetOrdered)]
    assert isinstance(reset, ResetOrdered)
    assert (reset.ends, reset.sequence) == (Ends.BOTH, bed.ack)
    assert at == pytest.approx(0.7 + STILL_S, abs=0.2)


def test_a_server_that_does_not_heed_is_reset_as_the_client(bed: Deathbed) -> None:
    bed.play(Control())

    def flow() -> None:
        bed.ack += 1000

    said = bed.end(STUBBORN_S + 0.15, moving=flow)
    assert {(one.ends, one.sequence) for one in of(ResetOrdered, events(said))} == {(Ends.BACKEND, bed.ack)}
    assert len(bed.endings) == 1  # its client is told once it takes nothing more


def test_a_client_in_the_middle_of_a_request_is_waited_for(bed: Deathbed) -> None:
    control = bed.play(Control())
    whole = request("GET_PARAMETER", Session="abc")
    bed.feed(control.segment(whole[:20]))
    bed.next = control.next
    began, done = bed.now, [False]

    def once() -> None:
        if not done[0] and bed.now > began + 0.45:
            done[0] = True
            bed.feed(control.segment(whole[20:]))
        bed.next = control.next

    said = bed.end(moving=once)
    (at, asked), *_ = [(at, event) for at, event in said if isinstance(event, TeardownOrdered)]
    assert isinstance(asked, TeardownOrdered)
    assert at == pytest.approx(0.5)
    assert asked.next_sequence == control.next


def test_a_client_that_never_completes_its_request_is_cut_off(bed: Deathbed) -> None:
    control = bed.play(Control())
    bed.feed(control.segment(b"GET_PARAM"))
    bed.next = control.next
    said = bed.end()
    assert of(TeardownOrdered, events(said)) == []
    (at, first), *_ = [(at, event) for at, event in said if isinstance(event, ResetOrdered)]
    assert isinstance(first, ResetOrdered)
    assert first.ends is Ends.BACKEND
    assert at == pytest.approx(BETWEEN_S, abs=0.11)
    assert only(LoneTeardownOrdered, events(said)).request.startswith(f"TEARDOWN {URL} ".encode())


def test_a_client_that_sends_media_is_reset_first_and_its_backend_when_nothing_comes_any_more(
    bed: Deathbed,
) -> None:
    control = Control()
    bed.feed(
        control.ask("ANNOUNCE"),
        control.ask("SETUP", f"{URL}/track1", Transport=f"{INTERLEAVED};mode=record"),
        control.ask("RECORD", Session="abc"),
    )
    bed.flow, bed.next = control.flow, control.next
    began = bed.now

    def send() -> None:
        if bed.now < began + 0.25:
            bed.next += 1400

    said = bed.end(moving=send)
    assert of(TeardownOrdered, events(said)) == []
    first, last = of(ResetOrdered, events(said))
    assert (first.ends, first.sequence) == (Ends.CLIENT, 7000)
    assert (last.ends, last.next_sequence) == (Ends.BOTH, bed.next)
    assert only(LoneTeardownOrdered, events(said)).backend_id == 1


def test_all_sessions_of_a_connection_are_asked_for_one_after_the_other(bed: Deathbed) -> None:
    control = Control()
    bed.feed(*play_tcp(control, session="one"), *play_udp(control, session="two", url=f"{URL}2"))
    bed.flow, bed.next = control.flow, control.next
    asked = of(TeardownOrdered, events(bed.end()))[0].requests.decode()
    assert asked.count("TEARDOWN ") == 2
    assert ("Session: one" in asked, "Session: two" in asked) == (True, True)


def test_more_than_a_segment_holds_goes_in_several_each_behind_the_other(bed: Deathbed) -> None:
    control = Control()
    for number in range(3):
        url = f"{URL}{number}/{'x' * 500}"
        bed.feed(*play_tcp(control, session=f"s{number}", url=url))
    bed.flow, bed.next = control.flow, control.next
    said = [event for at, event in bed.end() if isinstance(event, TeardownOrdered) and at == 0.0]
    assert [len(one.requests) <= 1200 for one in said] == [True, True]
    assert said[1].next_sequence == said[0].next_sequence + len(said[0].requests)


def test_a_session_without_a_connection_is_asked_for_on_one_of_our_own(bed: Deathbed) -> None:
    control = bed.play(Control(), play_udp)
    bed.feed(control.fin())
    bed.wait(11.0)
    bed.flow = None
    said = bed.end()
    order = only(LoneTeardownOrdered, events(said))
    assert (order.service_id, order.backend_id) == (0, 1)
    assert b"Session: abc\r\n" in order.request
    assert only(SessionClosed, events(said)).reason is CloseReason.DRAINED


def test_a_connection_without_a_session_is_reset_at_the_backend_and_then_at_the_client(bed: Deathbed) -> None:
    control = Control()
    bed.feed(control.ask("OPTIONS"))
    bed.flow, bed.next = control.flow, control.next
    first, last = of(ResetOrdered, events(bed.end()))
    assert (first.ends, last.ends) == (Ends.BACKEND, Ends.BOTH)
    assert bed.tracker.bound() == []


def test_a_connection_whose_numbers_are_not_known_is_left_to_the_next_backend(bed: Deathbed) -> None:
    control = bed.play(Control())
    bed.ack = 0
    said = bed.end()
    assert only(FlowForgotten, events(said)).flow == control.flow
    assert of(ResetOrdered, events(said)) == []
    assert bed.pins == {}


def test_what_is_about_to_end_by_itself_is_not_ended(bed: Deathbed) -> None:
    control = bed.play(Control(), play_udp)
    assert bed.endings.may_begin(bed.bound(), bed.now)
    bed.feed(control.ask("TEARDOWN", Session="abc"))
    assert not bed.endings.may_begin(bed.bound(), bed.now)


def test_an_ending_that_is_withdrawn_before_its_backend_was_asked_leaves_everything_as_it_is(
    bed: Deathbed,
) -> None:
    control = bed.play(Control())
    bed.endings.begin(bed.bound(), bed.now)
    bed.endings.withdraw(control.backend_id + 1)
    assert len(bed.endings) == 1
    bed.endings.withdraw(control.backend_id)
    assert len(bed.endings) == 0
    assert len(bed.tracker.sessions) == 1


def test_an_ending_whose_backend_has_been_asked_goes_on_to_its_end(bed: Deathbed) -> None:
    control = bed.play(Control())

    def withdraw() -> None:
        if bed.said:
            bed.endings.withdraw(control.backend_id)

    said = bed.end(moving=withdraw)
    assert only(SessionClosed, events(said)).reason is CloseReason.DRAINED
