"""What an operator is told of sessions: those that are asked for, and the whole story of one.

Handed the tracker and what the daemon's events say, it answers as plain values for the API. It changes
nothing, and looks at sessions one at a time, since there may be a hundred thousand.
"""

import re
import time
from collections.abc import Callable, Iterator
from fnmatch import translate
from itertools import islice
from typing import Any

from rtspdsr.admin.answers import (
    EntryAnswer,
    FailureAnswer,
    PointAnswer,
    SessionAnswer,
    StoryAnswer,
    TrackAnswer,
)
from rtspdsr.admin.asked import Sessions
from rtspdsr.core.course import REPORT_WAIT_S, Point
from rtspdsr.core.events import CloseReason, Event, SessionSummary, TrackPinned
from rtspdsr.core.quality import Quality
from rtspdsr.core.session import Session, State
from rtspdsr.core.story import Asked, Entry, Stories, Story
from rtspdsr.core.tracker import Tracker
from rtspdsr.errors import NotFound
from rtspdsr.sessionlog import Lines, Names

#: What the head of a story says, so that its entries need not.
_HEAD = frozenset({"time", "event", "service", "backend", "client", "client_port", "session"})


class Chronicle:
    """The stories of one daemon's sessions."""

    def __init__(self, tracker: Tracker, names: Names) -> None:
        self._tracker, self.names = tracker, names
        self._lines = Lines(names)
        self.stories = Stories(tracker.sessions)

    def note(self, event: Event) -> None:
        """Take in an event."""
        self.stories.note(event)

    def sessions(self, asked: Sessions) -> Iterator[SessionAnswer | None]:
        """Those that are asked for; None for each other one that was looked at."""
        wanted, told = self._filter(asked), 0
        for one in self._candidates(ended=asked.state == "ended"):
            if not wanted(one):
                yield None
                continue
            yield self.row(one)
            told += 1
            if told == asked.limit:
                return

    def session(self, name: str) -> StoryAnswer:
        """The story of a session, by a beginning of its name that no other has. Raises NotFound."""
        found = self.stories.find(name)
        if len(found) > 1:
            raise NotFound(f"several sessions begin with {name!r}: {', '.join(found)}; write more of it")
        story = self.stories.of(found[0]) if found else None
        if story is None:
            raise NotFound(f"no session {name!r} lives or has ended lately; the session log has those before")
        return self._story(story, self._tracker.sessions.get(found[0]))

    def failures(self, limit: int) -> list[FailureAnswer]:
        """What went wrong lately, newest first."""
        return [self._failure(event) for event in islice(reversed(self.stories.failures), limit)]

    # --- a list of them

    def _candidates(self, *, ended: bool) -> Iterator[Session | SessionSummary]:
        if ended:
            yield from (story.summary for story in self.stories.ended() if story.summary is not None)
            return
        for name in list(self._tracker.sessions):
            if one := self._tracker.sessions.get(name):
                yield one

    def _filter(self, asked: Sessions) -> Callable[[Session | SessionSummary], bool]:
        anywhere = asked.state in ("live", "ended")
        glob = asked.url is not None and any(mark in asked.url for mark in "*?[")
        pattern = re.compile(translate(asked.url)) if asked.url is not None and glob else None

        def wanted(one: Session | SessionSummary) -> bool:
            if not anywhere and isinstance(one, Session) and one.state != asked.state:
                return False
            if asked.client is not None and one.client not in asked.client:
                return False
            if pattern is not None:
                if pattern.match(one.url) is None:
                    return False
            elif asked.url is not None and asked.url not in one.url:
                return False
            service = self.names.service(one.service_id)
            if asked.service is not None and service != asked.service:
                return False
            backend = self.names.backend(one.backend_id)
            return asked.backend is None or asked.backend in (backend, f"{service}/{backend}")

        return wanted

    def row(self, one: Session | SessionSummary) -> SessionAnswer:
        """A session in a list of them."""
        point: Point | None = None
        match one:
            case Session():
                name, state, until, reason = one.name, one.state.value, time.monotonic(), None
                transports = [track.transport for track in one.tracks]
                quality: Quality | SessionSummary = one.quality
                point = one.story.course.last()
            case SessionSummary():
                name, state, until = one.session, "ended", one.closed_at
                transports, quality, reason = list(one.transports), one, one.reason.value
        return {
            "session": name,
            "client": str(one.client),
            "service": self.names.service(one.service_id),
            "backend": self.names.backend(one.backend_id),
            "url": one.url,
            "state": state,
            "transports": sorted(set(transports)),
            "age_s": round(until - one.opened_at, 1),
            "reason": reason,
            "delivered_bytes_per_s": None if point is None else _rate(point.delivered_bytes, point),
            "delivered_packets_per_s": None if point is None else _rate(point.delivered_packets, point),
            "last_loss": _fraction(quality.last_loss),
            "worst_loss": _fraction(quality.worst_loss),
            "jitter": quality.jitter,
            "stalls": quality.stalls,
            "waiting": isinstance(one, Session) and is_waiting(one, until),
        }

    def _failure(self, event: Event) -> FailureAnswer:
        record = self._lines.record(event)
        return {
            "time": record["time"],
            "event": record["event"],
            "service": record.get("service"),
            "backend": record.get("backend"),
            "client": record.get("client"),
            "session": record.get("session"),
            "details": {key: value for key, value in record.items() if key not in _HEAD},
        }

    # --- one of them

    def _story(self, story: Story, session: Session | None) -> StoryAnswer:
        now = time.monotonic()
        account = story.summary
        if session is not None:
            account = session.account(CloseReason.EXPIRED, now, now)
        if account is None:
            raise NotFound("the session ended this very moment; ask again")
        told = self._lines.record(account)
        for key in ("time", "event", "transports", "client_ports"):
            del told[key]
        if session is not None:
            told["reason"] = told["closed_at"] = None
        entries = list(story.entries())
        told |= {
            "state": session.state.value if session is not None else "ended",
            "age_s": round(account.closed_at - account.opened_at, 1),
            "tracks": self._tracks(session, entries),
            "entries": [self._entry(one) for one in entries],
            "entries_first": story.beginning,
            "entries_omitted": story.omitted,
            "course": [self._point(one) for one in story.course.points()],
        }
        answer: Any = told  # its keys are those of the session log, which a test holds against the answer's
        return answer  # type: ignore[no-any-return]

    @staticmethod
    def _tracks(session: Session | None, entries: list[Entry]) -> list[TrackAnswer]:
        """As they are, or of a session that has ended, as they were set up last."""
        pinned = {one.url: one for one in entries if isinstance(one, TrackPinned)}
        tracks = pinned.values() if session is None else session.tracks
        return [
            {
                "url": one.url,
                "transport": one.transport,
                "client_ports": list(one.client_ports),
                "channels": list(one.channels),
            }
            for one in tracks
        ]

    def _entry(self, entry: Entry) -> EntryAnswer:
        if isinstance(entry, Asked):
            return {
                "time": self._lines.wall_clock(entry.at),
                "event": "request",
                "method": entry.method,
                "url": entry.url,
                "times": entry.times,
                "until": self._lines.wall_clock(entry.last_at),
                "details": {},
            }
        record = self._lines.record(entry)
        return {
            "time": record["time"],
            "event": record["event"],
            "method": None,
            "url": None,
            "times": 1,
            "until": record["time"],
            "details": {key: value for key, value in record.items() if key not in _HEAD},
        }

    def _point(self, point: Point) -> PointAnswer:
        return {
            "begun_at": self._lines.wall_clock(point.begun_at),
            "ended_at": self._lines.wall_clock(point.ended_at),
            "client_bytes_per_s": _rate(point.client_bytes, point) or 0.0,
            "delivered_bytes_per_s": _rate(point.delivered_bytes, point),
            "delivered_packets_per_s": _rate(point.delivered_packets, point),
            "loss": point.loss,
            "jitter": point.jitter,
        }


def is_waiting(session: Session, now: float) -> bool:
    """Whether it began to play over UDP so lately that two receiver reports cannot have come yet."""
    return (
        session.state is State.PLAYING
        and session.quality.delivered_packets is None
        and any(track.transport == "udp" for track in session.tracks)
        and now - (session.played_at or session.opened_at) < 2 * REPORT_WAIT_S
    )


def _rate(amount: int | None, point: Point) -> float | None:
    """Per second."""
    return None if amount is None else round(amount / (point.ended_at - point.begun_at), 1)


def _fraction(loss: float | None) -> float | None:
    return None if loss is None else round(loss, 4)
