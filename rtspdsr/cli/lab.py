"""``rtspdsr lab``: a lab of network namespaces with real servers and players, for trying and for testing."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from rtspdsr.cli.daemon import CONFIG_VARIABLE
from rtspdsr.cli.view import show_status
from rtspdsr.errors import LabError
from rtspdsr.lab import demo as demonstration
from rtspdsr.lab import lab as labs
from rtspdsr.lab.daemon import XdpMode
from rtspdsr.lab.forwarder import forwarded, to_unix
from rtspdsr.lab.lab import Lab, Settings
from rtspdsr.lab.network import inside
from rtspdsr.lab.player import PlayerKind, Transport, Watch
from rtspdsr.lab.process import last_line
from rtspdsr.lab.report import console, nodes_table, result_record, results_table
from rtspdsr.lab.topology import VIP4, VIP6
from rtspdsr.lab.topology import url as url_of
from rtspdsr.review.terminal import show as show_review

REVIEW_TOP = 3  # rows of a long table, in the demo

app = typer.Typer(
    name="lab",
    help="A lab of network namespaces on this machine: real media servers behind the balancer, real players.",
    no_args_is_help=True,
    add_completion=False,
)

Name = Annotated[
    str, typer.Option("--name", help="Which lab; several can be up, each with namespaces of its own.")
]
Mode = Annotated[XdpMode, typer.Option(help="How XDP attaches at the balancer.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def up(
    name: Name = "lab",
    players: Annotated[int, typer.Option(help="Players that are not behind a NAT.")] = 6,
    mode: Mode = XdpMode.NATIVE,
    balancer: Annotated[
        bool, typer.Option(help="Run the daemon; without it, start your own in the balancer's namespace.")
    ] = True,
) -> None:
    """Make a lab: a switch, a balancer, three media servers, players, two NAT routers. Takes seconds.

    Examples:

        rtspdsr lab up

        rtspdsr lab up --name try --no-balancer && rtspdsr lab shell --name try balancer
    """
    with _ended_by_signals():
        lab = Lab.up(name, Settings(players=players, mode=mode, balancer=balancer))
    _print_status(lab, lab.status())


@app.command()
def status(name: Name = "lab", as_json: AsJson = False) -> None:
    """Show the nodes of a lab, their addresses, and what runs there.

    Examples:

        rtspdsr lab status

        rtspdsr lab status --json | jq -r '.nodes[].namespace'
    """
    lab = Lab.find(name)
    found = lab.status()
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _print_status(lab, found)


@app.command()
def play(
    player: Annotated[
        PlayerKind, typer.Option(help="What plays; publisher is ffmpeg that sends (ANNOUNCE, RECORD).")
    ] = PlayerKind.FFMPEG,
    transport: Annotated[
        Transport, typer.Option(help="What it asks for; auto leaves it to the player.")
    ] = Transport.UDP,
    url: Annotated[
        str, typer.Option(help="A whole URL, or a path at the VIP: clip, live, record, multicast.")
    ] = "clip",
    ipv6: Annotated[bool, typer.Option("--ipv6", help="Take the VIP's IPv6 address.")] = False,
    node: Annotated[str, typer.Option(help="Where the player runs.")] = "player",
    seconds: Annotated[float, typer.Option(help="How long to watch.")] = 8.0,
    name: Name = "lab",
    as_json: AsJson = False,
) -> None:
    """Watch a stream with a real player, and show what it got and what crossed the balancer.

    Exits with 6 if it got no media.

    Examples:

        rtspdsr lab play

        rtspdsr lab play --player gstreamer --transport tcp --ipv6

        rtspdsr lab play --node player-random --transport auto --seconds 20

        rtspdsr lab play --player publisher --url record
    """
    watch = Watch(
        player=player,
        node=node,
        url=url if "://" in url else url_of(url, VIP6 if ipv6 else VIP4),
        transport=transport,
        seconds=seconds,
    )
    lab = Lab.find(name)
    with _ended_by_signals():
        results = lab.play([watch])
    played = results[0].played
    if as_json:
        typer.echo(json.dumps(result_record(results[0])))
    else:
        out = console()
        out.print(results_table(results))
        out.print(f"what the player said: {played.log}", soft_wrap=True)
    if not played.frames:
        did = "sent" if player is PlayerKind.PUBLISHER else "got"
        raise LabError(f"{watch} {did} no media; {played.log} ends: {last_line(played.log)}")


@app.command()
def shell(
    node: Annotated[str, typer.Argument(help="A node of the lab, for example player.")] = "player",
    name: Name = "lab",
) -> None:
    """Open a shell on a node; files are those of this machine. Start your own player or daemon in it.

    Example: rtspdsr lab shell player, and there: ffplay rtsp://10.77.0.100/clip
    """
    lab = Lab.find(name)
    namespace = lab.topology.namespace(lab.topology.node(node).name)
    typer.echo(f"{node} of lab {name}; the VIP serves rtsp://10.77.0.100/clip and /live; `exit` leaves")
    typer.echo(f"`rtspdsr status` and others ask its daemon: {CONFIG_VARIABLE}={lab.daemon.config}")
    command = [*inside(namespace), os.environ.get("SHELL", "/bin/bash")]
    environment = {**os.environ, "RTSPDSR_NODE": node, CONFIG_VARIABLE: str(lab.daemon.config)}
    os.execvpe(command[0], command, environment)


@app.command()
def page(
    name: Name = "lab",
    port: Annotated[int, typer.Option(help="On 127.0.0.1 of this machine.", min=1, max=65_535)] = 8554,
) -> None:
    """Lead a browser of this machine to the web page of a lab's balancer, until Ctrl-C.

    Example: rtspdsr lab page --port 8080
    """
    lab = Lab.find(name)
    try:
        with forwarded(to_unix(lab.daemon.socket), port):
            typer.echo(f"http://127.0.0.1:{port}/ is the page of lab {name}; Ctrl-C ends this")
            signal.pause()
    except OSError as error:
        raise LabError(f"port {port} of 127.0.0.1: {error.strerror}; name another with --port") from error


@app.command()
def down(name: Name = "lab") -> None:
    """Remove a lab, whole or half made: its processes, namespaces, mounts and files.

    Example: rtspdsr lab down
    """
    typer.echo(f"lab {name} is removed" if labs.down(name) else f"there is no lab {name}")


@app.command()
def demo(mode: Mode = XdpMode.NATIVE, as_json: AsJson = False) -> None:
    """Make a lab, play through the balancer with several players, show what happened, remove the lab.

    Example: rtspdsr lab demo --json | jq '.plays[].backend'
    """
    with _ended_by_signals():
        shown = demonstration.run(mode, lambda text: typer.echo(text, err=True))
    if as_json:
        typer.echo(json.dumps(shown.record()))
    else:
        _show(shown)
    if faults := shown.faults():
        raise LabError(f"the demo did not go as it should: {'; '.join(faults)}")


def _show(shown: demonstration.Demo) -> None:
    """The lab, what the balancer's own commands say of it, and last what players got."""
    demonstration.show_lab(shown)
    typer.echo("\n$ rtspdsr status")
    show_status(shown.served, console())
    typer.echo("\n$ rtspdsr review")
    show_review(shown.review, REVIEW_TOP)
    typer.echo()
    demonstration.show_plays(shown)
    typer.echo("To keep a lab: rtspdsr lab up. Its web page: rtspdsr lab page.")


def _print_status(lab: Lab, found: dict[str, Any]) -> None:
    out = console()
    out.print(nodes_table(found))
    daemon = "forwards" if found["daemon"] else "does not run"
    out.print(f"the daemon {daemon}; everything of this lab is in {found['state']}", soft_wrap=True)
    out.print("for `rtspdsr status`, `sessions` and others to ask it:", soft_wrap=True)
    out.print(f"    export {CONFIG_VARIABLE}={lab.daemon.config}", soft_wrap=True, highlight=False)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM ends what goes on as Ctrl-C does: it is cleaned up first."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
