"""``rtspdsr explain``: which backend a client's packets go to, and by which rule."""

import json
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer

from rtspdsr.cli.asking import ask
from rtspdsr.cli.daemon import CONFIG, ConfigOption, JsonOption
from rtspdsr.errors import AdminError, RtspDsrError, UsageError
from rtspdsr.model import Address

Client = Annotated[
    str,
    typer.Argument(
        help="The client's address; with the port that it sends from, if that is meant.",
        metavar="CLIENT[:PORT]",
    ),
]

_KINDS = {
    "new connection": "a new connection",
    "connection": "a connection that stands",
    "datagram": "UDP",
    "fragment": "UDP",
}


def explain(client: Client, config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Explain where a client's packets go: pin, flow, client, newcomer, then slot or turn.

    It reads the maps of the XDP program as that does, and changes nothing. Without the daemon it reads them
    itself, as root.

    Examples:

        rtspdsr explain 198.51.100.7

        rtspdsr explain 198.51.100.7:51000

        rtspdsr explain '[2001:db8::7]:51000'

        rtspdsr explain 198.51.100.7 --json | jq -r '.[] | [.kind, .backend, .verdict] | @tsv'
    """
    address, port = parse(client)
    found = _found(config, address, port)
    if not found:
        raise RtspDsrError(f"no service has a VIP of IPv{address.version}, which {address} could reach")
    if as_json:
        typer.echo(json.dumps(found))
        return
    for one in found:
        typer.echo(_told(one))
        for step in one["steps"]:
            holds = step["backend"] or ""
            why = "decides" if step["taken"] else step["problem"]
            typer.echo(f"    {step['tier']:<9} {holds}{': ' if holds else ''}{why}")
    if port is None:
        typer.echo("A port that a session has pinned goes where that session is: ask for it as CLIENT:PORT.")


def parse(text: str) -> tuple[Address, int | None]:
    """``192.0.2.7``, ``192.0.2.7:51000``, ``2001:db8::7``, ``[2001:db8::7]:51000``. Raises UsageError."""
    split = re.fullmatch(r"\[([^]]*)\](?::(\d+))?|([^:]*):(\d+)", text)
    host, port = (split[1] or split[3], split[2] or split[4]) if split else (text, None)
    try:
        address = ip_address(host)
        if port is not None and not 1 <= int(port) <= 65535:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"{text!r} is no client; write 192.0.2.7, 192.0.2.7:51000 or [2001:db8::7]:51000"
        ) from None
    return address, None if port is None else int(port)


def _found(config: Path, client: Address, port: int | None) -> list[Any]:
    try:
        answer: list[Any] = ask(config, "GET", "/v1/explain", client=client, port=port)
        return answer
    except AdminError:
        from rtspdsr.balancer.explaining import explain_without_daemon
        from rtspdsr.config import load

        return [*explain_without_daemon(load(config), client, port)]


def _told(one: dict[str, Any]) -> str:
    place = f" port {one['service_port']}" if one["service_port"] else ""
    unpinned = ", from a port without a pin," if one["kind"] == "fragment" else ""
    goes = f"goes to {one['backend']}" if one["backend"] else "is dropped"
    return (
        f"{_KINDS[one['kind']]} to {one['vip']}{place} ({one['service']}){unpinned} {goes}: {one['meaning']}"
    )
