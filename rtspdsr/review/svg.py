"""Plots as SVG text: lines over time, bars, and estimates with their intervals.

Handed numbers and words, gives back an ``<svg>`` that stands by itself in a page. Colours come from the
page's style sheet by class, so one plot serves light and dark. Every text is escaped; every plot has a
title and a description for those who do not see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH = 860
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 12, 30  # room for labels around a plot
NAMES, TEXTS = 190, 130  # room for names beside estimates and bars, and for what is said behind them
ROW = 24
COLOURS = 8  # classes c0 to c7; more series begin anew
LABEL_MAX = 28  # characters


@dataclass(frozen=True, slots=True)
class Series:
    """A line: points in order of x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Row:
    """A name with a value, and the interval around it; a bar has none.

    marked: drawn so that it stands out
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    text: str = ""
    marked: bool = False


def lines(
    title: str,
    series: Sequence[Series],
    ticks: Sequence[tuple[float, str]],
    *,
    area: bool = False,
    height: int = 220,
) -> str:
    """Lines over a common x axis, whose labelled places are ``ticks``; ``area`` fills below the first."""
    points = [point for one in series for point in one.points]
    if not points:
        return ""
    begin, end = min(x for x, _ in points), max(x for x, _ in points)
    top = nice(max(y for _, y in points))
    across = (WIDTH - LEFT - RIGHT) / ((end - begin) or 1)
    down = (height - TOP - BOTTOM) / top

    def at(x: float, y: float) -> str:
        return f"{LEFT + (x - begin) * across:.1f},{height - BOTTOM - y * down:.1f}"

    drawn = [_grid(top, height)]
    drawn += [_text("tick", LEFT + (x - begin) * across, height - 10, words, "middle") for x, words in ticks]
    for number, one in enumerate(series):
        path = " ".join(at(x, y) for x, y in one.points)
        if area and not number:
            first, last = one.points[0][0], one.points[-1][0]
            drawn.append(f'<polygon class="area" points="{at(first, 0)} {path} {at(last, 0)}"/>')
        drawn.append(f'<polyline class="line c{number % COLOURS}" points="{path}"/>')
    return _figure(title, f"{', '.join(one.name for one in series)}; up to {label(top)}", height, drawn)


def columns(title: str, points: Sequence[tuple[float, float]], colour: int, *, height: int = 90) -> str:
    """One bar for each point: how often something happened over time."""
    if not any(y for _, y in points):
        return ""
    top = nice(max(y for _, y in points))
    width = (WIDTH - LEFT - RIGHT) / len(points)
    down = (height - TOP - 8) / top
    drawn = [_grid(top, height, bottom=8, steps=1)]
    for number, (_, y) in enumerate(points):
        if y:
            place = f'x="{LEFT + number * width:.1f}" y="{height - 8 - y * down:.1f}"'
            size = f'width="{max(width - 0.5, 0.8):.1f}" height="{y * down:.1f}"'
            drawn.append(f'<rect class="bar c{colour}" {place} {size}/>')
    return _figure(title, f"{sum(y for _, y in points):,.0f} in all, {label(top)} at most", height, drawn)


def bars(title: str, rows: Sequence[Row]) -> str:
    """A horizontal bar for each row, with its text at the end."""
    if not rows:
        return ""
    across = (WIDTH - NAMES - RIGHT - TEXTS) / (max(row.value for row in rows) or 1.0)
    drawn = []
    for number, row in enumerate(rows):
        y, width = TOP + number * ROW, row.value * across
        shade = "marked" if row.marked else "c0"
        drawn += [
            _name(row.name, y),
            f'<rect class="bar {shade}" x="{NAMES}" y="{y}" width="{width:.1f}" height="{ROW - 8}"/>',
            _text("value", NAMES + width + 6, y + 13, row.text),
        ]
    described = "; ".join(f"{row.name} {row.text}" for row in rows)
    return _figure(title, described, TOP + ROW * len(rows) + 4, drawn)


def estimates(title: str, rows: Sequence[Row], *, zero: float, low: float, high: float) -> str:
    """A dot and its interval for each row between ``low`` and ``high``; a line at ``zero``: no difference."""
    if not rows:
        return ""
    bottom = TOP + ROW * len(rows)
    across = (WIDTH - NAMES - RIGHT - TEXTS) / (high - low)

    def at(value: float) -> float:
        return NAMES + (min(max(value, low), high) - low) * across

    drawn = [_line("zero", at(zero), TOP - 6, at(zero), bottom)]
    drawn += [_text("tick", at(value), bottom + 20, label(value), "middle") for value in (low, zero, high)]
    for number, row in enumerate(rows):
        y = TOP + number * ROW + 9
        shade = "marked" if row.marked else "c0"
        drawn.append(_name(row.name, y - 9))
        if row.low is not None and row.high is not None:
            drawn.append(_line(f"line {shade}", at(row.low), y, at(row.high), y))
        drawn.append(f'<circle class="bar {shade}" cx="{at(row.value):.1f}" cy="{y}" r="4.5"/>')
        drawn.append(_text("value", WIDTH - TEXTS, y + 4, row.text))
    described = "; ".join(f"{row.name} {row.text}" for row in rows)
    return _figure(title, described, bottom + BOTTOM, drawn)


def nice(value: float) -> float:
    """The next round number: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def label(value: float) -> str:
    """A number at an axis, short."""
    if abs(value) >= 10_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if value == ceil(value) else f"{value:.3g}"


def _grid(top: float, height: int, *, bottom: int = BOTTOM, steps: int = 4) -> str:
    drawn = []
    for step in range(steps + 1):
        y = height - bottom - (height - TOP - bottom) * step / steps
        drawn.append(_line("grid", LEFT, y, WIDTH - RIGHT, y))
        drawn.append(_text("tick", LEFT - 8, y + 4, label(top * step / steps), "end"))
    return "".join(drawn)


def _name(name: str, y: float) -> str:
    short = name if len(name) <= LABEL_MAX else f"{name[: LABEL_MAX - 1]}…"
    return _text("name", NAMES - 10, y + 13, short, "end")


def _text(kind: str, x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _figure(title: str, described: str, height: float, drawn: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(f"{title}: {described}")}">'
        f"{''.join(drawn)}</svg>"
    )
