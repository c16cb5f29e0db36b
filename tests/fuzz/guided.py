"""``python -m tests.fuzz.guided KIND COUNT SEED``: cases made up by atheris, which seeks new code.

libFuzzer ends the process when it has run its count, so each kind has a process of its own. What reached new
code is kept under ``build/fuzz``, and the next run goes on from there; only faults become seeds.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random

from tests.fuzz.part import NotRun, Part, Run
from tests.fuzz.seeds import DIRECTORY, Found

CORPUS = Path(__file__).parents[2] / "build" / "fuzz"
BEGINNINGS = 200  # cases made up with dice that the first run begins with
LONGEST = 4096  # octets of a case
FAULT = 1  # exit code
UNGUIDED = "not run: atheris is not installed (it has wheels for x86-64, Python 3.11 to 3.13)"


def guided(kind: str, unit: str, count: int) -> Part:
    """A part whose cases atheris makes up."""
    run: Run = partial(_in_a_process, kind)
    return Part(unit, count, run)


def _in_a_process(kind: str, count: int, seed: int, first: int, progress: Callable[[int], None]) -> str:
    if find_spec("atheris") is None:
        raise NotRun(UNGUIDED)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", kind, str(count), str(seed)],
        check=False,
        capture_output=True,
        text=True,
    )
    if ran.returncode == FAULT and ran.stdout:
        why, kept = ran.stdout.splitlines()[-2:]
        raise Found(why, DIRECTORY.parents[2] / kept, f"--count {count}")
    if ran.returncode:
        raise RuntimeError(f"atheris ended with {ran.returncode}: {ran.stderr[-2000:]}")
    last = [line for line in ran.stderr.splitlines() if " cov: " in line][-1]
    return last.partition("\t")[2].strip()


def main(kind: str, count: int, seed: int) -> None:
    """Fuzz one kind of octets to the end of the process."""
    import atheris

    with atheris.instrument_imports(include=["rtspdsr.core"]):
        from tests.fuzz.requests import REQUESTS
        from tests.fuzz.segments import SEGMENTS
    octets = {one.name: one for one in (REQUESTS, SEGMENTS)}[kind]

    def try_one(data: bytes) -> None:
        if not octets.read(data)[1]:
            return
        found = octets.found(data, "")
        print(found, os.path.relpath(found.kept, DIRECTORY.parents[2]), sep="\n", flush=True)
        os._exit(FAULT)

    corpus = CORPUS / kind
    if not corpus.is_dir():
        corpus.mkdir(parents=True)
        dice = Random(seed)
        for number in range(BEGINNINGS):
            (corpus / f"dice-{number}").write_bytes(octets.case(dice))
    atheris.Setup([kind, f"-runs={count}", f"-seed={seed}", f"-max_len={LONGEST}", str(corpus)], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
