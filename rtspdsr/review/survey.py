"""What a review gathers while the lines pass: counts, sketches, samples, all of bounded size.

Handed batches of lines in the order of time, keeps what ``findings.py`` and ``report.py`` make their
statements from. It judges nothing, and forgets no damage: every line that it could not use is counted under
a name, with the place of the first.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from rtspdsr.review.hitters import Hitters
from rtspdsr.review.line import UNKNOWN, UNNAMED, Line, LineDamaged, parse, summary
from rtspdsr.review.panel import Distinct, Panel, mark
from rtspdsr.review.selection import Selection
from rtspdsr.review.sketch import Sketch, bucket
from rtspdsr.review.source import Batch, FileDamaged
from rtspdsr.review.tally import MEASURED, Measured, Tally
from rtspdsr.review.timeline import Timeline

GROUPS_MAX = 1_000  # of clients, URLs, user agents; the largest are kept
NAMES_MAX = 100  # of things that a healthy log has none or few of: unknown events, problems
BACKENDS_MAX = 1_024  # with a timeline of their own
BACKEND_INTERVALS = 256
OPEN_MAX = 262_144  # sessions followed from their first line to their last; connections_max by default
NOTABLE_MAX = 200  # lines of what an operator should know of
TABLES_MAX = 10_000  # different slot tables

#: Lines about the daemon and its surroundings that explain what sessions suffer.
NOTABLE = frozenset(
    {"backend_lost", "backend_resolved", "vip_claimed", "vip_unheard", "map_filling", "daemon_fault"}
    | {"config_reloaded", "config_refused", "daemon_started", "daemon_stopped", "lines_dropped"}
)


@dataclass(slots=True)
class Open:
    """A session of which no summary has come yet."""

    opened_at: float
    service: str
    backend: str
    url: str
    recording: bool = False
    moved: bool = False


@dataclass(slots=True)
class Places:
    """How often something is wrong, and where first."""

    count: int = 0
    first: str = ""


@dataclass(slots=True)
class Tables:
    """The slot tables of one service: shares of its backends, and which is in force.

    placed: sessions that came under the table in force or before any was known
    """

    shares: list[dict[str, float]] = field(default_factory=list)
    current: int | None = None
    known: dict[tuple[tuple[str, float], ...], int] = field(default_factory=dict)


class Survey:
    """All that was read so far.

    events:   lines of each known event that were selected
    known:    names of all events; others are counted by name
    """

    def __init__(self, selection: Selection, known: frozenset[str]) -> None:
        self.selection = selection
        self._known = known
        self.lines = 0
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.events: Counter[str] = Counter()
        self.unknown_events: dict[str, Places] = {}
        self.damaged: dict[str, Places] = {}
        self.incomplete: dict[str, Places] = {}
        self.whole = Tally(len(MEASURED))
        self.clients = Distinct()
        self.timeline = Timeline()
        self.timelines: dict[tuple[str, str], Timeline] = {}
        full = partial(Tally, len(MEASURED))
        self.groups: dict[str, Hitters[Tally]] = {
            "service": Hitters(GROUPS_MAX, full),
            "backend": Hitters(GROUPS_MAX, full),
            "url": Hitters(GROUPS_MAX, Tally),
            "user_agent": Hitters(GROUPS_MAX, Tally),
            "client": Hitters(GROUPS_MAX, Tally),
            "transport": Hitters(NAMES_MAX, Tally),
        }
        self.refused: Hitters[Counter[str]] = Hitters(GROUPS_MAX, Counter)
        self.reasons: dict[tuple[str, str], Counter[str]] = {}
        self.failures: Counter[str] = Counter()
        self.stall_lengths = Sketch()
        self.panels: dict[str, Panel] = {}
        self.tables: dict[str, Tables] = {}
        self.open: dict[str, Open] = {}
        self.unfollowed = 0
        self.notable: list[Line] = []
        self.notable_left_out = 0
        self.lines_dropped = 0
        self._acts: dict[str, Callable[[Line], None]] = {
            "session_opened": self._opened,
            "session_adopted": self._opened,
            "session_recording": partial(self._mark, "recording"),
            "session_moved_to_tcp": partial(self._mark, "moved"),
            "session_stalled": self._stalled,
            "session_resumed": self._resumed,
            "request_inferred": self._inferred,
            "table_filled": self._filled,
            "lines_dropped": self._dropped,
        }

    def take(self, batch: Batch | FileDamaged) -> None:
        """Take in what was read of a file."""
        if isinstance(batch, FileDamaged):
            self._note(self.damaged, batch.problem, batch.file.name, batch.line)
            return
        self.lines += len(batch.lines)
        for number, text in enumerate(batch.lines, batch.first):
            try:
                line = parse(text)
            except LineDamaged as damage:
                self._note(self.damaged, str(damage), batch.file.name, number)
                continue
            if line.event == "session_summary":
                self._summary(line, batch.file.name, number)
            elif line.event in self._known:
                self._event(line)
            else:
                self._note(self.unknown_events, line.event, batch.file.name, number)

    # --- sessions ------------------------------------------------------------------------------------

    def _summary(self, line: Line, file: str, number: int) -> None:
        began = self.open.pop(str(line.values.get("session")), None)
        found = summary(line, recording=began is not None and began.recording)
        if not self.selection.spans(found.opened_at, found.closed_at):
            return
        if not self.selection.wants(found.service, found.backend, found.client, found.url):
            return
        for key in found.problems:
            self._note(self.incomplete, key, file, number)
        self._heard(line.at)
        self.events[line.event] += 1
        moved = began is not None and began.moved
        measured = Measured.of(found)
        self.whole.take(measured, moved)
        self.clients.add(mark(found.client))
        name = f"{found.service}/{found.backend}"
        keys = {"service": found.service, "backend": name, "url": found.url, "client": found.client}
        keys |= {"user_agent": found.user_agent, "transport": found.transport}
        for kind, key in keys.items():
            self.groups[kind].count(key).take(measured, moved)
        self.reasons.setdefault((found.service, found.backend), Counter())[found.reason] += 1
        if found.failed:
            self.failures[found.failed] += 1
            self.timeline.count("failed", found.closed_at)
        self._was_there(found.service, found.backend, found.opened_at, found.closed_at)
        tables = self.tables.get(found.service)
        self.panels.setdefault(found.service, Panel()).take(found, tables.current if tables else None)

    def _was_there(self, service: str, backend: str, opened_at: float, closed_at: float) -> None:
        """Enter a session into the timelines."""
        span = self.selection.clipped(opened_at, closed_at)
        self.timeline.session(*span)
        if span[0] == opened_at:
            self.timeline.count("opened", opened_at)
        timeline = self.timelines.get((service, backend))
        if timeline is None and len(self.timelines) < BACKENDS_MAX:
            timeline = self.timelines[service, backend] = Timeline(BACKEND_INTERVALS)
        if timeline is not None:
            timeline.session(*span)

    def end(self) -> None:
        """Nothing more comes: sessions without a summary lasted to the end of the log, as far as known."""
        for one in self.open.values():
            last = max(self.last_at or one.opened_at, one.opened_at)
            self._was_there(one.service, one.backend, one.opened_at, last)

    # --- other lines ---------------------------------------------------------------------------------

    def _event(self, line: Line) -> None:
        act = self._acts.get(line.event)
        if line.event == "table_filled" and act is not None:
            act(line)  # the shares that hold at a time were told before it
        name = line.text("session")
        one = self.open.get(name) if name is not None else None
        url = line.text("url") or (one.url if one is not None else None)
        where = (line.text("service"), line.text("backend"), line.text("client"), url)
        if not self.selection.spans(line.at, line.at) or not self._concerns(line, where):
            if line.event in ("session_recording", "session_moved_to_tcp") and act is not None:
                act(line)
            elif line.event == "session_opened" and act is not None and self.selection.wants(*where):
                act(line)  # it may last into the time that is asked for
            return
        self._heard(line.at)
        self.events[line.event] += 1
        if act is not None and line.event != "table_filled":
            act(line)
        if line.event in NOTABLE:
            if len(self.notable) < NOTABLE_MAX:
                self.notable.append(line)
            else:
                self.notable_left_out += 1

    def _concerns(self, line: Line, where: tuple[str | None, str | None, str | None, str | None]) -> bool:
        """Whether a line is about what was selected; one about the daemon concerns everybody."""
        about_all = where[2] is None and (where[1] is None or self.selection.backend is None)
        return about_all or self.selection.wants(*where)

    def _heard(self, at: float) -> None:
        self.first_at = at if self.first_at is None else min(self.first_at, at)
        self.last_at = at if self.last_at is None else max(self.last_at, at)

    def _opened(self, line: Line) -> None:
        name = line.text("session")
        if name is None:
            return
        if len(self.open) >= OPEN_MAX and name not in self.open:
            self.unfollowed += 1
            return
        self.open[name] = Open(
            line.at,
            line.text("service") or UNNAMED,
            line.text("backend") or UNNAMED,
            line.text("url") or UNKNOWN,
        )

    def _mark(self, what: str, line: Line) -> None:
        one = self.open.get(str(line.values.get("session")))
        if one is not None:
            setattr(one, what, True)

    def _stalled(self, line: Line) -> None:
        self.timeline.count("stalls", line.at)

    def _resumed(self, line: Line) -> None:
        lasted = line.number("stalled_s")
        if lasted is not None:
            self.stall_lengths.add(lasted, bucket(lasted))

    def _inferred(self, line: Line) -> None:
        guess = line.text("guess") or UNKNOWN
        self.refused.count(line.text("url") or UNKNOWN)[guess] += 1
        if guess == "refused":
            self.timeline.count("refused", line.at)

    def _dropped(self, line: Line) -> None:
        for key in ("queue_full_lines", "write_failed_lines"):
            self.lines_dropped += int(line.number(key) or 0)

    def _filled(self, line: Line) -> None:
        shares = line.values.get("shares")
        if not isinstance(shares, dict):
            return
        slots = {str(name): float(n) for name, n in shares.items() if isinstance(n, int) and n > 0}
        total = sum(slots.values())
        if not total:
            return  # no backend is usable, and the last table stays
        tables = self.tables.setdefault(line.text("service") or UNNAMED, Tables())
        key = tuple(sorted(slots.items()))
        at = tables.known.get(key)
        if at is None and len(tables.shares) < TABLES_MAX:
            at = tables.known[key] = len(tables.shares)
            tables.shares.append({name: n / total for name, n in slots.items()})
        tables.current = at

    @staticmethod
    def _note(found: dict[str, Places], problem: str, file: str, number: int) -> None:
        if problem not in found and len(found) >= NAMES_MAX:
            problem = "others"
        places = found.setdefault(problem, Places())
        places.count += 1
        places.first = places.first or f"{file}:{number}"
