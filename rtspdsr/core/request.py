"""What a client says in its connection: requests, the interleaved frames between them, and what is neither.

Values, and what can be told of a text by itself: whether it begins a request, how it is shown in events and
lines of the log. They are read out of the bytes by ``parser.py``.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rtspdsr.core.events import OpaqueKind

#: Bytes of an interleaved frame that are kept: a receiver report with its first block and a source name.
FRAME_KEPT = 128

#: Text in events and log lines: a longer URL is cut, with an ellipsis.
TEXT_MAX = 1024

#: A server's Session id is compared by so many characters; real ones have 8 to 40.
SESSION_MAX = 256

#: Characters of a method (RFC 7826 section 20.1: token).
TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"

_BEGINNING = re.compile(
    rb"[\r\n]{0,8}" + TOKEN + rb"{1,64}[ \t]{1,8}(?:(?i:rtsp[su]?)://|[^\s]{1,4096}[ \t]{1,8}RTSP/\d)"
)
_WHOLE_LINE = re.compile(rb"[A-Z_]{3,32} (?i:rtsp[su]?)://[^\s]{1,4096} RTSP/\d\.\d\r?\n")
_QUERY_SECRET = re.compile(
    r"(?i)((?:password|passwd|passwort|pass|pwd|secret|token|auth|apikey|signature)=)[^&;/?#\s]+"
)


def begins_request(data: bytes) -> bool:
    """Whether a segment looks as if it began with a request line, which need not be whole."""
    return _BEGINNING.match(data) is not None


def find_request(data: bytes) -> int:
    """Where in a segment the first whole request line with an absolute URL begins; -1 if there is none.

    For a flow that carries media upstream, whose segments may hold a request behind the end of a frame.
    """
    found = _WHOLE_LINE.search(data)
    return found.start() if found else -1


def printable(text: str) -> str:
    """Text that is safe in a log line and on a terminal: controls escaped, of bounded length."""
    shown = text[:TEXT_MAX]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
    return shown if len(text) <= TEXT_MAX and len(shown) <= TEXT_MAX else shown[: TEXT_MAX - 1] + "…"


def without_credentials(url: str) -> str:
    """A URL without user and password, also where cameras carry them in the query."""
    scheme, separator, rest = url.partition("://")
    if separator and "@" in rest:
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        port = authority.rpartition(":")[2] if ":" in authority and not authority.endswith("]") else ""
        if "@" in authority:
            rest = authority.rpartition("@")[2] + rest[len(authority) :]
        elif port and not port.isdecimal():
            rest = rest.rpartition("@")[2]  # a slash in the password, not escaped
        url = scheme + separator + rest
    return _QUERY_SECRET.sub(r"\1***", url) if "=" in url else url


class Headers:
    """The headers of one message: names in any case, several of one name in their order."""

    __slots__ = ("_fields", "_values")

    def __init__(self, fields: Iterable[tuple[str, str]]) -> None:
        self._fields = tuple(fields)
        values: dict[str, tuple[str, ...]] = {}
        for name, value in self._fields:
            key = name.lower()
            values[key] = (*values.get(key, ()), value)
        self._values = values

    def get(self, name: str) -> str | None:
        """The first value of a name."""
        values = self._values.get(name.lower())
        return values[0] if values else None

    def all(self, name: str) -> tuple[str, ...]:
        """All values of a name, in their order."""
        return self._values.get(name.lower(), ())

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    def __hash__(self) -> int:
        return hash(self._fields)

    def __repr__(self) -> str:
        return f"Headers({list(self._fields)!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request, said as soon as its headers are complete: its body may still be on its way.

    method, url, version: as sent, not judged
    body_length:          bytes of body that follow and are skipped
    """

    method: str
    url: str
    version: str
    headers: Headers
    body_length: int = 0

    @property
    def size(self) -> int:
        """Characters that it holds."""
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    @property
    def session(self) -> str | None:
        """The server's Session id, without its parameters."""
        text = (self.headers.get("session") or "").partition(";")[0].strip()
        return printable(text[:SESSION_MAX]) or None

    @property
    def user_agent(self) -> str:
        """The client's name for itself, printable; empty if it has none."""
        return printable(self.headers.get("user-agent") or "")

    @property
    def shown_url(self) -> str:
        """The URL for events: without credentials, printable."""
        return printable(without_credentials(self.url))


@dataclass(frozen=True, slots=True)
class InterleavedFrame:
    """A ``$`` frame (RFC 2326 section 10.12), said when its last byte was seen.

    payload: its first ``FRAME_KEPT`` bytes
    length:  of the whole payload
    """

    channel: int
    payload: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """Bytes that are no message. The parser goes on at the next segment that begins with a request.

    problem: printable
    """

    problem: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """The connection carries something else; nothing more is read of it."""

    kind: OpaqueKind


Message = Request | InterleavedFrame | Malformed | Opaque
