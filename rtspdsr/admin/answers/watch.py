"""What a daemon is watched by: totals, whether it lives, whether clients are served."""

from typing_extensions import TypedDict

from rtspdsr.admin.answers.shape import answer


@answer
class BackendTotals(TypedDict):
    """What changes of a backend. What is delivered is as old as the last readings, five seconds at most."""

    name: str
    state: str
    sessions: int
    client_packets: int
    client_bytes: int
    delivered_bytes: int
    """past the balancer since the daemon started: as acknowledged over TCP, and over UDP estimated"""
    delivered_packets: int
    """RTP over UDP, as clients report, lost ones too, since the daemon started"""
    lost_packets: int
    """RTP packets lost, as clients report, since the daemon started"""


@answer
class ServiceTotals(TypedDict):
    """What changes of a service."""

    name: str
    client_packets: int
    """packets from clients to its VIPs"""
    client_bytes: int
    """bytes of those packets, whole frames"""
    backends: list[BackendTotals]


@answer
class TotalsAnswer(TypedDict):
    """What changes all the time; the difference of two gives rates."""

    uptime_s: float
    """when this was, since the start of the daemon"""
    pins: int
    pins_max: int
    services: list[ServiceTotals]


@answer
class LivenessAnswer(TypedDict):
    """Whether the daemon does its work."""

    alive: bool
    """the tracker's deadline is ahead, so that requests are read"""
    deadline_s: float
    """how far ahead"""
    uptime_s: float


@answer
class ServiceReadiness(TypedDict):
    """Whether a service takes new clients."""

    name: str
    backends: int
    usable: int
    """backends that take new clients"""


@answer
class ReadinessAnswer(TypedDict):
    """Whether clients are served."""

    ready: bool
    problems: list[str]
    """what is in the way, in words"""
    modes: dict[str, str]
    """how XDP is attached, by interface"""
    services: list[ServiceReadiness]
