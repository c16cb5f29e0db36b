"""``python -m tests.bench [PART...]``: run benchmarks, show their tables, keep the figures. Needs root."""

import os
import signal
import sys
import time
import traceback
from argparse import ArgumentParser, Namespace
from pathlib import Path

from rtspdsr.errors import RtspDsrError
from tests.bench import claim, document, forwarding, packets, reading, report, scaling, tracker
from tests.bench.origin import Origin
from tests.bench.part import Part, Result

PARTS: dict[str, Part] = {
    "forwarding": forwarding,
    "packets": packets,
    "claim": claim,
    "reading": reading,
    "tracker": tracker,
}
QUIET_S = 10.0  # between two lines of progress, where there is no terminal
INTERRUPTED = 130  # exit code, as shells have it


class Progress:
    """How far a part is, on standard error: a line that changes on a terminal, one now and then elsewhere."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._told_at = time.monotonic()
        self._on_terminal = sys.stderr.isatty()

    def __call__(self, words: str) -> None:
        if self._on_terminal:
            print(f"\r\x1b[K{self._part}: {words}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._told_at >= QUIET_S:
            self._told_at = time.monotonic()
            print(f"{self._part}: {words}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Make room for the result."""
        if self._on_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def measured(name: str, rounds: int | None) -> Result:
    """One part, from its beginning to its result."""
    part, progress, began_at = PARTS[name], Progress(name), time.monotonic()
    progress("begins")
    try:
        cells = part.bench(rounds or part.ROUNDS, progress)
    finally:
        progress.end()
    took_s = time.monotonic() - began_at
    return Result(
        name, part.TITLE, rounds or part.ROUNDS, took_s, cells, part.tables(cells), part.plots(cells)
    )


def keep(result: Result, results: list[Result], origin: Origin, wanted: Namespace) -> None:
    """Show a result, and write whatever is wanted of all there are: a later part may fail."""
    results.append(result)
    told = [table.markdown() for table in result.tables]
    print("\n\n".join([result.title, *told, origin.note(result.rounds, result.took_s)]) + "\n", flush=True)
    if wanted.docs:
        document.write(result, origin)
        scaling.write(result, origin)
    if wanted.report:
        wanted.report.write_text(report.page(origin, results))
    if wanted.json:
        wanted.json.write_text(report.figures(origin, results))


def arguments() -> Namespace:
    """What the command line asks for."""
    parser = ArgumentParser(
        prog="python -m tests.bench",
        description="Run benchmarks.",
        epilog="example: make bench ARGS='forwarding reading --rounds 5 --report bench.html'",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument(
        "--rounds", type=int, help="that medians are taken over, 2 or more; each part has its own default"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write tables and plots to FILE, as HTML")
    parser.add_argument(
        "--docs", action="store_true", help=f"put tables and plots into docs/{document.PAGE.name}"
    )
    wanted = parser.parse_args()
    if unknown := set(wanted.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if wanted.rounds is not None and wanted.rounds < 2:
        parser.error(f"--rounds {wanted.rounds}: a spread needs 2 or more")
    for file in filter(None, (wanted.json, wanted.report)):
        if not file.parent.is_dir():
            parser.error(f"there is no directory {file.parent} to write {file.name} to")
    return wanted


def main() -> None:
    """Run the parts that are named, all by default. One that cannot be measured does not stop the others."""
    wanted = arguments()
    if os.geteuid():
        sys.exit("error: this needs root, to load BPF programs; run: sudo make bench")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    origin, results, failed = Origin.here(wanted.parts, wanted.rounds), list[Result](), False
    for name in dict.fromkeys(wanted.parts or PARTS):
        try:
            keep(measured(name, wanted.rounds), results, origin, wanted)
        except RtspDsrError as error:
            failed = True
            print(f"error: {name}: {error}", file=sys.stderr, flush=True)
        except Exception:  # noqa: BLE001 - a fault of one part does not cost the night's run of the others
            failed = True
            traceback.print_exc()
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
    sys.exit(failed)


if __name__ == "__main__":
    main()
