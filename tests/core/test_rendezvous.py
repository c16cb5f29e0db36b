"""Slot tables: even by weight, and nothing moves but what must (design rule 5)."""

import subprocess
import sys
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from rtspdsr.core.rendezvous import SLOTS, Rendezvous
from rtspdsr.core.slowstart import SHARES
from rtspdsr.model import Backend

#: The first slots of six backends of equal weight, named a to f, as the first version has filled them.
FIRST_24 = [6, 6, 5, 2, 3, 5, 6, 1, 3, 6, 3, 3, 1, 1, 5, 3, 4, 1, 1, 4, 2, 3, 4, 2]


def backends(*weights: int, first: int = 0) -> list[Backend]:
    return [
        Backend(backend_id=first + number + 1, name=f"cam-{number}", addresses=(), weight=weight)
        for number, weight in enumerate(weights)
    ]


def table(some: Sequence[Backend], rendezvous: Rendezvous | None = None) -> list[int]:
    slots = array("H")
    for piece in (rendezvous or Rendezvous()).fill(some):
        slots.extend(piece)
    return list(slots)


def names(some: Sequence[Backend]) -> list[str]:
    by_id = {one.backend_id: one.name for one in some}
    return [by_id[backend_id] for backend_id in table(some)]


@pytest.mark.parametrize("weights", [(100,), (100,) * 10, (100, 200, 700), (1, 99), (3, 5, 7, 11)])
def test_shares_follow_the_weights(weights: tuple[int, ...]) -> None:
    some = backends(*weights)
    slots = table(some)
    assert len(slots) == SLOTS
    shares = Counter(slots)
    for one in some:
        fair = SLOTS * one.weight / sum(weights)
        # a share is binomial: four standard deviations
        assert abs(shares[one.backend_id] - fair) <= 4 * fair**0.5 + 1


def test_only_the_slots_of_a_backend_that_left_move() -> None:
    some = backends(*(100,) * 10)
    before, after = table(some), table([one for one in some if one.backend_id != 4])
    for old, new in zip(before, after, strict=True):
        assert new == old if old != 4 else new != 4


def test_a_backend_that_comes_takes_its_own_slots_alone() -> None:
    some = backends(*(100,) * 5)
    before, after = table(some[:4]), table(some)
    assert {new for old, new in zip(before, after, strict=True) if old != new} == {5}


def test_slots_move_only_towards_a_backend_that_grew_heavier() -> None:
    before, after = table(backends(100, 100, 100)), table(backends(100, 250, 100))
    moved = {(old, new) for old, new in zip(before, after, strict=True) if old != new}
    assert moved == {(1, 2), (3, 2)}
    back = {(old, new) for old, new in zip(after, before, strict=True) if old != new}
    assert back == {(2, 1), (2, 3)}


def test_a_slow_start_takes_slots_step_by_step_and_moves_no_others() -> None:
    """What moves is a new client's place; sessions are pinned."""
    weights = [100 * share for share in (*SHARES, 1.0)]
    tables = [table([*backends(100, 100), replace(backends(1, 1, 1)[2], weight=one)]) for one in weights]
    for before, after in zip([table(backends(100, 100)), *tables], tables, strict=False):
        assert {new for old, new in zip(before, after, strict=True) if old != new} == {3}
    assert tables[-1] == table(backends(100, 100, 100))
    shares = [Counter(one)[3] / SLOTS for one in tables]
    assert shares == pytest.approx([one / (200 + one) for one in weights], rel=0.1)


def test_ids_and_order_do_not_matter_but_names_do() -> None:
    some = backends(100, 100, 100)
    assert names(some) == names(list(reversed(backends(100, 100, 100, first=40))))


def test_without_a_backend_of_any_weight_there_is_no_table() -> None:
    assert table([]) == []
    assert table(backends(0, 0)) == []
    assert set(table(backends(0, 100))) == {2}


def test_remembered_lots_make_the_same_table() -> None:
    rendezvous = Rendezvous()
    first = table(backends(100, 50), rendezvous)
    table(backends(70, 50), rendezvous)
    assert table(backends(100, 50), rendezvous) == first == table(backends(100, 50))


def test_another_process_makes_the_same_table() -> None:
    program = (
        "from rtspdsr.core.rendezvous import Rendezvous; from rtspdsr.model import Backend; import zlib;"
        "b = [Backend(backend_id=i, name=f'cam-{i}', addresses=()) for i in range(1, 4)];"
        "print(zlib.crc32(b''.join(p.tobytes() for p in Rendezvous().fill(b))))"
    )
    runs = {
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


def test_the_table_does_not_change_between_versions() -> None:
    """Two balancers of different versions must agree: this is what the first one computed."""
    some = [Backend(backend_id=number, name=name, addresses=()) for number, name in enumerate("abcdef", 1)]
    assert table(some)[:24] == FIRST_24


def test_work_is_given_in_small_pieces() -> None:
    """The shell lets others have their turn in between: no piece holds many slots of many backends."""
    for number in (1, 10, 40):
        sizes = [len(piece) for piece in Rendezvous().fill(backends(*(100,) * number))]
        assert sum(sizes) == SLOTS
        assert max(sizes) * number <= 32_768
