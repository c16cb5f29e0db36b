"""Backends go out and come back by what checks find, and a false alarm stays small; ``now`` is a number."""

from collections.abc import Iterable
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspdsr.core.events import BackendDown, BackendUp, Event, HealthChanged, ServiceFailing
from rtspdsr.core.health import Check, Health, Order, Outcome, Policy

PASSED = Outcome(response_s=0.01)
DEAD = Outcome(problem="refuses connections")
POLICY = Policy(check=Check.OPTIONS, interval_s=1.0, rise=3, fall=2)

STEP_S = 0.05
HANG_S = 0.8  # a check's time-out


class Clinic:
    """One service with backends 1, 2, 3, and the checks that were made."""

    def __init__(self, policy: Policy = POLICY, backends: Iterable[int] = (1, 2, 3)) -> None:
        self.now = 100.0
        self.health = Health(repeat(0.5))
        self.policy, self.backends = policy, list(backends)
        self.said: list[Event] = []
        self.made: list[Order] = []
        self.running: list[tuple[float, Order]] = []
        self.health.watch([(0, policy, self.backends)], self.now)

    def wait(self, seconds: float, failing: Iterable[int] = (), hanging: Iterable[int] = ()) -> list[Event]:
        """Let time pass while these backends fail at once, or after ``HANG_S``."""
        said: list[Event] = []
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.now += STEP_S
            for order in self.health.due(self.now):
                self.made.append(order)
                self.running.append((self.now + (HANG_S if order.backend_id in hanging else 0.0), order))
            for at, order in [one for one in self.running if one[0] <= self.now]:
                self.running.remove((at, order))
                found = DEAD if order.backend_id in {*failing, *hanging} else PASSED
                said += self.health.take(order, found, self.now)
        self.said += said
        return said

    def down(self) -> list[int]:
        return [one for one in self.backends if self.health.is_down(one)]


