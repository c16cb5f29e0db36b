"""RTSP requests out of a client's bytes.

The parser is handed the client's stream in order, in pieces cut anywhere, and gives back the requests,
the interleaved frames between them, and what is neither. It reads leniently, as servers do: a request that
a server would act on must not be missed, while one that a server will refuse may be reported. Bodies are
skipped and not kept. Answers that a client gives to its server's requests are skipped without a word.

Memory is bounded by ``ParserLimits.header_max``, time is linear in the bytes whatever their cuts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from rtspdsr.core.events import OpaqueKind
from rtspdsr.core.request import (
    FRAME_KEPT,
    TOKEN,
    Headers,
    InterleavedFrame,
    Malformed,
    Message,
    Opaque,
    Request,
    begins_request,
    printable,
)

_LF, _CR, _DOLLAR, _TLS_HANDSHAKE, _TLS_MAJOR = 0x0A, 0x0D, 0x24, 0x16, 0x03

_TOKEN_BYTE = re.compile(TOKEN)
_METHOD = re.compile(TOKEN + rb"{1,64}")
_RTSP_VERSION = re.compile(rb"RTSP/\d\.\d")
_HTTP_VERSION = re.compile(rb"HTTP/\d(?:\.\d)?")
_NUMBER = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParserLimits:
    """Bounds of one message.

    header_max: bytes of a header block, request line included
    lines_max:  lines of it; players send up to 20
    body_max:   bytes of a body; the description of a hundred tracks is 20 kB
    """

    header_max: int = 65536
    lines_max: int = 256
    body_max: int = 1 << 20


class _State(Enum):
    BETWEEN = auto()  #: a message begins at the next byte
    HEAD = auto()  #: in the lines of a header block
    BODY = auto()  #: ``_left`` bytes are skipped
    FRAME = auto()  #: ``_left`` bytes of a frame's payload are still to come
    LOST = auto()  #: waiting for a segment that begins with a request
    OPAQUE = auto()  #: nothing is read any more


class RequestParser:
    """The reader of one connection's client half."""

    __slots__ = (
        "_at",
        "_buffer",
        "_channel",
        "_first_line",
        "_fresh",
        "_kept",
        "_left",
        "_length",
        "_limits",
        "_line_at",
        "_lines",
        "_scanned",
        "_state",
    )

    def __init__(self, limits: ParserLimits = ParserLimits()) -> None:
        self._limits = limits
        self._state = _State.BETWEEN
        self._fresh = True  # nothing was understood yet: what comes first tells what the connection carries
        self._buffer = bytearray()
        self._at = 0  # in the buffer: where the message begins
        self._line_at = 0  # in the buffer: where the line at hand begins
        self._scanned = 0  # in the buffer: no line ends between there and here
        self._lines = 0
        self._first_line = ("", "", "")
        self._left = self._channel = self._length = 0
        self._kept = b""

    @property
    def buffered(self) -> int:
        """Bytes kept between two calls."""
        return len(self._buffer) + len(self._kept)

    @property
    def unfinished(self) -> int:
        """Bytes of a header block that has no end yet."""
        return len(self._buffer)

    @property
    def midway(self) -> bool:
        """Whether a message has begun and is not complete yet."""
        return bool(self._buffer) or self._state in (_State.HEAD, _State.BODY, _State.FRAME)

    def feed(self, data: bytes, begins_segment: bool = True) -> list[Message]:
        """Take in the next bytes of the stream; give back the messages that are complete.

        ``begins_segment`` matters after a gap or malformed bytes only: whether ``data`` may begin a request.
        """
        if self._goes_on(data) or self._state is _State.OPAQUE:
            return []
        if self._state is _State.LOST:
            if not (begins_segment and begins_request(data)):
                return []
            self._state = _State.BETWEEN
        said: list[Message] = []
        self._buffer += data
        while self._step(said):
            pass
        del self._buffer[: self._at]
        self._line_at -= self._at
        self._scanned -= self._at
        self._at = 0
        return said

    def gap(self) -> None:
        """Bytes are missing: forget what is incomplete, and go on at a segment that begins with a request."""
        if self._state is not _State.OPAQUE:
            self._drop(_State.LOST)
            self._fresh = False

    def _goes_on(self, data: bytes) -> bool:
        """Take in what only continues a line or a payload; False if something may end in it, or begin."""
        if self._state is _State.HEAD:
            buffer = self._buffer
            if b"\n" in data or len(buffer) + len(data) > self._limits.header_max:
                return False
            buffer += data
            self._scanned = len(buffer)
            return True
        if self._state is _State.FRAME and len(data) < self._left:
            self._left -= len(data)
            if len(self._kept) < FRAME_KEPT:
                self._kept += data[: FRAME_KEPT - len(self._kept)]
            return True
        return False

    def _step(self, said: list[Message]) -> bool:
        """Read one thing, and say it; False if its bytes are not all there yet."""
        match self._state:
            case _State.BETWEEN:
                return self._begin(said)
            case _State.HEAD:
                return self._read_line(said)
            case _State.BODY:
                self._skip()
                return self._left == 0 and self._become(_State.BETWEEN)
            case _State.FRAME:
                return self._read_frame(said)
            case _State.LOST | _State.OPAQUE:
                return False

    def _become(self, state: _State) -> bool:
        self._state = state
        return True

    def _begin(self, said: list[Message]) -> bool:
        """See from its first byte what kind of message begins."""
        buffer, at = self._buffer, self._at
        if at == len(buffer):
            return False
        first = buffer[at]
        if first in (_CR, _LF):
            self._at += 1
            return True
        if first == _DOLLAR:
            return self._begin_frame()
        if self._fresh and first == _TLS_HANDSHAKE:
            if len(buffer) - at < 2:
                return False
            return self._close(said, OpaqueKind.TLS if buffer[at + 1] == _TLS_MAJOR else OpaqueKind.NOT_RTSP)
        if not _TOKEN_BYTE.match(buffer, at):
            return self._lose(said, f"byte 0x{first:02x} begins no request")
        self._line_at = self._scanned = at
        self._lines = 0
        return self._become(_State.HEAD)

    def _begin_frame(self) -> bool:
        head = self._buffer[self._at : self._at + 4]
        if len(head) < 4:
            return False
        self._at += 4
        self._channel = head[1]
        self._length = self._left = int.from_bytes(head[2:], "big")
        self._fresh = False
        return self._become(_State.FRAME)

    def _read_frame(self, said: list[Message]) -> bool:
        self._kept += self._skip()[: FRAME_KEPT - len(self._kept)]
        if self._left:
            return False
        said.append(InterleavedFrame(self._channel, self._kept, self._length))
        self._kept = b""
        return self._become(_State.BETWEEN)

    def _skip(self) -> bytearray:
        """Pass over what there is of the bytes still to come; give back the first of it."""
        begin = self._at
        size = min(self._left, len(self._buffer) - begin)
        self._at += size
        self._left -= size
        return self._buffer[begin : begin + min(size, FRAME_KEPT)]

    def _read_line(self, said: list[Message]) -> bool:
        """Find the end of one line of a header block; at the empty line, say the message."""
        buffer, begin = self._buffer, self._line_at
        newline = buffer.find(b"\n", self._scanned)
        end = len(buffer) if newline < 0 else newline + 1
        if end - self._at > self._limits.header_max:
            return self._lose(said, f"header block of more than {self._limits.header_max} bytes")
        self._scanned = end
        if newline < 0:
            return False
        self._line_at = end
        self._lines += 1
        if self._lines == 1:
            return self._read_first_line(bytes(buffer[begin:newline]), said)
        if newline == begin or (newline == begin + 1 and buffer[begin] == _CR):
            return self._end_head(said)
        if self._lines > self._limits.lines_max:
            return self._lose(said, f"header block of more than {self._limits.lines_max} lines")
        return True

    def _read_first_line(self, line: bytes, said: list[Message]) -> bool:
        """Refuse what is neither a request nor an answer before any more of it is kept.

        A URL may hold spaces: some players send file names as they are.
        """
        method, _, rest = line.strip().replace(b"\t", b" ").partition(b" ")
        url, _, version = rest.strip().rpartition(b" ")
        asks = bool(_METHOD.fullmatch(method) and url)
        if _RTSP_VERSION.fullmatch(method) or (asks and _RTSP_VERSION.fullmatch(version)):
            self._fresh = False
        elif not (self._fresh and asks and _HTTP_VERSION.fullmatch(version)):
            word = _METHOD.match(line)  # and not the rest, which may hold what must not be logged
            return self._lose(said, f"{_decode(word[0]) if word else ''!r} begins no request line")
        self._first_line = (_decode(method), _decode(url.strip()), _decode(version))
        return True

    def _end_head(self, said: list[Message]) -> bool:
        """Say the message whose header block is complete, and skip its body."""
        method, url, version = self._first_line
        headers = Headers(_fields(_decode(self._buffer[self._at : self._line_at])))
        if version.startswith("HTTP/"):
            return self._close(said, OpaqueKind.HTTP_TUNNEL if _tunnels(headers) else OpaqueKind.NOT_RTSP)
        try:
            self._left = _body_length(headers, self._limits.body_max)
        except ValueError as error:
            return self._lose(said, str(error))
        self._at = self._line_at
        if not method.startswith("RTSP/"):
            said.append(
                Request(method=method, url=url, version=version, headers=headers, body_length=self._left)
            )
        return self._become(_State.BODY)

    def _lose(self, said: list[Message], problem: str) -> bool:
        """Give up the place in the stream: at its very beginning for good, later until the next request."""
        seen = bytes(self._buffer[self._at : self._at + self._limits.header_max + 1])
        if self._fresh and not begins_request(seen):
            return self._close(said, OpaqueKind.NOT_RTSP)
        said.append(Malformed(printable(problem)))
        self._fresh = False
        self._drop(_State.LOST)
        return False

    def _close(self, said: list[Message], kind: OpaqueKind) -> bool:
        said.append(Opaque(kind))
        self._drop(_State.OPAQUE)
        return False

    def _drop(self, state: _State) -> None:
        self._state = state
        self._buffer = bytearray()
        self._kept = b""
        self._at = self._line_at = self._scanned = 0


