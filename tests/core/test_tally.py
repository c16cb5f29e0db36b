"""Counts of what happened."""

from rtspdsr.core.events import CloseReason, SessionClosed, SessionOpened
from rtspdsr.core.tally import Tally
from tests.core.builders import Control, World, play_udp


def test_a_number_that_another_backend_may_have_is_counted_anew() -> None:
    world, control, tally = World(), Control(), Tally()
    world.feed(*play_udp(control), control.ask("TEARDOWN", Session="abc"))
    world.wait(20)
    for event in world.log:
        tally.note(event)
    tally.forget(control.backend_id)
    assert not tally.opened
    assert not tally.closed
    assert tally.events[SessionClosed] == 1
    tally.forget(control.backend_id)


def test_sessions_are_counted_by_backend_and_how_they_ended() -> None:
    world, control, tally = World(), Control(), Tally()
    world.feed(*play_udp(control), control.ask("TEARDOWN", Session="abc"))
    world.wait(20)
    for event in world.log:
        tally.note(event)
    (opened,) = (one for one in world.log if isinstance(one, SessionOpened))
    assert tally.opened == {opened.backend_id: 1}
    assert tally.closed == {(opened.backend_id, CloseReason.TEARDOWN): 1}
    assert tally.events[SessionClosed] == 1
    assert "PinMade" not in {kind.__name__ for kind in tally.events}
