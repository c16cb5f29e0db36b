"""``rtspdsr completion``: the script by which a shell completes commands, options and names."""

from enum import StrEnum
from typing import Annotated

import typer

VARIABLE = "_RTSPDSR_COMPLETE"


class Shell(StrEnum):
    """Those that are known."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Your shell.")]) -> None:
    """Print the script by which your shell completes commands, options and names.

    Examples:

        rtspdsr completion bash > /etc/bash_completion.d/rtspdsr

        rtspdsr completion zsh > "${fpath[1]}/_rtspdsr"

        rtspdsr completion fish > ~/.config/fish/completions/rtspdsr.fish
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    typer.echo(get_completion_script(prog_name="rtspdsr", complete_var=VARIABLE, shell=shell.value))
