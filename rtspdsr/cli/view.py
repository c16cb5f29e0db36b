"""``rtspdsr status``, ``backends`` and ``place``: asking the running daemon."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtspdsr.cli.asking import ask
from rtspdsr.cli.completing import backend_names
from rtspdsr.cli.daemon import CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from rich.console import Console


def status(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show services, backends, sessions and what crossed the balancer.

    Examples:

        rtspdsr status

        rtspdsr status --json | jq '.services[].backends[] | {name, state, sessions}'
    """
    answer = ask(config, "GET", "/v1/status")
    if as_json:
        typer.echo(json.dumps(answer))
        return
    from rtspdsr.cli.tables import console

    show_status(answer, console())


def show_status(answer: dict[str, Any], console: "Console") -> None:
    """Print what ``/v1/status`` says."""
    from rtspdsr.cli.tables import table
    from rtspdsr.cli.units import counted, lasting

    modes = ", ".join(f"{name} ({mode})" for name, mode in answer["modes"].items())
    console.print(
        f"up {lasting(answer['uptime_s'])} on {modes}: {counted(answer['sessions'], 'session')}, "
        f"{answer['pins']:,} of {answer['pins_max']:,} pins"
    )
    for service in answer["services"]:
        alone = ", each connection by itself" * (service["place_by"] == "connection")
        shown = table(
            *("backend", "state"),
            right=("weight", "sessions", "packets from clients", "bytes from clients"),
            title=f"{service['name']}: {', '.join(service['vips'])}, {service['schedule']}{alone}",
        )
        for one in service["backends"]:
            shown.add_row(
                one["name"],
                one["state"] + ", full" * one["full"],
                f"{one['weight']}" + f" ({one['share']:.0%})" * (one["share"] < 1),
                f"{one['sessions']}" + f" of {one['max_sessions']}" * bool(one["max_sessions"]),
                f"{one['client_packets']:,}",
                f"{one['client_bytes']:,}",
            )
        console.print(shown)
        for one in service["backends"]:
            if one["problem"]:
                console.print(f"{one['name']}: {one['problem']}", style="bold red", markup=False)
    for key in ("faults", "pins_refused", "reinjections_failed", "lines_dropped", "journal_failed"):
        if answer[key]:
            console.print(f"{key.replace('_', ' ')}: {answer[key]}", style="bold red")


def backends(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show how each backend is: its state and why, what its checks found, what its clients tell.

    Examples:

        rtspdsr backends

        rtspdsr backends --json | jq -r '.[] | select(.state != "up") | "\\(.name): \\(.problem)"'
    """
    answer = ask(config, "GET", "/v1/backends")
    if as_json:
        typer.echo(json.dumps(answer))
        return
    from rich.text import Text

    from rtspdsr.cli.tables import console, place, table

    shown = table("backend", "state", "found", "clients tell", right=("sessions",))
    for one in answer:
        checks = [f"{kind}: {_found(check)}" for kind, check in one["checks"].items()]
        shown.add_row(
            place(one["service"], one["name"]),
            Text(one["state"], "" if one["state"] == "up" else "bold red"),
            Text("\n".join(checks) or one["problem"] or "not checked"),
            Text(_told(one), "" if one["standing"] == "good" else "yellow"),
            str(one["sessions"]),
        )
    console().print(shown)


def _told(backend: dict[str, Any]) -> str:
    """What its clients tell of it; who has none is neither good nor poor."""
    if backend["standing"] == "good" and not backend["sessions"]:
        return "-"
    return str(backend["standing_problem"] or backend["standing"])


def _found(check: dict[str, Any]) -> str:
    """What a check found, in one line."""
    if check["problem"]:
        return str(check["problem"])
    parts = [f"answered in {1000 * check['response_s']:.1f} ms"] if check["response_s"] is not None else []
    if check["first_rtp_s"] is not None:
        parts.append(f"RTP after {1000 * check['first_rtp_s']:.0f} ms from {check['source']}")
    if check["bits_per_s"] is not None:
        parts.append(f"{check['bits_per_s'] / 1e6:.2f} Mb/s")
    if check["lost"] is not None:
        parts.append(f"{check['lost']:.1%} lost")
    if check["jitter_s"] is not None:
        parts.append(f"jitter {1000 * check['jitter_s']:.1f} ms")
    return ", ".join(parts)


def place(
    client: Annotated[str, typer.Argument(help="The client's address.")],
    backend: Annotated[
        str,
        typer.Argument(
            help="BACKEND, or SERVICE/BACKEND where several are called so.", autocompletion=backend_names
        ),
    ],
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Send a client's new connections to a backend; its sessions elsewhere stay where they are.

    It lasts while the client has sessions, and tracker.linger_s longer; without a session it waits for the
    first. To undo it, place the client elsewhere.

    Examples:

        rtspdsr place 198.51.100.7 cam-b

        rtspdsr place 2001:db8::7 cams/cam-b
    """
    from rtspdsr.cli.naming import full_name

    service, name = full_name(config, backend)
    answer = ask(config, "PUT", f"/v1/services/{service}/clients/{client}", {"backend": name})
    typer.echo(json.dumps(answer) if as_json else f"new connections of {client} go to {service}/{name}")
