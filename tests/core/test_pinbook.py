"""Pins: one per flow, in force as long as somebody holds it."""

from dataclasses import dataclass

import pytest

from rtspdsr.core.events import Event, PinMade, PinReleased
from rtspdsr.core.limits import TrackerLimits
from rtspdsr.core.pinbook import HeldPin, PinBook
from rtspdsr.model import Pin, PinFlag, PinReading
from tests.core.builders import CLIENT, udp

FLOW = udp(5000)


@dataclass(eq=False)
class Owner:
    backend_id: int = 1


def made(backend_id: int = 1, flags: PinFlag = PinFlag.NONE, provisional: bool = False) -> PinMade:
    return PinMade(at=1.0, pin=Pin(flow=FLOW, backend_id=backend_id, flags=flags), provisional=provisional)


RELEASED = PinReleased(at=1.0, flow=FLOW)


def hold(book: PinBook, owner: Owner, provisional: bool = False) -> tuple[HeldPin, list[Event]]:
    said: list[Event] = []
    return book.hold(FLOW, owner, provisional, 1.0, said), said


def release(book: PinBook, held: HeldPin, owner: Owner) -> list[Event]:
    said: list[Event] = []
    book.release(held, owner, 1.0, said)
    return said


def test_a_pin_is_made_once_and_released_once() -> None:
    book, owner = PinBook(TrackerLimits()), Owner()
    held, said = hold(book, owner)
    assert said == [made()]
    assert hold(book, owner) == (held, [])
    assert release(book, held, owner) == [RELEASED]
    assert release(book, held, owner) == []
    assert len(book) == 0


def test_the_later_of_two_holders_has_the_pin_and_the_earlier_gets_it_back() -> None:
    book, early, late = PinBook(TrackerLimits()), Owner(1), Owner(2)
    held, _ = hold(book, early)
    assert hold(book, late) == (held, [made(2)])
    assert release(book, held, late) == [made(1)]
    assert release(book, held, early) == [RELEASED]


def test_a_former_holder_can_go_without_a_change() -> None:
    book, early, late = PinBook(TrackerLimits()), Owner(1), Owner(2)
    held, _ = hold(book, early)
    hold(book, late)
    assert release(book, held, early) == []
    assert release(book, held, late) == [RELEASED]


def test_who_claims_again_has_it_again() -> None:
    book, one, other = PinBook(TrackerLimits()), Owner(1), Owner(2)
    held, _ = hold(book, one)
    hold(book, other)
    assert hold(book, one) == (held, [made(1)])
    assert release(book, held, one) == [made(2)]
    assert release(book, held, other) == [RELEASED]


def test_of_many_holders_the_latest_that_is_left_has_the_pin() -> None:
    book, owners = PinBook(TrackerLimits()), [Owner(1 + number) for number in range(5)]
    for owner in owners:
        held, _ = hold(book, owner)
    hold(book, owners[1])
    assert list(held.former) == [owners[0], owners[2], owners[3], owners[4]]
    said = [event for number in (3, 1, 0, 4, 2) for event in release(book, held, owners[number])]
    assert said == [made(5), made(3), RELEASED]


def test_changes_are_said_once() -> None:
    book, owner, said = PinBook(TrackerLimits()), Owner(), list[Event]()
    held, first = hold(book, owner, provisional=True)
    assert first == [made(provisional=True)]
    for _ in range(2):
        book.confirm(held, 1.0, said)
        book.flag(held, PinFlag.UNREAD, 1.0, said)
    assert said == [made(), made(flags=PinFlag.UNREAD)]


def test_a_pin_never_becomes_provisional_again() -> None:
    book, owner = PinBook(TrackerLimits()), Owner()
    held, _ = hold(book, owner)
    assert hold(book, Owner(), provisional=True) == (held, [])
    assert book.provisional == 0


@pytest.mark.parametrize("end", ["confirm", "release"])
def test_the_provisional_budget_is_of_those_that_are_provisional_now(end: str) -> None:
    book, owner = PinBook(TrackerLimits(provisional_max=1)), Owner()
    held, _ = hold(book, owner, provisional=True)
    assert (book.exhausted(CLIENT, True), book.exhausted(CLIENT, False)) == ("provisional_max", None)
    if end == "confirm":
        book.confirm(held, 1.0, [])
    else:
        release(book, held, owner)
    assert book.exhausted(CLIENT, True) is None


def test_the_budget_of_all_pins_holds_for_every_pin() -> None:
    book = PinBook(TrackerLimits(pins_max=1))
    hold(book, Owner())
    assert (book.exhausted(CLIENT, True), book.exhausted(CLIENT, False)) == ("pins_max", "pins_max")


def test_progress_is_what_came_since_the_last_reading() -> None:
    held, _ = hold(PinBook(TrackerLimits()), Owner())
    assert held.progress(PinReading(packets=5, bytes=500, heard_at=1.0, delivered=9)) == (5, 500, 9)
    assert held.progress(PinReading(packets=7, bytes=900, heard_at=2.0, delivered=9)) == (2, 400, 0)
    anew = PinReading(packets=1, bytes=60, heard_at=3.0, delivered=2)
    assert held.progress(anew) == (1, 60, 2)  # the pin was made anew, and counts from nothing
