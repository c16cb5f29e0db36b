"""``rtspdsr selftest``: a client of our own plays through the VIP and the XDP program."""

import json
import signal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rtspdsr.cli.asking import ask
from rtspdsr.cli.completing import backend_names
from rtspdsr.cli.daemon import CONFIG, ConfigOption, JsonOption
from rtspdsr.errors import RtspDsrError

if TYPE_CHECKING:
    from rich.table import Table

    from rtspdsr.selftest.trial import Trial

Url = Annotated[
    str | None,
    typer.Option(
        help="What to play; the VIP takes the place of its host.  [default: each service's probe_url]"
    ),
]
Backend = Annotated[
    str | None,
    typer.Option(help="One backend alone.", metavar="BACKEND", autocompletion=backend_names),
]

COVERED = (
    "Covered: the XDP program in force with its maps, the tracker and its re-injection, the way to each "
    "backend, the VIP there, and what comes back."
)
NOT_COVERED = (
    "Not covered: how frames of other clients arrive, that is this machine's network card and driver, native "
    "mode, ARP and ND for the VIP, and routers and firewalls between clients and here."
)


def selftest(
    url: Url = None,
    backend: Backend = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Play from each backend through the VIP and the XDP program, as a client in a namespace of its own.

    Run it on the balancer, as root, beside the running daemon. The client has the balancer's own address in
    the backends' network, and ports that nobody else has; live sessions are not touched. Its sessions are in
    the session log like any other. Namespace, interface and rule are removed afterwards, also after Ctrl-C.
    Without a stream to play, only OPTIONS is asked. Exits with 1 if anything failed, or
    if there was no backend to play from.

    Examples:

        rtspdsr selftest

        rtspdsr selftest --url rtsp://192.0.2.10/lobby --backend cams/cam-a

        rtspdsr selftest --json | jq -r '.trials[] | select(.problem != "") | [.backend, .problem] | @tsv'
    """
    from rich.console import Console

    from rtspdsr.config import load
    from rtspdsr.selftest.trial import trials

    if url is not None and not _is_rtsp(url):
        raise typer.BadParameter(f"{url!r} cannot be played; write rtsp://VIP/PATH", param_hint="--url")
    loaded = load(config)
    signal.signal(signal.SIGTERM, _interrupted)

    def answer(method: str, path: str, body: dict[str, Any] | None = None, **query: object) -> Any:
        return ask(config, method, path, body, **query)

    found: list[Trial] = []
    with Console(stderr=True).status("making the way") as status:
        for one in trials(loaded, answer, url, backend):
            found.append(one)
            status.update(f"{one.service}/{one.backend} {one.vip}: {one.problem or one.skipped or 'good'}")
    if not found:
        raise typer.BadParameter(f"there is no backend {backend}", param_hint="--backend")
    if as_json:
        told = {"trials": [_record(one) for one in found], "covered": COVERED, "not_covered": NOT_COVERED}
        typer.echo(json.dumps(told))
    else:
        from rtspdsr.cli.tables import console as wide

        console = wide()
        console.print(_table(found))
        for one in found:
            if why := one.problem or one.skipped:
                console.print(
                    f"{one.service}/{one.backend} {one.vip}: {why}", markup=False, style=_style(one)
                )
        for line in (COVERED, NOT_COVERED):
            console.print(line, highlight=False)
    if all(one.skipped for one in found):
        raise RtspDsrError("nothing was played: every backend was passed over")
    if any(one.failed for one in found):
        raise typer.Exit(1)


def _is_rtsp(url: str) -> bool:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        return parts.scheme == "rtsp" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half a bracket
        return False


def _interrupted(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _record(one: "Trial") -> dict[str, Any]:
    from dataclasses import asdict

    seen = {} if one.outcome is None else asdict(one.outcome)
    seen.pop("problem", None)
    if seen.get("source") is not None:
        seen["source"] = str(seen["source"])
    return {
        "service": one.service,
        "backend": one.backend,
        "vip": str(one.vip),
        "skipped": one.skipped,
        "problem": one.problem,
        "session": one.session,
        **seen,
    }


def _table(found: "list[Trial]") -> "Table":
    from rich.text import Text

    from rtspdsr.cli.tables import table
    from rtspdsr.cli.units import bits, share
    from rtspdsr.core.health import Outcome

    shown = table("backend", "VIP", "result", "RTP from", right=("answers", "first RTP", "rate", "loss"))
    for one in found:
        seen = one.outcome or Outcome()
        shown.add_row(
            f"{one.service}/{one.backend}",
            str(one.vip),
            Text(_result(one), _style(one)),
            str(seen.source or "-"),
            _milliseconds(seen.response_s),
            _milliseconds(seen.first_rtp_s),
            bits(seen.bits_per_s),
            share(seen.lost),
        )
    return shown


def _result(one: "Trial") -> str:
    if one.skipped:
        return "not tried"
    if one.problem:
        return "fails"
    played = one.outcome is not None and one.outcome.first_rtp_s is not None
    return "plays" if played else "answers"


def _style(one: "Trial") -> str:
    if one.skipped:
        return "yellow"
    return "bold red" if one.failed else "green"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f} ms"
