"""How findings are shown, and what they make of a command's exit code."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from rtspdsr.errors import PreparationError
from rtspdsr.finding import Finding, Verdict, any_wrong

STYLES = {Verdict.OK: "green", Verdict.ADVICE: "cyan", Verdict.WRONG: "bold red", Verdict.UNKNOWN: "yellow"}
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}

BitrateOption = Annotated[
    str | None,
    typer.Option(
        metavar="RATE",
        help="Bit rate of the largest stream, such as 8M or 800k; socket buffers are judged by it.",
    ),
]


def bits_per_s(text: str | None) -> int | None:
    """A rate as an operator writes it. Raises ``typer.BadParameter``."""
    if text is None:
        return None
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text)
    if not parts or not float(parts[1]):
        raise typer.BadParameter(f"{text!r} is no bit rate; write 8M or 800k", param_hint="--bitrate")
    return int(float(parts[1]) * UNITS[parts[2]])


def show(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print them, and what they come to; exits with 4 if anything is wrong."""
    if as_json:
        typer.echo(json.dumps({"findings": [asdict(finding) for finding in findings]}))
    else:
        _print(findings)
    if any_wrong(findings):
        raise typer.Exit(PreparationError.exit_code)


def _print(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for finding in findings:
        line = Text(f"{finding.verdict:7}", STYLES[finding.verdict])
        console.print(line.append(f" {finding.about}: {finding.measured}", "default"), soft_wrap=True)
        if finding.verdict is not Verdict.OK:
            for key, text in (("why", finding.why), ("mend", finding.mend)):
                console.print(f"        {key + ':':5} {text}", soft_wrap=True, markup=False)
    counted = Counter(finding.verdict for finding in findings)
    told = (f"{counted[verdict]} {verdict}" for verdict in Verdict if counted[verdict])
    console.print(f"{len(findings)} things looked at: {', '.join(told)}", soft_wrap=True)
