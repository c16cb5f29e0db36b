"""A session's story, as an operator reads it: who and what, what happened when, and how media arrived."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rtspdsr.cli.tables import place, table
from rtspdsr.cli.units import bits, lasting, share

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Columns of the bar that shows a rate.
BAR = 24


def show(story: dict[str, Any], console: "Console") -> None:
    """Print all of it."""
    from rich.text import Text

    for line in _head(story):
        console.print(Text(line))  # clients' words: no markup, no emoji
    console.print()
    console.print(_happened(story))
    if story["course"]:
        console.print(_course(story["course"]))


def _head(story: dict[str, Any]) -> list[str]:
    """Who, what, how long, how well."""
    agent = f" ({story['user_agent']})" if story["user_agent"] else ""
    named = f", the server's {story['server_session']}" if story["server_session"] else ""
    lines = [
        f"session {story['session']}{named}: {story['url']}",
        f"client  {story['client']} port {story['client_port']}{agent}",
        f"backend {place(story['service'], story['backend'])}",
        f"since   {_readable(story['opened_at'])}{_until(story)}",
    ]
    if facts := _facts(story):
        lines.append(f"media   {', '.join(facts)}")
    return lines


def _until(story: dict[str, Any]) -> str:
    if story["closed_at"] is None:
        return f", {story['state']}"
    seconds = (_moment(story["closed_at"]) - _moment(story["opened_at"])).total_seconds()
    return f", for {lasting(seconds)}; it ended: {story['reason']}"


def _facts(story: dict[str, Any]) -> list[str]:
    told = []
    if story["setup_s"] is not None:
        told.append(f"asked for after {story['setup_s']:.3f} s")
    if story["first_delivery_s"] is not None:
        told.append(f"first sign of it after {story['first_delivery_s']:.3f} s")
    if story["delivered_bytes"] is not None:
        told.append(f"{story['delivered_bytes']:,} bytes delivered over TCP")
    if story["delivered_packets"] is not None:
        told.append(f"{story['delivered_packets']:,} packets over UDP, {story['lost_packets'] or 0:,} lost")
    if story["worst_loss"] is not None:
        told.append(f"worst loss {share(story['worst_loss'])}, last {share(story['last_loss'])}")
    if story["stalls"]:
        told.append(f"stalled {story['stalled_s']:.1f} s, in {story['stalls']} pieces")
    return told


def _happened(story: dict[str, Any]) -> "Table":
    from rich.text import Text

    shown = table("time", "after", "what happened")
    for column in shown.columns[:2]:
        column.no_wrap = True
    shown.columns[1].justify = "right"
    entries = story["entries"]
    begun = _moment(entries[0]["time"]) if entries else None
    for number, entry in enumerate(entries):
        if story["entries_omitted"] and number == story["entries_first"]:
            shown.add_row("", "", Text(f"... {story['entries_omitted']:,} more ...", "dim"))
        at = _moment(entry["time"])
        after = (at - begun).total_seconds() if begun else 0.0
        shown.add_row(_clock(entry["time"]), f"{after:.3f} s", Text(_told(entry), _style(entry)))
    return shown


def _told(entry: dict[str, Any]) -> str:
    if entry["event"] == "request":
        again = f"  ({entry['times']} times, last at {_clock(entry['until'])})" if entry["times"] > 1 else ""
        return f"{entry['method']} {entry['url']}{again}"
    details = entry["details"]
    if entry["event"] == "track_pinned":
        ports = "-".join(map(str, details["client_ports"])) or "-".join(map(str, details["channels"]))
        where = "ports" if details["client_ports"] else "channels"
        return f"  track pinned: {details['transport']} {where} {ports}"
    shown = ", ".join(f"{key} {value}" for key, value in details.items() if value not in (None, "", []))
    return f"{entry['event'].replace('_', ' ')}{': ' if shown else ''}{shown}"


def _style(entry: dict[str, Any]) -> str:
    if entry["event"] == "request":
        return ""
    bad = ("session_stalled", "connection_reset", "request_malformed", "reassembly_gap", "flow_distrusted")
    return "red" if entry["event"] in bad else "cyan"


def _course(course: list[dict[str, Any]]) -> "Table":
    """Each point a row, with a bar for its rate."""
    from rich.text import Text

    shown = table("until", right=("delivered", "loss", "jitter", "from client"))
    for column in shown.columns:
        column.no_wrap = True
    shown.add_column("")
    rates = [_rate(point) for point in course]
    highest = max((rate for rate in rates if rate), default=1.0)
    for point, rate in zip(course, rates, strict=True):
        shown.add_row(
            _clock(point["ended_at"]),
            _delivered(point),
            Text(share(point["loss"]), "red" if (point["loss"] or 0) >= 0.02 else ""),
            "-" if point["jitter"] is None else f"{point['jitter']:,}",
            bits(8 * point["client_bytes_per_s"]),
            Text("█" * round(BAR * (rate or 0) / highest), "green"),
        )
    return shown


def _rate(point: dict[str, Any]) -> float | None:
    rate: float | None = point["delivered_bytes_per_s"]
    return point["delivered_packets_per_s"] if rate is None else rate


def _delivered(point: dict[str, Any]) -> str:
    if point["delivered_bytes_per_s"] is not None:
        return bits(8 * point["delivered_bytes_per_s"])
    packets = point["delivered_packets_per_s"]
    return "-" if packets is None else f"{packets:.0f} pkt/s"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _readable(text: str | None) -> str:
    return "an unknown time" if text is None else text.replace("T", " ").replace("Z", " UTC")


def _clock(text: str) -> str:
    return text[11:23]
