"""The benchmark of the claim measures what it says, with a few players for a moment."""

import pytest

from tests.bench.claim import Plan, Size, bench, plots, tables
from tests.bench.claim.cell import Cell
from tests.bench.claim.likeness import Likeness
from tests.bench.claim.peers import BOTH, DIRECT, PEERS

TINY = Plan(
    sizes=(Size(players=2, bitrate=400_000, real=True), Size(players=5, bitrate=400_000)),
    peers=tuple(peer for peer in PEERS if peer.installed),  # the relay always is: the lab needs its server
    window_s=0.4,
    pictures=2,
    askers=2,
    likened=2,
    likened_s=0.3,
)


@pytest.mark.lab
@pytest.mark.timeout(240)
def test_every_side_plays_and_only_proxies_carry_the_media() -> None:
    told: list[str] = []
    cells = bench(1, told.append, TINY)
    measured = [cell for cell in cells if isinstance(cell, Cell)]
    alike = {(one.what, one.transport): one for one in cells if isinstance(one, Likeness)}
    ways = [(DIRECT, BOTH), ("rtspdsr", BOTH), *((peer.name, peer.transports) for peer in TINY.peers)]
    assert {(cell.size, cell.side, cell.transport) for cell in measured} == {
        (str(size), side, transport)
        for size in TINY.sizes
        for side, transports in ways
        for transport in transports
    }
    for cell in measured:
        assert cell.failed == 0, cell
        assert cell.gbits.median > 0, cell
        assert cell.first_ms is not None, cell
        assert cell.request_ms is not None, cell
        if cell.side == DIRECT:
            assert cell.share.median < 0.01, cell
        elif cell.side == "rtspdsr":
            assert cell.share.median < 0.05, cell
            assert cell.cpu.median > 0, cell
        else:
            assert cell.share.median > 0.8, cell
            assert cell.cpu.median > cell.kernel.median > 0, cell
    for transport in BOTH:
        requests = alike["player: requests in all", transport]
        assert (requests.real, requests.light) == (5, 5)
    assert len(tables(cells)) == len(TINY.sizes) + 1
    assert [plot.name for plot in plots(cells)] == ["cpu"]
    assert any("rtspdsr udp" in words for words in told)
