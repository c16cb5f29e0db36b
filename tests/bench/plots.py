"""Plots of measurements with their spread, drawn as SVG by matplotlib: lines over a quantity, bars of sides.

Every median has its spread from the first to the ninth tenth. The ground is white, so that a plot is legible
on a dark page too, and the same figures give the same file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

from tests.bench.rounds import Spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 8.6  # inches, of 72 points each
ROW = 0.3  # of one bar
COLOURS = ("#2563b0", "#c2571a", "#2b8a57", "#8b45b5", "#9a7400", "#b5306b", "#14808c", "#6b7280")
MARKERS = "osD^vPX*<>"
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#d9dee5",
    "axes.axisbelow": True,
}


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing.

    name:  of its file, behind that of its part
    title: what is seen on it, in a sentence
    svg:   a whole document
    """

    name: str
    title: str
    svg: str


def lines(
    name: str,
    title: str,
    series: Mapping[str, Sequence[tuple[float, Spread]]],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
) -> Plot:
    """One line for each series: measured (up) at places (across). ``x`` and ``y`` name the axes."""
    figure, axes = _figure(title, 4.2)
    for number, (side, points) in enumerate(series.items()):
        medians = [spread.median for _, spread in points]
        errors = [
            [spread.median - spread.low for _, spread in points],
            [spread.high - spread.median for _, spread in points],
        ]
        axes.errorbar(
            [at for at, _ in points],
            medians,
            errors,
            label=side,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=5,
            linewidth=1.6,
            capsize=3,
        )
    places = sorted({at for points in series.values() for at, _ in points})
    if log_x:
        axes.set_xscale("log")
    axes.set_xticks(places, [f"{at:,g}" if at < 1e6 else f"{at:,.0f}" for at in places])
    axes.minorticks_off()
    if log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    _plain_numbers(axes.yaxis)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    figure.legend(loc="outside right center", frameon=False)
    return _drawn(figure, name, title)


def bars(
    name: str,
    title: str,
    rows: Mapping[str, Mapping[str, Spread]],
    *,
    x: str,
    form: str = ",.2f",
    log: bool = False,
    target: float | None = None,
) -> Plot:
    """A bar for each side of each row, on a scale of logarithms a dot; its median is written behind it.

    target: where a line stands that the bars are to be judged by
    """
    sides = list(dict.fromkeys(side for row in rows.values() for side in row))
    figure, axes = _figure(title, 1.3 + ROW * sum(len(row) + 0.5 for row in rows.values()))
    at, ticks = 0.0, []
    for row in rows.values():
        ticks.append(at + (len(row) - 1) / 2)
        for side, spread in row.items():
            errors = [[spread.median - spread.low], [spread.high - spread.median]]
            colour = COLOURS[sides.index(side) % len(COLOURS)]
            look = {"xerr": errors, "color": colour, "label": side, "ecolor": "#1c2430", "capsize": 2}
            if log:  # a bar would begin anywhere
                axes.errorbar(spread.median, at, fmt="o", markersize=8, **look)
            else:
                axes.barh(at, spread.median, 0.8, **look)
            axes.annotate(
                f"{spread.median:{form}}", (spread.high, at), (6, 0), textcoords="offset points", va="center"
            )
            at += 1
        at += 0.5
    axes.set_yticks(ticks, list(rows))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    if log:
        axes.set_xscale("log")
    axes.margins(x=0.14)
    _plain_numbers(axes.xaxis)
    axes.set_xlabel(x)
    if target is not None:
        axes.axvline(target, color="#b3261e", linestyle="--", label="target")
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    if len(named) > 1:
        keys = {"handles": list(named.values()), "labels": list(named), "ncols": min(len(named), 5)}
        figure.legend(**keys, loc="outside lower center", frameon=False)
    return _drawn(figure, name, title)


def _figure(title: str, height: float) -> "tuple[Figure, Any]":
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.subplots()
    figure.suptitle(title, fontsize=12)
    return figure, axes


def _plain_numbers(axis: Any) -> None:
    """1,000,000 in place of 10 to the 6th."""
    axis.set_major_formatter(lambda value, _: f"{value:,g}" if abs(value) < 1e6 else f"{value:,.0f}")


def _drawn(figure: "Figure", name: str, title: str) -> Plot:
    from matplotlib import rc_context

    written = StringIO()
    with rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    return Plot(name, title, re.sub(r"[ \t]+$", "", written.getvalue(), flags=re.MULTILINE))
