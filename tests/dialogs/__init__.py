"""Recorded client halves of real players, and ways to disturb them that TCP must mend.

A dialog is one JSON file, made by ``record.py``: every segment with payload of one player's run, and the
bare FIN and RST segments, as a balancer behind DSR sees them. ``expected`` says what was in it, found by
other means than the code under test. A disturbed dialog carries the same bytes at the same sequence
numbers: whatever reads it must come to the same requests.
"""

import base64
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import groupby
from pathlib import Path
from typing import Any

from rtspdsr.model import FlowKey, Proto, Segment, TcpFlag

DIRECTORY = Path(__file__).parent

#: Every dialog on record.
NAMES = tuple(sorted(path.stem for path in DIRECTORY.glob("*.json")))

Mutation = Callable[[Sequence[Segment]], list[Segment]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedTrack:
    """One SETUP: the alternative that the player put first.

    transport: ``udp`` or ``tcp``
    """

    url: str
    transport: str
    client_ports: tuple[int, ...]
    channels: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a reader must find.

    methods:     of all requests, in order
    tracks:      of all SETUPs, in order
    sessions:    the server's Session ids, in the order of their first use by the player
    connections: how many TCP connections there were
    """

    methods: tuple[str, ...]
    tracks: tuple[ExpectedTrack, ...]
    sessions: tuple[str, ...]
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialog:
    """One player's run. ``times`` are seconds since the first SYN, one for each segment."""

    name: str
    player: str
    server: str
    segments: list[Segment]
    times: list[float]
    expected: Expected


def load(name: str, service_id: int = 0, backend_id: int = 1) -> Dialog:
    """Read the dialog ``NAME.json``."""
    record = json.loads((DIRECTORY / f"{name}.json").read_text())
    connections = {connection["port"]: connection for connection in record["connections"]}

    def segment(line: dict[str, Any]) -> Segment:
        flow = FlowKey(
            service_id, Proto.TCP, ip_address(record["client"]), line["port"], record["service_port"]
        )
        payload = (
            base64.b64decode(line["base64"]) if "base64" in line else line.get("text", "").encode("ascii")
        )
        return Segment(
            flow=flow,
            backend_id=backend_id,
            sequence=line["sequence"],
            acknowledgement=line["acknowledgement"],
            flags=TcpFlag(line["flags"]),
            payload=payload,
            initial=connections[line["port"]]["initial"],
            opened_at=connections[line["port"]]["at"],
        )

    expected = record["expected"]
    return Dialog(
        name=name,
        player=record["player"],
        server=record["server"],
        segments=[segment(line) for line in record["segments"]],
        times=[line["at"] for line in record["segments"]],
        expected=Expected(
            methods=tuple(expected["methods"]),
            tracks=tuple(
                ExpectedTrack(
                    url=track["url"],
                    transport=track["transport"],
                    client_ports=tuple(track["client_ports"]),
                    channels=tuple(track["channels"]),
                )
                for track in expected["tracks"]
            ),
            sessions=tuple(expected["sessions"]),
            connections=len(record["connections"]),
        ),
    )


def whole(segments: Sequence[Segment]) -> list[Segment]:
    """As recorded."""
    return list(segments)


def cut(segments: Sequence[Segment], size: int) -> list[Segment]:
    """Every segment in pieces of at most ``size`` bytes."""
    return [piece for segment in segments for piece in _pieces(segment, size)]


def bytewise(segments: Sequence[Segment]) -> list[Segment]:
    """Every byte in a segment of its own."""
    return cut(segments, 1)


def reordered(segments: Sequence[Segment]) -> list[Segment]:
    """In small pieces, shuffled as a network can: only within what was sent before an answer came."""
    shuffle = random.Random(1).shuffle
    result: list[Segment] = []
    for _, flight in groupby(cut(segments, 100), key=_flight):
        pieces = list(flight)
        for begin in range(0, len(pieces), 16):
            some = pieces[begin : begin + 16]
            shuffle(some)
            result.extend(some)
    return result


def duplicated(segments: Sequence[Segment]) -> list[Segment]:
    """Every segment twice."""
    return [segment for segment in segments for _ in range(2)]


def retransmitted(segments: Sequence[Segment]) -> list[Segment]:
    """Every segment, and then once more together with the one before it, as senders merge them."""
    result: list[Segment] = []
    last: dict[FlowKey, Segment] = {}
    for segment in segments:
        result.append(segment)
        before = last.get(segment.flow)
        if before is not None and segment.payload and _after(before) == segment.sequence:
            merged = before.payload + segment.payload
            result.append(replace(segment, sequence=before.sequence, payload=merged))
        last[segment.flow] = segment
    return result


def wrapped(segments: Sequence[Segment]) -> list[Segment]:
    """With sequence numbers that pass 2**32 within the first request."""

    def move(segment: Segment) -> Segment:
        assert segment.initial is not None
        by = 0xFFFFFFF0 - segment.initial
        return replace(
            segment,
            sequence=(segment.sequence + by) & 0xFFFFFFFF,
            initial=(segment.initial + by) & 0xFFFFFFFF,
        )

    return [move(segment) for segment in segments]


#: What a network, a sender or a player's buffering can do to a dialog without changing what it says.
MUTATIONS: dict[str, Mutation] = {
    mutation.__name__: mutation
    for mutation in (whole, bytewise, reordered, duplicated, retransmitted, wrapped)
}


def _pieces(segment: Segment, size: int) -> Iterator[Segment]:
    if len(segment.payload) <= size:
        yield segment
        return
    ends = TcpFlag.FIN | TcpFlag.RST | TcpFlag.PSH
    for begin in range(0, len(segment.payload), size):
        last = begin + size >= len(segment.payload)
        yield replace(
            segment,
            sequence=(segment.sequence + begin) & 0xFFFFFFFF,
            flags=segment.flags if last else segment.flags & ~ends,
            payload=segment.payload[begin : begin + size],
        )


def _flight(segment: Segment) -> tuple[FlowKey, int, bool]:
    """What may change places: sent before an answer came. A reset stays behind the bytes before it."""
    return segment.flow, segment.acknowledgement, TcpFlag.RST in segment.flags


def _after(segment: Segment) -> int:
    return (segment.sequence + len(segment.payload)) & 0xFFFFFFFF
