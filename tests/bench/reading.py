"""What hostile text costs to read: 200 kB on one connection, an octet to a segment.

The parser alone, and behind the half-stream that puts segments in order, in seconds of CPU.
"""

import time
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from rtspdsr.core.halfstream import Data, HalfStream
from rtspdsr.core.parser import RequestParser
from rtspdsr.model import FlowKey, Proto, Segment, TcpFlag
from tests.bench import plots as drawing
from tests.bench.part import Tell
from tests.bench.plots import Plot
from tests.bench.rounds import Spread, interleave
from tests.bench.table import Table

TITLE = "Reading octet by octet"
ROUNDS = 7
TARGET_S = 0.5
SIZE = 200_000
INITIAL, KEPT = 1000, 65_536
FLOW = FlowKey(0, Proto.TCP, ip_address("198.51.100.7"), 40_000, 554)
TEXTS = {
    "requests": b"OPTIONS rtsp://192.0.2.10/clip RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    "header blocks without end": b"PLAY rtsp://192.0.2.10/clip RTSP/1.0\r\nX: " + b"x" * 60_000,
    "lines of headers": b"PLAY rtsp://192.0.2.10/clip RTSP/1.0\r\n" + b"A: b\r\n" * 250 + b"\r\n",
    "interleaved frames": b"$\x01\x00\x20" + bytes(32),
    "empty lines": b"\r\n",
    "no request": b"\x00\xffnonsense",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of the table: seconds of CPU for all of a text."""

    case: str
    parser: Spread
    both: Spread


def segments(text: bytes) -> list[Segment]:
    """So much of a text, an octet to a segment."""
    whole = (b"OPTIONS * RTSP/1.0\r\n\r\n" + text * (SIZE // len(text) + 1))[:SIZE]
    return [
        Segment(
            flow=FLOW,
            backend_id=1,
            sequence=1001 + at,
            acknowledgement=7000,
            flags=TcpFlag.ACK,
            payload=whole[at : at + 1],
            initial=INITIAL,
            opened_at=0.0,
        )
        for at in range(SIZE)
    ]


def parse(stream: list[Segment]) -> float:
    """Seconds of CPU that the parser takes."""
    parser = RequestParser()
    began = time.process_time()
    for segment in stream:
        parser.feed(segment.payload)
    return time.process_time() - began


def read(stream: list[Segment]) -> float:
    """Seconds of CPU that the half-stream takes, and the parser behind it."""
    half, parser = HalfStream(INITIAL, KEPT), RequestParser()
    began = time.process_time()
    for segment in stream:
        for delivery in half.receive(segment, 1.0):
            if isinstance(delivery, Data):
                parser.feed(delivery.data, delivery.begins_segment)
    return time.process_time() - began


def bench(rounds: int, tell: Tell) -> list[Cell]:
    """The whole part."""
    cells = []
    for name, text in TEXTS.items():
        stream = segments(text)
        sides = {"parse": partial(parse, stream), "read": partial(read, stream)}
        measured = interleave(sides, rounds, lambda words, name=name: tell(f"{name}, {words}"))  # type: ignore[misc]
        cells.append(Cell(name, Spread.of(measured["parse"]), Spread.of(measured["read"])))
    return cells


def tables(cells: list[Cell]) -> list[Table]:
    """Median (first to ninth tenth)."""
    head = [f"CPU, s, for {SIZE // 1000} kB", "parser", "half-stream and parser"]
    return [Table(head, [[cell.case, f"{cell.parser:.2f}", f"{cell.both:.2f}"] for cell in cells])]


def plots(cells: list[Cell]) -> list[Plot]:
    """Against the target."""
    rows = {cell.case: {"parser": cell.parser, "half-stream and parser": cell.both} for cell in cells}
    title = f"Reading {SIZE // 1000} kB, an octet to a segment"
    return [drawing.bars("texts", title, rows, x="seconds of CPU", target=TARGET_S)]
