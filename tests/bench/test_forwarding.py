"""The benchmark of the forwarding core measures what it says: the right packets, of many clients."""

from contextlib import closing

import pytest

from tests.bench import forwarding
from tests.bench.forwarding import CASES, FLOOR, SEQUENCE, SOURCE_ENDS, Case
from tests.bench.programs import Drawn, Loaded
from tests.packets.frames import built, media
from tests.packets.runner import PASS, TX

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("version", [4, 6])
def test_clients_are_drawn_from_all_there_are_and_from_no_others(version: int) -> None:
    frame = built(media(version=version))
    end = SOURCE_ENDS[version]
    with closing(Loaded("floor.bpf.c")) as floor, closing(Drawn(floor.program("empty"), 50, end)) as drawn:
        runs = [drawn.drawing.test_run(frame).frame for _ in range(1000)]
    assert {one[end : end + 4] for one in runs} == {(0x0A000000 + at).to_bytes(4) for at in range(50)}
    assert {one[:end] + one[end + 4 :] for one in runs} == {frame[:end] + frame[end + 4 :]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_client_of_a_case_gets_the_verdict_of_that_case(case: Case) -> None:
    clients, end = 30, SOURCE_ENDS[case.version]
    with forwarding.core(case, clients) as xdp:
        for at in range(1, clients):  # the first one was tried when the core was furnished
            frame = built(case.sent)
            ran = xdp.run(frame[:end] + (0x0A000000 + at).to_bytes(4) + frame[end + 4 :])
            assert ran.verdict is case.verdict


def test_every_new_flow_has_another_sequence_number() -> None:
    frame = built(next(case for case in CASES if case.renewed).sent)
    floor = Loaded("floor.bpf.c")
    with closing(floor), closing(Drawn(floor.program("empty"), 1, SOURCE_ENDS[4], SEQUENCE)) as drawn:
        runs = [drawn.drawing.test_run(frame).frame for _ in range(100)]
    assert len({one[SEQUENCE : SEQUENCE + 4] for one in runs}) == 100
    assert {one[:SEQUENCE] + one[SEQUENCE + 4 :] for one in runs} == {
        frame[:SEQUENCE] + frame[SEQUENCE + 4 :]
    }


def test_the_reference_finds_every_client_and_sends() -> None:
    frame, end = built(CASES[0].sent), SOURCE_ENDS[4]
    with closing(forwarding.least(30)) as programs, programs.program("reference") as reference:
        for at, action in ((0, TX), (29, TX), (30, PASS)):
            ran = reference.test_run(frame[:end] + (0x0A000000 + at).to_bytes(4) + frame[end + 4 :])
            assert ran.action == action
            assert (ran.frame[:12] != frame[:12]) == (action == TX)


@pytest.mark.parametrize("flows", [1, 20])
def test_a_table_holds_every_case_beside_the_reference(monkeypatch: pytest.MonkeyPatch, flows: int) -> None:
    monkeypatch.setattr(forwarding, "RUNS", 100)  # what they take is no matter here
    cells = forwarding.measure(flows, 2, lambda words: None)
    assert [cell.case for cell in cells] == [*FLOOR, *(case.name for case in CASES)]
    assert {cell.case: cell.ratio.median for cell in cells}["reference"] == 1
    (table,) = forwarding.tables(cells)
    assert [row[0] for row in table.rows] == [cell.case for cell in cells]
    assert {len(row) for row in table.rows} == {len(table.head)} == {2}
