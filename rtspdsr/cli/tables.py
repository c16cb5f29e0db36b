"""The one shape of tables, and words that several of them have."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPE_WIDTH = 250  # columns: lines that are cut in two cannot be searched

#: Of a backend or service that is configured no longer.
REMOVED = "(removed)"

#: Over UDP nothing is known before the second receiver report, some ten seconds after PLAY: that is no zero.
WAITING = "…"
WAITING_MEANS = f"{WAITING} not told yet"


def table(*left: str, right: tuple[str, ...] = (), title: str = "", caption: str = "") -> "Table":
    """An empty table: columns of text, then those of numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        title=Text(title, "bold") if title else None,
        title_justify="left",
        caption=caption or None,
        caption_justify="left",
    )
    for name in left:
        made.add_column(name, overflow="fold")
    for name in right:
        made.add_column(name, justify="right", overflow="fold")
    return made


def console() -> "Console":
    """Where tables go: as wide as the terminal is, and into a pipe as wide as they are."""
    from rich.console import Console

    made = Console()
    return made if made.is_terminal or "COLUMNS" in os.environ else Console(width=PIPE_WIDTH)


def place(service: str | None, backend: str | None) -> str:
    """A backend as ``SERVICE/BACKEND``, also if it is configured no longer."""
    if backend is None:
        return REMOVED if service is None else f"{service}/{REMOVED}"
    return f"{service or REMOVED}/{backend}"
