"""``python -m tests.soak``: half an hour of churn with a mishap a minute; what grows, what is left behind.

Needs root. Everything happens in a lab of its own, which is removed at the end, also after Ctrl-C.
"""

import json
import os
import signal
import sys
import time
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path

from rtspdsr.errors import RtspDsrError
from rtspdsr.lab.lab import Settings
from tests.lab.labs import lab_of_run
from tests.soak.slope import Slope
from tests.soak.soak import DESCRIPTORS, MEMORY_KIB, NODES, Outcome, Soak

PREFIX = "k"  # the lab's name: this and the pid
SEED = 2326
MINUTES_MIN = 3
FOUND, INTERRUPTED = 1, 130  # exit codes


def say(line: str) -> None:
    """A line of progress, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def grown(name: str, unit: str, growth: Slope | None, limit: float) -> str:
    """A row of the table."""
    if growth is None:
        return f"| {name} | not judged: the store of ended sessions was not full in time | {limit:g} |"
    return f"| {name} | {growth.per_minute:+.2f} +- {growth.error:.2f} {unit} a minute | {limit:g} |"


def report(outcome: Outcome) -> str:
    """What there was, as tables."""
    rows = ["| mishap | times | s | noticed by players that stay |", "|---|---|---|---|"]
    for name in dict.fromkeys(one.name for one in outcome.happened):
        these = [one for one in outcome.happened if one.name == name]
        noticed = sum(bool(one.problem) for one in these)
        longest = max(one.lasted_s for one in these)
        rows.append(f"| {name} | {len(these)} | {longest:.0f} | {noticed or 'never'} |")
    rows += ["", "| what grows | how fast | flat up to |", "|---|---|---|"]
    rows.append(grown("memory", "KiB", outcome.memory, MEMORY_KIB))
    rows.append(grown("descriptors", "", outcome.descriptors, DESCRIPTORS))
    judged = outcome.judged
    if judged:
        lasted = (judged[-1].at - judged[0].at) / 60
        rows.append(
            f"\n{len(judged)} samples in {lasted:.1f} minutes; {judged[-1].memory_kib:,} KiB at the end."
        )
    rows.append("Sessions: " + ", ".join(f"{count:,} {kind}" for kind, count in outcome.played.items()) + ".")
    rows.append(
        "Pins are those of the sessions when idle: " + ("no" if any(outcome.idle.values()) else "yes") + "."
    )
    return "\n".join(rows)


def main() -> None:
    """Soak, tell, and say by the exit code whether it stood."""
    parser = ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=int, default=30, help="how long; 30 by default, a mishap each")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the dice; {SEED} by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample and mishap to FILE")
    wanted = parser.parse_args()
    if wanted.minutes < MINUTES_MIN:
        parser.error(f"--minutes {wanted.minutes}: {MINUTES_MIN} or more, or nothing can be judged")
    if os.geteuid():
        sys.exit("error: this needs root, for network namespaces and XDP; run: sudo make soak")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        say(f"{wanted.minutes} minutes, seed {wanted.seed}; the lab is being made")
        with lab_of_run(PREFIX, Settings(players=NODES)) as lab:
            soak = Soak(lab, wanted.minutes, wanted.seed, say)
            soak.run()
    except KeyboardInterrupt:
        print("interrupted; nothing is left behind", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except RtspDsrError as error:
        sys.exit(f"error: {error}")
    outcome = soak.outcome
    if wanted.json:
        kept = {
            "minutes": wanted.minutes,
            "seed": wanted.seed,
            **asdict(outcome),
            "problems": outcome.problems,
        }
        wanted.json.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"\n{report(outcome)}\n")
    for problem in outcome.problems:
        print(f"problem: {problem}", file=sys.stderr)
    sys.exit(FOUND if outcome.problems else 0)


if __name__ == "__main__":
    main()
