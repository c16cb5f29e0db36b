"""`rtspdsr backend`: on the balancer take a backend out and give it back; on a media server prepare it.

The commands of the balancer are in ``drain.py``. Those here prepare a media server to answer as the VIP,
check it, and undo that; they run on that server.
"""

import json
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated

import typer

from rtspdsr.cli.drain import drain, maint, ready
from rtspdsr.cli.findings import BitrateOption, bits_per_s, show
from rtspdsr.errors import PreparationError, UsageError
from rtspdsr.model import Address
from rtspdsr.preparation import DEFAULT_STATE
from rtspdsr.preparation.network import Network
from rtspdsr.preparation.persist import Manager, missing_files, render
from rtspdsr.preparation.plan import DEFAULT_PRIORITY, DEFAULT_TABLE, Request
from rtspdsr.preparation.steps import Step

RTSP_PORT = 554

app = typer.Typer(
    name="backend",
    help="On the balancer: take a backend out of service (drain, maint) and give it back (ready). "
    "On a media server, as root: prepare it to answer as the VIP, check that, undo it.",
    no_args_is_help=True,
)

ON_BALANCER, ON_SERVER = "On the balancer", "On a media server, as root"
for command in (drain, maint, ready):
    app.command(rich_help_panel=ON_BALANCER)(command)

