"""``python -m tests.fuzz [PART...]``: throw hostile input at parts, until one breaks or the count is reached.

What dice make up, a seed and the number of a batch come upon again.
"""

import os
import sys
import time
from argparse import ArgumentParser

from tests.fuzz import forwarding, requests, segments
from tests.fuzz.guided import guided
from tests.fuzz.part import NotRun, Part
from tests.fuzz.seeds import Found

PARTS: dict[str, Part] = {
    "frames": forwarding.PART,
    "requests": requests.PART,
    "segments": segments.PART,
    "guided-requests": guided("requests", "texts", 10_000),
    "guided-segments": guided("segments", "scripts", 3_000),
}
NEED_ROOT = {"frames"}
SEED = 2326
FOUND = 1  # exit code
SHOW_EVERY_S = 1.0


class Progress:
    """A line on a terminal that says how far it is; nothing elsewhere."""

    def __init__(self, part: str, count: int) -> None:
        self._words, self._count = f"{part}: {{:,}} of {count:,} {PARTS[part].unit}", count
        self._shown_at = 0.0

    def __call__(self, done: int) -> None:
        if sys.stderr.isatty() and time.monotonic() - self._shown_at >= SHOW_EVERY_S:
            self._shown_at = time.monotonic()
            print(f"\r{self._words.format(done)}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Make room for the result."""
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def fuzz(name: str, count: int, seed: int, first: int) -> bool:
    """One part, from its beginning to its result; whether it stood."""
    progress = Progress(name, count)
    began_at, unit = time.monotonic(), PARTS[name].unit
    try:
        walked = PARTS[name].run(count, seed, first, progress)
    except NotRun as why:
        print(f"{name}: {why}")
        return True
    except Found as found:
        progress.end()
        print(f"{name}: {found}", file=sys.stderr)
        print(f"kept as {os.path.relpath(found.kept)}", file=sys.stderr)
        print(f"again: make fuzz ARGS='{name} --seed {seed} {found.again}'", file=sys.stderr)
        return False
    progress.end()
    lasted_s = time.monotonic() - began_at
    print(f"{name}: {count:,} {unit} in {lasted_s:.0f} s, none at fault (seed {seed})")
    print(f"  {walked}")
    return True


def main() -> None:
    """Fuzz the parts that are named, all by default."""
    parser = ArgumentParser(prog="python -m tests.fuzz", description="Throw hostile input at the balancer.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument(
        "--count", type=int, help="how many frames, requests or dialogs; each part has its own default"
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the dice; {SEED} by default")
    parser.add_argument(
        "--first", type=int, default=0, metavar="NUMBER", help="batch to begin with, as a fault names it"
    )
    wanted = parser.parse_args()
    if unknown := set(wanted.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if wanted.count is not None and wanted.count < 1:
        parser.error(f"--count {wanted.count}: 1 or more")
    parts = wanted.parts or list(PARTS)
    if os.geteuid() and NEED_ROOT & set(parts):
        sys.exit("error: frames need root, to load BPF programs; run: sudo make fuzz")
    stood = [fuzz(name, wanted.count or PARTS[name].count, wanted.seed, wanted.first) for name in parts]
    sys.exit(0 if all(stood) else FOUND)


if __name__ == "__main__":
    main()
