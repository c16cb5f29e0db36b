"""A review from beginning to end: log files in, a report out.

Reads each file once, in the order of time, and tells how far it is. A capture is read by a process of its
own (``capture.py``), whose lines are taken as those of a log.
"""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtspdsr.errors import ReviewError
from rtspdsr.review.report import Report
from rtspdsr.review.selection import Selection
from rtspdsr.review.source import BLOCK_BYTES, Batch, FileDamaged, batches, in_order, total_bytes
from rtspdsr.review.statements import report
from rtspdsr.review.survey import Survey

Advance = Callable[[int], object]

_NO_SCAPY = 3  # exit code of capture.py where scapy is missing


def review_logs(files: Iterable[Path], selection: Selection, *, progress: bool) -> Report:
    """The review of session logs. Raises ReviewError for a file that cannot be opened."""
    ordered = in_order(files)
    size = total_bytes(ordered)
    with _progress(size if progress else None) as advance:
        taken = (batch for file in ordered for batch in batches(file, advance))
        return _reviewed(taken, selection, [str(file) for file in ordered], size)


def review_capture(file: Path, ports: Sequence[int], selection: Selection) -> Report:
    """The review of what a packet capture shows. Raises ReviewError if it cannot be read."""
    if not file.is_file():
        raise ReviewError(f"--pcap {file}: no such file; name a capture of the clients' packets to the VIP")
    command = [sys.executable, "-m", "rtspdsr.review.capture", str(file), *map(str, ports)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            found = _reviewed(_piped(process, file), selection, [str(file)], file.stat().st_size)
        except BaseException:
            process.kill()
            raise
        said = process.stderr.read().decode(errors="replace").strip()
    if process.returncode == _NO_SCAPY:
        raise ReviewError("--pcap needs scapy; install it with: pip install 'rtspdsr[pcap]'")
    if process.returncode:
        raise ReviewError(f"--pcap {file}: {said.splitlines()[-1] if said else 'could not be read'}")
    return found


def _piped(process: "subprocess.Popen[bytes]", file: Path) -> Iterator[Batch | FileDamaged]:
    assert process.stdout is not None
    number, rest = 1, b""
    while block := process.stdout.read(BLOCK_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        yield Batch(file, number, lines)
        number += len(lines)


def _reviewed(
    taken: Iterable[Batch | FileDamaged], selection: Selection, files: list[str], size: int | None
) -> Report:
    from rtspdsr.logreference import event_classes
    from rtspdsr.sessionlog import event_name

    survey = Survey(selection, frozenset(map(event_name, event_classes())))
    for batch in taken:
        survey.take(batch)
    survey.end()
    read: dict[str, Any] = {
        "files": files,
        "bytes": size,
        "lines": survey.lines,
        "selected_events": dict(sorted(survey.events.items())),
    }
    return report(survey, read)


@contextmanager
def _progress(size: int | None) -> Iterator[Advance]:
    """A bar on standard error, if that is a terminal and there is something to measure by."""
    if size is None or not sys.stderr.isatty():
        yield lambda _read: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=size)
        yield lambda read: bar.advance(task, read)
