"""What a client's requests mean for its sessions.

It is handed one request on one connection, finds or begins the session that it is about, and gives back
what follows from it, the pins first. The server's answers are never seen: whatever was asked for is taken as
granted until the client shows that it was not.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from sys import intern

from rtspdsr.core.connection import OVERTURE_MAX, Connection
from rtspdsr.core.events import (
    DestinationRefused,
    Event,
    SessionAdopted,
    SessionClaimed,
    SessionMovedToTcp,
    SessionOpened,
    TrackPinned,
)
from rtspdsr.core.request import InterleavedFrame, Request
from rtspdsr.core.rtcp import first_report
from rtspdsr.core.session import Method, Session, State, Track, is_within
from rtspdsr.core.sessions import Books, Sessions
from rtspdsr.core.transport import TransportSpec, parse_transport
from rtspdsr.model import Address

#: Requests that only make sense within a session: one with an unknown id was begun where nobody listened.
_WITHIN_SESSION = frozenset({"PLAY", "PAUSE", "RECORD", "GET_PARAMETER", "SET_PARAMETER"})

#: Requests that servers relate to the only session of a connection if they carry no id.
_OF_ONLY_SESSION = frozenset[str]({Method.PLAY, Method.PAUSE, Method.RECORD, Method.TEARDOWN})


#: Claims on sessions of others are told at most this often, seconds.
_CLAIMS_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a SETUP offers, over all its alternatives."""

    transport: str
    ports: tuple[int, ...]
    channels: tuple[int, ...]
    destinations: tuple[str, ...]

    @classmethod
    def of(cls, specs: list[TransportSpec]) -> "_Offer":
        first = specs[0]
        return cls(
            "multicast" if first.multicast else first.lower,
            tuple(dict.fromkeys(port for spec in specs for port in spec.client_ports)),
            next((spec.channels for spec in specs if spec.channels), ()),
            tuple(dict.fromkeys(host for spec in specs for host in spec.destinations)),
        )

    def repeats(self, track: Track) -> bool:
        """Whether this asks for the same again, or for another transport after a refusal.

        A second session on the same track has ports or channels of its own.
        """
        moved = track.transport != self.transport
        return moved or (track.client_ports, track.channels) == (self.ports, self.channels)


