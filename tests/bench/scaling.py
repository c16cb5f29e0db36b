"""What one balancer carries, reckoned from what was measured; docs/scaling.md says how in words.

Handed the results of parts as they come, it keeps their figures beside the docs and writes the tables of
docs/scaling.md anew. What was not measured yet is left open in them, and limits nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

from tests.bench.document import marks
from tests.bench.origin import ROOT, Origin
from tests.bench.part import Result
from tests.bench.table import Table

PAGE = ROOT / "docs" / "scaling.md"
KEPT = ROOT / "docs" / "benchmarks" / "figures.json"

SHARE = 0.8  # of a core, or of a map, that is planned with: the rest is for bad moments
STAY_S = 600.0  # that a viewer stays
MEMORY_GIB = 8.0  # for sessions, beside the system's
PINS_MAX, CONNECTIONS_MAX = 1_000_000, 262_144  # defaults of the configuration
AUDIENCES = (10_000, 50_000, 100_000, 250_000, 1_000_000)
SEGMENT_BITS = 8 * 1448  # of media in a TCP segment (Ethernet, timestamps)
ACK_BITS, REPORT_BITS = 8 * 66, 8 * 110  # frames of clients: a bare ACK; a receiver report with its name
KEEPALIVE_PER_S = 1 / 30
OPEN = "-"


@dataclass(frozen=True, slots=True)
class Stream:
    """What viewers watch.

    packets_per_s: that each sends: reports or acknowledgements, and keepalives with the ACK of the answer
    client_bits:   that these are, a second
    """

    name: str
    transport: str
    bits_per_s: float
    pins: int
    packets_per_s: float
    client_bits: float


def over_udp(bits_per_s: float, tracks: int, report_s: float, who: str) -> Stream:
    """A receiver report for each track, every so many seconds."""
    reports = tracks / report_s
    return Stream(
        name=f"{bits_per_s / 1e6:g} Mb/s over UDP, {who}",
        transport="UDP",
        bits_per_s=bits_per_s,
        pins=2 * tracks + 1,
        packets_per_s=reports + 2 * KEEPALIVE_PER_S,
        client_bits=reports * REPORT_BITS + 2 * KEEPALIVE_PER_S * REPORT_BITS,
    )


def interleaved(bits_per_s: float, who: str, segments_an_ack: int) -> Stream:
    """An ACK for so many segments: 2 is the most that RFC 5681 section 4.2 lets a receiver send."""
    acks = bits_per_s / SEGMENT_BITS / segments_an_ack
    return Stream(
        name=f"{bits_per_s / 1e6:g} Mb/s interleaved, {who}",
        transport="interleaved",
        bits_per_s=bits_per_s,
        pins=1,
        packets_per_s=acks + 2 * KEEPALIVE_PER_S,
        client_bits=acks * ACK_BITS + 2 * KEEPALIVE_PER_S * REPORT_BITS,
    )


STREAMS = (
    over_udp(4e6, 2, 5.0, "a report every 5 s"),
    over_udp(4e6, 2, 0.7, "a report every 0.7 s (ffmpeg)"),
    interleaved(4e6, "an ACK for two segments", 2),
    interleaved(4e6, "an ACK for sixteen (GRO)", 16),
    interleaved(15e6, "an ACK for two segments", 2),
)

Cells = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured, of what scaling asks for; None for what was not.

    packet_ns:   CPU that a packet takes, from one interface back to it; at the least in the core alone
    new_s:       CPU that a session takes in coming and going
    upkeep:      share of a core that a live session takes, keepalives with it, by transport
    memory_kib:  that a session takes, in the process and in the kernel, by transport
    """

    packet_ns: float | None
    new_s: float | None
    upkeep: Mapping[str, float]
    memory_kib: Mapping[str, float]

    @classmethod
    def of(cls, parts: Mapping[str, Cells]) -> "Costs":
        """From the cells of each part that there are."""
        tracker = {cell["case"]: cell["value"]["median"] for cell in parts.get("tracker", ())}
        rate = tracker.get("new sessions, logged")
        upkeep, memory = dict[str, float](), dict[str, float]()
        for transport in ("UDP", "interleaved"):
            end = f"live sessions, {transport}: with keepalives"
            for case, value in tracker.items():  # the largest number of sessions comes last
                if case.startswith("CPU of ") and case.endswith(end):
                    upkeep[transport] = value / 100 / _count(case.removeprefix("CPU of "))
            parts_of_it = [
                value
                for case, value in tracker.items()
                if "memory of each of" in case and case.endswith(f" sessions, {transport}")
            ]
            if parts_of_it:
                memory[transport] = sum(parts_of_it)
        return cls(_packet_ns(parts), 1 / rate if rate else None, upkeep, memory)


def _count(text: str) -> int:
    return int(text.split(maxsplit=1)[0].replace(",", ""))


def _packet_ns(parts: Mapping[str, Cells]) -> float | None:
    """Through an interface; without that, in the core alone with many flows."""
    for cell in parts.get("packets", ()):
        if cell["forwarder"] == "rtspdsr, XDP native":
            return float(cell["cpu_ns"]["median"])
    for cell in parts.get("forwarding", ()):
        if (cell["case"], cell["flows"]) == ("pinned TCP ACK", 100_000):
            return float(cell["nanoseconds"]["median"])
    return None


