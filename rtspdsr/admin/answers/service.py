"""How the daemon and its services stand."""

from typing_extensions import TypedDict

from rtspdsr.admin.answers.shape import answer


@answer
class ServiceBackend(TypedDict):
    """A backend in the status of its service."""

    name: str
    addresses: list[str]
    state: str
    """``up`` takes new clients; ``unresolved`` answers neither ARP nor ND; ``down`` fails its checks;
    ``drain`` and ``maint``: the operator has taken it out"""
    admin_state: str
    """what the operator wants: ``ready``, ``drain`` or ``maint``"""
    problem: str
    """what is wrong with it, in words; empty if nothing is"""
    weight: int
    """its share of new clients, relative to the others"""
    share: float
    """how much of its weight counts now: less than 1 in a slow start"""
    max_sessions: int
    """with so many it gets no new clients; 0 for any number"""
    full: bool
    """whether it gets none for that"""
    sessions: int
    client_packets: int
    """packets from clients that were sent to it"""
    client_bytes: int
    """bytes of those packets, whole frames"""
    delivered_bytes: int
    """sent to clients, past the balancer, since the daemon started: over TCP what they acknowledged,
    over UDP an estimate from the packets that they report"""
    delivered_packets: int
    """RTP packets over UDP since the daemon started, by clients' receiver reports, lost ones too"""
    lost_packets: int
    """of those"""
    jitter: int | None
    """mean of what clients reported lately, RTP timestamp units; null without a report"""


@answer
class ServiceAnswer(TypedDict):
    """A service and its backends."""

    name: str
    vips: list[str]
    ports: list[int]
    schedule: str
    """how new clients are placed: ``hash``, ``weighted-round-robin``, ``least-sessions`` or
    ``least-bandwidth``"""
    place_by: str
    """what is placed as one: ``client`` or ``connection``"""
    client_packets: int
    """packets from clients to its VIPs"""
    client_bytes: int
    """bytes of those packets, whole frames"""
    backends: list[ServiceBackend]


@answer
class StatusAnswer(TypedDict):
    """How the daemon stands."""

    uptime_s: float
    modes: dict[str, str]
    """how XDP is attached, by interface: ``native`` or ``generic``"""
    network_namespace: int
    """the inode of ``/proc/self/ns/net`` where the daemon runs"""
    pins: int
    pins_max: int
    pins_refused: int
    """changes that the forwarding core refused, because a map was full or otherwise"""
    sessions: int
    faults: int
    """faults of our own that were survived"""
    reinjections_failed: int
    """segments that could not be sent on once they were read"""
    lines_dropped: int
    """lines of the session log that were lost"""
    journal_failed: int
    """records of the journal that could not be written"""
    services: list[ServiceAnswer]
