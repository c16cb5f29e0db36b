"""What the daemon counts, as plain values at one moment: what totals and metrics are made of.

Sums grow from the start of the daemon on, but for what the forwarding core counts, which outlives it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Buckets = Sequence[tuple[str, int]]  #: upper bound as text, and how many values are at or below it


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Values by size.

    total: their sum
    """

    buckets: Buckets
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFigures:
    """What one kind of check found last; None where it did not come so far. Seconds, fractions."""

    passing: bool
    age_s: float
    response_s: float | None
    first_rtp_s: float | None
    bits_per_s: float | None
    lost: float | None
    jitter_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendFigures:
    """One backend.

    poor:     its clients tell worse of it than others of theirs
    sessions: live ones, by state
    opened:   sessions begun or taken over
    closed:   sessions ended, by reason
    client_*: packets and bytes from clients, whole frames
    acknowledged_bytes: delivered over TCP, responses among them
    estimated_bytes:    delivered over UDP, from the packets
    delivered_packets:  RTP over UDP, lost ones too
    loss:     fractions lost of receiver reports
    jitter:   of receiver reports, RTP timestamp units
    """

    name: str
    state: str
    poor: bool
    weight: float
    sessions: Mapping[str, int]
    opened: int
    closed: Mapping[str, int]
    client_packets: int
    client_bytes: int
    acknowledged_bytes: int
    estimated_bytes: int
    delivered_packets: int
    lost_packets: int
    loss: Histogram
    jitter: Histogram
    checks: Mapping[str, CheckFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFigures:
    """One service."""

    name: str
    client_packets: int
    client_bytes: int
    backends: Sequence[BackendFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What is used of something bounded.

    limit: the configuration key is ``<name>_max``
    """

    used: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All of it.

    started_at: seconds since 1970
    modes:      how XDP is attached, by interface
    limits:     pins, connections, sessions and what else is bounded, by name
    verdicts:   packets by why they left the XDP program
    failures:   what went wrong and was survived, by name
    events:     lines of the session log, by event
    lag:        seconds that the loop was late
    """

    version: str
    started_at: float
    modes: Mapping[str, str]
    limits: Mapping[str, Limit]
    verdicts: Mapping[str, int]
    failures: Mapping[str, int]
    events: Mapping[str, int]
    lag: Histogram
    listeners: int
    services: Sequence[ServiceFigures]
