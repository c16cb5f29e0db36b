"""``rtspdsr sysdump``: one archive for a bug report."""

import json
import secrets
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtspdsr.cli.asking import ask
from rtspdsr.cli.daemon import CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from rtspdsr.clientnames import ClientName
    from rtspdsr.config import Config
    from rtspdsr.model import Address

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="The archive.  [default: rtspdsr-HOST-TIME.tar.gz here]", metavar="FILE"
    ),
]
Anonymize = Annotated[
    bool,
    typer.Option(
        "--anonymize",
        help="Write every address but the installation's own as a name that nobody can turn back. "
        "Without it, addresses are written as `log.client_addresses` has them in the session log.",
    ),
]


def sysdump(
    output: Output = None,
    anonymize: Anonymize = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Gather what a bug report needs into one .tar.gz, and say what is in it.

    Versions, the configuration, what the daemon tells, the XDP program's verdicts and maps, the end of the
    session log, and how the machine's network stands. Passwords, tokens and queries in URLs are taken out.
    Run it as root; what cannot be had is left out with the reason. Nothing is sent anywhere.

    Examples:

        rtspdsr sysdump

        rtspdsr sysdump --anonymize --output /tmp/report.tar.gz
    """
    from rich.console import Console

    from rtspdsr.config import load
    from rtspdsr.sysdump import archive
    from rtspdsr.sysdump.parts import Part, parts
    from rtspdsr.sysdump.scrubbing import Scrubber

    loaded = load(config)
    name, note = _naming(loaded, anonymize)
    file = output or Path(f"rtspdsr-{socket.gethostname()}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    with Console(stderr=True).status("gathering") as status:

        def gathering(part: Part) -> None:
            status.update(f"gathering {part.name}")

        contents = archive.write(
            file,
            parts(loaded, config, lambda path: ask(config, "GET", path)),
            Scrubber(_own(loaded), name),
            note,
            gathering,
        )
    if as_json:
        typer.echo(json.dumps({"file": str(file), "note": note, "contents": contents}))
        return
    for part, about in contents.items():
        typer.echo(f"  {part:<32} {about}")
    typer.echo(f"{note}\n{file}: {file.stat().st_size:,} bytes. Look into it before you send it.")


def _naming(config: "Config", anonymize: bool) -> "tuple[ClientName | None, str]":
    """How addresses are written, and that in words."""
    from rtspdsr.clientnames import ClientAddresses, client_name, hashed

    if anonymize:
        made = hashed(secrets.token_bytes(32))  # and forgotten
        return made, "Addresses that are not the installation's own are names made for this archive alone."
    if config.log.client_addresses is ClientAddresses.FULL:
        return (
            None,
            "Clients' addresses are in it: log.client_addresses is full, and --anonymize was not given.",
        )
    kept = client_name(config.log.client_addresses, config.daemon.state_dir)
    said = config.log.client_addresses.value
    return kept, f"Addresses that are not the installation's own are written as in the log: {said}."


def _own(config: "Config") -> "set[Address]":
    """The addresses of the installation: VIPs, backends, and this machine's."""
    from ipaddress import ip_address

    from rtspdsr.sysdump.parts import run

    own: set[Address] = {vip for service in config.services for vip in service.vips}
    own |= {address for service in config.services for one in service.backends for address in one.addresses}
    for line in run(("ip", "-o", "address")).splitlines()[1:]:
        words = line.split()
        if len(words) > 3 and words[2] in ("inet", "inet6"):
            own.add(ip_address(words[3].partition("/")[0]))
    return own
