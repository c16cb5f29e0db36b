"""What a lab shows of itself: its nodes, and what players got, as tables for people and records for scripts.

Handed statuses and results, it gives back rich tables or JSON-able dicts; it asks nothing of the lab.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rtspdsr.lab.lab import Result
from rtspdsr.lab.player import PlayerKind

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PLAIN_WIDTH = 160  # columns where there is no terminal to ask


def console() -> "Console":
    """Where tables go; without a terminal lines are not cut to its width."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH, no_color=True)


def nodes_table(status: dict[str, Any]) -> "Table":
    """The topology of ``Lab.status``: every node, its addresses, and what runs there."""
    table = _table(f"lab {status['lab']}: VIP {' and '.join(status['vips'])}")
    for column in ("node", "role", "addresses", "runs", "namespace"):
        table.add_column(column, overflow="fold")
    for node in status["nodes"]:
        table.add_row(
            node["node"],
            node["role"],
            ", ".join(address.partition("/")[0] for address in node["addresses"]),
            _runs(node),
            node["namespace"],
        )
    return table


def _runs(node: dict[str, Any]) -> str:
    if node["running"] is None:
        return f"NAT, ports: {node['nat']}" if node["nat"] else ""
    program = node["server"] or "rtspdsr"
    return str(program) if node["running"] else f"{program}: not running"


def results_table(results: Sequence[Result]) -> "Table":
    """Who played what from which backend, what it got, and what that cost the balancer."""
    table = _table("what the players got, counted on the wires")
    table.add_column("player")
    table.add_column("at")
    table.add_column("stream")
    table.add_column("backend")
    for column in ("frames", "delivered", "crossed balancer", "ratio"):
        table.add_column(column, justify="right")
    table.add_column("media from")
    for result in results:
        record = result_record(result)
        path = urlsplit(record["url"]).path
        table.add_row(
            record["player"],
            record["node"],
            f"{path} {record['transport']} IPv{result.delivery.client.version}",
            record["backend"] or "(none)",
            str(record["frames"]),
            f"{record['delivered_bytes']:,} B",
            f"{record['balancer_bytes']:,} B",
            "1:1 (it sends)" if _publishes(result) else f"1:{record['ratio']:.0f}",
            ", ".join(record["media_sources"]) or "-",
        )
    return table


def result_record(result: Result) -> dict[str, Any]:
    """A result as a script reads it."""
    played, delivery = result.played, result.delivery
    return {
        "player": played.watch.player.value,
        "node": played.watch.node,
        "url": played.watch.url,
        "transport": played.watch.transport.value,
        "client": str(delivery.client),
        "backend": "+".join(delivery.backends) or None,
        "frames": played.frames,
        "exit_code": played.exit_code,
        "lasted_s": round(played.lasted_s, 1),
        "delivered_bytes": delivery.delivered_bytes,
        "balancer_bytes": delivery.balancer_bytes,
        "returned_packets": delivery.returned_packets,
        "ratio": round(delivery.ratio, 1),
        "media_sources": [str(source) for source in delivery.media_sources] if played.frames else [],
        "log": str(played.log),
    }


def log_line(line: dict[str, Any]) -> str:
    """A line of the session log for a person: the time of day, the event, whose, and what it tells beyond."""
    told = {key: value for key, value in line.items() if key not in _WHOSE and value not in (None, [])}
    if line["event"] not in ("session_opened", "session_summary"):
        told.pop("url", None)
    rest = " ".join(f"{key}={_value(value)}" for key, value in told.items())
    who = f"{line['client']}:{line['client_port']}"
    return f"{line['time'][11:23]} {line['session']} {line['backend']:5} {who:18} {line['event']:17} {rest}"


#: Keys that every line of a session has, and those that repeat what its earlier lines said.
_WHOSE = {
    "time",
    "event",
    "service",
    "backend",
    "client",
    "client_port",
    "session",
    "user_agent",
    "opened_at",
}


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _publishes(result: Result) -> bool:
    return result.played.watch.player is PlayerKind.PUBLISHER


def _table(title: str) -> "Table":
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD if sys.stdout.isatty() else box.ASCII)
