"""All control connections, by flow: begun with their first segment, and ended.

It is handed first segments and decisions, and keeps pins, placements, timers and readings in step with them;
when there is no room it says so. What is said on a connection is not its business.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from rtspdsr.core.connection import Connection
from rtspdsr.core.events import CloseReason, Event, TrackerFull
from rtspdsr.core.heard import LonePin
from rtspdsr.core.sessions import Books, Sessions
from rtspdsr.core.source import source_of
from rtspdsr.model import FlowKey, PinFlag, Segment

#: Connections that could not be followed are told at most this often, seconds.
TELL_EVERY_S = 1.0

#: Connections that make room at one time when memory is short: a fraction of a millisecond of work.
RELIEF_MAX = 100


class Connections:
    """The connections that are followed.

    lone:     pins of those that are not, in the order in which they became known
    buffered: bytes of memory that all of them hold
    """

    def __init__(self, books: Books, sessions: Sessions) -> None:
        self._books = books
        self._sessions = sessions
        self._by_flow: dict[FlowKey, Connection] = {}
        self._of_source: Counter[int] = Counter()
        self._unfinished: dict[Connection, None] = {}
        self._told: dict[str, float] = {}
        self.lone: dict[LonePin, None] = {}
        self.buffered = 0

    def __len__(self) -> int:
        return len(self._by_flow)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._by_flow.values())

    def get(self, flow: FlowKey) -> Connection | None:
        """The connection of a flow, if it is followed."""
        return self._by_flow.get(flow)

    def enter(self, connection: Connection) -> None:
        """Follow a connection that has its pin."""
        self._by_flow[connection.flow] = connection
        self._of_source[source_of(connection.flow.client)] += 1

    def account(self, connection: Connection) -> None:
        """Book the memory that a connection holds now, and since when some of it waits for more."""
        buffered = connection.buffered
        self.buffered += buffered - connection.counted
        connection.counted = buffered
        if not connection.unfinished:
            self._unfinished.pop(connection, None)
        elif connection not in self._unfinished:
            self._unfinished[connection] = None

    def relieve(self, speaker: Connection, now: float, said: list[Event]) -> list[Connection]:
        """Give up reading where that is due, now that memory is short; give back the connections concerned.

        Those whose requests have waited longest for their end go first: a client that means what it says has
        sent all of it in a moment. If there is none, it is the one that has just spoken.
        """
        given_up: list[Connection] = []
        for connection in list(islice(self._unfinished, RELIEF_MAX)) or [speaker]:
            if self.buffered <= self._books.limits.buffer_bytes:
                break
            connection.give_up_reading()
            self.account(connection)
            self._tell_full(connection, "buffer_mib", now, said)
            given_up.append(connection)
        return given_up

    # --- beginning ---------------------------------------------------------------------------------

    def begin(self, segment: Segment, now: float, said: list[Event]) -> Connection | None:
        """Pin a connection with its first segment, and follow it if there is room."""
        books, limits = self._books, self._books.limits
        known = books.pins.get(segment.flow)
        if self._of_source[source_of(segment.flow.client)] >= limits.client_connections_max:
            self._tell_full(segment, "client_connections_max", now, said)
            return None
        if known is None and (limit := books.pins.exhausted(segment.flow.client, provisional=True)):
            self._tell_full(segment, limit, now, said)
            return None
        if len(self._by_flow) >= limits.connections_max:
            self._tell_full(segment, "connections_max", now, said)
            if known is None:
                self._pin_unread(segment, now, said)
            return None
        connection = Connection.begun_by(segment, limits, now)
        connection.pin = books.pins.hold(segment.flow, connection, True, now, said)
        if known is None:
            connection.pin.handed_over(len(segment.frame))
        elif isinstance(lone := next(iter(known.former), None), LonePin):
            self.end_lone(lone, now, said)
        self.enter(connection)
        books.readings.put(connection, now, soon=True)
        books.timers.wake(connection, now + limits.provisional_s)
        return connection

    def _pin_unread(self, segment: Segment, now: float, said: list[Event]) -> None:
        """Hold a flow to its backend without following it."""
        lone = LonePin(segment.backend_id, now)
        lone.held = self._books.pins.hold(segment.flow, lone, True, now, said, PinFlag.UNREAD)
        self.enter_lone(lone, now)

    def _tell_full(self, segment: Segment | Connection, limit: str, now: float, said: list[Event]) -> None:
        """There may be many such connections: once a second one of them is told."""
        if now - self._told.get(limit, -TELL_EVERY_S) < TELL_EVERY_S:
            return
        self._told[limit] = now
        flow = segment.flow
        said.append(
            TrackerFull(
                at=now,
                service_id=flow.service_id,
                backend_id=segment.backend_id,
                client=flow.client,
                client_port=flow.client_port,
                limit=limit,
            )
        )

    def enter_lone(self, lone: LonePin, now: float) -> None:
        """Wait a lone pin out."""
        self.lone[lone] = None
        self._books.readings.put(lone, now, soon=lone.held.provisional)

    def bind_lone(self, lone: LonePin, now: float, said: list[Event]) -> None:
        """Place the client of a lone pin: it may have sessions that nobody knows of."""
        flow = lone.held.flow
        lone.placement = self._books.placements.bind(flow.service_id, flow.client, lone.backend_id, now, said)

    # --- ending ------------------------------------------------------------------------------------

    def hear_syn(self, segment: Segment, now: float, said: list[Event]) -> None:
        """Let a new connection be read whose port belonged to one that was not."""
        connection = self._by_flow.get(segment.flow)
        if connection is not None:
            if connection.unread and connection.initial != segment.sequence:
                self.end(connection, now, said)
            return
        held = self._books.pins.get(segment.flow)
        if held is not None and isinstance(lone := held.holder, LonePin) and held.flags & PinFlag.UNREAD:
            self.end_lone(lone, now, said)

    def end(self, connection: Connection, now: float, said: list[Event]) -> None:
        """A connection is over; of its sessions those that need it, too."""
        del self._by_flow[connection.flow]
        self._unfinished.pop(connection, None)
        source = source_of(connection.flow.client)
        self._of_source[source] -= 1
        if not self._of_source[source]:
            del self._of_source[source]
        connection.closed = True
        self.buffered -= connection.counted
        for session in list(self._sessions.on(connection)):
            if session.closes_at is not None:
                said += self._sessions.close(session, CloseReason.TEARDOWN, now)
            elif session.needs_connection:
                said += self._sessions.close(session, CloseReason.CONNECTION_CLOSED, now)
            else:
                self._sessions.detach(session)
        if connection.pin is not None:
            self._books.pins.release(connection.pin, connection, now, said)
        if connection.placement is not None:
            self._books.unbind(connection.placement, connection.backend_id, now, said)

    def end_if_idle(self, connection: Connection, now: float, said: list[Event]) -> None:
        """End a connection that was not heard for too long."""
        if not connection.closed and now - connection.heard_at >= self._books.limits.idle_s:
            self.end(connection, now, said)

    def end_lone(self, lone: LonePin, now: float, said: list[Event]) -> None:
        """A lone pin is over."""
        lone.closed = True
        del self.lone[lone]
        self._books.pins.release(lone.held, lone, now, said)
        if lone.placement is not None:
            self._books.unbind(lone.placement, lone.backend_id, now, said)
