"""All that a run measured, in one place: a page with tables and plots that needs no other file, or JSON."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict
from html import escape

from rtspdsr.review.page import STYLE
from tests.bench.origin import Origin
from tests.bench.part import Result
from tests.bench.plots import Plot

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
HOW = (
    "Sides that are compared are interleaved in shuffled rounds of one run; a figure is the median over the "
    "rounds, with its spread from the first to the ninth tenth."
)
OWN_STYLE = "img { display: block; width: 100%; max-width: 860px; border-radius: 6px; margin: 12px 0; }"


def page(origin: Origin, results: Sequence[Result]) -> str:
    """The report as HTML."""
    contents = "".join(f'<li><a href="#{one.name}">{escape(one.title)}</a></li>' for one in results)
    commit = f", commit {origin.commit}" if origin.commit else ""
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f"<title>Benchmarks, {origin.date}</title><style>{STYLE}{OWN_STYLE}</style></head><body>",
            f"<h1>Benchmarks</h1><p class=note>{escape(origin.machine)}; {origin.date}{escape(commit)}</p>",
            f"<p><code>{escape(origin.command)}</code></p>",
            f"<p class=note>{HOW}</p>",
            f"<ul>{contents}</ul>",
            *(_section(one) for one in results),
            "</body></html>\n",
        ]
    )


def _section(result: Result) -> str:
    return (
        f'<section id="{result.name}"><h2>{escape(result.title)}</h2>'
        f"<p class=note>{result.rounds} rounds in {result.took_s:.0f} s</p>"
        f"{''.join(map(_image, result.plots))}{''.join(table.html() for table in result.tables)}</section>"
    )


def _image(plot: Plot) -> str:
    data = b64encode(plot.svg.encode()).decode()
    return f'<img alt="{escape(plot.title)}" src="data:image/svg+xml;base64,{data}">'


def figures(origin: Origin, results: Sequence[Result]) -> str:
    """Every figure as JSON."""
    parts = {
        one.name: {
            "rounds": one.rounds,
            "took_s": round(one.took_s, 1),
            "cells": [asdict(cell) for cell in one.cells],
        }
        for one in results
    }
    return json.dumps({**asdict(origin), "parts": parts}, indent=1) + "\n"
