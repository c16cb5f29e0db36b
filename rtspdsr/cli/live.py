"""A view that follows: drawn over itself on a terminal, else one snapshot after the other."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType


def follow(draw: "Callable[[], RenderableType]", interval_s: float) -> None:
    """Draw again and again, until Ctrl-C."""
    from rich.live import Live

    from rtspdsr.cli.tables import console as wide

    console = wide()
    with suppress(KeyboardInterrupt):
        if not console.is_terminal:
            _repeat(lambda: console.print(draw()), interval_s)
        with Live(draw(), console=console, screen=True, auto_refresh=False) as live:
            time.sleep(interval_s)
            _repeat(lambda: live.update(draw(), refresh=True), interval_s)


def follow_lines(line: Callable[[], str], interval_s: float) -> None:
    """Print a line again and again, until Ctrl-C."""
    with suppress(KeyboardInterrupt):
        _repeat(lambda: typer.echo(line()), interval_s)


def _repeat(show: Callable[[], object], interval_s: float) -> None:
    while True:
        show()
        time.sleep(interval_s)
