"""Part ``requests``: any octets through the request parser, and all that is made of what it gives back.

A case is a count of cuts, two octets for each, and the text. However it is cut, it must be read the same as
far as cuts may not matter, memory must stay within its limit, and whatever goes into events must be harmless.
"""

from collections.abc import Iterator
from itertools import pairwise
from random import Random

from rtspdsr.core.parser import ParserLimits, RequestParser
from rtspdsr.core.request import (
    FRAME_KEPT,
    SESSION_MAX,
    TEXT_MAX,
    InterleavedFrame,
    Malformed,
    Message,
    Opaque,
    Request,
)
from rtspdsr.core.rtcp import first_report
from rtspdsr.core.transport import ALTERNATIVES_MAX, parse_transport
from tests.fuzz.part import Octets
from tests.fuzz.texts import text

CUTS_MAX = 8
LIMITS = (ParserLimits(header_max=200, lines_max=6, body_max=30), ParserLimits())


def case(dice: Random) -> bytes:
    """Cuts, and a text."""
    cuts = dice.randrange(CUTS_MAX)
    return bytes([cuts]) + dice.randbytes(2 * cuts) + text(dice)


def check(data: bytes) -> Iterator[str]:
    """Read a case whole, cut and octet by octet, under two limits."""
    cuts = data[0] % CUTS_MAX if data else 0
    places, octets = data[1 : 1 + 2 * cuts], data[1 + 2 * cuts :]
    at = sorted(int.from_bytes(places[2 * n : 2 * n + 2]) % (len(octets) + 1) for n in range(cuts))
    pieces = [octets[begin:end] for begin, end in pairwise((0, *at, len(octets)))]
    for limits in LIMITS:
        whole = _until_lost(_read(limits, [octets]))
        for way in (pieces, [octets[n : n + 1] for n in range(len(octets))]):
            cut = _until_lost(_read(limits, way))
            assert cut == whole, f"read as {cut} in pieces, and as {whole} in one"
        for message in whole:
            yield type(message).__name__
            _hold(message)


def _read(limits: ParserLimits, pieces: list[bytes]) -> list[Message]:
    parser, said = RequestParser(limits), list[Message]()
    for piece in pieces:
        said += parser.feed(piece)
        assert parser.buffered <= limits.header_max + FRAME_KEPT, f"{parser.buffered} octets kept"
    return said


def _until_lost(messages: list[Message]) -> list[Message]:
    """As far as cuts may not matter: the way back from lost leads over the beginning of a segment."""
    for at, message in enumerate(messages):
        if isinstance(message, Malformed | Opaque):
            return messages[: at + 1]
    return messages


def _hold(message: Message) -> None:
    """What must hold of anything that was read."""
    match message:
        case Request():
            for shown, most in (
                (message.shown_url, TEXT_MAX),
                (message.user_agent, TEXT_MAX),
                (message.session or "", SESSION_MAX * 10),
            ):
                assert shown.isprintable(), f"not printable: {shown!r}"
                assert len(shown) <= most, f"{len(shown)} characters of {message.method}"
            specs, problems = parse_transport(message.headers.all("transport"))
            assert len(specs) <= ALTERNATIVES_MAX, f"{len(specs)} alternatives"
            assert all(problem.isprintable() for problem in problems), f"not printable: {problems}"
            assert all(0 < port < 65536 for spec in specs for port in spec.client_ports), f"ports of {specs}"
            assert all(channel < 256 for spec in specs for channel in spec.channels), f"channels of {specs}"
        case InterleavedFrame(payload=payload):
            report = first_report(payload)
            assert report is None or 0 <= report.fraction_lost < 1, f"a loss of {report}"
        case Malformed(problem):
            assert problem.isprintable(), f"not printable: {problem!r}"


REQUESTS = Octets("requests", case, check)
PART = REQUESTS.part("texts", 30_000)
