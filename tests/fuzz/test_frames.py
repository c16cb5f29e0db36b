"""A seeded share of what ``make fuzz`` runs through the program, what once found a fault, and the judge."""

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from rtspdsr.dataplane.layout import Verdict
from tests.fuzz.forwarding import BATCH, Stage, batch
from tests.fuzz.frames import LENGTHS, SHORTEST, frame
from tests.fuzz.seeds import kept
from tests.packets.fate import Fate, fate
from tests.packets.frames import BACKEND_A, ELSEWHERE, built, ip, media
from tests.packets.runner import DROP, PASS, REDIRECT, TX

pytestmark = pytest.mark.kernel

SEED = 2326
BATCHES = 40


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def test_of_hostile_frames_each_is_counted_and_changes_in_its_mac_addresses_at_most(stage: Stage) -> None:
    """Frames that pass as they came prove little alone: the walk must have been wide as well."""
    walked: Counter[Verdict] = Counter()
    for number in range(BATCHES):
        walked += stage.play(*batch(SEED, number))
    assert walked.total() == BATCHES * BATCH
    assert set(walked) >= set(Verdict) - {Verdict.RING_FULL}


@pytest.mark.parametrize("name", kept("frames"))
def test_what_found_a_fault_finds_none(stage: Stage, name: str) -> None:
    case = kept("frames")[name]
    stage.play(case["scene"], [bytes.fromhex(one) for one in case["sent"]])


def test_frames_are_of_all_lengths_and_the_same_for_a_seed() -> None:
    dice = Random(SEED)
    lengths = Counter(len(frame(dice)) for _ in range(20_000))
    assert min(lengths) == SHORTEST
    assert len(lengths) > 1000
    assert max(lengths) == LENGTHS[-1]
    assert batch(SEED, 3) == batch(SEED, 3) != batch(SEED, 4)


MEDIA, ELSE = built(media()), built(media(network=ip(4, vip=ELSEWHERE)))
FORWARDED = built(media(BACKEND_A))


@pytest.mark.parametrize(
    ("sent", "action", "left", "fault"),
    [
        pytest.param(MEDIA, TX, FORWARDED[:22] + b"\x01" + FORWARDED[23:], "somebody else", id="a hop limit"),
        pytest.param(MEDIA, REDIRECT, FORWARDED[:-1] + b"\x00", "altered beyond", id="the last octet"),
        pytest.param(MEDIA, REDIRECT, FORWARDED[:-1], "altered beyond", id="cut"),
        pytest.param(MEDIA, TX, b"\x02" * 12 + FORWARDED[12:], "nobody that is known", id="to a stranger"),
        pytest.param(MEDIA, TX, MEDIA, "nobody that is known", id="sent back as it came"),
        pytest.param(MEDIA, DROP, FORWARDED, "neither sent on", id="altered and dropped"),
        pytest.param(MEDIA, PASS, MEDIA, "PASSED, where only", id="the VIP's left to the kernel"),
        pytest.param(ELSE, DROP, ELSE, "DROPPED, where only", id="another's dropped"),
        pytest.param(ELSE, TX, FORWARDED[:12] + ELSE[12:], "FORWARDED, where only", id="another's sent on"),
        pytest.param(MEDIA, 0, MEDIA, "action 0", id="aborted"),
    ],
)
def test_what_must_not_become_of_a_frame_is_told(sent: bytes, action: int, left: bytes, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        fate(sent, action, left)
    assert fate(MEDIA, TX, FORWARDED) is Fate.FORWARDED
    assert fate(ELSE, PASS, ELSE) is Fate.PASSED
