"""From a survey to a report: which tables there are, and what they say.

Handed a finished survey, gives back the report. Every number of it comes from ``survey.py`` or
``findings.py``; here they get their names, their order and the notes that say how far they can be trusted.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rtspdsr.review.alarms import alarms
from rtspdsr.review.findings import causes, comparisons, shares
from rtspdsr.review.hitters import Hitters
from rtspdsr.review.judgements import causes_table, comparisons_table, shares_table
from rtspdsr.review.report import Column, Kind, Report, Table, Value, count, moment, number, seconds, share
from rtspdsr.review.sketch import RELATIVE_ERROR
from rtspdsr.review.survey import NAMES_MAX, Places, Survey
from rtspdsr.review.tally import MEASURED, Tally

POINTS_MAX = 240  # of a plot over time
BACKEND_POINTS_MAX = 96
PERCENTILES = (0.5, 0.9, 0.95, 0.99)
FIRST_DELIVERY = "to the first sign of media, over UDP the first receiver report, seconds after it began"

_GROUPS: Mapping[str, tuple[str, str]] = {
    "service": ("services", "By service"),
    "backend": ("backends", "By backend"),
    "transport": ("transports", "By transport"),
    "url": ("urls", "By URL"),
    "user_agent": ("user_agents", "By user agent"),
    "client": ("clients", "By client"),
}


def report(survey: Survey, read: Mapping[str, Any]) -> Report:
    """The whole review. ``read``: what is to be said about where the lines came from."""
    compared = comparisons(survey.panels)
    placed = [] if survey.selection.narrows else shares(survey.panels, survey.tables)
    common = causes(survey.panels)
    tables = [
        _overview(survey),
        _concurrency(survey),
        _backend_concurrency(survey),
        *(_group(kind, survey) for kind in _GROUPS),
        _quality(survey),
        _endings(survey),
        _failures(survey),
        causes_table(common),
        _refusals(survey),
        _stalls(survey),
        shares_table(placed, survey),
        comparisons_table(compared, survey),
        _notable(survey),
        _problems(survey),
    ]
    return Report(read=read, alarms=alarms(survey, compared, placed, common), tables=tables)


# --- all together -------------------------------------------------------------------------------------


def _overview(survey: Survey) -> Table:
    whole = survey.whole
    row: dict[str, Value] = {
        "from": None if survey.first_at is None else moment(survey.first_at),
        "to": None if survey.last_at is None else moment(survey.last_at),
        "sessions": whole.sessions,
        "clients": len(survey.clients),
        "clients_exact": survey.clients.exact,
        "no_summary": len(survey.open),
        "failed": whole.failed,
        "untold": whole.untold,
        "stalled": whole.stalled,
        "moved_to_tcp": whole.moved,
        "session_hours": round(whole.seconds / 3600, 3),
        "loss": whole.loss,
    }
    columns = (
        Column("from", "from"),
        Column("to", "to"),
        count("sessions", "sessions"),
        count("clients", "clients"),
        count("no_summary", "no summary"),
        count("failed", "failed"),
        count("untold", "not told"),
        count("stalled", "stalled"),
        count("moved_to_tcp", "moved to TCP"),
        number("session_hours", "session hours"),
        share("loss", "loss"),
    )
    notes = ["sessions: those with a summary; no summary: begun, and not ended in this log."]
    if not survey.clients.exact:
        notes.append("The number of clients is an estimate, wrong by 1.6 % usually.")
    if whole.untold:
        notes.append(
            "not told: GStreamer over UDP that played on without receiver reports, as it does where the SDP "
            "forbids them (b=RR:0). The SDP was not seen: that media arrived is inferred, since it gives up "
            "after 5 s without a packet."
        )
    if survey.unfollowed:
        notes.append(f"{survey.unfollowed:,} sessions began while too many others were open to be followed.")
    return Table(name="overview", title="Overview", columns=columns, rows=[row], note=" ".join(notes))


def _concurrency(survey: Survey) -> Table:
    kinds = ("opened", "failed", "refused", "stalls")
    rows: list[Mapping[str, Value]] = []
    if survey.first_at is not None and survey.last_at is not None:
        for one in survey.timeline.series(POINTS_MAX, survey.first_at, survey.last_at):
            counts = {kind: one.counts.get(kind, 0) for kind in kinds}
            rows.append({"at": moment(one.begin), "sessions": round(one.sessions, 3), **counts})
    return Table(
        name="concurrency",
        title="Sessions over time",
        columns=(
            Column("at", "interval"),
            number("sessions", "sessions"),
            *(count(kind, kind) for kind in kinds),
        ),
        rows=rows,
        note=f"Intervals of {survey.timeline.width_s:,} s; sessions: the mean of those open.",
        ample=True,
    )


def _backend_concurrency(survey: Survey) -> Table:
    rows: list[Mapping[str, Value]] = []
    if survey.first_at is not None and survey.last_at is not None:
        for (service, backend), timeline in sorted(survey.timelines.items()):
            for one in timeline.series(BACKEND_POINTS_MAX, survey.first_at, survey.last_at):
                where = {"service": service, "backend": backend, "at": moment(one.begin)}
                rows.append({**where, "sessions": round(one.sessions, 3)})
    return Table(
        name="backend_concurrency",
        title="Sessions of each backend over time",
        columns=(
            Column("service", "service"),
            Column("backend", "backend"),
            Column("at", "interval"),
            number("sessions", "sessions"),
        ),
        rows=rows,
        note="The mean of those open in each interval.",
        ample=True,
    )


def _quality(survey: Survey) -> Table:
    rows: list[Mapping[str, Value]] = []
    for at, name in enumerate(MEASURED):
        sketch = survey.whole.sketches[at]
        known = sketch.count if sketch else 0
        values = {f"p{share * 100:g}": survey.whole.quantile(name, share) for share in PERCENTILES}
        rows.append(
            {"measure": name, "sessions": known, **values, "maximum": sketch.maximum if sketch else None}
        )
    return Table(
        name="quality",
        title="Set-up time and quality",
        columns=(
            Column("measure", "measure"),
            count("sessions", "sessions"),
            *(number(f"p{share * 100:g}", f"{share:.0%}") for share in PERCENTILES),
            number("maximum", "maximum"),
        ),
        rows=rows,
        note=f"Percentiles over sessions, wrong by {RELATIVE_ERROR:.0%} of their value at most. _s: seconds; "
        "loss and worst_loss: 0 to 1; jitter: RTP timestamp units. "
        f"first_delivery_s: {FIRST_DELIVERY}.",
    )


# --- groups -------------------------------------------------------------------------------------------


def _group(kind: str, survey: Survey) -> Table:
    name, title = _GROUPS[kind]
    groups = survey.groups[kind]
    return Table(
        name=name,
        title=title,
        columns=(
            Column(kind, kind.replace("_", " ")),
            count("sessions", "sessions"),
            number("mean_open", "mean open"),
            share("failed", "failed"),
            share("stalled", "stalled"),
            seconds("setup_p50_s", "set-up 50%"),
            seconds("setup_p95_s", "set-up 95%"),
            seconds("first_delivery_p50_s", "delivery 50%"),
            share("loss", "loss"),
            share("loss_p95", "loss 95%"),
            Column("delivered_bytes", "over TCP", Kind.BYTES),
        ),
        rows=[
            {
                kind: place.key,
                "sessions": place.count,
                "sessions_error": place.error,
                **_account(place.tally, survey),
            }
            for place in groups
        ],
        note=f"delivery: {FIRST_DELIVERY}. {trust(groups)}".rstrip(),
        ample=True,
    )


def _account(tally: Tally, survey: Survey) -> dict[str, Value]:
    span = (survey.last_at or 0.0) - (survey.first_at or 0.0)
    sessions = max(tally.sessions, 1)
    return {
        "mean_open": round(tally.seconds / span, 3) if span > 0 else None,
        "failed": tally.failed / sessions,
        "stalled": tally.stalled / sessions,
        "moved_to_tcp": tally.moved / sessions,
        "setup_p50_s": tally.quantile("setup_s", 0.5),
        "setup_p95_s": tally.quantile("setup_s", 0.95),
        "first_delivery_p50_s": tally.quantile("first_delivery_s", 0.5),
        "loss": tally.loss,
        "loss_p95": tally.quantile("loss", 0.95),
        "delivered_bytes": tally.bytes,
    }


def trust(groups: Hitters[Any]) -> str:
    if groups.exact:
        return ""
    error = max(place.error for place in groups)
    return (
        f"The largest of more than {len(groups):,}: every one with more than {groups.total // len(groups):,} "
        f"is here; a count may be too high by its error, {error:,} at most."
    )


# --- endings, failures, stalls -----------------------------------------------------------------------


def _endings(survey: Survey) -> Table:
    reasons = sorted({reason for counts in survey.reasons.values() for reason in counts})[:NAMES_MAX]
    rows: list[Mapping[str, Value]] = []
    for (service, backend), counts in sorted(survey.reasons.items()):
        rows.append({"service": service, "backend": backend} | {reason: counts[reason] for reason in reasons})
    return Table(
        name="endings",
        title="How sessions ended",
        columns=(
            Column("service", "service"),
            Column("backend", "backend"),
            *(count(reason, reason.replace("_", " ")) for reason in reasons),
        ),
        rows=rows,
        note="expired: the client was heard no longer; connection closed: without TEARDOWN.",
    )


_MEANINGS = {
    "never_played": "SETUP, and no PLAY or RECORD",
    "no_delivery": "played 10 s and more without a sign that media arrived",
    "backend_down": "ended because its backend was down",
}


def _failures(survey: Survey) -> Table:
    rows: list[Mapping[str, Value]] = [
        {"kind": kind, "sessions": number, "meaning": _MEANINGS.get(kind, "")}
        for kind, number in survey.failures.most_common()
    ]
    return Table(
        name="failures",
        title="Failures",
        columns=(Column("kind", "failure"), count("sessions", "sessions"), Column("meaning", "meaning")),
        rows=rows,
        note="Concluded from the client's half of each conversation.",
    )


def _refusals(survey: Survey) -> Table:
    guesses = ("refused", "unauthorized")
    rows: list[Mapping[str, Value]] = [
        {
            "url": place.key,
            "count": place.count,
            "count_error": place.error,
            **{guess: place.tally[guess] for guess in guesses},
        }
        for place in survey.refused
    ]
    return Table(
        name="refusals",
        title="Requests that were probably refused",
        columns=(Column("url", "URL"), *(count(guess, guess) for guess in guesses)),
        rows=rows,
        note=" ".join(
            filter(None, ("Inferred from what the client did next.", trust(survey.refused) if rows else ""))
        ),
        ample=True,
    )


def _stalls(survey: Survey) -> Table:
    lengths = survey.stall_lengths
    worst: Counter[str] = Counter()
    if survey.first_at is not None and survey.last_at is not None:
        for one in survey.timeline.series(POINTS_MAX, survey.first_at, survey.last_at):
            worst[moment(one.begin)] = one.counts.get("stalls", 0)
    at, most = worst.most_common(1)[0] if worst else (None, 0)
    row: dict[str, Value] = {
        "sessions": survey.whole.stalled,
        "stalls": survey.whole.stalls,
        "stalled_s": survey.whole.stalled_s,
        "resumed": lengths.count,
        "p50_s": lengths.quantile(0.5),
        "p95_s": lengths.quantile(0.95),
        "worst_interval": at if most else None,
        "worst_interval_stalls": most,
    }
    return Table(
        name="stalls",
        title="Stalls",
        columns=(
            count("sessions", "sessions"),
            count("stalls", "stalls"),
            seconds("stalled_s", "in all"),
            count("resumed", "resumed"),
            seconds("p50_s", "50%"),
            seconds("p95_s", "95%"),
            Column("worst_interval", "most at"),
            count("worst_interval_stalls", "stalls then"),
        ),
        rows=[row],
        note="Delivery that stopped while a session played. Lengths are of stalls that ended.",
    )


# --- the log itself ----------------------------------------------------------------------------------


def _notable(survey: Survey) -> Table:
    rows: list[Mapping[str, Value]] = []
    for line in survey.notable:
        rest = {key: value for key, value in line.values.items() if key not in ("time", "event")}
        said = ", ".join(f"{key}={value}" for key, value in rest.items())
        rows.append({"at": moment(line.at), "event": line.event, "said": said[:200]})
    left = survey.notable_left_out
    return Table(
        name="notable",
        title="What else happened",
        columns=(Column("at", "time"), Column("event", "event"), Column("said", "said")),
        rows=rows,
        note=f"{left:,} more of these are left out." if left else "",
        ample=True,
    )


def _problems(survey: Survey) -> Table:
    kinds: dict[str, dict[str, Places]] = {
        "damaged line": survey.damaged,
        "unknown event": survey.unknown_events,
        "summary without": survey.incomplete,
    }
    rows: list[Mapping[str, Value]] = [
        {"kind": kind, "what": what, "count": places.count, "first": places.first}
        for kind, found in kinds.items()
        for what, places in sorted(found.items(), key=lambda item: -item[1].count)
    ]
    return Table(
        name="problems",
        title="Lines that could not be used in full",
        columns=(
            Column("kind", "kind"),
            Column("what", "what"),
            count("count", "lines"),
            Column("first", "first at"),
        ),
        rows=rows,
        note="An older or newer version writes other events and keys; damaged lines are passed over."
        if rows
        else "",
    )