def kinds(events: Iterable[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_dead_backend_goes_out_after_so_many_failures_in_a_row_and_the_reason_is_told() -> None:
    clinic = Clinic()
    clinic.wait(3.0)
    assert clinic.down() == []
    said = clinic.wait(1.3, failing=[2])
    assert clinic.down() == [2]
    changed, gone = said
    assert changed == HealthChanged(
        at=changed.at, service_id=0, backend_id=2, check="options", passing=False, problem=DEAD.problem
    )
    assert gone == BackendDown(at=gone.at, service_id=0, backend_id=2, check="options", problem=DEAD.problem)


def test_one_lost_answer_takes_nobody_out() -> None:
    clinic = Clinic()
    clinic.wait(3.0)
    (order,) = (Order(2, Check.OPTIONS),)
    while order not in (due := clinic.health.due(clinic.now)):
        for one in due:
            clinic.health.take(one, PASSED, clinic.now)
        clinic.now += 0.05
    for one in due:
        clinic.health.take(one, DEAD if one == order else PASSED, clinic.now)
    assert clinic.wait(5.0) == []
    assert clinic.down() == []


@pytest.mark.parametrize("phase", [0.0, 0.2, 0.45, 0.7, 0.95])
def test_a_server_that_hangs_is_out_within_three_seconds(phase: float) -> None:
    """Connections are taken and not answered, so that every check lasts until its time-out."""
    clinic = Clinic()
    clinic.wait(3.0 + phase)
    died_at = clinic.now
    while not clinic.down():
        clinic.wait(STEP_S, hanging=[2])
    assert clinic.now - died_at < 2.95


def test_it_comes_back_after_so_many_passes() -> None:
    clinic = Clinic()
    clinic.wait(3.0)
    clinic.wait(5.0, failing=[2])
    assert clinic.wait(1.8) == []
    said = clinic.wait(2.0)
    assert kinds(said) == ["HealthChanged", "BackendUp"]
    up = said[1]
    assert isinstance(up, BackendUp)
    assert 5.0 < up.down_s < 9.0
    assert clinic.down() == []


def test_if_all_fail_at_once_none_is_taken_out_and_that_is_told_loudly_and_again() -> None:
    clinic = Clinic()
    clinic.wait(3.0)
    said = clinic.wait(130.0, failing=[1, 2, 3])
    assert clinic.down() == []
    warnings = [event for event in said if isinstance(event, ServiceFailing)]
    assert len(warnings) == 3
    assert warnings[0].backends == 3
    assert "the last table stays in force: refuses connections" in warnings[0].problem
    assert kinds(said).count("HealthChanged") == 3


def test_the_last_one_that_stands_is_not_taken_out() -> None:
    clinic = Clinic()
    clinic.wait(3.0)
    clinic.wait(5.0, failing=[1, 2])
    clinic.wait(5.0, failing=[1, 2, 3])
    assert clinic.down() == [1, 2]
    assert any(isinstance(event, ServiceFailing) for event in clinic.said)


def test_when_one_of_all_passes_again_the_others_go_out() -> None:
    clinic = Clinic()
    clinic.wait(3.0)
    clinic.wait(10.0, failing=[1, 2, 3])
    clinic.wait(5.0, failing=[1, 3])
    assert clinic.down() == [1, 3]


def test_a_service_of_one_backend_keeps_it() -> None:
    clinic = Clinic(backends=[1])
    clinic.wait(3.0)
    said = clinic.wait(5.0, failing=[1])
    assert kinds(said) == ["HealthChanged", "ServiceFailing"]
    assert clinic.down() == []


def test_a_play_that_every_backend_refuses_takes_none_out() -> None:
    clinic = Clinic(Policy(check=None, play_interval_s=20.0))
    clinic.wait(120.0, failing=[1, 2, 3])
    assert clinic.down() == []


def test_a_backend_that_does_not_play_goes_out_soon_after_the_first_failure() -> None:
    clinic = Clinic(Policy(check=Check.TCP, play_interval_s=20.0))
    clinic.wait(40.0)
    due = clinic.health.members[2][1].checks[Check.PLAY].due_at
    clinic.wait(due - clinic.now - 0.1)
    began = clinic.now
    while not clinic.down() and clinic.now < began + 30:
        clinic.now += 0.05
        for order in clinic.health.due(clinic.now):
            silent = order == Order(2, Check.PLAY)
            clinic.health.take(order, DEAD if silent else PASSED, clinic.now)
    assert clinic.down() == [2]
    assert clinic.now - began < 6.0


def test_flapping_is_bounded() -> None:
    clinic = Clinic()
    clinic.wait(3.0)
    for _ in range(60):
        clinic.wait(2.5, failing=[2])
        clinic.wait(4.0)
    changes = [event for event in clinic.said if isinstance(event, BackendUp | BackendDown)]
    assert 2 <= len(changes) <= 4
    clinic.wait(3 * 32 + 5.0)
    assert clinic.down() == []


def test_one_that_was_well_for_long_comes_back_as_quickly_as_the_first_time() -> None:
    clinic = Clinic()
    clinic.wait(3.0)
    for _ in range(2):
        clinic.wait(5.0, failing=[2])
        clinic.wait(4.0)
        assert clinic.down() == []
        clinic.wait(320.0)


def test_checks_of_one_backend_never_pile_up() -> None:
    health = Health(repeat(0.5))
    health.watch([(0, POLICY, [1])], 0.0)
    assert health.due(2.0) == [Order(1, Check.OPTIONS)]
    assert health.due(50.0) == []
    assert health.next_timer() is None
    health.take(Order(1, Check.OPTIONS), PASSED, 50.0)
    assert health.due(50.0) == [Order(1, Check.OPTIONS)]


def test_backends_are_asked_at_different_moments() -> None:
    numbers = iter([0.1, 0.5, 0.9, *repeat(0.5, 20)])
    health = Health(numbers)
    health.watch([(0, POLICY, [1, 2, 3])], 0.0)
    assert [len(health.due(at)) for at in (0.05, 0.15, 0.55, 0.95)] == [0, 1, 1, 1]


def test_a_large_fleet_is_asked_less_often() -> None:
    clinic = Clinic(backends=range(1, 1001))
    clinic.wait(20.0)
    assert 150 * 20 < len(clinic.made) < 260 * 20


def test_a_reload_keeps_what_is_known_of_those_that_stay() -> None:
    clinic = Clinic()
    clinic.wait(3.0)
    clinic.wait(5.0, failing=[2])
    clinic.health.watch([(0, POLICY, [1, 2, 4])], clinic.now)
    assert clinic.health.is_down(2)
    assert not clinic.health.is_down(4)
    assert not clinic.health.is_down(3)
    assert clinic.health.take(Order(3, Check.OPTIONS), DEAD, clinic.now) == []


def test_a_reload_without_checks_lets_everybody_in() -> None:
    clinic = Clinic()
    clinic.wait(3.0)
    clinic.wait(5.0, failing=[2])
    said = clinic.health.watch([(0, Policy(check=None), [1, 2, 3])], clinic.now)
    assert kinds(said) == ["BackendUp"]
    assert clinic.health.due(clinic.now + 60) == []


Results = st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.floats(0, 30)), max_size=120)


@given(Results)
def test_whatever_checks_find_somebody_always_takes_clients_and_states_alternate(
    results: list[tuple[int, bool, float]],
) -> None:
    health, now = Health(repeat(0.5)), 0.0
    health.watch([(0, POLICY, [1, 2, 3])], now)
    down: set[int] = set()
    for backend_id, passes, wait_s in results:
        now += wait_s
        health.due(now)
        for event in health.take(Order(backend_id, Check.OPTIONS), PASSED if passes else DEAD, now):
            if isinstance(event, BackendDown):
                assert event.backend_id not in down
                down.add(event.backend_id)
            elif isinstance(event, BackendUp):
                assert event.backend_id in down
                down.remove(event.backend_id)
        assert down == {one for one in (1, 2, 3) if health.is_down(one)}
        assert len(down) < 3


def test_a_check_that_could_not_be_made_changes_nothing_and_is_due_an_interval_later() -> None:
    clinic = Clinic()
    clinic.wait(3.0)
    orders: list[Order] = []
    while not orders:
        clinic.now += STEP_S
        orders = clinic.health.due(clinic.now)
    for _ in range(10 * POLICY.fall):
        for order in orders:
            clinic.health.forgo(order, clinic.now)
        assert not set(orders) & set(clinic.health.due(clinic.now + POLICY.interval_s - STEP_S))
        clinic.now += 1.1 * POLICY.interval_s
        assert set(orders) <= set(clinic.health.due(clinic.now))
    assert clinic.down() == []
