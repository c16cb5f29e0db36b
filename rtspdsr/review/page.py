"""A report as one HTML page: alarms, plots, tables; no script, nothing from another host.

Handed a report, gives back text. The page's own policy forbids whatever it does not bring, so that text
chosen by clients stays text whatever it holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from rtspdsr.review import svg
from rtspdsr.review.report import Kind, Report, Table, Value, numeric, shown

BACKENDS_MAX = 8  # lines of one plot
ESTIMATES_MAX = 24
TICKS = 6

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = (
    """
:root { color-scheme: light dark; --ground: #fff; --panel: #f5f6f8; --text: #1c2430; --dim: #5c6675;
  --rule: #d9dee5; --alarm: #b3261e; --alarm-ground: #fdecea; --good: #1b6e3c;
  --c0: #2563b0; --c1: #c2571a; --c2: #2b8a57; --c3: #8b45b5; --c4: #9a7400; --c5: #b5306b; --c6: #14808c;
  --c7: #6b7280; }
@media (prefers-color-scheme: dark) { :root { --ground: #12161c; --panel: #1b212a; --text: #e4e8ee;
  --dim: #98a3b3; --rule: #323b48; --alarm: #ff8a80; --alarm-ground: #3a1d1d; --good: #7fd6a0;
  --c0: #6ea8f0; --c1: #f0975c; --c2: #63c793; --c3: #c792ea; --c4: #dcb63f; --c5: #f27fae; --c6: #58c5d1;
  --c7: #a4adba; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 24px 16px 64px; background: var(--ground);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 40px 0 8px; }
h3 { font-size: 14px; margin: 16px 0 2px; color: var(--dim); font-weight: 600; }
p.note, p.read { color: var(--dim); font-size: 13px; margin: 4px 0 10px; max-width: 90ch; }
ul.alarms { list-style: none; margin: 16px 0; padding: 0; }
ul.alarms li { background: var(--alarm-ground); border-left: 4px solid var(--alarm); padding: 8px 12px;
  margin: 0 0 6px; overflow-wrap: anywhere; }
p.good { border-left: 4px solid var(--good); padding: 8px 12px; background: var(--panel); }
.scroll { overflow-x: auto; background: var(--panel); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; text-align: left; border-bottom: 1px solid var(--rule); white-space: nowrap; }
td { max-width: 42ch; overflow: hidden; text-overflow: ellipsis; }
th { color: var(--dim); font-weight: 600; } .n { text-align: right; } tr.alarm td { color: var(--alarm); }
tr:last-child td { border-bottom: 0; }
section { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 640px; height: auto;
  background: var(--panel); border-radius: 6px; margin: 0 0 10px; }
svg text { font: 11px system-ui, sans-serif; fill: var(--dim); } svg .name, svg .value { font-size: 12px;
  fill: var(--text); }
.grid { stroke: var(--rule); stroke-width: 1; } .zero { stroke: var(--dim); stroke-dasharray: 3 3; }
.line { fill: none; stroke-width: 1.8; } .area { fill: var(--c0); opacity: 0.15; }
.key { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 12px; margin: 6px 0 0; padding: 0;
  list-style: none; } .key i { display: inline-block; width: 12px; height: 3px; margin: 0 6px 3px 0; }
"""
    + "".join(
        f".line.c{n} {{ stroke: var(--c{n}); }} .bar.c{n} {{ fill: var(--c{n}); }} "
        f".key .c{n} {{ background: var(--c{n}); }}\n"
        for n in range(svg.COLOURS)
    )
    + ".line.marked { stroke: var(--alarm); } .bar.marked { fill: var(--alarm); }\n"
)


def page(report: Report, top: int) -> str:
    """The whole page; of tables that may be long the first ``top`` rows."""
    overview = report.table("overview").rows[0]
    span = f"{overview['from']} to {overview['to']}" if overview["from"] else "nothing that was selected"
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>Sessions, {escape(span)}</title><style>{STYLE}</style></head><body>",
        f"<h1>Sessions</h1><p class=read>{escape(span)}; {report.read['lines']:,} lines of "
        f"{escape(', '.join(report.read['files']))}</p>",
        _alarms(report.alarms),
    ]
    for table in report.tables:
        drawn = _PLOTS[table.name](report) if table.name in _PLOTS else ""
        if table.rows and (drawn or table.name not in _ONLY_PLOTTED):
            parts.append(_section(table, drawn, top))
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _alarms(alarms: Sequence[str]) -> str:
    if not alarms:
        return "<p class=good>No alarm.</p>"
    return f"<ul class=alarms>{''.join(f'<li>{escape(alarm)}</li>' for alarm in alarms)}</ul>"


def _section(table: Table, drawn: str, top: int) -> str:
    rows = table.rows[:top] if table.ample else table.rows
    left_out = f" (first {top} of {len(table.rows):,})" if len(rows) < len(table.rows) else ""
    if table.name in _ONLY_PLOTTED:
        left_out, body = "", ""
    else:
        body = f'<div class="scroll" tabindex="0"><table>{_header(table)}{_rows(table, rows)}</table></div>'
    note = f"<p class=note>{escape(table.note)}</p>" if table.note else ""
    return f"<section><h2>{escape(table.title)}{left_out}</h2>{note}{drawn}{body}</section>"


def _header(table: Table) -> str:
    cells = (
        f'<th{" class=n" * numeric(one.kind)} scope="col">{escape(one.title)}</th>' for one in table.columns
    )
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _rows(table: Table, rows: Iterable[Mapping[str, Value]]) -> str:
    drawn = []
    for row in rows:
        cells = (
            f"<td{' class=n' * numeric(one.kind)}>{escape(shown(row.get(one.key), one.kind))}</td>"
            for one in table.columns
        )
        drawn.append(f"<tr{' class=alarm' * bool(row.get('alarm'))}>{''.join(cells)}</tr>")
    return f"<tbody>{''.join(drawn)}</tbody>"


# --- plots --------------------------------------------------------------------------------------------


def _over_time(report: Report) -> str:
    rows = report.table("concurrency").rows
    if len(rows) < 2:
        return ""
    points = [(float(at), _number(row["sessions"])) for at, row in enumerate(rows)]
    drawn = svg.lines("Sessions open", [svg.Series("sessions", points)], _ticks(rows), area=True)
    for colour, kind in ((2, "opened"), (1, "failed"), (4, "refused"), (3, "stalls")):
        counts = [(float(at), _number(row[kind])) for at, row in enumerate(rows)]
        if plot := svg.columns(kind, counts, colour):
            drawn += f"<h3>{kind}, in each interval</h3>{plot}"
    return drawn


def _backends_over_time(report: Report) -> str:
    rows = report.table("backend_concurrency").rows
    series: dict[str, list[Mapping[str, Value]]] = {}
    for row in rows:
        series.setdefault(f"{row['service']}/{row['backend']}", []).append(row)
    largest = sorted(series, key=lambda name: -sum(_number(row["sessions"]) for row in series[name]))
    names = sorted(largest[:BACKENDS_MAX])
    if not names or min(len(series[name]) for name in names) < 2:
        return ""
    plotted = [
        svg.Series(name, [(float(at), _number(row["sessions"])) for at, row in enumerate(series[name])])
        for name in names
    ]
    items = "".join(
        f'<li><i class="c{at % svg.COLOURS}"></i>{escape(name)}</li>' for at, name in enumerate(names)
    )
    left_out = len(series) - len(names)
    more = f"<p class=note>The {BACKENDS_MAX} with most sessions, of {len(series)}.</p>" if left_out else ""
    drawn = svg.lines("Sessions of each backend", plotted, _ticks(series[names[0]]))
    return f"{drawn}<ul class=key>{items}</ul>{more}"


def _endings(report: Report) -> str:
    table = report.table("endings")
    reasons = [column for column in table.columns if column.kind is Kind.COUNT]
    totals = {one.title: sum(_number(row[one.key]) for row in table.rows) for one in reasons}
    whole = sum(totals.values()) or 1
    return svg.bars(
        "How sessions ended",
        [
            svg.Row(title, number, text=f"{number:,.0f} ({number / whole:.1%})")
            for title, number in sorted(totals.items(), key=lambda item: -item[1])
        ],
    )


def _shares(report: Report) -> str:
    drawn = []
    for row in report.table("shares").rows[:ESTIMATES_MAX]:
        share = _number(row["expected"])
        if share:
            value, low, high = (_number(row[key]) / share for key in ("part", "part_low", "part_high"))
            text = f"{value * share:.1%} of {share:.1%}"
            name = f"{row['service']}/{row['backend']}"
            drawn.append(svg.Row(name, value, low, high, text, bool(row["alarm"])))
    plot = svg.estimates("Clients for each share of the slots", drawn, zero=1.0, low=0.0, high=2.0)
    return (
        f"<h3>clients for each share of the slots, with 95 % intervals; 1 is even</h3>{plot}" if plot else ""
    )


def _compared(report: Report) -> str:
    rows = [row for row in report.table("comparisons").rows if row["test"] == "Mann-Whitney"]
    drawn = [
        svg.Row(
            f"{row['service']}/{row['backend']} {row['measure']}",
            _number(row["effect"]),
            _number(row["effect_low"]),
            _number(row["effect_high"]),
            text=f"p {shown(row['chance'], Kind.CHANCE)}",
            marked=bool(row["alarm"]),
        )
        for row in rows[:ESTIMATES_MAX]
    ]
    plot = svg.estimates("Backends compared", drawn, zero=0.0, low=-1.0, high=1.0)
    if not plot:
        return ""
    return f"<h3>Cliff's delta with 95 % intervals: right of 0 is worse than the other backends</h3>{plot}"


def _ticks(rows: Sequence[Mapping[str, Value]]) -> list[tuple[float, str]]:
    """Some of the intervals' times; with the day where the log covers more than one."""
    moments = [str(row["at"]) for row in rows]
    days = moments[0][:10] != moments[-1][:10]
    places = sorted({round(n * (len(rows) - 1) / TICKS) for n in range(TICKS + 1)})
    return [(float(at), moments[at][5:16].replace("T", " ") if days else moments[at][11:19]) for at in places]


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


_ONLY_PLOTTED = frozenset({"concurrency", "backend_concurrency"})
_PLOTS = {
    "concurrency": _over_time,
    "backend_concurrency": _backends_over_time,
    "endings": _endings,
    "shares": _shares,
    "comparisons": _compared,
}
