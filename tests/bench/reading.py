"""What hostile text costs to read: 200 kB on one connection, an octet to a segment.

The parser alone, and behind the half-stream that puts segments in order, in seconds of CPU.
"""

import time
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from rtspdsr.core.halfstream import Data, HalfStream
from rtspdsr.core.request import RequestParser
from rtspdsr.model import FlowKey, Proto, Segment, TcpFlag
from tests.bench.rounds import Spread, interleave

TITLE = "Reading octet by octet"
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


def bench(rounds: int) -> list[Cell]:
    """The whole part."""
    cells = []
    for name, text in TEXTS.items():
        stream = segments(text)
        measured = interleave({"parse": partial(parse, stream), "read": partial(read, stream)}, rounds)
        cells.append(Cell(name, Spread.of(measured["parse"]), Spread.of(measured["read"])))
    return cells


def report(cells: list[Cell]) -> str:
    """The cells as a table in Markdown: median (first to ninth tenth)."""
    rows = [f"| {cell.case} | {_shown(cell.parser)} | {_shown(cell.both)} |" for cell in cells]
    head = [f"| CPU, s, for {SIZE // 1000} kB | parser | half-stream and parser |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows])


def _shown(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"