class Dialog:
    """The reading of requests."""

    def __init__(self, books: Books, sessions: Sessions) -> None:
        self._books = books
        self._sessions = sessions
        self._claims = 0
        self._claims_told_at = float("-inf")

    def receive(self, connection: Connection, asked: Request | InterleavedFrame, now: float) -> list[Event]:
        """Take in what a client has sent."""
        if isinstance(asked, InterleavedFrame):
            self._hear_frame(connection, asked, now)
            return []
        url = intern(asked.shown_url)  # many clients play one presentation
        again = connection.note(asked, url, now)
        if connection.provisional and self._concerns_another(connection, asked, url):
            connection.put_off(asked)
            return again
        return self._act(connection, asked, url, bool(again), now) + again

    def _concerns_another(self, connection: Connection, request: Request, url: str) -> bool:
        """Whether a request is about a session of another connection, and so may be forged."""
        session = self._find(connection, request, url)
        return session is not None and session.connection is not connection

    def resume(self, connection: Connection, now: float) -> list[Event]:
        """Act on what was put off, now that the client is proven."""
        request = connection.take_up()
        if request is None:
            return []
        return self._act(connection, request, intern(request.shown_url), False, now)

    def _act(
        self, connection: Connection, request: Request, url: str, authorized: bool, now: float
    ) -> list[Event]:
        if request.method == Method.SETUP:
            return self._set_up(connection, request, url, authorized, now)
        return self._ask(connection, request, url, now)

    def _hear_frame(self, connection: Connection, frame: InterleavedFrame, now: float) -> None:
        """A receiver report within the connection is as good as one over UDP."""
        report = first_report(frame.payload)
        if report is None:
            return
        for session in self._sessions.on(connection):
            if session.has_channel(frame.channel):
                session.quality.report(frame.channel, report, now)
                return

    # --- within a session ----------------------------------------------------------------------------

    def _ask(self, connection: Connection, request: Request, url: str, now: float) -> list[Event]:
        said: list[Event] = []
        session = self._session_of(connection, request, url)
        if session is None:
            if (other := self._sessions.of_another(connection, request.session or "")) is not None:
                return self._claimed(connection, request, other, now)
            if request.session is None or request.method not in _WITHIN_SESSION:
                connection.overture = (*connection.overture, (request.method, url, now))[-OVERTURE_MAX:]
                return said
            session = self._adopt(connection, url, request.session, now, said)
            if session is None:
                return said
        self._move(session, connection, now, said)
        session.story.ask(request.method, url, now)
        if request.method == Method.TEARDOWN and self._ends_one_track(session, url, now):
            return said
        if session.covers(url) and request.method in (Method.PLAY, Method.RECORD):
            session.url = url
        said += self._receive(session, request.method, now)
        if session.state is State.ENDING and session.closes_at is None:
            session.closes_at = now + self._books.limits.linger_s
            self._books.timers.wake(session, session.closes_at)
        return said

    def _receive(self, session: Session, method: str, now: float) -> list[Event]:
        """Have a session take in a request. If it was ending, and goes on, its client stays where it is."""
        was, said = session.state, session.receive(method, now)
        if was is State.ENDING and session.state is not State.ENDING:
            self._books.placements.stay(session.placement, now, said)
        return said

    def _session_of(self, connection: Connection, request: Request, url: str) -> Session | None:
        """The session that a request is about, as far as it was begun where we listened."""
        session, server_session = self._find(connection, request, url), request.session
        if session is not None and session.server_session is None and server_session is not None:
            self._sessions.learn(session, server_session)
        return session

    def _find(self, connection: Connection, request: Request, url: str) -> Session | None:
        if (server_session := request.session) is not None:
            known = self._sessions.named(connection, server_session)
            return known if known is not None else self._sessions.unnamed(connection, url)
        alone = request.method in _OF_ONLY_SESSION and len(self._sessions.on(connection)) == 1
        return next(iter(self._sessions.on(connection))) if alone else None

    def _adopt(
        self, connection: Connection, url: str, server_session: str, now: float, said: list[Event]
    ) -> Session | None:
        """Begin to follow a session that was begun where nobody listened."""
        if (limit := self._crowded(connection)) is not None:
            said += self._overflow(connection, limit, now)
            return None
        session = self._sessions.begin(connection, url, State.READY, now, said)
        self._sessions.learn(session, server_session)
        session.syn_at = None
        said.append(SessionAdopted(at=now, url=url, **session.where()))
        return session

    def _claimed(self, connection: Connection, request: Request, other: Session, now: float) -> list[Event]:
        """Tell of a request that names a session of another client; nothing follows from it."""
        self._claims += 1
        if now - self._claims_told_at < _CLAIMS_EVERY_S:
            return []
        claims, self._claims, self._claims_told_at = self._claims, 0, now
        return [
            SessionClaimed(
                at=now, method=request.method, other=other.name, claims=claims, **connection.where()
            )
        ]

    def _move(self, session: Session, connection: Connection, now: float, said: list[Event]) -> None:
        """A session is heard on its latest connection, unless its media comes in the one it has."""
        old = session.connection
        if old is connection or (old is not None and old.finished_at is None and session.interleaved):
            return
        if len(self._sessions.on(connection)) >= self._books.limits.sessions_per_connection:
            return  # whatever is counted for a connection is passed on to all of them
        self._sessions.attach(session, connection)
        if not connection.provisional:
            self._sessions.confirm(session, now, said)

    def _ends_one_track(self, session: Session, url: str, now: float) -> bool:
        """Whether a TEARDOWN is of one track of several; if so that track ends."""
        track = session.track(url)
        if track is None or sum(track.live for track in session.tracks) < 2 or not track.live:
            return False
        track.live = False
        session.hear(now)
        self._sessions.fade(session, now)
        return True

    # --- SETUP ---------------------------------------------------------------------------------------

    def _set_up(
        self, connection: Connection, request: Request, url: str, authorized: bool, now: float
    ) -> list[Event]:
        """Pin what a SETUP offers before its backend sees it."""
        specs, problems = parse_transport(request.headers.all("transport"))
        facts: list[Event] = []
        for problem in problems:
            facts += connection.malformed(problem, now)
        if not specs:
            return facts or connection.malformed("SETUP without Transport", now)
        offer, said = _Offer.of(specs), list[Event]()
        session = self._session_for(connection, request, url, offer, authorized)
        if session is None:
            if (limit := self._crowded(connection)) is not None:
                return facts + self._overflow(connection, limit, now)
            other = self._sessions.of_another(connection, request.session or "")
            if other is not None:
                facts += self._claimed(connection, request, other, now)
            session, begun = self._begin(connection, request, url, now, said)
            facts.append(begun)
        else:
            self._move(session, connection, now, said)
        session.story.ask(request.method, url, now)
        if session.track(url) is None and len(session.tracks) >= self._books.limits.tracks_per_session:
            return said + facts + self._overflow(connection, "tracks_per_session", now)
        facts += self._receive(session, request.method, now)
        facts += self._retrack(session, url, offer, now, said)
        facts += self._refused_destinations(session, offer, connection.flow.client, now)
        return said + facts

    def _session_for(
        self, connection: Connection, request: Request, url: str, offer: _Offer, authorized: bool
    ) -> Session | None:
        """The session that a SETUP adds to; None if it begins one."""
        if request.session is not None:
            return self._session_of(connection, request, url)
        for session in self._sessions.on(connection):
            if session.server_session is None and self._goes_on(connection, session, url, offer, authorized):
                return session
        return None

    @staticmethod
    def _goes_on(connection: Connection, session: Session, url: str, offer: _Offer, authorized: bool) -> bool:
        """Whether a SETUP that names no session goes on where the last one was refused.

        It asks for the same track again, in another way, or for another track of what was described: had the
        first been granted, the client would name the session that it was given.
        """
        track = session.track(url)
        if track is not None:
            return authorized or offer.repeats(track)
        described = connection.described_url
        return described is not None and session.url == described and is_within(url, described)

    def _begin(
        self, connection: Connection, request: Request, url: str, now: float, said: list[Event]
    ) -> tuple[Session, Event]:
        described = connection.described_url
        shown = described if described is not None and is_within(url, described) else url
        session = self._sessions.begin(connection, shown, State.INIT, now, said)
        for method, asked_url, at in connection.overture:
            session.story.ask(method, asked_url, at)
        connection.overture = ()
        if request.session is None:
            opened = SessionOpened(at=now, url=shown, user_agent=session.user_agent, **session.where())
            return session, opened
        self._sessions.learn(session, request.session)
        session.syn_at = None
        return session, SessionAdopted(at=now, url=shown, **session.where())

    def _retrack(
        self, session: Session, url: str, offer: _Offer, now: float, said: list[Event]
    ) -> list[Event]:
        """Pin the ports of a track, let go of those it had. Effects go to ``said``, before the facts."""
        contests, limit = self._sessions.pin(session, offer.ports, now, said)
        facts: list[Event] = [*contests]
        if limit is not None and session.connection is not None:
            facts += session.connection.overflow(limit, now)
        new = Track(url, offer.transport, offer.ports, offer.channels)
        was_interleaved, old = session.interleaved, session.track(url)
        if old is None:
            session.tracks.append(new)
        else:
            session.tracks[session.tracks.index(old)] = new
            self._sessions.fade(session, now)
            if (old.transport, new.transport, was_interleaved) == ("udp", "tcp", False):
                facts.append(SessionMovedToTcp(at=now, **session.where()))
        facts.append(
            TrackPinned(
                at=now,
                url=url,
                transport=new.transport,
                client_ports=new.client_ports,
                channels=new.channels,
                **session.where(),
            )
        )
        return facts

    @staticmethod
    def _refused_destinations(session: Session, offer: _Offer, client: Address, now: float) -> list[Event]:
        """Media goes to the client's own address; any other is told, and never followed (design rule 4)."""
        return [
            DestinationRefused(at=now, destination=host, **session.where())
            for host in offer.destinations
            if not _is_address(host, client)
        ]

    # --- limits --------------------------------------------------------------------------------------

    def _crowded(self, connection: Connection) -> str | None:
        """The limit that leaves no room for one more session."""
        limits = self._books.limits
        if len(self._sessions) >= limits.connections_max:
            return "connections_max"
        if len(self._sessions.on(connection)) >= limits.sessions_per_connection:
            return "sessions_per_connection"
        return None

    @staticmethod
    def _overflow(connection: Connection, limit: str, now: float) -> list[Event]:
        connection.give_up_reading()
        return connection.overflow(limit, now)


def _is_address(host: str, client: Address) -> bool:
    """Whether a host in a Transport header is the client itself; a name cannot be told, and is not."""
    try:
        return ip_address(host.strip("[]")) == client
    except ValueError:
        return False
