"""What is reckoned from measurements is what the formulas of docs/scaling.md say, also where some lack."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bench import scaling
from tests.bench.origin import Origin
from tests.bench.part import Result
from tests.bench.rounds import Spread
from tests.bench.scaling import Costs, Reach, interleaved, over_udp

ORIGIN = Origin("2 x <processor>", "2026-11-23", "abc1234", "make bench")
CAMERA = over_udp(2e6, 1, 5.0, "a camera")
FILM = interleaved(4e6, "a film", 2)


def cell(case: str, median: float) -> dict[str, Any]:
    """A figure of the tracker's part."""
    return {"case": case, "value": asdict(Spread(median, median, median, median)), "unit": "", "target": ""}


TRACKER = [
    cell("new sessions, logged", 1000.0),
    cell("CPU of 10,000 live sessions, interleaved: with keepalives", 5.0),
    cell("CPU of 10,000 live sessions, UDP: with keepalives", 9.0),
    cell("CPU of 100,000 live sessions, UDP: upkeep", 30.0),
    cell("CPU of 100,000 live sessions, UDP: with keepalives", 50.0),
    cell("memory of each of 100,000 sessions, UDP", 7.0),
    cell("kernel's memory of each of 100,000 sessions, UDP", 1.0),
]
PACKETS = [
    {"forwarder": "nft", "cpu_ns": asdict(Spread(9e3, 9e3, 9e3, 9e3))},
    {"forwarder": "rtspdsr, XDP native", "cpu_ns": asdict(Spread(400.0, 400.0, 400.0, 400.0))},
]
FORWARDING = [
    {"case": "pinned TCP ACK", "flows": flows, "nanoseconds": asdict(Spread(value, value, value, value))}
    for flows, value in ((1, 70.0), (100_000, 550.0))
]


def test_clients_send_reports_or_acknowledgements_and_keepalives() -> None:
    assert CAMERA.packets_per_s == pytest.approx(1 / 5 + 2 / 30)
    assert CAMERA.pins == 3
    assert FILM.packets_per_s == pytest.approx(4e6 / 8 / 1448 / 2 + 2 / 30)
    assert FILM.pins == 1


def test_costs_are_of_the_most_sessions_that_were_measured() -> None:
    costs = Costs.of({"tracker": TRACKER, "packets": PACKETS, "forwarding": FORWARDING})
    assert costs.packet_ns == 400
    assert costs.new_s == 0.001
    assert costs.upkeep == {"UDP": pytest.approx(5e-6), "interleaved": pytest.approx(5e-6)}
    assert costs.memory_kib == {"UDP": 8.0}


def test_what_runs_out_first_is_what_one_balancer_carries() -> None:
    costs = Costs(
        packet_ns=400, new_s=0.001, upkeep={"UDP": 5e-6, "interleaved": 5e-6}, memory_kib={"UDP": 8}
    )
    camera, film = Reach.of(CAMERA, costs), Reach.of(FILM, costs)
    assert camera.tracker == pytest.approx(0.8 / (5e-6 + 0.001 / 600))
    assert camera.pins == pytest.approx(0.8 * 1e6 / 3)
    assert camera.memory == 1 << 20
    assert camera.bound_by == "the tracker's core"
    assert film.forwarding == pytest.approx(0.8e9 / (400 * FILM.packets_per_s))
    assert film.sessions == film.forwarding
    assert film.bound_by == "the forwarding core"


def test_a_part_that_is_missing_limits_nothing_and_is_left_open() -> None:
    only_core = Costs.of({"forwarding": FORWARDING})
    assert only_core.packet_ns == 550
    reach = Reach.of(CAMERA, only_core)
    assert (reach.tracker, reach.memory) == (None, None)
    assert reach.bound_by == "`connections_max`"
    for parts in ({}, {"forwarding": FORWARDING}, {"tracker": TRACKER[:1]}):
        each, carried, balancers, again = scaling.tables(parts)
        assert len(carried.rows) == len(balancers.rows) == len(again.rows) == len(scaling.STREAMS)
        assert each.rows[0][4] == "-"


@dataclass(frozen=True)
class Cell:
    case: str
    value: Spread
    unit: str = ""
    target: str = ""


def result(name: str, cells: list[Any]) -> Result:
    return Result(name, name.title(), 2, 1.0, cells, [], [])


def test_the_page_is_written_anew_with_the_figures_of_earlier_runs(tmp_path: Path) -> None:
    page, kept = tmp_path / "scaling.md", tmp_path / "benchmarks" / "figures.json"
    page.write_text("# Scaling\n\n<!-- scaling -->\nold\n<!-- end of scaling -->\n\nBehind.\n")
    rate = Cell("new sessions, logged", Spread(1000.0, 1.0, 1.0, 1.0))
    upkeep = Cell("CPU of 100 live sessions, UDP: with keepalives", Spread(1.0, 1.0, 1.0, 1.0))
    scaling.write(result("tracker", [rate, upkeep]), ORIGIN, page, kept)
    first = page.read_text()
    assert "old" not in first
    assert first.endswith("<!-- end of scaling -->\n\nBehind.\n")
    assert "From the benchmarks tracker of 2026-11-23." in first
    scaling.write(result("reading", []), ORIGIN, page, kept)
    assert page.read_text() == first
    assert set(json.loads(kept.read_text())) == {"tracker", "reading"}


def test_the_page_has_a_place_for_the_tables() -> None:
    text = scaling.PAGE.read_text()
    assert text.count("<!-- scaling -->\n") == text.count("<!-- end of scaling -->") == 1
