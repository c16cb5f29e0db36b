"""``rtspdsr check``: read a configuration as the daemon would, and say what a reload of it would change.

Starts nothing and changes nothing; it reads the file, and what the daemon wrote of the configuration
in force.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtspdsr.cli.daemon import CONFIG, ConfigOption, JsonOption
from rtspdsr.cli.units import counted
from rtspdsr.errors import ConfigError

if TYPE_CHECKING:
    from rtspdsr.config import Config


def check(
    config: ConfigOption = CONFIG,
    diff: Annotated[
        bool, typer.Option("--diff", help="Say what a reload would change in the running daemon.")
    ] = False,
    against: Annotated[
        Path | None, typer.Option(help="Say what changes from this other file.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Validate a configuration without starting anything.

    Examples:

        rtspdsr check --config rtspdsr.toml --diff

        rtspdsr check --config new.toml --against old.toml --json | jq -r '.changes[]'
    """
    from rtspdsr import config as configuration
    from rtspdsr import configdiff
    from rtspdsr.cautions import cautions

    try:
        new = configuration.load(config)
        old = _to_compare(new, diff, against)
    except ConfigError as error:
        if not as_json:
            raise
        typer.echo(json.dumps({"file": str(config), "valid": False, "mistakes": error.mistakes}, indent=2))
        raise typer.Exit(error.exit_code) from error
    changes = None if old is None else configdiff.diff(old, new)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "file": str(config),
                    "valid": True,
                    "mistakes": [],
                    "cautions": cautions(new),
                    "changes": changes,
                },
                indent=2,
            )
        )
    else:
        said = [f"caution: {one}" for one in cautions(new)]
        typer.echo("\n".join([_summary(config, new), *said, *_what_changes(changes)]))


def _to_compare(new: "Config", diff: bool, against: Path | None) -> "Config | None":
    """The configuration to compare with: another file, or what the daemon has in force."""
    from rtspdsr import config as configuration

    if against is not None:
        return configuration.load(against)
    if not diff:
        return None
    effective = new.daemon.run_dir / "config.json"
    if not effective.exists():
        raise ConfigError(
            f"no daemon has left its configuration in {effective}; start one (`rtspdsr run`), "
            "or compare two files with --against"
        )
    return configuration.load_effective(effective)


def _summary(path: Path, config: "Config") -> str:
    backends = sum(len(service.backends) for service in config.services)
    return f"{path}: no mistakes; {counted(len(config.services), 'service')}, {counted(backends, 'backend')}"


def _what_changes(changes: list[str] | None) -> list[str]:
    if changes is None:
        return []
    if not changes:
        return ["nothing would change"]
    return [f"{counted(len(changes), 'change')}:", *(f"  {change}" for change in changes)]
