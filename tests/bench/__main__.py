"""``python -m tests.bench [PART...]``: run benchmarks, show their tables, keep the figures.

Needs root. A part is a module with a ``TITLE``, ``bench(rounds)``, which gives back its cells, and
``report(cells)``, which makes a table of them.
"""

import json
import os
import platform
import re
import sys
import time
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path

from tests.bench import forwarding, reading

PARTS = {"forwarding": forwarding, "reading": reading}
DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def machine() -> str:
    """Where it was measured."""
    named = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = named[1] if named else platform.machine()
    return f"{os.cpu_count()} x {processor}, Linux {platform.release()}"


def write_table(part: str, table: str) -> None:
    """Put a table between its part's marks in docs/benchmarks.md."""
    begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->\n"
    before, _, rest = DOCS.read_text().partition(begin)
    DOCS.write_text(before + begin + table + "\n" + end + rest.partition(end)[2])


def main() -> None:
    """Run the parts that are named, all by default."""
    parser = ArgumentParser(prog="python -m tests.bench", description="Run benchmarks.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--rounds", type=int, default=31, help="that medians are taken over, 2 or more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--docs", action="store_true", help=f"put the tables into docs/{DOCS.name}")
    wanted = parser.parse_args()
    if unknown := set(wanted.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if wanted.rounds < 2:
        parser.error(f"--rounds {wanted.rounds}: a spread needs 2 or more")
    if os.geteuid():
        sys.exit("error: this needs root, to load BPF programs; run: sudo make bench")
    figures = {}
    for name in wanted.parts or PARTS:
        cells = PARTS[name].bench(wanted.rounds)
        note = f"{wanted.rounds} rounds on {machine()}, {time.strftime('%Y-%m-%d')}."
        table = f"{PARTS[name].report(cells)}\n\n{note}"
        print(f"{PARTS[name].TITLE}\n\n{table}\n", flush=True)
        figures[name] = [asdict(cell) for cell in cells]
        if wanted.docs:
            write_table(name, table)
    if wanted.json:
        kept = {"machine": machine(), "rounds": wanted.rounds, "parts": figures}
        wanted.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
