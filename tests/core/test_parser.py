"""The request parser: tables of what clients send, models of any cut and any bytes, aiortsp beside it."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from aiortsp.rtsp.parser import RTSPBinary, RTSPParser, RTSPRequest
from hypothesis import given
from hypothesis import strategies as st

from rtspdsr.core.events import OpaqueKind
from rtspdsr.core.parser import ParserLimits, RequestParser
from rtspdsr.core.request import (
    FRAME_KEPT,
    Headers,
    InterleavedFrame,
    Malformed,
    Message,
    Opaque,
    Request,
)

URL = "rtsp://192.0.2.10/clip"
OPTIONS = f"OPTIONS {URL} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode()
SETUP = (
    f"SETUP {URL}/1 RTSP/1.0\r\nCSeq: 2\r\nTransport: RTP/AVP;unicast;client_port=5000-5001\r\n\r\n".encode()
)
FRAME = b"$\x01\x00\x04abcd"
SMALL = ParserLimits(header_max=200, lines_max=6, body_max=30)


def request(method: str, url: str = URL, version: str = "RTSP/1.0", body: int = 0, **headers: str) -> Request:
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request(method=method, url=url, version=version, headers=Headers(fields), body_length=body)


def read(*pieces: bytes, limits: ParserLimits = SMALL) -> list[Message]:
    parser = RequestParser(limits)
    return [message for piece in pieces for message in parser.feed(piece)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        pytest.param(OPTIONS, [request("OPTIONS", CSeq="1")], id="a request"),
        pytest.param(
            b"OPTIONS * RTSP/2.0\r\nCseq: 1\r\n\r\n",
            [request("OPTIONS", "*", "RTSP/2.0", Cseq="1")],
            id="RTSP/2.0, no URL",
        ),
        pytest.param(
            b"x-Own+1 rtsp://h/ RTSP/1.0\r\n\r\n",
            [request("x-Own+1", "rtsp://h/")],
            id="any method, no header",
        ),
        pytest.param(OPTIONS.replace(b"\r\n", b"\n"), [request("OPTIONS", CSeq="1")], id="bare line feeds"),
        pytest.param(
            b"\r\n\r\n" + OPTIONS + b"\r\n\n" + OPTIONS,
            [request("OPTIONS", CSeq="1")] * 2,
            id="empty lines before and between",
        ),
        pytest.param(
            b"PLAY rtsp://h/my file.mp4  RTSP/1.0 \r\n\r\n",
            [request("PLAY", "rtsp://h/my file.mp4")],
            id="spaces",
        ),
        pytest.param(
            b"PLAY rtsp://h/ RTSP/1.0\r\nTransport: a,\r\n  b,\r\n\tc\r\nX : y \r\n\r\n",
            [request("PLAY", "rtsp://h/", Transport="a, b, c", X="y")],
            id="a folded header",
        ),
        pytest.param(
            b"PLAY rtsp://h/ RTSP/1.0\r\nno header\r\n folded\r\n: nameless\r\nA:\r\n\r\n",
            [request("PLAY", "rtsp://h/", A="")],
            id="lines that are no header",
        ),
        pytest.param(
            b"PLAY rtsp://h/\xff\xc3\xa9 RTSP/1.0\r\nA: \x00\xfe\r\n\r\n",
            [request("PLAY", "rtsp://h/\\xffé", A="\x00\\xfe")],
            id="bytes that are no UTF-8",
        ),
        pytest.param(
            b"ANNOUNCE rtsp://h/ RTSP/1.0\r\nContent-Length: 5\r\n\r\nv=0\r\n" + OPTIONS,
            [request("ANNOUNCE", "rtsp://h/", body=5, Content_Length="5"), request("OPTIONS", CSeq="1")],
            id="a body is passed over",
        ),
        pytest.param(
            b"A rtsp://h/ RTSP/1.0\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\n$$" + OPTIONS,
            [
                Request(
                    method="A",
                    url="rtsp://h/",
                    version="RTSP/1.0",
                    headers=Headers([("Content-Length", "2"), ("content-length", "2")]),
                    body_length=2,
                ),
                request("OPTIONS", CSeq="1"),
            ],
            id="one length, said twice",
        ),
        pytest.param(
            b"RTSP/1.0 200 OK\r\nCSeq: 9\r\nContent-Length: 4\r\n\r\nbody" + OPTIONS,
            [request("OPTIONS", CSeq="1")],
            id="an answer to the server is passed over",
        ),
        pytest.param(
            FRAME + OPTIONS + FRAME + b"$\x02\x00\x00" + OPTIONS,
            [
                InterleavedFrame(1, b"abcd", 4),
                request("OPTIONS", CSeq="1"),
                InterleavedFrame(1, b"abcd", 4),
                InterleavedFrame(2, b"", 0),
                request("OPTIONS", CSeq="1"),
            ],
            id="frames between requests",
        ),
        pytest.param(
            b"$\x00\x01\x00" + bytes(256) + OPTIONS,
            [InterleavedFrame(0, bytes(FRAME_KEPT), 256), request("OPTIONS", CSeq="1")],
            id="the beginning of a long frame is kept",
        ),
    ],
)
def test_messages(data: bytes, messages: list[Message]) -> None:
    assert read(data) == messages
    assert read(*bytewise(data)) == messages


def test_a_request_is_said_before_its_body_has_come() -> None:
    parser = RequestParser()
    head = b"ANNOUNCE rtsp://h/ RTSP/1.0\r\nContent-Length: 5\r\n\r\n"
    assert [type(m) for m in parser.feed(head)] == [Request]
    assert parser.feed(b"v=0\r\n") == []
    assert parser.feed(OPTIONS) == [request("OPTIONS", CSeq="1")]


# --- what is no request --------------------------------------------------------------------------


def named(length: str) -> bytes:
    return f"PLAY {URL} RTSP/1.0\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (named("31"), "Content-Length 31 is more than 30"),
        (named("9" * 11), "Content-Length is no number: '99999999999'"),
        (named("-1"), "Content-Length is no number: '-1'"),
        (named("5, 5"), "Content-Length is no number: '5, 5'"),
        (named("1\r\nContent-Length: 2"), "contradicting Content-Length: 1, 2"),
        (b"PLAY rtsp://h/ RTSP/1.0\r\n" + b"A: b\r\n" * 6, "header block of more than 6 lines"),
        (b"PLAY rtsp://h/ RTSP/1.0\r\nA: " + b"b" * 200, "header block of more than 200 bytes"),
        (b"PLAY rtsp://h/" + b"b" * 200, "header block of more than 200 bytes"),
        (OPTIONS + b"GET / HTTP/1.1\r\n\r\n", "'GET' begins no request line"),
        (OPTIONS + b"PLAY\x1b[2J rtsp://h/ RTSP/1.0\r\n", "'PLAY' begins no request line"),
        (OPTIONS + b"Authorization: Basic c2VjcmV0\r\n", "'Authorization' begins no request line"),
        (OPTIONS + b"rtsp://u:p@h/\r\n", "'rtsp' begins no request line"),
        (OPTIONS + b"\x80", "byte 0x80 begins no request"),
    ],
)
def test_malformed_bytes_are_told_and_the_next_request_is_found(data: bytes, problem: str) -> None:
    for pieces in ([data], bytewise(data)):
        messages = read(*pieces, b"still lost", FRAME, OPTIONS, SETUP)
        assert [m for m in messages if isinstance(m, Malformed)] == [Malformed(problem)]
        assert [m.method for m in messages[-2:] if isinstance(m, Request)] == ["OPTIONS", "SETUP"]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01", OpaqueKind.TLS, id="a TLS ClientHello"),
        pytest.param(b"\x16\x04", OpaqueKind.NOT_RTSP, id="a handshake of something else"),
        pytest.param(
            b"GET /clip HTTP/1.0\r\nx-sessioncookie: a\r\n\r\n", OpaqueKind.HTTP_TUNNEL, id="a tunnel's GET"
        ),
        pytest.param(
            b"POST / HTTP/1.0\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\nT1B",
            OpaqueKind.HTTP_TUNNEL,
            id="a tunnel's POST",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n", OpaqueKind.HTTP_TUNNEL, id="a WebSocket"
        ),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", OpaqueKind.NOT_RTSP, id="a browser"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", OpaqueKind.NOT_RTSP, id="SSH"),
        pytest.param(b"\x03\x00\x00", OpaqueKind.NOT_RTSP, id="a byte that begins no request"),
        pytest.param(b"A" * 201, OpaqueKind.NOT_RTSP, id="no line within the limit"),
    ],
)
def test_what_a_connection_begins_with_tells_what_it_is(data: bytes, kind: OpaqueKind) -> None:
    for pieces in ([data], bytewise(data), [b"\r\n" + data]):
        parser = RequestParser(SMALL)
        assert [m for piece in pieces for m in parser.feed(piece)] == [Opaque(kind)]
        assert parser.feed(OPTIONS) == []
        assert parser.buffered == 0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(named("30") + bytes(30), id="body"),
        pytest.param(b"PLAY rtsp://h/ RTSP/1.0\r\n" + b"A: b\r\n" * 5 + b"\r\n", id="lines"),
        pytest.param(b"PLAY rtsp://h/ RTSP/1.0\r\nA: " + b"b" * 168 + b"\r\n\r\n", id="header block"),
    ],
)
def test_what_is_just_within_a_limit_is_read(data: bytes) -> None:
    for pieces in ([data], bytewise(data)):
        messages = read(*pieces, OPTIONS)
        assert [m.method for m in messages if isinstance(m, Request)] == ["PLAY", "OPTIONS"]


# --- gaps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "before", [b"", b"OPTIONS rt", OPTIONS[:-2], FRAME[:3], FRAME[:6], named("20"), OPTIONS]
)
def test_after_a_gap_the_next_request_is_found_wherever_the_stream_was(before: bytes) -> None:
    parser = RequestParser(SMALL)
    parser.feed(before)
    parser.gap()
    assert parser.buffered == 0
    assert parser.feed(b"the rest of something\r\n\r\n") == []
    assert parser.feed(b"\x16\x03\x01") == []
    assert parser.feed(OPTIONS + FRAME) == [request("OPTIONS", CSeq="1"), InterleavedFrame(1, b"abcd", 4)]


def test_after_a_gap_bytes_that_begin_no_segment_are_not_believed() -> None:
    parser = RequestParser()
    parser.gap()
    assert parser.feed(OPTIONS, begins_segment=False) == []
    assert parser.feed(OPTIONS, begins_segment=True) == [request("OPTIONS", CSeq="1")]


def test_after_a_gap_nothing_makes_the_connection_opaque() -> None:
    parser = RequestParser()
    parser.gap()
    assert parser.feed(b"GET /a RTSP/1 HTTP/1.0\r\n\r\n") == [Malformed("'GET' begins no request line")]
    assert parser.feed(OPTIONS) == [request("OPTIONS", CSeq="1")]


# --- models --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """Bytes of one message, and what a reader must make of them."""

    data: bytes
    said: tuple[Message, ...]


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,10}", fullmatch=True).filter(
    lambda name: name.lower() != "content-length"
)
WORDS = st.from_regex(r"[!-9;-~]{1,20}", fullmatch=True)
FIELDS = st.lists(st.tuples(NAMES, st.lists(WORDS, min_size=1, max_size=3)), max_size=5)
METHODS = st.sampled_from(
    ["OPTIONS", "DESCRIBE", "ANNOUNCE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "RECORD"]
)
URLS = st.from_regex(r"rtsp://[a-z0-9.:@/-]{1,20}", fullmatch=True) | st.just("*")
BODIES = st.binary(max_size=20)


@st.composite
def requests(
    draw: st.DrawFn, folds: Iterable[str] = (" ", "\r\n ", "\n\t"), ends: Iterable[str] = ("\r\n", "\n")
) -> Sent:
    end = draw(st.sampled_from(list(ends)))
    method, url, body = draw(METHODS), draw(URLS), draw(BODIES)
    fold = draw(st.sampled_from(list(folds)))
    fields = draw(FIELDS)
    if body or draw(st.booleans()):
        fields.append(("Content-Length", [str(len(body))]))
    lines = [f"{method} {url} RTSP/1.0", *(f"{name}: {fold.join(words)}" for name, words in fields), "", ""]
    headers = Headers((name, " ".join(words)) for name, words in fields)
    said = Request(method=method, url=url, version="RTSP/1.0", headers=headers, body_length=len(body))
    return Sent(end.join(lines).encode() + body, (said,))


@st.composite
def frames(draw: st.DrawFn) -> Sent:
    channel, payload = draw(st.integers(0, 255)), draw(st.binary(max_size=200))
    data = b"$" + bytes([channel]) + len(payload).to_bytes(2, "big") + payload
    return Sent(data, (InterleavedFrame(channel, payload[:FRAME_KEPT], len(payload)),))


@st.composite
def answers(draw: st.DrawFn) -> Sent:
    body = draw(BODIES)
    return Sent(f"RTSP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body, ())


EMPTY_LINES = st.sampled_from([Sent(b"\r\n", ()), Sent(b"\n\n", ())])


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


CUTS = st.lists(st.integers(0, 1 << 16), max_size=12)


@given(st.lists(requests() | frames() | answers() | EMPTY_LINES, max_size=6), CUTS)
def test_every_message_is_read_whatever_the_cuts(sent: list[Sent], cuts: list[int]) -> None:
    data = b"".join(message.data for message in sent)
    said = [message for one in sent for message in one.said]
    for way in ([data], bytewise(data), pieces(data, cuts)):
        assert read(*way, limits=ParserLimits()) == said


FRAGMENTS = st.sampled_from(
    [
        OPTIONS,
        SETUP,
        FRAME,
        OPTIONS[:20],
        named("-1"),
        named("5"),
        b"\r\n",
        b"\n",
        b"$",
        b"RTSP/1.0 200 OK\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03",
        b" ",
        b":",
        b"A" * 150,
    ]
)


def until_lost(messages: list[Message]) -> list[Message]:
    """As far as cuts may not matter: the way back from lost leads over the beginning of a segment."""
    for index, message in enumerate(messages):
        if isinstance(message, Malformed | Opaque):
            return messages[: index + 1]
    return messages


@given(st.lists(FRAGMENTS | st.binary(max_size=8), max_size=10).map(b"".join), CUTS)
def test_any_bytes_are_read_without_harm_and_the_same_whatever_the_cuts(data: bytes, cuts: list[int]) -> None:
    parser = RequestParser(SMALL)
    said: list[Message] = []
    for piece in pieces(data, cuts):
        said.extend(parser.feed(piece))
        assert parser.buffered <= SMALL.header_max + FRAME_KEPT
    assert all(message.problem.isprintable() for message in said if isinstance(message, Malformed))
    assert until_lost(said) == until_lost(read(data)) == until_lost(read(*bytewise(data)))


@given(st.lists(st.binary(max_size=40) | FRAGMENTS, max_size=10), st.data())
def test_after_any_bytes_and_a_gap_a_request_is_read(data: list[bytes], draw: st.DataObject) -> None:
    parser = RequestParser(SMALL)
    gap_at = draw.draw(st.integers(0, len(data)))
    opaque = False
    for index, piece in enumerate(data):
        if index == gap_at:
            parser.gap()
        opaque |= any(isinstance(message, Opaque) for message in parser.feed(piece))
    parser.gap()
    assert parser.feed(OPTIONS) == ([] if opaque else [request("OPTIONS", CSeq="1")])


# --- aiortsp beside it ---------------------------------------------------------------------------


def by_aiortsp(data: bytes) -> list[tuple[object, ...]]:
    said: list[tuple[object, ...]] = []
    for message in RTSPParser().parse(data):
        match message:
            case RTSPRequest():
                values = {n: v if isinstance(v, list) else [v] for n, v in message.headers.items()}
                said.append((message.method, message.request_url, values, message.content_length))
            case RTSPBinary():
                said.append((message.id, message.data))
    return said


def by_us(data: bytes) -> list[tuple[object, ...]]:
    said: list[tuple[object, ...]] = []
    for message in read(data, limits=ParserLimits()):
        match message:
            case Request(method=method, url=url, headers=headers, body_length=length):
                values = {name.lower(): list(headers.all(name)) for name, _ in headers}
                said.append((method, url, values, length))
            case InterleavedFrame(channel=channel, payload=payload):
                said.append((channel, payload))
            case other:
                said.append((other,))
    return said


SHORT_FRAMES = frames().filter(lambda sent: len(sent.data) <= FRAME_KEPT)
PLAIN_REQUESTS = requests(folds=[" "], ends=["\r\n"]).filter(lambda sent: b"seq:" not in sent.data.lower())


@given(st.lists(PLAIN_REQUESTS | SHORT_FRAMES, min_size=1, max_size=5))
def test_aiortsp_reads_the_same(sent: list[Sent]) -> None:
    """Where it can: it knows neither folded headers nor bare line feeds, and wants a number as CSeq."""
    data = b"".join(message.data for message in sent)
    assert by_us(data) == by_aiortsp(data)


# --- linear time ---------------------------------------------------------------------------------


class CountedBuffer(bytearray):
    """Counts the bytes that are searched or copied out of it."""

    touched = 0

    def find(self, sub: object, start: object = None, end: object = None) -> int:
        found = super().find(sub, start, end)  # type: ignore[arg-type]
        assert isinstance(start, int)
        self.touched += (len(self) if found < 0 else found + 1) - start
        return found

    def __getitem__(self, key: Any) -> Any:
        got = super().__getitem__(key)
        self.touched += len(got) if isinstance(got, bytearray) else 1
        return got


def work(data: bytes) -> int:
    """Function calls and bytes touched while ``data`` is fed bytewise."""
    parser = RequestParser()
    buffer = parser._buffer = CountedBuffer()
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for i in range(len(data)):
            parser.feed(data[i : i + 1])
    finally:
        sys.setprofile(before)
    return calls + buffer.touched


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(OPTIONS * 200, id="requests"),
        pytest.param(FRAME * 800, id="frames"),
        pytest.param(b"\r\n" * 4000, id="empty lines"),
        pytest.param(b"PLAY rtsp://h/" + b"a" * 8000, id="a request line without end"),
        pytest.param(b"PLAY rtsp://h/ RTSP/1.0\r\nA: " + b"a" * 8000, id="a header without end"),
        pytest.param(b"PLAY rtsp://h/ RTSP/1.0\r\n" + b"A: bcdefghijklmnopqrstuvw\r\n" * 200, id="headers"),
    ],
)
def test_work_grows_as_the_bytes_do(data: bytes) -> None:
    assert work(data) < 2.2 * work(data[: len(data) // 2])
