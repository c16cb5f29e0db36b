"""How clients spread over backends, simulated: the forwarding core deals turns, the allotment makes them.

The kernel's side is played by its rules: a client that has a session, or was placed a moment ago, stays; any
other takes the next turn of a backend that is up and has room. Sessions begin 0.3 s after their SYN.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from dataclasses import replace as changed
from ipaddress import IPv4Address

import pytest

from rtspdsr.core.allotment import Allotment, Burden
from rtspdsr.core.events import BackendFull, ClientPlaced, Event, ServiceFull, SessionOpened
from rtspdsr.model import Backend, PlaceBy, Schedule, Service

LOOK_S = 0.25
SETUP_S = 0.3
TURN_TRIES = 8


def service(schedule: Schedule, *weights: float, most: int = 0) -> Service:
    return Service(
        service_id=0,
        name="cams",
        vips=(),
        schedule=schedule,
        backends=tuple(
            Backend(
                backend_id=number,
                name=f"cam-{number}",
                addresses=(),
                weight=weight,
                max_sessions=most,
            )
            for number, weight in enumerate(weights, 1)
        ),
    )


def placed(backend_id: int, client: int, now: float) -> ClientPlaced:
    return ClientPlaced(at=now, service_id=0, backend_id=backend_id, client=IPv4Address(client))


def opened(backend_id: int, client: int, now: float) -> SessionOpened:
    return SessionOpened(
        at=now,
        service_id=0,
        backend_id=backend_id,
        client=IPv4Address(client),
        client_port=1,
        session="",
        url="",
        user_agent="",
    )


@dataclass
class Platform:
    """A service at work. ``down`` backends take no clients and lose their sessions."""

    service: Service
    allotment: Allotment = field(default_factory=Allotment)
    now: float = 0.0
    down: set[int] = field(default_factory=set)
    shares: dict[int, float] = field(default_factory=dict)
    sessions: dict[int, tuple[int, float, int]] = field(default_factory=dict)  # backend, end, rate
    admitted: Counter[int] = field(default_factory=Counter)
    delivered: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    said: list[Event] = field(default_factory=list)
    _setting_up: list[tuple[float, int, int, float, int]] = field(default_factory=list)
    _turns: list[int] = field(default_factory=list)
    _taken: int = 0
    _until: dict[int, int | None] = field(default_factory=dict)
    _looks: int = 0
    _clients: int = 0

    def burdens(self) -> list[Burden]:
        carried = self.loads()
        return [
            Burden(
                backend=changed(one, weight=one.weight * self.shares.get(one.backend_id, 1.0)),
                sessions=carried[one.backend_id],
                admitted=self.admitted[one.backend_id],
                delivered=self.delivered[one.backend_id],
            )
            for one in self.service.backends
            if one.backend_id not in self.down
        ]

    def loads(self) -> Counter[int]:
        return Counter({one.backend_id: 0 for one in self.service.backends}) + Counter(
            backend for backend, _, _ in self.sessions.values()
        )

    def run(self, seconds: float, clients_per_s: float, lasts_s: float = 1e9, rate: int = 0) -> None:
        """Let time pass in steps of 10 ms, with clients that come by chance."""
        dice = random.Random(4)
        for _ in range(round(seconds * 100)):
            for _ in range(int(clients_per_s / 100 + dice.random())):
                self.syn(dice.expovariate(1 / lasts_s), rate)
            self.step()

    def step(self) -> None:
        self.now += 0.01
        for one in [one for one in self._setting_up if one[0] <= self.now]:
            self._setting_up.remove(one)
            _, client, backend_id, ends, rate = one
            self.sessions[client] = (backend_id, ends, rate)
            self.allotment.note(placed(backend_id, client, self.now))
            self.allotment.note(opened(backend_id, client, self.now))
        self.sessions = {client: one for client, one in self.sessions.items() if one[1] > self.now}
        if self.now >= self._looks * LOOK_S:
            self._looks += 1
            self.look()

    def forget(self, backend_id: int) -> None:
        """Those on their way to a backend that has died give up."""
        self._setting_up = [one for one in self._setting_up if one[2] != backend_id]

    def look(self) -> None:
        for backend_id, _, rate in self.sessions.values():
            self.delivered[backend_id] += int(rate * LOOK_S)
        burdens = self.burdens()
        self.allotment.account(self.service, burdens, self.now)
        for one in burdens:
            room = self.allotment.room(one)
            self._until[one.backend.backend_id] = None if room is None else one.admitted + room
        self.said += self.allotment.full(self.service, burdens, self.now)
        turns = self.allotment.turns(self.service, burdens, self.now)
        if turns != self._turns or self.service.schedule is not Schedule.ROUND_ROBIN:
            self._turns, self._taken = turns, 0

    def syn(self, lasts_s: float = 1e9, rate: int = 0) -> int | None:
        """A new client; the backend it goes to."""
        repeats = self.service.schedule is Schedule.ROUND_ROBIN
        for _ in range(TURN_TRIES):
            if self._taken == len(self._turns) and repeats:
                self._taken = 0
            if self._taken == len(self._turns):
                break
            backend_id = self._turns[self._taken]
            self._taken += 1
            until = self._until[backend_id]
            if backend_id in self.down or (until is not None and self.admitted[backend_id] >= until):
                continue
            self.admitted[backend_id] += 1
            self._clients += 1
            self._setting_up.append(
                (self.now + SETUP_S, self._clients, backend_id, self.now + SETUP_S + lasts_s, rate)
            )
            return backend_id
        self.refused += 1
        return None


def spread(loads: Counter[int]) -> int:
    return max(loads.values()) - min(loads.values())


def test_least_sessions_keeps_sessions_even_though_they_end_by_chance() -> None:
    platform = Platform(service(Schedule.LEAST_SESSIONS, 100, 100, 100, 100))
    platform.run(60, clients_per_s=20, lasts_s=15)
    assert sum(platform.loads().values()) > 200
    assert spread(platform.loads()) <= 10


def test_least_sessions_follows_weights() -> None:
    platform = Platform(service(Schedule.LEAST_SESSIONS, 100, 300))
    platform.run(20, clients_per_s=20)
    loads = platform.loads()
    assert loads[2] / loads[1] == pytest.approx(3, rel=0.05)


def test_least_sessions_spreads_a_crowd_that_comes_at_one_moment() -> None:
    """None of them has a session yet when the others come."""
    platform = Platform(service(Schedule.LEAST_SESSIONS, 100, 100, 100))
    platform.step()
    assert Counter(platform.syn() for _ in range(300)) == {1: 100, 2: 100, 3: 100}


def test_clients_that_come_one_by_one_do_not_all_find_the_same_backend_idle() -> None:
    """Turns are made anew between two clients, and the session of the first is not known yet."""
    platform = Platform(service(Schedule.LEAST_SESSIONS, 100, 100, 100))
    went = []
    for _ in range(9):
        platform.run(0.26, clients_per_s=0)
        went.append(platform.syn())
    assert Counter(went) == {1: 3, 2: 3, 3: 3}


def test_an_emptied_backend_is_filled_up_and_nobody_elses_session_moves() -> None:
    platform = Platform(service(Schedule.LEAST_SESSIONS, 100, 100, 100))
    platform.run(15, clients_per_s=20)
    platform.down.add(2)
    lost = {client for client, (backend_id, _, _) in platform.sessions.items() if backend_id == 2}
    before = {client: one for client, one in platform.sessions.items() if client not in lost}
    platform.sessions = dict(before)
    platform.forget(2)
    platform.run(5, clients_per_s=20)  # they come again, as new clients
    assert platform.loads()[2] == 0
    platform.down.remove(2)
    platform.run(20, clients_per_s=20)
    assert before.items() <= platform.sessions.items()
    assert spread(platform.loads()) <= 10


def test_a_slow_start_holds_back_what_least_sessions_would_send_at_once() -> None:
    platform = Platform(service(Schedule.LEAST_SESSIONS, 100, 100, 100))
    platform.down.add(3)
    platform.run(20, clients_per_s=20)
    platform.down.remove(3)
    platform.shares[3] = 0.1
    platform.run(10, clients_per_s=20)
    loads = platform.loads()
    assert 0 < loads[3] <= 0.15 * loads[1]


@pytest.mark.parametrize("weights", [(100, 100, 100), (100, 200, 100)])
def test_round_robin_spreads_by_weight(weights: tuple[int, ...]) -> None:
    platform = Platform(service(Schedule.ROUND_ROBIN, *weights))
    platform.step()
    went = Counter(platform.syn() for _ in range(240))
    assert went == {number: 240 * weight / sum(weights) for number, weight in enumerate(weights, 1)}


@pytest.mark.parametrize(
    ("schedule", "even"), [(Schedule.LEAST_BANDWIDTH, True), (Schedule.ROUND_ROBIN, False)]
)
def test_least_bandwidth_evens_out_what_turns_do_not_see(schedule: Schedule, even: bool) -> None:
    """Every third client takes ten times as much as the others."""
    platform = Platform(service(schedule, 100, 100, 100))
    for number in range(180):
        platform.syn(60, 1_000_000 if number % 3 == 0 else 100_000)
        platform.run(0.5, clients_per_s=0)
    rates: Counter[int] = Counter()
    for backend_id, _, rate in platform.sessions.values():
        rates[backend_id] += rate
    assert (max(rates.values()) < 1.5 * min(rates.values())) is even


def test_least_bandwidth_without_anything_delivered_yet_is_round_robin() -> None:
    platform = Platform(service(Schedule.LEAST_BANDWIDTH, 100, 100, 100))
    platform.step()
    assert Counter(platform.syn() for _ in range(30)) == {1: 10, 2: 10, 3: 10}


@pytest.mark.parametrize("schedule", [Schedule.ROUND_ROBIN, Schedule.LEAST_SESSIONS])
def test_nobody_has_more_sessions_than_it_may_even_in_a_rush(schedule: Schedule) -> None:
    platform = Platform(service(schedule, 100, 300, most=40))
    platform.step()
    platform.run(3, clients_per_s=2000)
    assert platform.loads() == {1: 40, 2: 40}
    assert platform.refused > 5000
    full = [one for one in platform.said if isinstance(one, BackendFull)]
    assert sorted((one.backend_id, one.sessions_max) for one in full) == [(1, 40), (2, 40)]
    assert len([one for one in platform.said if isinstance(one, ServiceFull)]) == 1


def test_room_that_is_left_is_filled_again() -> None:
    platform = Platform(service(Schedule.LEAST_SESSIONS, 100, 100, most=20))
    platform.run(60, clients_per_s=20, lasts_s=5)
    assert max(platform.loads().values()) <= 20
    assert sum(platform.loads().values()) >= 28


def test_by_hash_turns_are_only_for_full_backends() -> None:
    allotment = Allotment()
    free = service(Schedule.HASH, 100, 100)
    limited = service(Schedule.HASH, 100, 100, most=5)
    for one, expected in ((free, []), (limited, [2])):
        burdens = [
            Burden(backend=backend, sessions=5 * (backend.backend_id == 1), admitted=0, delivered=0)
            for backend in one.backends
        ]
        allotment.account(one, burdens, 1.0)
        assert allotment.turns(one, burdens, 1.0) == expected


def test_where_connections_are_placed_by_themselves_each_session_is_one_that_came() -> None:
    allotment = Allotment()
    one = changed(service(Schedule.LEAST_SESSIONS, 100, 100), place_by=PlaceBy.CONNECTION)

    def burdens(admitted: int, sessions: int) -> list[Burden]:
        return [Burden(backend=one.backends[0], sessions=sessions, admitted=admitted, delivered=0)]

    allotment.account(one, burdens(0, 0), 1.0)
    allotment.account(one, burdens(3, 0), 1.25)
    allotment.note(placed(1, 7, 1.3))
    for _ in range(3):
        allotment.note(opened(1, 7, 1.3))
    allotment.account(one, burdens(3, 3), 1.5)
    limited = changed(one.backends[0], max_sessions=4)
    assert allotment.room(changed(burdens(3, 3)[0], backend=limited)) == 1
