"""The command line: which commands there are, and how an error reaches the operator.

A command's module is imported when that command is called, so one command never pays for another.
``--help`` imports them all: a module here keeps what is heavy (pydantic, pyroute2, aiohttp, scapy)
inside its functions.
"""

import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from rtspdsr.errors import RtspDsrError

#: command -> module under ``rtspdsr.cli``. The module has a function of the command's name, or, where
#: the module is named as the command, a ``typer.Typer`` called ``app`` that holds subcommands.
COMMANDS = {
    "run": "daemon",
    "detach": "daemon",
    "check": "check",
    "status": "view",
    "sessions": "sessions",
    "session": "sessions",
    "backends": "view",
    "top": "top",
    "explain": "explain",
    "place": "view",
    "verdicts": "daemon",
    "doctor": "doctor",
    "review": "review",
    "selftest": "selftest",
    "sysdump": "sysdump",
    "completion": "completion",
    "backend": "backend",
    "lab": "lab",
}

#: Options that belong to the commands, and commands that belong to ``backend``: easily written elsewhere.
OF_COMMANDS = frozenset({"--config", "-c", "--json"})
OF_BACKENDS = frozenset({"drain", "maint", "ready", "prepare", "undo"})


class Commands(typer.core.TyperGroup):
    """The table above, each command imported when it is asked for.

    ``Any``: typer brings a click of its own or takes the installed one, by version.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Say where an option belongs that every command has."""
        first = args[0].partition("=")[0] if args else ""
        if first in OF_COMMANDS and not ctx.resilient_parsing:
            at = next((at for at, word in enumerate(args) if word in COMMANDS), len(args))
            command, *rest = args[at:] or ["COMMAND"]
            ctx.fail(f"{first} goes behind the command: rtspdsr {' '.join([command, *args[:at], *rest])}")
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is asked for; of a wrong one, what may have been meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            meant = [f"backend {name}"] if name in OF_BACKENDS else get_close_matches(name, COMMANDS)
            likely = f" Did you mean {' or '.join(f'`rtspdsr {one}`' for one in meant)}?" if meant else ""
            ctx.fail(f"No such command {name!r}.{likely}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the table, which is the order of ``--help``."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None, which the caller reports."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"rtspdsr.cli.{COMMANDS[cmd_name]}")
        if isinstance(group := getattr(module, "app", None), typer.Typer):
            command = typer.main.get_command(group)
        else:
            single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            single.command(cmd_name)(getattr(module, cmd_name))
            command = typer.main.get_command(single)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"rtspdsr {version('rtspdsr')}")
        raise typer.Exit


@app.callback()
def rtspdsr(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """RTSP-aware Direct Server Return load balancer."""


def main() -> None:
    """Run the command line; an operator reads ``error: message``, never a traceback of ours."""
    try:
        app(prog_name="rtspdsr")
    except RtspDsrError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