def _decode(data: bytes | bytearray) -> str:
    """Text of a message: UTF-8, and what is none of it visible as escapes, so that two URLs stay two."""
    return data.decode("utf-8", "backslashreplace")


def _fields(head: str) -> Iterator[tuple[str, str]]:
    """Name and value of each header below the first line; a folded value is joined by spaces.

    A line that is no header is passed over, as servers do.
    """
    name, parts = "", list[str]()
    for line in head.split("\n")[1:]:
        if line[:1] in (" ", "\t"):
            parts.append(line.strip())
            continue
        if name:
            yield name, " ".join(parts)
        before, colon, value = line.partition(":")
        name, parts = before.strip() if colon else "", [value.strip()]
    if name:
        yield name, " ".join(parts)


def _body_length(headers: Headers, body_max: int) -> int:
    """Bytes of body. Equal lengths are one; all else raises a ``ValueError`` that says what is wrong."""
    values = set(headers.all("content-length"))
    if not values:
        return 0
    if len(values) > 1:
        raise ValueError(f"contradicting Content-Length: {', '.join(sorted(values))}")
    value = values.pop()
    if not _NUMBER.fullmatch(value):
        raise ValueError(f"Content-Length is no number: {value!r}")
    if int(value) > body_max:
        raise ValueError(f"Content-Length {value} is more than {body_max}")
    return int(value)


def _tunnels(headers: Headers) -> bool:
    """Whether an HTTP request opens RTSP over HTTP (QuickTime's tunnel) or over WebSocket."""
    kinds = (*headers.all("accept"), *headers.all("content-type"))
    return (
        headers.get("x-sessioncookie") is not None
        or any("x-rtsp-tunnelled" in kind.lower() for kind in kinds)
        or any("websocket" in value.lower() for value in headers.all("upgrade"))
    )
