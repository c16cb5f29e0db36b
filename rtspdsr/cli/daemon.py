"""``rtspdsr run``, ``detach`` and ``verdicts``: the daemon, its end, and what the XDP program counted."""

import asyncio
import faulthandler
import json
from pathlib import Path
from typing import Annotated

import typer

CONFIG = Path("/etc/rtspdsr/rtspdsr.toml")
CONFIG_VARIABLE = "RTSPDSR_CONFIG"
ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar=CONFIG_VARIABLE, help="The configuration file.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def run(config: ConfigOption = CONFIG) -> None:
    """Serve in the foreground until SIGTERM or Ctrl-C; forwarding stays in place afterwards.

    SIGHUP reloads the configuration, SIGUSR1 opens the session log anew (logrotate). A daemon that is
    started again takes everything over: sessions, pins, connections.

    Example: rtspdsr run --config rtspdsr.toml
    """
    from rtspdsr.balancer.balancer import Balancer
    from rtspdsr.balancer.supervisor import Supervisor

    async def serve() -> None:
        async with Supervisor.of_this_process() as supervisor:
            balancer = await Balancer.open(config, supervisor)
            await balancer.run()

    faulthandler.enable()  # a watchdog's SIGABRT leaves on standard error where the daemon hung
    asyncio.run(serve())


def detach(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Take the XDP program off the interfaces and forget every pin: VIPs are served no longer.

    Stop the daemon first. Sessions through this balancer end.

    Example: rtspdsr detach --config rtspdsr.toml
    """
    from rtspdsr.balancer.detach import detach as remove
    from rtspdsr.config import load

    loaded = load(config)
    names = ", ".join(loaded.dataplane.interfaces)
    removed = asyncio.run(remove(loaded))
    if as_json:
        typer.echo(json.dumps({"interfaces": list(loaded.dataplane.interfaces), "detached": removed}))
    elif removed:
        typer.echo(f"detached from {names}: program, maps and pins are removed")
    else:
        typer.echo(f"nothing to detach: no program of ours is pinned for {names}")


def verdicts(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Show why packets left the XDP program, and how many. Works without the daemon.

    Examples:

        rtspdsr verdicts

        rtspdsr verdicts --json | jq .no_backend
    """
    from rtspdsr.cli.tables import console, table
    from rtspdsr.config import load
    from rtspdsr.dataplane.bpffs import Home
    from rtspdsr.dataplane.counters import verdicts as read
    from rtspdsr.dataplane.layout import MEANINGS

    section = load(config).dataplane
    counted = read(Home(section.bpffs, section.interfaces))
    if as_json:
        typer.echo(json.dumps({verdict.name.lower(): packets for verdict, packets in counted.items()}))
        return
    shown = table("verdict", "meaning", right=("packets",))
    for verdict, packets in counted.items():
        shown.add_row(verdict.name.lower(), MEANINGS[verdict], f"{packets:,}")
    console().print(shown)
