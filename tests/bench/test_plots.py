"""A plot holds every side, its figure and its spread, and is the same for the same figures."""

from xml.etree import ElementTree

import pytest

from tests.bench import plots
from tests.bench.rounds import Spread

SIDES = {"ours": Spread(2.0, 1.0, 1.5, 3.0), "a <peer> & more": Spread(40.0, 30.0, 35.0, 50.0)}


def drawn(log: bool = False) -> list[plots.Plot]:
    """One of each kind."""
    series = {name: [(1.0, spread), (100_000.0, spread)] for name, spread in SIDES.items()}
    return [
        plots.lines("over", "Cost by flows", series, x="flows", y="ns", log_x=log, log_y=log),
        plots.bars("sides", "Cost by side", {"UDP": SIDES, "TCP": SIDES}, x="seconds", log=log, target=4.0),
    ]


def words(svg: str) -> set[str]:
    """The text on a plot."""
    return {text for one in ElementTree.fromstring(svg).iter() if (text := (one.text or "").strip())}


@pytest.mark.parametrize("log", [False, True])
def test_a_plot_names_its_axes_and_all_its_sides(log: bool) -> None:
    over, sides = drawn(log)
    assert {"Cost by flows", "flows", "ns", "1", "100,000", *SIDES} <= words(over.svg)
    assert {"Cost by side", "seconds", "UDP", "TCP", "2.00", "40.00", "target", *SIDES} <= words(sides.svg)


def test_the_same_figures_make_the_same_file() -> None:
    assert drawn() == drawn()
