"""What happened to each session: what it asked for, what came of it, and how its media arrived.

It is handed requests, events and measurements, and keeps them as long as the session lives, and of the
sessions that ended last for a while after. All of it is bounded, in entries and in octets: a session keeps
its beginning and what came last, and what repeats is counted.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from sys import getsizeof
from typing import Protocol

from rtspdsr.core.course import Course
from rtspdsr.core.events import (
    BackendDown,
    CloseReason,
    ConnectionEvent,
    ConnectionReset,
    Event,
    RequestInferred,
    SessionClosed,
    SessionEnding,
    SessionEvent,
    SessionOpened,
    SessionPaused,
    SessionPlaying,
    SessionRecording,
    SessionStalled,
    SessionSummary,
)
from rtspdsr.model import Address

#: Entries of one story: its beginning (a SETUP of each track, PLAY), and what came last. A player makes ten.
FIRST_KEPT, LAST_KEPT = 16, 16

#: Octets of either part. A player's entries take some 150 each; one whose URLs are as long as they may be has
#: room for three in each part.
PART_OCTETS_MAX = 4096

#: Ended sessions whose stories are kept: an hour of a service with one and a half sessions a second. A story
#: takes 1 to 2 KiB, so all of them 10 MiB; with long URLs fewer are kept. The session log has the others.
ENDED_MAX = 5_000
ENDED_OCTETS_MAX = 16 << 20

#: Octets of an entry without its texts, and of a story without its entries (measured).
_ENTRY_OCTETS, _STORY_OCTETS = 100, 500

#: Failures that are kept: what an operator looks at after a bad minute.
FAILURES_MAX = 100

#: Names that a prefix is searched for at most.
FOUND_MAX = 10

#: Told by the request that caused them.
_MIRRORED = (SessionOpened, SessionPlaying, SessionRecording, SessionPaused, SessionEnding)

#: Ends that nobody has to look into.
_GOOD_ENDS = (CloseReason.TEARDOWN, CloseReason.CONNECTION_CLOSED, CloseReason.DRAINED)


@dataclass(slots=True)
class Asked:
    """A request, and how often it came again with nothing in between.

    at, last_at: of the first and of the last, monotonic clock, seconds
    """

    at: float
    method: str
    url: str
    last_at: float
    times: int = 1


Entry = Asked | Event

#: A control connection, as events name it.
Place = tuple[int, Address, int]


class Story:
    """The story of one session.

    course:  how its media arrived
    omitted: entries in the middle that were given up
    summary: the account of a session that has ended
    """

    __slots__ = ("_first", "_last", "_octets", "course", "omitted", "summary")

    def __init__(self, course: Course) -> None:
        self.course = course
        self.omitted = 0
        self.summary: SessionSummary | None = None
        self._first: list[Entry] = []
        self._last: deque[Entry] | None = None
        self._octets = 0  # of the part that grows

    @property
    def beginning(self) -> int:
        """How many of its entries lie before those that were given up."""
        return len(self._first)

    @property
    def octets(self) -> int:
        """About what it takes."""
        known = () if self.summary is None else (self.summary,)
        return _STORY_OCTETS + self.course.octets + sum(map(_octets, (*self.entries(), *known)))

    def ask(self, method: str, url: str, at: float) -> None:
        """The client has sent a request."""
        last = self._last[-1] if self._last else self._first[-1] if self._first else None
        if isinstance(last, Asked) and (last.method, last.url) == (method, url):
            last.last_at = at
            last.times += 1
        else:
            self._add(Asked(at, method, url, at))

    def note(self, event: Event) -> None:
        """Something was said of it."""
        if isinstance(event, SessionSummary):
            self.summary = event
        elif not isinstance(event, _MIRRORED):
            self._add(event)

    def entries(self) -> Iterator[Entry]:
        """All that is kept, in its order; ``omitted`` ones are missing behind the ``beginning``."""
        yield from self._first
        yield from self._last or ()

    def _add(self, entry: Entry) -> None:
        octets = _octets(entry)
        if self._last is None:
            if not self._first or self._has_room(len(self._first) + 1, FIRST_KEPT, octets):
                self._first.append(entry)
                self._octets += octets
                return
            self._last, self._octets = deque(), 0
        self._last.append(entry)
        while len(self._last) > 1 and not self._has_room(len(self._last), LAST_KEPT, octets):
            self._octets -= _octets(self._last.popleft())
            self.omitted += 1
        self._octets += octets

    def _has_room(self, entries: int, entries_max: int, octets: int) -> bool:
        return entries <= entries_max and self._octets + octets <= PART_OCTETS_MAX


class Protagonist(Protocol):
    """A session, as far as its story is concerned."""

    story: Story


class Stories:
    """The stories of all sessions that live, and of those that ended last.

    sessions: those alive, by name
    failures: what went wrong lately, oldest first
    """

    def __init__(self, sessions: Mapping[str, Protagonist]) -> None:
        self._sessions = sessions
        self._living: dict[str, tuple[Story, Place]] = {}
        self._at: dict[Place, Story] = {}
        self._ended: OrderedDict[str, Story] = OrderedDict()
        self._ended_octets = 0
        self.failures: deque[Event] = deque(maxlen=FAILURES_MAX)

    def note(self, event: Event) -> None:
        """Take in whatever was said."""
        if isinstance(event, SessionEvent):
            self._note_session(event)
        elif isinstance(event, ConnectionEvent) and (story := self._at.get(_place(event))):
            story.note(event)
        if _is_failure(event):
            self.failures.append(event)

    def of(self, name: str) -> Story | None:
        """The story of a session, by its whole name."""
        session = self._sessions.get(name)
        return session.story if session is not None else self._ended.get(name)

    def ended(self) -> Iterator[Story]:
        """Those of sessions that have ended, the latest first. They may change while they are told."""
        return iter(list(reversed(self._ended.values())))

    def find(self, prefix: str) -> list[str]:
        """The names that begin so, a few at most."""
        if self.of(prefix) is not None:
            return [prefix]
        found = [name for name in self._sessions if name.startswith(prefix)]  # 100,000 take 10 ms
        return (found + [name for name in self._ended if name.startswith(prefix)])[:FOUND_MAX]

    def _note_session(self, event: SessionEvent) -> None:
        story, former = self._living.get(event.session, (None, None))
        if story is None:
            session = self._sessions.get(event.session)
            if session is None:
                return  # begun and ended in one breath
            story = session.story
        story.note(event)
        if isinstance(event, SessionSummary):
            self._end(event.session, story, former)
        elif (place := _place(event)) != former:
            self._leave(story, former)
            self._living[event.session] = story, place
            self._at[place] = story

    def _end(self, name: str, story: Story, place: Place | None) -> None:
        self._leave(story, place)
        self._living.pop(name, None)
        self._ended[name] = story
        self._ended_octets += story.octets
        while len(self._ended) > ENDED_MAX or self._ended_octets > ENDED_OCTETS_MAX:
            self._ended_octets -= self._ended.popitem(last=False)[1].octets

    def _leave(self, story: Story, place: Place | None) -> None:
        """Its control connection is another one now, or none."""
        if place is not None and self._at.get(place) is story:
            del self._at[place]


def _place(event: ConnectionEvent) -> Place:
    return event.service_id, event.client, event.client_port


def _octets(entry: Entry) -> int:
    """About what an entry takes, with its texts, which a client may make long."""
    values = (getattr(entry, field.name) for field in fields(entry))
    return _ENTRY_OCTETS + sum(getsizeof(value) for value in values if isinstance(value, str))


def _is_failure(event: Event) -> bool:
    """Whether an operator would want to know."""
    match event:
        case SessionClosed(reason=reason):
            return reason not in _GOOD_ENDS
        case RequestInferred(guess=guess):
            return guess == "refused"
    return isinstance(event, SessionStalled | ConnectionReset | BackendDown)
