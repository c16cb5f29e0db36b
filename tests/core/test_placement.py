"""A client stays with its backend while it has sessions."""

from rtspdsr.core.events import ClientPlaced, ClientReleased, Event
from rtspdsr.core.placement import Placements
from tests.core.builders import CLIENT


def placed(backend_id: int) -> ClientPlaced:
    return ClientPlaced(at=1.0, service_id=0, client=CLIENT, backend_id=backend_id)


RELEASED = ClientReleased(at=1.0, service_id=0, client=CLIENT)


def test_a_client_is_placed_once_and_released_once() -> None:
    placements, said = Placements(), list[Event]()
    first = placements.bind(0, CLIENT, 1, 1.0, said)
    assert placements.bind(0, CLIENT, 1, 1.0, said) is first
    placements.unbind(first, 1, 1.0, said)
    placements.release(first, 1.0, said)  # one session is left
    placements.unbind(first, 1, 1.0, said)
    placements.release(first, 1.0, said)
    placements.release(first, 1.0, said)
    assert said == [placed(1), RELEASED]
    assert len(placements) == 0


def test_the_latest_session_decides_and_the_earlier_after_its_end() -> None:
    placements, said = Placements(), list[Event]()
    placement = placements.bind(0, CLIENT, 1, 1.0, said)
    placements.bind(0, CLIENT, 2, 1.0, said)
    placements.unbind(placement, 2, 1.0, said)
    assert said == [placed(1), placed(2), placed(1)]


def test_a_client_that_comes_back_in_time_is_not_released() -> None:
    placements, said = Placements(), list[Event]()
    placement = placements.bind(0, CLIENT, 1, 1.0, said)
    placements.unbind(placement, 1, 1.0, said)
    assert placement.released_at == 1.0
    placements.bind(0, CLIENT, 1, 2.0, said)
    placements.release(placement, 11.0, said)
    assert said == [placed(1)]
    assert placement.released_at is None


def test_a_client_of_two_services_is_two() -> None:
    placements, said = Placements(), list[Event]()
    placements.bind(0, CLIENT, 1, 1.0, said)
    placements.bind(1, CLIENT, 4, 1.0, said)
    assert [event.backend_id for event in said if isinstance(event, ClientPlaced)] == [1, 4]


def test_the_linger_of_an_earlier_placement_does_not_end_the_one_after_it() -> None:
    placements, said = Placements(), list[Event]()
    first = placements.bind(0, CLIENT, 1, 1.0, said)
    placements.unbind(first, 1, 1.0, said)
    placements.release(first, 1.0, said)  # at once: its backend is gone
    placements.bind(0, CLIENT, 2, 1.0, said)
    placements.release(first, 11.0, said)  # and once more, when its linger has passed
    assert said == [placed(1), RELEASED, placed(2)]
    assert len(placements) == 1


def test_a_client_of_many_sessions_costs_as_much_as_its_backends() -> None:
    placements, said = Placements(), list[Event]()
    placement = placements.bind(0, CLIENT, 1, 1.0, said)
    for number in range(999):
        placements.bind(0, CLIENT, 1 + number % 2, 1.0, said)
    assert placement.bonds == {1: 501, 2: 499}
    placements.bind(0, CLIENT, 2, 1.0, said)
    for _ in range(500):
        placements.unbind(placement, 2, 1.0, said)
    assert placement.backend_id == 1
    assert placement.bonds == {1: 501}


def test_a_backend_carries_every_bond_to_it_until_it_ends() -> None:
    placements, said = Placements(), list[Event]()
    placement = placements.bind(0, CLIENT, 1, 1.0, said)
    placements.bind(0, CLIENT, 1, 1.0, said)
    placements.bind(1, CLIENT, 2, 1.0, said)
    assert [placements.load(one) for one in (1, 2, 3)] == [2, 1, 0]
    placements.unbind(placement, 1, 2.0, said)
    placements.unbind(placement, 1, 2.0, said)
    placements.release(placement, 12.0, said)
    assert [placements.load(one) for one in (1, 2, 3)] == [0, 1, 0]
