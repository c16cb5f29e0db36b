"""What an earlier tracker has left, taken up again: its records, and the pins that stand.

It is handed both once, at the start, and enters what they tell into the books: sessions that go on where
they were, with their connections joined at the next request, and lone pins that no record explains.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from rtspdsr.core import record
from rtspdsr.core.connection import Connection
from rtspdsr.core.connections import Connections
from rtspdsr.core.events import Event, SessionAdopted
from rtspdsr.core.heard import LonePin
from rtspdsr.core.pinbook import HeldPin
from rtspdsr.core.record import KnownConnection, KnownFlow, Record
from rtspdsr.core.session import Session
from rtspdsr.core.sessions import Books, Sessions
from rtspdsr.model import FlowKey, Pin, PinFlag


class Restoration:
    """One restart. ``said`` is what follows from it."""

    def __init__(self, books: Books, sessions: Sessions, connections: Connections, now: float) -> None:
        self._books, self._sessions, self._connections, self._now = books, sessions, connections, now
        self._standing: dict[FlowKey, Pin] = {}
        self.said: list[Event] = []

    def restore(self, records: Mapping[str, Mapping[str, Any]], pins: Iterable[Pin]) -> None:
        """Enter all of it. A record of another version is passed over; its pins are waited out."""
        self._standing = {pin.flow: pin for pin in pins}
        for name, one in records.items():
            if (known := record.read(name, one, self._now)) is not None:
                self._enter(known)
        for pin in self._standing.values():
            lone = LonePin(pin.backend_id, self._now)
            lone.held = self._books.pins.adopt(pin, lone)
            self._connections.bind_lone(lone, self._now, self.said)
            self._connections.enter_lone(lone, self._now)

    def _enter(self, known: Record) -> None:
        session, now = known.session, self._now
        self._sessions.enter(session, now, self.said)
        if session.server_session is not None:
            self._sessions.learn(session, session.server_session)
        for one in known.pins:
            session.pins[self._pin(one, session)] = None
        self._sessions.fade(session, now)
        if known.connection is None:
            self._sessions.detach(session)
        else:
            connection = self._connection(known.connection, session)
            self._sessions.attach(session, connection)
            self._sessions.settle(connection, now, self.said)
        if session.closes_at is not None:
            self._books.timers.wake(session, session.closes_at)
        self.said.append(SessionAdopted(at=now, url=session.url, **session.where()))

    def _connection(self, known: KnownConnection, session: Session) -> Connection:
        """The control connection; sessions that name the same flow share it."""
        flow = known.control.flow
        if (connection := self._connections.get(flow)) is not None:
            return connection
        connection = Connection(
            flow,
            session.backend_id,
            self._books.limits,
            self._now,
            initial=known.initial,
            opened_at=known.opened_at,
        )
        connection.join()
        connection.pin = self._pin(known.control, connection)
        if connection.pin.flags & PinFlag.UNREAD:
            connection.give_up_reading()
        self._connections.enter(connection)
        return connection

    def _pin(self, known: KnownFlow, holder: Connection | Session) -> HeldPin:
        """A pin of the record: as it stands, or made anew if it is gone."""
        pins = self._books.pins
        if (pin := self._standing.pop(known.flow, None)) is not None:
            held = pins.adopt(pin, holder)
        else:
            held = pins.hold(known.flow, holder, False, self._now, self.said)
        known.count_on(held)
        return held
