"""Part ``frames``: hostile frames through the XDP program (BPF_PROG_TEST_RUN), judged by their octets.

Frames come in batches, each before a scene of its own, so that any batch can be run again by its number. What
holds of each frame is in ``tests.packets.fate``; of a batch, that every frame is counted under a verdict that
agrees with what became of it, and that every segment handed to the tracker is the frame as it came.
"""

from collections import Counter
from collections.abc import Callable
from random import Random

from rtspdsr.dataplane.layout import Verdict
from tests.fuzz.frames import SHORTEST, frame
from tests.fuzz.part import Part
from tests.fuzz.scene import furnish
from tests.fuzz.seeds import Found, blanked, keep, shrunk
from tests.packets.fate import FATES, Fate, fate
from tests.packets.runner import LOOPBACK, XdpRunner

BATCH = 1000
RING = 1 << 24  # holds what a batch detours, mostly: a full ring is part of the game


class Fault(AssertionError):
    """A frame of a batch that must not become what became of it.

    scene: of its batch
    sent:  the frames up to it, itself the last
    """

    def __init__(self, scene: str, sent: list[bytes], why: str) -> None:
        super().__init__(f"{why}: {len(sent[-1])} octets, {sent[-1][:200].hex()}")
        self.scene, self.sent, self.why = scene, sent, why


class Stage:
    """The program, and the scenes that it is put before."""

    def __init__(self) -> None:
        self._xdp = XdpRunner({"segments": RING})

    def close(self) -> None:
        """Unload the program."""
        self._xdp.__exit__(None, None, None)

    def play(self, scene: str, sent: list[bytes]) -> Counter[Verdict]:
        """Run frames before a scene. Raises Fault at the first that must not have come to that."""
        furnish(self._xdp, Random(f"scene {scene}"))
        fates: Counter[Fate] = Counter()
        for at, one in enumerate(sent):
            ran = self._xdp.program.test_run(one, ifindex=LOOPBACK)
            try:
                fates[fate(one, ran.action, ran.frame)] += 1
            except AssertionError as wrong:
                raise Fault(scene, sent[: at + 1], str(wrong)) from None
        return self._account(scene, sent, fates)

    def _account(self, scene: str, sent: list[bytes], fates: Counter[Fate]) -> Counter[Verdict]:
        """Hold what the program has counted and told against what became of the frames."""
        told = self._xdp.told()
        counted: Counter[Fate] = Counter()
        for verdict, frames in told.verdicts.items():
            counted[FATES[verdict]] += frames
        if +counted != +fates:
            raise Fault(scene, sent, f"counted as {counted}, but {fates}")
        if len(told.segments) != told.verdicts[Verdict.DETOURED] + told.verdicts[Verdict.TRACKER_DEAD]:
            raise Fault(scene, sent, f"{len(told.segments)} segments handed over")
        came = iter(sent)
        for segment in told.segments:
            if segment.frame not in came or segment.payload not in segment.frame:
                raise Fault(scene, sent, f"a segment of {segment.flow} that never came")
        return told.verdicts

    def shrink(self, fault: Fault) -> list[bytes]:
        """The fewest of its frames that are still at fault, and of a single one the fewest octets."""
        scene = fault.scene
        sent = fault.sent[-1:] if self.fails(scene, fault.sent[-1:]) else fault.sent
        sent = shrunk(sent, lambda fewer: self.fails(scene, fewer))
        if len(sent) > 1:
            return sent
        alone = shrunk(sent[0], lambda less: self.fails(scene, [less]))
        return [blanked(alone, lambda other: self.fails(scene, [other]))]

    def fails(self, scene: str, sent: list[bytes]) -> bool:
        """Whether there is a fault among them; none with frames too short to be run."""
        if min(map(len, sent)) < SHORTEST:
            return False
        try:
            self.play(scene, sent)
        except Fault:
            self._xdp.told()
            return True
        return False


def batch(seed: int, number: int) -> tuple[str, list[bytes]]:
    """The scene and the frames of a batch."""
    dice = Random(f"frames {seed} {number}")
    return f"{seed} {number}", [frame(dice) for _ in range(BATCH)]


def run(count: int, seed: int, first: int, progress: Callable[[int], None]) -> str:
    """Run so many frames, from a batch on; give back what was walked. Raises Found, its frames kept."""
    stage = Stage()
    walked: Counter[Verdict] = Counter()
    try:
        for number in range(first, first - (-count // BATCH)):
            progress((number - first) * BATCH)
            try:
                walked += stage.play(*batch(seed, number))
            except Fault as fault:
                least = [one.hex() for one in stage.shrink(fault)]
                path = keep("frames", {"why": fault.why, "scene": fault.scene, "sent": least})
                raise Found(fault.why, path, f"--first {number} --count {BATCH}") from None
    finally:
        stage.close()
    return ", ".join(f"{verdict.name} {frames:,}" for verdict, frames in walked.most_common())


PART = Part("frames", 1_000_000, run)
