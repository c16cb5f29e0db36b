"""``rtspdsr backend drain``, ``maint``, ``ready``, on the balancer: taking a backend out, giving it back."""

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtspdsr.cli.asking import ask
from rtspdsr.cli.completing import backend_names
from rtspdsr.cli.daemon import CONFIG, ConfigOption, JsonOption
from rtspdsr.cli.naming import full_name
from rtspdsr.cli.tables import table
from rtspdsr.cli.units import counted, lasting
from rtspdsr.errors import AdminError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

POLL_S = 1.0
NEVER = "none"
_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="BACKEND, or SERVICE/BACKEND where several are called so.",
        autocompletion=backend_names,
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Show how it goes; return when nothing is left there.")]
Force = Annotated[
    bool, typer.Option("--force", help="Even if no other backend takes new clients: they get no answer then.")
]


def drain(
    name: Name,
    deadline: Annotated[
        str | None,
        typer.Option(
            metavar="30m|1h30m|90s|none",
            help="After so long the sessions that are left are ended. Without it: never; a deadline that was "
            "set before stays, and `none` takes it back.",
        ),
    ] = None,
    wait: Wait = False,
    force: Force = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Let a backend run empty: no new clients come, and its sessions finish.

    A new session of a client that still has sessions there follows them, since
    a client is never divided. At the deadline the sessions that are left are
    ended: by TEARDOWN at the media server, then by a reset of the client's
    connection, so that a player that tries again lands elsewhere.

    Shows what holds the backend, and when it will probably be empty; asked
    again, how it stands by now. It holds over reload and restart, until
    `rtspdsr backend ready`.

    Exits with 5 if the daemon refuses, or if, with --wait, somebody else gives
    the backend back. Ctrl-C ends the waiting, not the drain.

    Examples:

        rtspdsr backend drain cam-a

        rtspdsr backend drain cam-a --deadline 30m --wait && ssh cam-a reboot

        rtspdsr backend drain cams/cam-a --json | jq .drain.empty_in_s
    """
    deadline_s = None if deadline is None or deadline == NEVER else seconds(deadline)
    backend = _Backend(config, name)
    answer = backend.look()
    if deadline is not None or answer["admin_state"] != "drain":
        answer = backend.want({"state": "drain", "deadline_s": deadline_s, "force": force})
    _tell(backend, answer, "drain", wait=wait, as_json=as_json)


def maint(
    name: Name,
    wait: Wait = False,
    force: Force = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Take a backend out at once: its sessions are ended, nobody checks it.

    They are ended as at the deadline of a drain, so many in a second as
    `resets_per_s` allows; their players are told, and land elsewhere. To let
    them finish, drain the backend instead.

    Examples:

        rtspdsr backend maint cam-a

        rtspdsr backend maint cam-a --wait && ssh cam-a systemctl stop cams
    """
    backend = _Backend(config, name)
    answer = backend.look()
    if answer["admin_state"] != "maint":
        answer = backend.want({"state": "maint", "force": force})
    _tell(backend, answer, "maint", wait=wait, as_json=as_json)


def ready(name: Name, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Give a backend back after drain or maint: it gets new clients, as soon as it is fit.

    Sessions that were there stay there; nobody's session moves.

    Example: rtspdsr backend ready cam-a
    """
    answer = _Backend(config, name).want({"state": "ready"})
    if as_json:
        typer.echo(json.dumps(answer))
        return
    unfit = f"but it is {answer['state']}: {answer['problem']}"
    typer.echo(f"{_full(answer)} is ready, {'and gets new clients' if answer['state'] == 'up' else unfit}")


def seconds(text: str) -> float:
    """``1h30m`` -> 5400.0; a bare number is seconds. Raises UsageError."""
    found = _DURATION.fullmatch(text.strip())
    if not found or not any(found.groups()):
        raise UsageError(f"--deadline {text}: give a time such as 30m, 1h30m or 90s, or {NEVER}")
    parts = zip(found.groups(), _UNITS.values(), strict=True)
    return float(sum(int(number) * unit for number, unit in parts if number))


class _Backend:
    """One backend of the daemon whose configuration this is."""

    def __init__(self, config: Path, name: str) -> None:
        self._config = config
        service, backend = full_name(config, name)
        self._path = f"/v1/services/{service}/backends/{backend}"

    def look(self) -> Any:
        """How it stands."""
        return ask(self._config, "GET", self._path)

    def want(self, wish: dict[str, Any]) -> Any:
        """Have it so."""
        return ask(self._config, "PUT", f"{self._path}/state", wish)


# --- what is shown


def _tell(backend: _Backend, answer: dict[str, Any], state: str, *, wait: bool, as_json: bool) -> None:
    from rtspdsr.cli.tables import console as wide

    console = wide()
    if not as_json:
        _show(console, answer)
    if wait:
        answer = _wait(console, backend, answer, state, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(answer))


def _wait(
    console: "Console", backend: _Backend, answer: dict[str, Any], state: str, *, quiet: bool
) -> dict[str, Any]:
    """Look every second until it is empty: one moving line on a terminal, else a line for each change."""
    with console.status("") as moving:
        told = ""
        while answer["admin_state"] == state and not answer["drain"]["empty"]:
            left = _left(answer)
            moving.update(f"{_full(answer)}: {left}")
            if not quiet and not console.is_terminal and left != told:
                console.print(left, markup=False, highlight=False)
            told = left
            time.sleep(POLL_S)
            answer = backend.look()
    if answer["admin_state"] != state:
        raise AdminError(f"{_full(answer)} is {answer['admin_state']} by now: somebody else has said so")
    if not quiet:
        went = answer["drain"]
        console.print(
            f"{_full(answer)} is empty after {lasting(went['since_s'])}: "
            f"{counted(went['finished'], 'session')} finished, {went['ended']} ended",
            markup=False,
            highlight=False,
        )
    return answer


def _show(console: "Console", answer: dict[str, Any]) -> None:
    from rich.text import Text

    went = answer["drain"]
    console.print(f"{_full(answer)}: {_begun(answer)}", markup=False, highlight=False)
    if went["empty"]:
        console.print("nothing is left there: it can be stopped")
        return
    console.print(_left(answer), markup=False, highlight=False)
    if not went["closed"]:
        console.print("a new session of a client that has sessions there follows them", style="dim")
    if answer["problem"]:
        console.print(answer["problem"], style="bold red", markup=False)
    if not answer["oldest"]:
        return
    for title, key in (("URL", "urls"), ("client", "clients")):
        most = table(title, right=("sessions",), title=f"by {title}")
        for one in answer[key]:
            most.add_row(Text(one[key.removesuffix("s")]), str(one["sessions"]))
        console.print(most)
    oldest = table("session", "client", "state", "age", "URL", title="the oldest")
    for one in answer["oldest"]:
        oldest.add_row(one["session"], one["client"], one["state"], lasting(one["age_s"]), Text(one["url"]))
    console.print(oldest)


def _begun(answer: dict[str, Any]) -> str:
    went = answer["drain"]
    since = f"for {lasting(went['since_s'])}"
    if answer["admin_state"] == "maint":
        return f"in maintenance {since}; what is left is being ended"
    if went["closed"]:
        return f"drains {since}; the deadline has come, and what is left is being ended"
    if went["deadline_in_s"] is None:
        return f"drains {since}, without a deadline"
    return f"drains {since}; in {lasting(went['deadline_in_s'])} what is left is ended"


def _left(answer: dict[str, Any]) -> str:
    """What holds it, and for how long, in one line."""
    went = answer["drain"]
    parts = [f"{counted(answer['sessions'], 'session')} left"]
    if went["connections"]:
        parts.append(f"{counted(went['connections'], 'connection')} without a session")
    parts += [f"{went[word]} {word}" for word in ("finished", "ended", "followed") if went[word]]
    estimate = went["empty_in_s"]
    parts.append(
        "empty in about " + lasting(estimate) if estimate is not None else "no telling when it is empty"
    )
    return ", ".join(parts)


def _full(answer: dict[str, Any]) -> str:
    return f"{answer['service']}/{answer['name']}"
