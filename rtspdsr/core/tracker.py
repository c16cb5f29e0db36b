"""The session tracker: follows every client's half of every conversation, and says what must be pinned.

It is handed segments, readings and the time, and gives back events: effects that have to be in force before
the segment goes on, and facts for the log. It touches neither the clock nor the forwarding core.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rtspdsr.core import record
from rtspdsr.core.connection import Connection
from rtspdsr.core.connections import Connections
from rtspdsr.core.delivery import Deliveries, reported
from rtspdsr.core.dialog import Dialog
from rtspdsr.core.events import CloseReason, Event
from rtspdsr.core.heard import Heard, LonePin
from rtspdsr.core.limits import TrackerLimits
from rtspdsr.core.placement import Placement
from rtspdsr.core.request import InterleavedFrame, Request
from rtspdsr.core.restoration import Restoration
from rtspdsr.core.session import Session, State
from rtspdsr.core.sessions import Books, Sessions
from rtspdsr.model import Address, FlowKey, Pin, PinReading, Segment, TcpFlag

__all__ = ["Tracker", "TrackerLimits"]

#: Wake-ups handled in one ``tick``: a few milliseconds of work each.
TICK_MAX = 200

#: Events said in one ``tick``, by a few: so many effects and facts are put in force in a few milliseconds.
EVENTS_MAX = 1_000


class Used(NamedTuple):
    """What of its limits a tracker uses, by their names."""

    provisional: int
    connections: int
    buffer_bytes: int


class Tracker:
    """All connections and sessions of all services.

    names:    yields names of sessions, each once
    sessions: those alive, by name
    deliveries: what each backend has delivered
    """

    def __init__(self, limits: TrackerLimits, names: Iterator[str]) -> None:
        self._books = Books(limits)
        self._sessions = Sessions(self._books, names)
        self._dialog = Dialog(self._books, self._sessions)
        self._connections = Connections(self._books, self._sessions)
        self.deliveries = Deliveries()
        self._asked: list[Heard] = []

    @property
    def limits(self) -> TrackerLimits:
        """The limits in force; new ones hold from their assignment on."""
        return self._books.limits

    @limits.setter
    def limits(self, limits: TrackerLimits) -> None:
        self._books.limits = self._books.pins.limits = limits

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The sessions that are alive, by name. To be read only."""
        return self._sessions

    def load(self, backend_id: int) -> int:
        """What a backend carries: sessions, and connections that may hold sessions and cannot be read."""
        return self._books.placements.load(backend_id)

    def used(self) -> Used:
        """What of its limits is used."""
        return Used(
            provisional=self._books.pins.provisional,
            connections=len(self._connections),
            buffer_bytes=self._connections.buffered,
        )

    def on(self, connection: Connection) -> Collection[Session]:
        """The sessions that live on a connection. To be read only."""
        return self._sessions.on(connection)

    # --- segments ------------------------------------------------------------------------------------

    def receive(self, segment: Segment, now: float) -> list[Event]:
        """Take in a segment or a notice."""
        said: list[Event] = []
        connection = self._connections.get(segment.flow)
        if not segment.payload:
            if TcpFlag.SYN in segment.flags:
                self._connections.hear_syn(segment, now, said)
                return said
            if connection is None:
                return said
        elif connection is not None and connection.is_reused_by(segment):
            self._connections.end(connection, now, said)
            connection = None
        if connection is None and (connection := self._connections.begin(segment, now, said)) is None:
            return said
        if connection.acknowledges(segment) and connection.provisional:
            self._confirm(connection, now, said)
        self._follow(connection, connection.receive(segment, now, said), now, said)
        return said

    def _confirm(self, connection: Connection, now: float, said: list[Event]) -> None:
        """Its client has acknowledged what the backend sent: it is no forgery."""
        if connection.pin is None:
            return
        self._books.pins.confirm(connection.pin, now, said)
        for session in self._sessions.on(connection):
            self._sessions.confirm(session, now, said)
        said += self._dialog.resume(connection, now)
        self._sessions.settle(connection, now, said)

    def _follow(
        self, connection: Connection, asked: list[Request | InterleavedFrame], now: float, said: list[Event]
    ) -> None:
        """Act on what was read, and keep the accounts of the connection."""
        for one in asked:
            said += self._dialog.receive(connection, one, now)
        self._connections.account(connection)
        if self._connections.buffered > self._books.limits.buffer_bytes:
            for relieved in self._connections.relieve(connection, now, said):
                self._sessions.settle(relieved, now, said)
        self._sessions.settle(connection, now, said)
        timer = connection.next_timer()
        if timer is not None and (connection.wake_at is None or timer < connection.wake_at):
            connection.wake_at = timer
            self._books.timers.wake(connection, timer)
        if connection.finished_at == now:
            for session in self._sessions.on(connection):
                session.quality.halt(now)  # until it is heard that somebody still waits for media
            self._books.timers.wake(connection, now + self._books.limits.linger_s)

    # --- time ----------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """When ``tick`` has something to do."""
        return self._books.timers.next_timer()

    def tick(self, now: float) -> list[Event]:
        """Let what is due happen; a part of it, if that is much."""
        said: list[Event] = []
        for _ in range(TICK_MAX):
            if len(said) >= EVENTS_MAX:
                break
            match self._books.timers.take(now):
                case None:
                    break
                case Connection() as connection if not connection.closed:
                    self._wake_connection(connection, now, said)
                case Session() as session if not session.closed:
                    self._wake_session(session, now, said)
                case Placement() as placement:
                    self._wake_placement(placement, now, said)
        return said

    def _wake_connection(self, connection: Connection, now: float, said: list[Event]) -> None:
        connection.wake_at = None
        self._follow(connection, connection.expire(now, said), now, said)
        limits = self._books.limits
        if connection.provisional and now >= connection.made_at + limits.provisional_s:
            for session in [one for one in self._sessions.on(connection) if not one.proven]:
                said += self._sessions.close(session, CloseReason.EXPIRED, now)
            self._connections.end(connection, now, said)
            return
        ends_at = connection.ends_at(limits.linger_s)
        if ends_at is not None and ends_at <= now:
            self._connections.end(connection, now, said)
        elif ends_at is not None:
            self._books.timers.wake(connection, ends_at)

    def _wake_session(self, session: Session, now: float, said: list[Event]) -> None:
        self._sessions.faded(session, now, said)
        if session.closes_at is not None and session.closes_at <= now:
            said += self._sessions.close(session, CloseReason.TEARDOWN, now)
        elif not session.flows() and now - session.heard_at >= self._books.limits.idle_s:
            said += self._sessions.close(session, CloseReason.EXPIRED, now)

    def _wake_placement(self, placement: Placement, now: float, said: list[Event]) -> None:
        since = placement.released_at
        if since is not None and now >= since + self._books.limits.linger_s:
            self._books.placements.release(placement, now, said)

    # --- readings ------------------------------------------------------------------------------------

    def due(self, now: float, limit: int) -> list[FlowKey]:
        """Flows whose readings are wanted now, whole sessions at a time; hand them to ``measure`` next."""
        flows: list[FlowKey] = []
        while len(flows) < limit and (heard := self._books.readings.take(now)) is not None:
            if type(heard) is Connection and self._sessions.on(heard):
                continue  # it is read with them
            wanted = heard.flows()
            if wanted:
                self._asked.append(heard)
                flows += wanted
            elif isinstance(heard, Session):  # nothing to read, so its silence is judged by the clock
                self._books.timers.wake(heard, now)
                self._books.readings.put(heard, now, soon=False)
        return flows

    def measure(self, readings: Mapping[FlowKey, PinReading], now: float) -> list[Event]:
        """Take in what ``due`` has asked for. Of a flow that is missing there is nothing new."""
        said: list[Event] = []
        asked, self._asked = self._asked or list(self._readers(readings)), []
        readings = self._take_uncounted(asked, readings, now)
        for heard in asked:
            match heard:
                case Session() if not heard.closed:
                    self._measure_session(heard, readings, now, said)
                case Connection() if not heard.closed:
                    self._measure_connection(heard, readings, now, said)
                case LonePin() if not heard.closed:
                    self._measure_lone(heard, readings, now, said)
        return said

    @staticmethod
    def _take_uncounted(
        asked: Iterable[Heard], readings: Mapping[FlowKey, PinReading], now: float
    ) -> Mapping[FlowKey, PinReading]:
        """Take for alive whatever nobody can tell of; give back the readings that tell something."""
        uncounted = {flow for flow, reading in readings.items() if not reading.counted}
        if not uncounted:
            return readings
        for heard in asked:
            if not uncounted.isdisjoint(heard.flows()):
                heard.hear(now)
        return {flow: reading for flow, reading in readings.items() if reading.counted}

    def _readers(self, readings: Iterable[FlowKey]) -> Iterable[Heard]:
        """Whom readings concern that were not asked for."""
        found: dict[Heard, None] = {}
        for flow in readings:
            held = self._books.pins.get(flow)
            match held.holder if held is not None else None:
                case Connection() as connection if sessions := self._sessions.on(connection):
                    found.update(dict.fromkeys(sessions))
                case Heard() as heard:
                    found[heard] = None
        return found

    def _measure_session(
        self, session: Session, readings: Mapping[FlowKey, PinReading], now: float, said: list[Event]
    ) -> None:
        connection, limits = session.connection, self._books.limits
        if connection is not None:
            self._read(connection, readings, now, said)
            session.hear(connection.heard_at)
        news = [(held, readings[held.flow]) for held in session.pins if held.flow in readings]
        if news:
            before = reported(session.quality)
            for held, reading in news:
                session.read(held, reading)
            self.deliveries.of(session.backend_id).report(before, session.quality)
        said += session.judge(now, limits.stall_s)
        if now - session.heard_at >= limits.idle_s:
            said += self._sessions.close(session, CloseReason.EXPIRED, now)
            if connection is not None and not self._sessions.on(connection):
                self._connections.end_if_idle(connection, now, said)
            return
        soon = session.is_read_soon(now) or (connection is not None and connection.provisional)
        self._books.readings.put(session, now, soon)

    def _measure_connection(
        self, connection: Connection, readings: Mapping[FlowKey, PinReading], now: float, said: list[Event]
    ) -> None:
        self._read(connection, readings, now, said)
        self._connections.end_if_idle(connection, now, said)
        self._books.readings.put(connection, now, connection.provisional)

    def _read(
        self, connection: Connection, readings: Mapping[FlowKey, PinReading], now: float, said: list[Event]
    ) -> None:
        if (reading := readings.get(connection.flow)) is not None:
            grown, answers = connection.read(reading)
            self.deliveries.of(connection.backend_id).acknowledged_bytes += grown[2]
            for session in self._sessions.on(connection):
                session.read_control(grown, answers, reading.heard_at)
            if connection.provisional and reading.delivered > 0:
                self._confirm(connection, now, said)
        if connection.counted:  # a silent stream gives up its history
            asked = connection.expire(now, said)
            if asked or connection.buffered != connection.counted:
                self._follow(connection, asked, now, said)

    def _measure_lone(
        self, lone: LonePin, readings: Mapping[FlowKey, PinReading], now: float, said: list[Event]
    ) -> None:
        limits, held = self._books.limits, lone.held
        if (reading := readings.get(held.flow)) is not None:
            lone.hear(reading.heard_at)
            if held.provisional and reading.delivered > 0:
                self._books.pins.confirm(held, now, said)
                self._connections.bind_lone(lone, now, said)
        forged = held.provisional and now - lone.made_at >= limits.provisional_s
        if forged or now - lone.heard_at >= limits.idle_s:
            self._connections.end_lone(lone, now, said)
        self._books.readings.put(lone, now, held.provisional)

    # --- endings -------------------------------------------------------------------------------------

    def close(self, session: str, reason: CloseReason, now: float) -> list[Event]:
        """End a session; its connection too, if it has no other."""
        known = self._sessions.get(session)
        if known is None:
            return []
        connection = known.connection
        said = self._sessions.close(known, reason, now)
        if connection is not None and not self._sessions.on(connection):
            self._connections.end(connection, now, said)
        return said

    def bound(self) -> list[Heard]:
        """Whatever binds a client to a backend: connections, sessions without one, and lone pins."""
        alone = (one for one in self._sessions.values() if one.connection is None)
        return [*self._connections, *alone, *self._connections.lone]

    def release(self, heard: Heard, reason: CloseReason, now: float) -> list[Event]:
        """End one of those, and all sessions on it; its client is placed anew as soon as nothing binds it."""
        said: list[Event] = []
        if isinstance(heard, Connection):
            for session in list(self._sessions.on(heard)):
                self._end_heard(session, reason, now, said)
        if not heard.closed:
            self._end_heard(heard, reason, now, said)
        return said

    def let_go(self, service_id: int, client: Address, now: float) -> list[Event]:
        """Have a client placed anew at once, without its linger, if nothing binds it any more."""
        said: list[Event] = []
        self._books.placements.let_go(service_id, client, now, said)
        return said

    def let_leave(self, session: str, now: float) -> list[Event]:
        """Have a client whose only session is being torn down placed anew at once, unless it goes on."""
        said: list[Event] = []
        known = self._sessions.get(session)
        if known is not None and known.state is State.ENDING:
            self._books.placements.leave(known.placement, now, said)
        return said

    def _end_heard(self, heard: Heard, reason: CloseReason, now: float, said: list[Event]) -> None:
        """End something whose backend is gone or closed. Its client is free at once, to be placed anew."""
        placement: Placement | None = None
        match heard:
            case Session():
                placement = heard.placement
                said += self._sessions.close(heard, reason, now)
            case Connection():
                placement = heard.placement
                self._connections.end(heard, now, said)
            case LonePin():
                placement = heard.placement
                self._connections.end_lone(heard, now, said)
        if placement is not None:
            self._books.placements.release(placement, now, said)

    # --- restarts ------------------------------------------------------------------------------------

    def snapshot(self, session: str) -> dict[str, Any]:
        """The record of a session, ready for JSON, from which ``restore`` makes it again."""
        return record.snapshot(self._sessions[session])

    def restore(
        self, records: Mapping[str, Mapping[str, Any]], pins: Iterable[Pin], now: float
    ) -> list[Event]:
        """Go on where an earlier tracker has ended: with its records and the pins that stand.

        Clients that nothing is left of are not known here: whoever is placed and not said to be is free.
        """
        restoration = Restoration(self._books, self._sessions, self._connections, now)
        restoration.restore(records, pins)
        return restoration.said
