"""``rtspdsr review``: what session logs, or a capture, say about sessions, clients and backends."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rtspdsr.errors import ReviewError

if TYPE_CHECKING:
    from rtspdsr.review.selection import Selection

Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="LOG...", help="Session logs, in any order, also gzipped; - is standard input."),
]
Rotated = Annotated[
    bool, typer.Option("--rotated", help="Read what was rotated from each log too: .1, .2.gz and so on.")
]
Since = Annotated[
    str | None, typer.Option(help="From this time on: 2026-03-01T18:00 (UTC), or 90m, 2h, 1d ago.")
]
Until = Annotated[str | None, typer.Option(help="Up to this time.")]
Client = Annotated[
    str | None, typer.Option(help="One client: address, network, or hashed as in the log.", metavar="CLIENT")
]
ClientKey = Annotated[
    Path | None,
    typer.Option(
        help="The daemon's client-key file: finds the --client of a log with hashed clients.", metavar="FILE"
    ),
]
Url = Annotated[str | None, typer.Option(help="Part of the URL, or a pattern with *.")]
BackendName = Annotated[str | None, typer.Option("--backend", help="One backend: NAME or SERVICE/NAME.")]
Pcap = Annotated[
    Path | None,
    typer.Option(help="Review a capture of clients' packets to the VIP instead of logs.", metavar="FILE"),
]
Port = Annotated[list[int] | None, typer.Option(help="RTSP ports in the capture.  [default: 554, 8554]")]
Top = Annotated[int, typer.Option(help="Rows shown of each long table.", min=1)]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
Csv = Annotated[
    Path | None, typer.Option("--csv", help="Write each table into this directory.", metavar="DIRECTORY")
]
Html = Annotated[
    Path | None, typer.Option("--html", help="Write one page with plots, for a browser.", metavar="FILE")
]


def review(
    logs: Files = None,
    rotated: Rotated = False,
    since: Since = None,
    until: Until = None,
    client: Client = None,
    client_key: ClientKey = None,
    url: Url = None,
    backend: BackendName = None,
    pcap: Pcap = None,
    port: Port = None,
    top: Top = 10,
    as_json: AsJson = False,
    csv: Csv = None,
    html: Html = None,
) -> None:
    """Review session logs: quality, failures, and backends that are worse.

    Examples:

        rtspdsr review /var/log/rtspdsr/sessions.log --rotated

        rtspdsr review sessions.log* --since 2h --html report.html

        rtspdsr review sessions.log --json | jq -r '.alarms[]'

        rtspdsr review --pcap vip.pcap
    """
    if (pcap is None) == (not logs):
        raise ReviewError("name session logs, or a capture with --pcap FILE")
    from rtspdsr.review import files
    from rtspdsr.review.page import page
    from rtspdsr.review.reading import review_capture, review_logs
    from rtspdsr.review.source import rotated as with_rotated
    from rtspdsr.review.terminal import show

    selection = _selection(since, until, client, client_key, url, backend)
    if pcap is not None:
        found = review_capture(pcap, port or (554, 8554), selection)
    else:
        named = [file for log in logs or () for file in (with_rotated(log) if rotated else [log])]
        found = review_logs(named, selection, progress=True)
    if csv is not None:
        files.write_csv(found, csv)
        typer.echo(f"the tables are in {csv}", err=as_json)
    if html is not None:
        files.write_text(page(found, top), html, "--html")
        typer.echo(f"the page is in {html}", err=as_json)
    if as_json:
        typer.echo(files.as_json(found))
    elif csv is None and html is None:
        show(found, top)


def _selection(
    since: str | None,
    until: str | None,
    client: str | None,
    client_key: Path | None,
    url: str | None,
    backend: str | None,
) -> "Selection":
    from rtspdsr.clientnames import hashed, load_key
    from rtspdsr.review.selection import Selection, client_matcher, moment

    now = time.time()
    begin, end = (None if text is None else moment(text, now) for text in (since, until))
    if begin is not None and end is not None and end <= begin:
        raise ReviewError(f"--until {until} is not after --since {since}; exchange them")
    names = None if client_key is None else hashed(load_key(client_key))
    return Selection(
        since=begin,
        until=end,
        client=None if client is None else client_matcher(client, names),
        url=url,
        backend=backend,
    )
