"""Clients between their SYN and their session."""

import pytest

from rtspdsr.core.arrivals import WAIT_S, Arrivals


@pytest.fixture
def arrivals() -> Arrivals:
    """What was placed before the daemon began to count is no news."""
    made = Arrivals()
    made.count(1, 1000, 0.0)
    return made


def test_clients_are_expected_until_they_have_their_sessions(arrivals: Arrivals) -> None:
    arrivals.count(1, 1003, 1.0)
    assert arrivals.expected(1) == 3
    arrivals.came(1)
    assert arrivals.expected(1) == 2
    assert arrivals.expected(2) == 0


def test_a_client_that_has_its_session_before_it_was_counted_is_not_expected(arrivals: Arrivals) -> None:
    arrivals.came(1)
    arrivals.count(1, 1002, 1.0)
    assert arrivals.expected(1) == 1


def test_a_session_that_nobody_was_placed_for_hides_no_later_client(arrivals: Arrivals) -> None:
    arrivals.came(1)
    arrivals.count(1, 1000, 1.0)
    arrivals.count(1, 1001, 1.2)
    assert arrivals.expected(1) == 1


def test_a_client_that_never_comes_is_given_up(arrivals: Arrivals) -> None:
    arrivals.count(1, 1001, 1.0)
    arrivals.count(1, 1001, 1.0 + WAIT_S)
    assert arrivals.expected(1) == 0


def test_a_flood_is_soon_not_expected_to_come(arrivals: Arrivals) -> None:
    """Else forged SYNs would keep a backend full that has nobody."""
    placed = 1000
    for step in range(1, 60):
        placed += 2500
        arrivals.count(1, placed, step / 4)
        arrivals.came(1)
    assert arrivals.share < 0.01
    assert arrivals.expected(1) < 25_000 * arrivals.share + 1


def test_after_a_flood_clients_are_trusted_again(arrivals: Arrivals) -> None:
    arrivals.count(1, 200_000, 1.0)
    arrivals.count(1, 200_000, 4.0)
    assert arrivals.share < 0.01
    placed, now = 200_000, 300.0
    for _ in range(40):
        now += 1
        placed += 1
        arrivals.count(1, placed, now)
        arrivals.came(1)
    assert arrivals.share > 0.5
