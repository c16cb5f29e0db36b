"""``rtspdsr sessions`` and ``session``: who plays what from where, and what happened to one of them."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtspdsr.cli.asking import ask
from rtspdsr.cli.completing import backend_names, session_names
from rtspdsr.cli.daemon import CONFIG, ConfigOption, JsonOption
from rtspdsr.errors import AdminError

if TYPE_CHECKING:
    from rich.table import Table


class State(StrEnum):
    """Which sessions; as the API has them."""

    LIVE = "live"
    INIT = "init"
    READY = "ready"
    PLAYING = "playing"
    RECORDING = "recording"
    ENDING = "ending"
    ENDED = "ended"


class Order(StrEnum):
    """By what they are sorted, the largest first."""

    AGE = "age"
    LOSS = "loss"
    RATE = "rate"


Client = Annotated[str | None, typer.Option(help="A client, or a network of them.", metavar="ADDRESS|CIDR")]
Url = Annotated[str | None, typer.Option(help="Part of the URL, or a pattern with * or ?.")]
Backend = Annotated[
    str | None,
    typer.Option(help="One backend: NAME or SERVICE/NAME.", metavar="BACKEND", autocompletion=backend_names),
]
Service = Annotated[str | None, typer.Option(help="One service.")]
Which = Annotated[State, typer.Option("--state", help="What their clients have asked for.")]
Limit = Annotated[int | None, typer.Option(help="So many at most.", min=1)]
Sort = Annotated[Order | None, typer.Option(help="The largest first.")]
Watch = Annotated[
    bool, typer.Option("--watch", "-w", help="Follow them until Ctrl-C; into a pipe, one list an interval.")
]
Interval = Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)]


def sessions(
    client: Client = None,
    url: Url = None,
    backend: Backend = None,
    service: Service = None,
    state: Which = State.LIVE,
    sort: Sort = None,
    limit: Limit = None,
    watch: Watch = False,
    interval: Interval = 2.0,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List sessions: those that live, or those that ended lately.

    Examples:

        rtspdsr sessions

        rtspdsr sessions --client 198.51.100.0/24 --url '*/lobby*' --state playing

        rtspdsr sessions --sort loss --limit 20 --watch

        rtspdsr sessions --state ended --backend cams/cam-a

        rtspdsr sessions --json | jq -r '.[] | select(.worst_loss > 0.02) | .session'
    """

    def look() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ask(
            config,
            "GET",
            "/v1/sessions",
            client=client,
            url=url,
            backend=backend,
            service=service,
            state=state.value,
            limit=None if sort else limit,
        )
        return sorted(found, key=lambda one: _rank(one, sort), reverse=True)[:limit] if sort else found

    if watch:
        from rtspdsr.cli.live import follow, follow_lines

        if as_json:
            follow_lines(lambda: json.dumps(look()), interval)
        else:
            follow(lambda: table(look()), interval)
    elif as_json:
        typer.echo(json.dumps(look()))
    else:
        from rtspdsr.cli.tables import console

        console().print(table(look()))


def table(found: list[dict[str, Any]]) -> "Table":
    """Sessions as rows."""
    from rich.text import Text

    from rtspdsr.cli.tables import WAITING_MEANS, place
    from rtspdsr.cli.tables import table as empty
    from rtspdsr.cli.units import counted, lasting, share

    waiting = f"; {WAITING_MEANS}" * any(one["waiting"] for one in found)
    made = empty(
        *("session", "client", "backend", "state", "over"),
        right=("age", "delivered", "loss"),
        caption=counted(len(found), "session") + waiting,
    )
    made.columns[0].no_wrap = True
    made.add_column("URL", overflow="fold")
    for one in found:
        loss = _loss(one)
        made.add_row(
            one["session"],
            one["client"],
            place(one["service"], one["backend"]),
            one["reason"] or one["state"],
            ", ".join(one["transports"]),
            lasting(one["age_s"]),
            _delivered(one),
            Text(share(loss), "red" if (loss or 0) >= 0.02 else ""),
            Text(one["url"]),  # the client's words: no markup, no emoji
        )
    return made


def session(
    name: Annotated[
        str,
        typer.Argument(
            help="The session, or a beginning of its name that no other has.",
            metavar="SESSION",
            autocompletion=session_names,
        ),
    ],
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Tell what happened to a session: its requests, tracks, stalls, the course of its quality, its end.

    The daemon knows the sessions that live and those that ended lately; those before are read from the
    session log, also from what was rotated.

    Examples:

        rtspdsr session 1918313625c2

        rtspdsr session 1918

        rtspdsr session 1918 --json | jq '.course[].loss'
    """
    story = _story(name, config)
    if as_json:
        typer.echo(json.dumps(story))
        return
    from rtspdsr.cli.tables import console
    from rtspdsr.cli.timeline import show

    show(story, console())


def _story(name: str, config: Path) -> dict[str, Any]:
    """From the daemon, else from the log. Raises what the daemon said if the log does not know it either."""
    from urllib.parse import quote

    try:
        story: dict[str, Any] = ask(config, "GET", f"/v1/sessions/{quote(name, safe='')}")
        return story
    except AdminError as error:
        from rtspdsr.cli.pastsession import find
        from rtspdsr.config import load

        file = load(config).log.file
        if (past := find(Path(file), name)) is None:
            raise type(error)(f"{error} ({file} does not know it either)") from error
        return past


def _loss(one: dict[str, Any]) -> float | None:
    """The last one heard of while it lives, then the worst there was."""
    loss: float | None = one["worst_loss"] if one["reason"] else one["last_loss"]
    return loss


def _delivered(one: dict[str, Any]) -> str:
    from rtspdsr.cli.tables import WAITING
    from rtspdsr.cli.units import bits

    if one["delivered_bytes_per_s"] is not None:
        return bits(8 * one["delivered_bytes_per_s"])
    packets = one["delivered_packets_per_s"]
    if packets is not None:
        return f"{packets:.0f} pkt/s"
    return WAITING if one["waiting"] else "-"


def _rank(one: dict[str, Any], order: Order | None) -> float:
    match order:
        case Order.LOSS:
            return _loss(one) or 0.0
        case Order.RATE:
            return float(one["delivered_bytes_per_s"] or 1200 * (one["delivered_packets_per_s"] or 0))
        case _:
            return float(one["age_s"])