Vips = Annotated[
    list[str], typer.Option("--vip", help="The VIP; once for IPv4 and once for IPv6.", metavar="ADDRESS")
]
Clients = Annotated[
    list[str],
    typer.Option(
        "--clients",
        metavar="CIDR",
        help="A network that players are in, repeatable. It decides which UDP leaves with the VIP as source. "
        "Without it: every unicast destination that the main table reaches, the server's own subnets "
        "included. Name the balancers' own addresses too, or their probes see the real address. Name the "
        "networks if this server itself sends UDP to ports from 1024 up elsewhere (VXLAN, WireGuard, "
        "statsd): TCP, DNS, NTP and syslog always keep the real address.",
    ),
]
Interface = Annotated[
    str | None,
    typer.Option(
        metavar="IF",
        help="Where the balancer's frames arrive. Without it: the interfaces by which client routes leave.",
    ),
]
Table = Annotated[int, typer.Option(min=1, help="Routing table for the client routes; must be unused.")]
Priority = Annotated[int, typer.Option(min=1, max=32765, help="Priority of the rule that leads there.")]
State = Annotated[
    Path, typer.Option("--state", metavar="FILE", help="The record of what was done, which undo reads.")
]
Ports = Annotated[
    list[int],
    typer.Option("--port", min=1, max=65535, help="TCP port that the media server listens on; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(rich_help_panel=ON_SERVER)
def prepare(
    vip: Vips,
    clients: Clients = [],  # noqa: B006 (typer reads it, and never changes it)
    interface: Interface = None,
    table: Table = DEFAULT_TABLE,
    priority: Priority = DEFAULT_PRIORITY,
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
    persist: Annotated[
        str | None,
        typer.Option(
            metavar="systemd-networkd|ifupdown",
            help="Also write what makes it so after a reboot, with the gateways of today.",
        ),
    ] = None,
    etc: Annotated[Path, typer.Option(metavar="DIR", help="Where --persist writes.")] = Path("/etc"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
) -> None:
    """Put the VIP on lo, unheard by ARP, and have RTP to clients leave with it as source.

    Examples:

        rtspdsr backend prepare --vip 192.0.2.10 --vip 2001:db8::10 --dry-run

        rtspdsr backend prepare --vip 192.0.2.10 --clients 198.51.100.0/24 --persist systemd-networkd
    """
    from rtspdsr.preparation import apply, facts, plan, record

    request = _request(vip, clients, interface, table, priority)
    earlier = record.load(state)
    if earlier and earlier.request != request:
        raise PreparationError(
            f"this server was prepared otherwise, says {state}; run `rtspdsr backend undo` first"
        )
    recorded = earlier or record.Record(request=request)
    found = facts.read_facts()
    if problems := plan.obstacles(request, found, prepared=earlier is not None):
        raise PreparationError("; ".join(problems))
    preparation = plan.plan(request, found)
    steps = plan.missing(preparation, found)
    if persist:
        files = render(_manager(persist), preparation, found, etc)
        steps += missing_files(files, {path: facts.read_file(path) for path in files})
    if not dry_run:
        apply.prepare(recorded, steps, state)
    if as_json:
        print(json.dumps({"dry_run": dry_run, "state": str(state), "steps": [_described(s) for s in steps]}))
        return
    _print_steps(steps)
    if not steps:
        print("Nothing to do: this server is prepared.")
    elif dry_run:
        print("Nothing was changed (--dry-run).")
    else:
        print(f"Prepared; `rtspdsr backend undo` takes it back, by {state}.")


@app.command(rich_help_panel=ON_SERVER)
def check(
    vip: Vips = [],  # noqa: B006
    clients: Clients = [],  # noqa: B006
    interface: Interface = None,
    table: Table = DEFAULT_TABLE,
    priority: Priority = DEFAULT_PRIORITY,
    state: State = DEFAULT_STATE,
    rtp: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Listen that long for RTP that leaves from the wrong address."
        ),
    ] = 0,
    port: Ports = [RTSP_PORT],  # noqa: B006
    bitrate: BitrateOption = None,
    as_json: AsJson = False,
) -> None:
    """Look at everything here that real-time media depends on, and say what to mend.

    The preparation, who answers for the VIP, offloads, rings, queues, drops, buffers, packet filter, file
    descriptors of the media servers, the clock. Changes nothing, takes one to three seconds. Without --vip it
    goes by what was prepared. Exits with 4 if anything is wrong.

    Examples:

        rtspdsr backend check --bitrate 8M

        rtspdsr backend check --rtp 10

        rtspdsr backend check --json | jq -r '.findings[] | select(.verdict == "wrong") | .mend'
    """
    rate = bits_per_s(bitrate)

    from rtspdsr.doctor.examine import examine_server
    from rtspdsr.preparation import facts, plan, record
    from rtspdsr.preparation.check import judge_rtp
    from rtspdsr.preparation.wire import observe

    request = _request(vip, clients, interface, table, priority)
    if not vip:
        recorded = record.load(state)
        if recorded is None:
            raise PreparationError(f"there is no record {state}; say what to check with --vip")
        request = recorded.request
    findings = examine_server(request, tuple(port), rate)
    if rtp:
        ways = plan.outward(plan.plan(request, facts.read_facts()).routes)
        findings.append(judge_rtp(request, observe(ways, request.vips, rtp)))
    show(findings, as_json=as_json)


@app.command(rich_help_panel=ON_SERVER)
def undo(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Take back what prepare did, step by step, the latest first.

    Example: rtspdsr backend undo
    """
    from rtspdsr.preparation import apply, record

    recorded = record.load(state)
    results = apply.undo(recorded, state) if recorded else []
    if as_json:
        steps = [{**_described(result.step), "outcome": result.outcome.value} for result in results]
        print(json.dumps({"state": str(state), "steps": steps}))
        return
    for result in results:
        print(f"{result.step.what}: {result.step.new} -> {result.step.old}: {result.outcome}")
    if not recorded:
        print(f"Nothing to undo: there is no record {state}.")


def _request(
    vips: Sequence[str], clients: Sequence[str], interface: str | None, table: int, priority: int
) -> Request:
    return Request(
        vips=tuple(_address(text) for text in vips),
        clients=tuple(_network(text) for text in clients),
        interface=interface,
        table=table,
        priority=priority,
    )


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise UsageError(f"--vip {text}: {error}; give one address, without a prefix length") from error


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise UsageError(f"--clients {text}: {error}; give a network such as 192.0.2.0/24") from error


def _manager(text: str) -> Manager:
    try:
        return Manager(text)
    except ValueError as error:
        known = " or ".join(Manager)
        raise UsageError(f"--persist {text}: give {known}") from error


def _described(step: Step) -> dict[str, str]:
    return {"what": step.what, "old": step.old, "new": step.new, "why": step.why}


def _print_steps(steps: Sequence[Step]) -> None:
    for step in steps:
        print(f"{step.what}: {step.old} -> {step.new}\n    {step.why}")