@dataclass(frozen=True, slots=True)
class Reach:
    """How many sessions of a stream each resource carries; None where nothing was measured.

    forwarding: one core that forwards packets
    tracker:    one core for the daemon
    """

    stream: Stream
    forwarding: float | None
    tracker: float | None
    pins: float
    connections: float
    memory: float | None

    @classmethod
    def of(cls, stream: Stream, costs: Costs) -> "Reach":
        """By the formulas of docs/scaling.md."""
        forwarding = tracker = memory = None
        if costs.packet_ns is not None:
            forwarding = SHARE * 1e9 / (stream.packets_per_s * costs.packet_ns)
        upkeep, memory_kib = costs.upkeep.get(stream.transport), costs.memory_kib.get(stream.transport)
        if upkeep is not None and costs.new_s is not None:
            tracker = SHARE / (upkeep + costs.new_s / STAY_S)
        if memory_kib is not None:
            memory = MEMORY_GIB * (1 << 20) / memory_kib
        pins = SHARE * PINS_MAX / stream.pins
        return cls(stream, forwarding, tracker, pins, SHARE * CONNECTIONS_MAX, memory)

    def bounds(self) -> Iterator[tuple[float, str]]:
        """What is known of it."""
        for value, name in (
            (self.tracker, "the tracker's core"),
            (self.forwarding, "the forwarding core"),
            (self.pins, "`pins_max`"),
            (self.connections, "`connections_max`"),
            (self.memory, "memory"),
        ):
            if value is not None:
                yield value, name

    @property
    def sessions(self) -> float:
        """What one balancer carries."""
        return min(value for value, _ in self.bounds())

    @property
    def bound_by(self) -> str:
        """What runs out first."""
        return min(self.bounds())[1]


def tables(parts: Mapping[str, Cells]) -> list[Table]:
    """Everything that docs/scaling.md reckons."""
    costs = Costs.of(parts)
    reaches = [Reach.of(stream, costs) for stream in STREAMS]
    return [_each(costs), _carried(reaches), _balancers(reaches), _return(reaches, costs)]


def _each(costs: Costs) -> Table:
    rows = []
    for stream in STREAMS:
        upkeep = costs.upkeep.get(stream.transport)
        rows.append(
            [
                stream.name,
                f"{stream.packets_per_s:,.2f}",
                f"{stream.client_bits / 1e3:,.2f}",
                _told(costs.packet_ns and stream.packets_per_s * costs.packet_ns / 1e3, ",.2f"),
                _told(upkeep and upkeep * 1e6, ",.1f"),
                _told(costs.new_s and costs.new_s / STAY_S * 1e6, ",.1f"),
                str(stream.pins),
                _told(costs.memory_kib.get(stream.transport), ",.1f"),
            ]
        )
    head = ["stream", "client packets/s", "kb/s from it", "forwarding, us/s", "upkeep, us/s"]
    head += ["coming and going, us/s", "pins", "memory, KiB"]
    return Table(head, rows, "One session takes:")


def _carried(reaches: Sequence[Reach]) -> Table:
    rows = [
        [
            one.stream.name,
            _told(one.forwarding, ",.0f"),
            _told(one.tracker, ",.0f"),
            f"{one.pins:,.0f}",
            _told(one.memory, ",.0f"),
            f"**{_rounded(one.sessions):,}**, by {one.bound_by}",
            f"**{one.sessions * one.stream.bits_per_s / 1e9:,.0f} Gb/s**",
            f"{one.sessions * one.stream.client_bits / 1e9:,.2f} Gb/s",
        ]
        for one in reaches
    ]
    head = ["stream", "by a forwarding core", "by the tracker's core", "by `pins_max`", "by memory"]
    head += ["one balancer carries", "delivered", "through it"]
    return Table(head, rows, "Sessions that each resource of one balancer carries, and the least of them:")


def _balancers(reaches: Sequence[Reach]) -> Table:
    rows = [
        [one.stream.name, *(_needed(ceil(audience / one.sessions)) for audience in AUDIENCES)]
        for one in reaches
    ]
    head = ["stream", *(f"{audience:,} viewers" for audience in AUDIENCES)]
    return Table(head, rows, "Balancers that work at one time, and one more that stands by:")


def _return(reaches: Sequence[Reach], costs: Costs) -> Table:
    rows = [
        [
            one.stream.name,
            f"{_rounded(one.sessions):,}",
            _told(costs.new_s and one.sessions * costs.new_s / SHARE, ",.0f"),
        ]
        for one in reaches
    ]
    head = ["stream", "sessions", "seconds until all are known again"]
    return Table(head, rows, "After a reboot of the balancer all come back at once:")


def _needed(working: int) -> str:
    return f"{working} + 1"


def _told(value: float | None, form: str) -> str:
    return OPEN if value is None else f"{value:{form}}"


def _rounded(value: float) -> int:
    """To two digits: the third would pretend."""
    return int(float(f"{value:.2g}"))


# --- what was measured before --------------------------------------------------------------------------


def write(result: Result, origin: Origin, page: Path = PAGE, kept: Path = KEPT) -> None:
    """Keep the figures of a part, and write the tables of the page with those of all parts."""
    known = json.loads(kept.read_text()) if kept.exists() else {}
    known[result.name] = {**asdict(origin), "cells": [asdict(cell) for cell in result.cells]}
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    told = [table.markdown() for table in tables({name: one["cells"] for name, one in known.items()})]
    begin, end = marks("scaling")
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    sources = ", ".join(f"{name} of {known[name]['date']}" for name in _USED if name in known)
    written = "\n\n".join([*told, f"From the benchmarks {sources}."])
    page.write_text(f"{before}{begin}{written}\n{end}{after}")


_USED = ("forwarding", "packets", "tracker")
