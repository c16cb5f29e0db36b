"""An allowance that grows with time, up to a second's worth."""

from rtspdsr.core.pace import Pace


def taken(pace: Pace, service_id: int = 0) -> int:
    """How many there are now."""
    return sum(1 for _ in iter(lambda: pace.take(service_id), False))


def test_a_service_gets_its_rate_and_no_more_than_a_second_of_it_at_once() -> None:
    pace = Pace()
    pace.grow({0: 10}, 1000.0)
    assert taken(pace) == 10
    pace.grow({0: 10}, 1000.5)
    assert taken(pace) == 5
    pace.grow({0: 10}, 1060.0)
    assert taken(pace) == 10


def test_services_do_not_share() -> None:
    pace = Pace()
    pace.grow({0: 2, 1: 3}, 1000.0)
    assert (taken(pace, 0), taken(pace, 1), taken(pace, 2)) == (2, 3, 0)
