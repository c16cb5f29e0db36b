"""Clients of a dead backend: those for whom nothing moves are told, and nobody else."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from operator import attrgetter
from typing import NamedTuple

import pytest

from rtspdsr.core.events import (
    CloseReason,
    ConnectionReset,
    Event,
    FlowForgotten,
    ResetOrdered,
    ResetsWithheld,
    SessionClosed,
)
from rtspdsr.core.eviction import Death, Eviction, Terms
from rtspdsr.model import FlowKey, PinReading, Proto
from tests.core.builders import CLIENT, Control, World, of, only, play_tcp, play_udp, report, transport

TERMS = Terms(backends=4, max_share=0.5, resets_per_s=100)
DEATH = Death(service_id=0, backend_id=1, gone=False, problem="does not answer")
LOOK_S = 0.5


class Ward(World):
    """A tracker whose backend 1 is dead, and what is done about its clients."""

    def __init__(self) -> None:
        super().__init__()
        self.eviction = Eviction(self.tracker.on)
        self.deaths: list[Death] = [DEATH]
        self.terms: Mapping[int, Terms] = {0: TERMS}

    def acknowledge(self, flow: FlowKey, *, delivered: int = 0, sent: int = 0) -> None:
        """Count progress of a control connection."""
        before = self.readings.get(
            flow, PinReading(packets=1, bytes=100, heard_at=self.now, acknowledged=7000)
        )
        self.readings[flow] = before._replace(
            packets=before.packets + 1,
            heard_at=self.now,
            delivered=before.delivered + delivered,
            acknowledged=before.acknowledged + delivered,
            next_sequence=before.next_sequence + sent,
        )

    def look(self) -> list[Event]:
        """One round, as the shell has it."""
        said = self.eviction.begin(self.deaths, self.terms, self.now)
        for heard in self.tracker.bound():
            if heard.backend_id in self.eviction.backends:
                self.eviction.look(heard, self._read(self.eviction.flows(heard)), self.now)
        for heard in self.eviction.due(self.now):
            said += self.eviction.tell(heard, self.now)
            said += self.apply(self.tracker.release(heard, CloseReason.BACKEND_DOWN, self.now))
        return said

    def watch(
        self, seconds: float, moving: Iterable[FlowKey] = (), sending: Iterable[FlowKey] = ()
    ) -> list[tuple[float, Event]]:
        """Look for so long, while clients acknowledge media on some connections, and send on others."""
        began, said = self.now, list[tuple[float, Event]]()
        while self.now < began + seconds - 1e-9:
            self.now += LOOK_S
            for flow in moving:
                self.acknowledge(flow, delivered=1000)
            for flow in sending:
                self.acknowledge(flow, sent=1000)
            said += [(self.now - began, event) for event in self.look()]
        return said


def after(said: list[tuple[float, Event]]) -> float | None:
    """When the first client was told."""
    return next((at for at, event in said if isinstance(event, ResetOrdered)), None)


def events(said: list[tuple[float, Event]]) -> list[Event]:
    return [event for _, event in said]


@pytest.fixture
def ward() -> Ward:
    return Ward()


def tcp(ward: Ward, port: int = 40000, backend_id: int = 1, client: str = str(CLIENT)) -> Control:
    """A client that plays interleaved."""
    control = Control(client=ip_address(client), port=port, backend_id=backend_id)
    ward.feed(*play_tcp(control, session=f"s{port}"))
    ward.acknowledge(control.flow)
    return control


def udp(ward: Ward, port: int = 41000, backend_id: int = 1) -> tuple[Control, FlowKey]:
    """A client that plays over UDP, and its RTCP port."""
    control = Control(port=port, backend_id=backend_id)
    ward.feed(*play_udp(control, session=f"s{port}", port=port))
    ward.acknowledge(control.flow)
    return control, FlowKey(0, Proto.UDP, control.client, port + 1)


def test_a_client_that_gets_nothing_is_reset_with_the_number_it_expects_and_placed_anew(ward: Ward) -> None:
    control = tcp(ward)
    ward.acknowledge(control.flow, delivered=5000)
    said = ward.watch(4.0)
    order = only(ResetOrdered, events(said))
    assert (order.flow, order.backend_id, order.sequence) == (control.flow, 1, 12_000)
    assert after(said) == 2.5
    told = only(ConnectionReset, events(said))
    assert (told.client, told.problem, told.still_s) == (control.client, "does not answer", 2.0)
    assert only(FlowForgotten, events(said)).flow == control.flow
    assert only(SessionClosed, events(said)).reason is CloseReason.BACKEND_DOWN
    assert (ward.pins, ward.placed, list(ward.tracker.sessions)) == ({}, {}, [])


def test_a_client_whose_media_flows_is_left_alone_whatever_checks_say(ward: Ward) -> None:
    control = tcp(ward)
    assert events(ward.watch(60.0, moving=[control.flow])) == []
    assert after(ward.watch(5.0)) == 2.0


def test_clients_of_other_backends_are_untouched(ward: Ward) -> None:
    tcp(ward, client="198.51.100.1")
    other = tcp(ward, backend_id=2, client="198.51.100.2")
    ward.watch(30.0)
    assert [one.client for one in ward.tracker.sessions.values()] == [other.client]
    assert other.flow in ward.pins


class Reporting(NamedTuple):
    name: str
    every_s: float
    told_after_s: tuple[float, float]


@pytest.mark.parametrize(
    "case",
    [Reporting("often", 0.5, (2.0, 3.0)), Reporting("seldom", 5.0, (8.0, 9.0))],
    ids=attrgetter("name"),
)
def test_a_client_over_udp_is_told_as_soon_as_its_reports_ought_to_have_moved(
    ward: Ward, case: Reporting
) -> None:
    _, rtcp = udp(ward)
    ward.deaths, highest = [], 100
    ward.hear(rtcp)
    began, due = ward.now, ward.now
    while ward.now < began + 30:
        ward.watch(LOOK_S)
        if ward.now >= due + case.every_s:
            due, highest = ward.now, highest + 50
            ward.hear(rtcp, report=report(highest))
    ward.deaths = [DEATH]
    told = after(ward.watch(12.0))
    assert told is not None
    assert case.told_after_s[0] <= told <= case.told_after_s[1]


def test_reports_that_go_on_without_progress_do_not_save_a_session_and_those_with_do(ward: Ward) -> None:
    _, rtcp = udp(ward)
    highest = 100
    for _ in range(10):
        highest += 10
        ward.hear(rtcp, report=report(highest))
        assert events(ward.watch(3.0)) == []
    told = None
    for round_ in range(8):
        ward.hear(rtcp, report=report(highest))
        if (at := after(ward.watch(3.0))) is not None:
            told = 3.0 * round_ + at
            break
    assert told is not None
    assert told <= 12.0


def test_a_request_without_an_answer_tells_of_a_client_that_is_otherwise_silent(ward: Ward) -> None:
    control, _ = udp(ward)
    assert events(ward.watch(20.0)) == []
    ward.acknowledge(control.flow, sent=120)
    assert after(ward.watch(6.0)) == 3.5


def test_a_request_with_an_answer_shows_that_the_server_lives(ward: Ward) -> None:
    control, _ = udp(ward)
    for _ in range(6):
        ward.acknowledge(control.flow, sent=120)
        assert events(ward.watch(1.0)) == []
        ward.acknowledge(control.flow, delivered=80)
        assert events(ward.watch(5.0)) == []


def test_a_silent_client_is_told_when_its_machine_is_gone(ward: Ward) -> None:
    udp(ward)
    assert events(ward.watch(20.0)) == []
    ward.deaths = [replace(DEATH, gone=True)]
    assert after(ward.watch(6.0)) == 0.5


def test_a_silent_client_is_told_when_all_others_of_its_backend_stand_still(ward: Ward) -> None:
    silent, _ = udp(ward)
    tcp(ward, client="198.51.100.9")
    told = {event.flow: at for at, event in ward.watch(20.0) if isinstance(event, ResetOrdered)}
    assert told[silent.flow] == pytest.approx(8.5, abs=0.5)


def test_and_not_while_one_of_them_moves(ward: Ward) -> None:
    silent, _ = udp(ward)
    tcp(ward, client="198.51.100.9")
    moving = tcp(ward, client="198.51.100.8")
    ward.watch(60.0, moving=[moving.flow])
    assert silent.flow in ward.pins


def test_a_publisher_is_judged_by_what_it_can_send(ward: Ward) -> None:
    control = Control()
    url = "rtsp://192.0.2.10/up"
    record = [
        control.ask("ANNOUNCE", url),
        control.ask("SETUP", f"{url}/1", Transport="RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"),
        control.ask("RECORD", url, Session="r"),
    ]
    ward.feed(*record)
    ward.acknowledge(control.flow)
    assert events(ward.watch(30.0, sending=[control.flow])) == []
    assert after(ward.watch(12.0)) == 8.0


def test_a_client_that_only_began_is_told(ward: Ward) -> None:
    control = Control()
    ward.feed(control.ask("DESCRIBE"))
    ward.acknowledge(control.flow)
    assert after(ward.watch(6.0)) == 3.5


def test_a_client_that_paused_is_not(ward: Ward) -> None:
    control = Control()
    ward.feed(*play_tcp(control), control.ask("PAUSE", Session="abc"))
    ward.acknowledge(control.flow)
    assert events(ward.watch(60.0)) == []


def test_too_many_at_once_are_all_left_alone_and_that_is_told_once(ward: Ward) -> None:
    tcp(ward)
    ward.deaths = [replace(DEATH, backend_id=one) for one in (1, 2, 3)]
    said = ward.watch(30.0)
    withheld = only(ResetsWithheld, events(said))
    assert (withheld.backends_down, withheld.backends, withheld.problem) == (3, 4, "does not answer")
    assert len(said) == 1
    ward.deaths = [DEATH]
    assert after(ward.watch(5.0)) == 0.5


def test_a_service_that_keeps_its_clients_keeps_them(ward: Ward) -> None:
    tcp(ward)
    ward.terms = {}
    assert events(ward.watch(60.0)) == []


def test_clients_are_told_no_faster_than_allowed(ward: Ward) -> None:
    ward.terms = {0: replace(TERMS, resets_per_s=10)}
    for number in range(1, 61):
        tcp(ward, port=40_000 + number, client=f"198.51.100.{number}")
    resets = [at for at, event in ward.watch(12.0) if isinstance(event, ResetOrdered)]
    assert len(resets) == 60
    for second in range(12):
        assert sum(second < at <= second + 1 for at in resets) <= 15


def test_a_backend_that_is_back_keeps_who_is_left(ward: Ward) -> None:
    tcp(ward)
    assert events(ward.watch(1.5)) == []
    ward.deaths = []
    assert events(ward.watch(1.0)) == []
    ward.deaths = [DEATH]
    assert after(ward.watch(5.0)) == 2.5


def test_without_a_number_nothing_is_sent_and_the_client_is_free_all_the_same(ward: Ward) -> None:
    control = tcp(ward)
    ward.readings[control.flow] = ward.readings[control.flow]._replace(acknowledged=0)
    said = events(ward.watch(5.0))
    assert of(ResetOrdered, said) == []
    assert only(FlowForgotten, said).flow == control.flow
    assert ward.pins == {}


def test_a_session_without_its_connection_is_released_too(ward: Ward) -> None:
    control, rtcp = udp(ward)
    ward.feed(control.fin())
    ward.deaths = []
    ward.wait(12.0)
    assert [one.connection for one in ward.tracker.sessions.values()] == [None]
    ward.hear(rtcp, report=report(100))
    ward.deaths = [DEATH]
    said = events(ward.watch(12.0))
    assert only(SessionClosed, said).reason is CloseReason.BACKEND_DOWN
    assert of(ResetOrdered, said) == []
    assert ward.pins == {}


def test_two_sessions_on_a_connection_go_together(ward: Ward) -> None:
    control = tcp(ward)
    ward.feed(
        control.ask("SETUP", "rtsp://192.0.2.10/b/t", Transport=transport(6000, 6001)),
        control.ask("PLAY", "rtsp://192.0.2.10/b", Session="second"),
    )
    assert len(ward.tracker.sessions) == 2
    said = events(ward.watch(5.0))
    assert len(of(SessionClosed, said)) == 2
    assert len(of(ResetOrdered, said)) == 1
    assert (ward.pins, ward.placed) == ({}, {})
