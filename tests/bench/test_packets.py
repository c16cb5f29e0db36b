"""The benchmark of packets per second measures what it says: each forwarder forwards all; nothing stays."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.bench import packets
from tests.bench.forwarders import STREAM, Forwarder, forwarders
from tests.bench.generator import Generator, Load
from tests.bench.packets import CLIENTS, Measured, measure
from tests.bench.wire import FAR_MAC, End, laid
from tests.packets.frames import CLIENT_MAC
from tests.packets.runner import mac

pytestmark = pytest.mark.kernel

PATIENCE = 20  # loads: under another load, a proxy may begin late
Scene = tuple[dict[str, Forwarder], Generator, End, End]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with ExitStack() as held:
        near, far = held.enter_context(laid())
        generator = held.enter_context(Generator(near, CLIENTS, mac(CLIENT_MAC), mac(FAR_MAC)))
        ready = held.enter_context(forwarders(far, CLIENTS))
        yield {one.name: one for one in ready}, generator, near, far


@pytest.mark.parametrize(
    "name",
    [
        "asyncio proxy",  # first: native XDP would open the wire for those after it
        "swap of MAC addresses, XDP native",
        "rtspdsr, XDP native",
        "rtspdsr, XDP generic",
        "nft netdev, map and fwd",
        pytest.param(
            "nginx stream",
            marks=pytest.mark.skipif(not STREAM.exists(), reason="only make bench installs nginx"),
        ),
    ],
)
def test_a_forwarder_brings_back_every_packet_of_every_client(scene: Scene, name: str) -> None:
    ready, generator, near, far = scene
    with ready[name].stand():
        near.settle()
        far.settle()
        loads = (generator.load(0.2, ready[name].window) for _ in range(PATIENCE))
        assert any(load.received > 2 * CLIENTS and not load.lost for load in loads)


def test_what_a_forwarder_costs_is_measured(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "WARM_S", 0.05)
    monkeypatch.setattr(packets, "LOADED_S", 0.2)
    ready, generator, near, far = scene
    measured = measure(ready[packets.BASE], generator, near, far)
    assert 0.2 <= measured.load.seconds < 20
    assert 10 < measured.cost_ns < 1e6


def test_what_does_not_come_back_is_counted_as_lost(scene: Scene) -> None:
    _, generator, _, _ = scene  # where no forwarder stands
    load = generator.load(0.7, window=10)
    assert load.received == 0
    assert load.lost == load.sent >= 20


def test_the_ends_are_apart_and_go_with_what_was_done_there() -> None:
    with laid() as (near, far):
        assert len({end.namespace.stat().st_ino for end in (near, far)} | {_ours()}) == 3
        near.settle()
        assert near.pollers()
        with far.entered():
            assert _ours() == far.namespace.stat().st_ino
    assert not near.namespace.exists()
    assert not far.namespace.exists()


def _ours() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino


def test_a_table_has_a_line_for_each_forwarder() -> None:
    base = [Measured(Load(1.0, 100, 100), 20_000), Measured(Load(1.0, 100, 100), 30_000)]
    costs = [one.cost_ns for one in base]
    cells = [packets._cell(name, base, costs) for name in ("one", "other")]
    (table,) = packets.tables(cells)
    assert [row[0] for row in table.rows] == ["one", "other"]
    assert {len(row) for row in table.rows} == {len(table.head)}
    assert {plot.name for plot in packets.plots(cells)} == {"rate", "cpu"}
