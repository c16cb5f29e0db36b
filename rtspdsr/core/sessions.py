"""All sessions: found by name or by the server's id, begun, moved between connections, and ended.

It is handed decisions (this client begins a session, that one is over) and keeps pins, placements, timers
and readings in step with them. Which request means what is not decided here.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, ValuesView
from itertools import islice

from rtspdsr.core.connection import Connection
from rtspdsr.core.events import CloseReason, Event, PinContested, SessionClosed
from rtspdsr.core.heard import ReadingQueue
from rtspdsr.core.limits import TrackerLimits
from rtspdsr.core.pinbook import HeldPin, PinBook
from rtspdsr.core.placement import Placement, Placements
from rtspdsr.core.session import Session, State
from rtspdsr.core.timers import Timers
from rtspdsr.model import Address, FlowKey, PinFlag, Proto

#: Of a client's sessions with neither connection nor id, so many of the latest are compared with a request.
_ORPHANS_COMPARED = 16

#: As a plain number: testing an enum's members takes longer than all else that is done for a segment here.
_UPSTREAM = int(PinFlag.UPSTREAM)

Sleeper = Connection | Session | Placement


class Books:
    """What everybody who begins or ends something keeps in step."""

    def __init__(self, limits: TrackerLimits) -> None:
        self.limits = limits
        self.pins = PinBook(limits)
        self.placements = Placements()
        self.timers: Timers[Sleeper] = Timers()
        self.readings = ReadingQueue(limits.read_every_s, limits.read_soon_s)

    def unbind(self, placement: Placement, backend_id: int, now: float, said: list[Event]) -> None:
        """End one bond of a client; after the last one its linger begins."""
        self.placements.unbind(placement, backend_id, now, said)
        if placement.released_at is not None:
            self.timers.wake(placement, now + self.limits.linger_s)


class Sessions(Mapping[str, Session]):
    """The sessions of all clients, by our name."""

    def __init__(self, books: Books, names: Iterator[str]) -> None:
        self._books = books
        self._names = names
        self._by_name: dict[str, Session] = {}
        self._by_id: dict[tuple[int, Address, int, str], Session] = {}
        self._owners: dict[tuple[int, str], Session] = {}
        self._on: dict[Connection, tuple[Session, ...]] = {}  # most have one
        self._orphans: dict[tuple[int, Address], dict[Session, None]] = {}

    def __getitem__(self, name: str) -> Session:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def values(self) -> ValuesView[Session]:
        """All of them, without the detour over their names that a ``Mapping`` makes."""
        return self._by_name.values()

    def on(self, connection: Connection) -> Collection[Session]:
        """Those that live on a connection, in the order in which they came there."""
        return self._on.get(connection, ())

    # --- finding -----------------------------------------------------------------------------------

    def named(self, connection: Connection, server_session: str) -> Session | None:
        """The session with this id, of this client at this backend. Another client's is never found."""
        flow = connection.flow
        return self._by_id.get((flow.service_id, flow.client, connection.backend_id, server_session))

    def of_another(self, connection: Connection, server_session: str) -> Session | None:
        """The session of another client that was the first to use this id."""
        owner = self._owners.get((connection.flow.service_id, server_session))
        return owner if owner is not None and owner.client != connection.flow.client else None

    def unnamed(self, connection: Connection, url: str) -> Session | None:
        """The session that an id heard for the first time belongs to."""
        candidates = [session for session in self.on(connection) if session.server_session is None]
        for session in candidates:
            if session.track(url) is not None:
                return session
        for session in candidates:
            if session.covers(url):
                return session
        for session in candidates:
            if session.is_beside(url):
                return session
        return candidates[0] if candidates else self._orphan(connection, url)

    def _orphan(self, connection: Connection, url: str) -> Session | None:
        """One whose connection was closed before its id was used: its client goes on with a new one."""
        orphans = self._orphans.get((connection.flow.service_id, connection.flow.client), {})
        for session in islice(reversed(orphans), _ORPHANS_COMPARED):
            if session.backend_id == connection.backend_id and (
                session.covers(url) or session.is_beside(url)
            ):
                return session
        return None

    def learn(self, session: Session, server_session: str) -> None:
        """The client has used the id that the server gave it."""
        self._disown(session)
        session.server_session = server_session
        self._by_id[self._id(session, server_session)] = session
        self._owners.setdefault((session.service_id, server_session), session)

    # --- beginning ---------------------------------------------------------------------------------

    def begin(self, connection: Connection, url: str, state: State, now: float, said: list[Event]) -> Session:
        """A client asks for a session."""
        session = Session(
            next(self._names),
            service_id=connection.flow.service_id,
            backend_id=connection.backend_id,
            client=connection.flow.client,
            client_port=connection.flow.client_port,
            url=url,
            user_agent=connection.user_agent,
            opened_at=now,
            syn_at=connection.opened_at,
            state=state,
        )
        session.proven = not connection.provisional
        self.enter(session, now, said)
        self.attach(session, connection)
        return session

    def enter(self, session: Session, now: float, said: list[Event]) -> None:
        """Have a session looked after."""
        self._by_name[session.name] = session
        session.placement = self._books.placements.bind(
            session.service_id, session.client, session.backend_id, now, said
        )
        self._books.readings.put(session, now, soon=True)

    def attach(self, session: Session, connection: Connection) -> None:
        """The session is heard on this connection from now on."""
        old = session.connection
        if old is connection:
            return
        if old is not None:
            self._leave(session, old)
            self._books.readings.put(old, old.heard_at, soon=False)
        self._disown(session)
        session.connection = connection
        session.client_port = connection.flow.client_port
        self._on[connection] = (*self.on(connection), session)
        self._note(connection)

    def detach(self, session: Session) -> None:
        """Its connection is gone, and the session goes on without."""
        if session.connection is not None:
            self._leave(session, session.connection)
        if session.server_session is None:
            self._orphans.setdefault((session.service_id, session.client), {})[session] = None

    def _leave(self, session: Session, connection: Connection) -> None:
        session.connection = None
        left = tuple(one for one in self._on[connection] if one is not session)
        if left:
            self._on[connection] = left
        else:
            del self._on[connection]
        self._note(connection)

    def _note(self, connection: Connection) -> None:
        """Tell a connection what it has to know of the sessions on it."""
        connection.recording = any(one.sending for one in self.on(connection))

    def settle(self, connection: Connection, now: float, said: list[Event]) -> None:
        """Make the connection's pin say how it is to be treated, now that something about it has changed."""
        pin = connection.pin
        if pin is None or connection.closed:
            return
        self._note(connection)
        if int(pin.flags) & _UPSTREAM and not connection.unread and not connection.upstream:
            connection.join()
        self._books.pins.flag(pin, connection.flags, now, said)
        if connection.unread and not pin.provisional and connection.placement is None:
            flow = connection.flow
            connection.placement = self._books.placements.bind(
                flow.service_id, flow.client, connection.backend_id, now, said
            )

    # --- pins --------------------------------------------------------------------------------------

    def pin(
        self, session: Session, ports: Iterable[int], now: float, said: list[Event]
    ) -> tuple[list[PinContested], str | None]:
        """Pin UDP ports of its client; tell whom they are taken from, and the limit that was reached."""
        pins, taken, limit = self._books.pins, dict[str, list[int]](), None
        for port in ports:
            flow = FlowKey(session.service_id, Proto.UDP, session.client, port)
            known = pins.get(flow)
            mine = known is not None and known in session.pins
            if not mine and len(session.pins) >= self._books.limits.pins_per_session:
                limit = "pins_per_session"
                break
            if known is None and (limit := pins.exhausted(session.client, not session.proven)):
                break
            if known is not None and (other := _deprived(known, session)) is not None:
                if not session.proven:
                    continue  # it may be forged, and has to wait until it is not
                taken.setdefault(other.name, []).append(port)
            held = pins.hold(flow, session, not session.proven, now, said)
            session.pins[held] = None
        contests = [
            PinContested(at=now, client_ports=tuple(lost), other=other, **session.where())
            for other, lost in taken.items()
        ]
        return contests, limit

    def confirm(self, session: Session, now: float, said: list[Event]) -> None:
        """Its client is proven alive: its pins are provisional no more; those that found no room are made."""
        session.proven = True
        for held in session.pins:
            self._books.pins.confirm(held, now, said)
        said += self.pin(session, session.unpinned(), now, said)[0]

    def fade(self, session: Session, now: float) -> None:
        """Let go, after a linger, of the ports that no track uses any more: the change may be refused."""
        if gone := session.unused():
            goes_at = now + self._books.limits.linger_s
            session.pins.update(dict.fromkeys(gone, goes_at))
            self._books.timers.wake(session, goes_at)

    def faded(self, session: Session, now: float, said: list[Event]) -> None:
        """Release the pins whose linger has passed; those that found no room before them are made."""
        gone = [held for held, goes_at in session.pins.items() if goes_at is not None and goes_at <= now]
        for held in gone:
            del session.pins[held]
            self._books.pins.release(held, session, now, said)
        if gone:
            said += self.pin(session, session.unpinned(), now, said)[0]

    # --- ending ------------------------------------------------------------------------------------

    def close(self, session: Session, reason: CloseReason, now: float) -> list[Event]:
        """The session is over: its pins go, and its client is free again after a linger."""
        if session.closed:
            return []
        session.closed = True
        closed_at = now if session.asked_at is None else session.asked_at
        connection = session.connection
        if reason is CloseReason.CONNECTION_CLOSED and connection is not None and connection.finished_at:
            closed_at = connection.finished_at
        said: list[Event] = [
            SessionClosed(at=now, reason=reason, **session.where()),
            session.summary(reason, closed_at, now),
        ]
        for held in session.pins:
            self._books.pins.release(held, session, now, said)
        session.pins.clear()
        self._forget(session)
        if connection is not None:
            self._leave(session, connection)
            self.settle(connection, now, said)
            self._books.readings.put(connection, now, soon=False)
        self._books.unbind(session.placement, session.backend_id, now, said)
        return said

    def _forget(self, session: Session) -> None:
        del self._by_name[session.name]
        self._disown(session)
        if session.server_session is not None:
            key = self._id(session, session.server_session)
            if self._by_id.get(key) is session:
                del self._by_id[key]
            owned = (session.service_id, session.server_session)
            if self._owners.get(owned) is session:
                del self._owners[owned]

    def _disown(self, session: Session) -> None:
        key = (session.service_id, session.client)
        orphans = self._orphans.get(key)
        if orphans is not None:
            orphans.pop(session, None)
            if not orphans:
                del self._orphans[key]

    @staticmethod
    def _id(session: Session, server_session: str) -> tuple[int, Address, int, str]:
        return (session.service_id, session.client, session.backend_id, server_session)


def _deprived(held: HeldPin, session: Session) -> Session | None:
    """The session that loses a pin to another; none if it has given it up, or is ending."""
    other = held.holder
    if not isinstance(other, Session) or other is session or other.state is State.ENDING:
        return None
    return other if other.pins.get(held) is None else None
