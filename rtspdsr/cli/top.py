"""``rtspdsr top``: what happens right now, drawn over itself."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtspdsr.cli.asking import ask
from rtspdsr.cli.daemon import CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

Once = Annotated[bool, typer.Option("--once", help="Look for one interval, print that, and end.")]
Interval = Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)]
Limit = Annotated[int, typer.Option(help="Rows of each table.", min=1, max=100)]


def top(
    once: Once = False,
    interval: Interval = 2.0,
    limit: Limit = 8,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show what happens now: rates by service and backend, busiest URLs, worst quality, newest failures.

    What a backend delivers is what its clients acknowledge over TCP, and over UDP an estimate from the
    packets that they report, every few seconds.

    Examples:

        rtspdsr top

        rtspdsr top --once

        rtspdsr top --json --interval 5 | jq -c '.backends[] | [.name, .delivered_bits_per_s]'
    """
    look = _Look(config, limit)
    look.take()
    time.sleep(interval)
    if as_json:
        if once:
            typer.echo(json.dumps(look.take()))
            return
        from rtspdsr.cli.live import follow_lines

        follow_lines(lambda: json.dumps(look.take()), interval)
    elif once:
        from rtspdsr.cli.tables import console

        console().print(_drawn(look.take()))
    else:
        from rtspdsr.cli.live import follow

        follow(lambda: _drawn(look.take()), interval)


class _Look:
    """Two looks at the counters of packets make a rate."""

    def __init__(self, config: Path, limit: int) -> None:
        self._config, self._limit = config, limit
        self._before: dict[str, tuple[float, int]] = {}

    def take(self) -> dict[str, Any]:
        """What happened since the last time."""
        status = ask(self._config, "GET", "/v1/status")
        stands_out = ask(self._config, "GET", "/v1/top", limit=self._limit)
        delivery = {(one["service"], one["backend"]): one for one in stands_out.pop("delivery")}
        backends = [
            {
                "service": service["name"],
                "name": one["name"],
                "state": one["state"],
                "sessions": one["sessions"],
                "client_bits_per_s": self._carried(f"{service['name']}/{one['name']}", one),
                **_delivered(delivery.get((service["name"], one["name"]))),
            }
            for service in status["services"]
            for one in service["backends"]
        ]
        return {
            "uptime_s": status["uptime_s"],
            "sessions": status["sessions"],
            "pins": status["pins"],
            "pins_max": status["pins_max"],
            "backends": backends,
            **stands_out,
        }

    def _carried(self, name: str, one: dict[str, Any]) -> float:
        now, carried = time.monotonic(), one["client_bytes"]
        since, before = self._before.get(name, (now, carried))
        self._before[name] = now, carried
        return max(0.0, float(round(8 * (carried - before) / max(now - since, 0.001))))


def _delivered(sums: dict[str, Any] | None) -> dict[str, Any]:
    """What the sessions of a backend get lately; reports come seconds apart, so two looks make no rate."""
    if sums is None:
        return {"delivered_bits_per_s": 0.0, "waiting": 0, "untold": 0}
    return {key: sums[key] for key in ("delivered_bits_per_s", "waiting", "untold")}


def _drawn(found: dict[str, Any]) -> "Group":
    from rich.console import Group
    from rich.text import Text

    from rtspdsr.cli.sessions import table as of_sessions
    from rtspdsr.cli.tables import WAITING_MEANS
    from rtspdsr.cli.units import bits, counted, delivered, lasting

    through = sum(one["client_bits_per_s"] for one in found["backends"])
    past = {
        key: sum(one[key] for one in found["backends"])
        for key in ("sessions", "delivered_bits_per_s", "waiting", "untold")
    }
    head = Text(
        f"up {lasting(found['uptime_s'])}, {counted(found['sessions'], 'session')}, {found['pins']:,} of "
        f"{found['pins_max']:,} pins; {bits(through)} through the balancer, "
        f"{delivered(past)} past it"
    )
    if past["waiting"]:
        head.append(f"; {WAITING_MEANS}", "dim")
    parts: list[Any] = [head, _backends(found["backends"])]
    if found["urls"]:
        parts.append(_urls(found["urls"]))
    if found["worst"]:
        parts += [Text("worst quality", "bold"), of_sessions(found["worst"])]
    if found["failures"]:
        parts.append(_failures(found["failures"]))
    return Group(*parts)


def _backends(backends: list[dict[str, Any]]) -> "Table":
    from rich.text import Text

    from rtspdsr.cli.tables import place, table
    from rtspdsr.cli.units import bits, delivered

    made = table("backend", "state", right=("sessions", "from clients", "delivered"))
    for one in backends:
        made.add_row(
            place(one["service"], one["name"]),
            Text(one["state"], "" if one["state"] == "up" else "bold red"),
            f"{one['sessions']:,}",
            bits(one["client_bits_per_s"]),
            delivered(one),
        )
    return made


def _urls(urls: list[dict[str, Any]]) -> "Table":
    from rich.text import Text

    from rtspdsr.cli.tables import table
    from rtspdsr.cli.units import delivered

    made = table("busiest", right=("sessions", "delivered"))
    for one in urls:
        made.add_row(Text(one["url"]), f"{one['sessions']:,}", delivered(one))
    return made


def _failures(failures: list[dict[str, Any]]) -> "Table":
    from rich.text import Text

    from rtspdsr.cli.tables import place, table

    made = table("time", "newest failures", "backend", "client", "session")
    for one in failures:
        details = ", ".join(f"{key} {value}" for key, value in one["details"].items())
        made.add_row(
            one["time"][11:19],
            Text(f"{one['event'].replace('_', ' ')}: {details}"),
            place(one["service"], one["backend"]),
            one["client"] or "-",
            one["session"] or "-",
        )
    return made
