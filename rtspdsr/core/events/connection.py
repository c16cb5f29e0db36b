"""Facts about TCP control connections."""

from dataclasses import dataclass
from enum import StrEnum

from rtspdsr.core.events.event import Event
from rtspdsr.model import Address


class OpaqueKind(StrEnum):
    """Why a connection cannot be read."""

    TLS = "tls"
    HTTP_TUNNEL = "http_tunnel"
    NOT_RTSP = "not_rtsp"


class Guess(StrEnum):
    """What is inferred from the client's half alone (design rule 13); always logged as inferred."""

    UNAUTHORIZED = "unauthorized"  #: the same request again, now with Authorization
    REFUSED = "refused"  #: DESCRIBE, and the connection ended without SETUP


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionEvent(Event):
    """A fact about one TCP control connection."""

    service_id: int
    backend_id: int
    client: Address
    client_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaqueConnection(ConnectionEvent):
    """Pinned and forwarded, but not readable: no session can be followed in it."""

    kind: OpaqueKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ReassemblyGap(ConnectionEvent):
    """Bytes of the client's stream were never seen; requests in them are unknown."""

    missing_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDistrusted(ConnectionEvent):
    """A retransmission carried other bytes than before: the flow is forwarded, and no longer read."""

    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMalformed(ConnectionEvent):
    """Bytes that are no request; the parser went on at the next one. ``problem`` is printable text."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInferred(ConnectionEvent):
    """What the answer to a request probably was."""

    guess: Guess
    method: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerFull(ConnectionEvent):
    """A limit of the tracker was reached: the connection is forwarded, and not read.

    At ``pins_max`` or ``provisional_max`` it may be read; what is not pinned goes by client address. So does
    all of a client beyond its ``client_connections_max``.

    limit: the configuration key of that limit, or the name of a fixed one
    """

    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClaimed(ConnectionEvent):
    """A client named the server's id of another client's session: nothing of that session changed.

    other:  the session whose id it is
    claims: such requests since the last such line, which comes once a second at most
    """

    method: str
    other: str
    claims: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionReset(ConnectionEvent):
    """Its backend is down and nothing moved on it any more: the client was told by a RST, to try again.

    still_s: seconds without any sign of progress
    problem: what is wrong with the backend
    """

    still_s: float
    problem: str
