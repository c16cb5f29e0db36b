"""How long the tracker waits, and how much it may keep: handed in by the shell, read by all of core."""

from dataclasses import dataclass

_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerLimits:
    """Times in seconds, sizes in bytes. Each bounds what a client can make the tracker keep.

    idle_s:                  a session ends when it was not heard for so long; servers give up at 55 to 65 s
    linger_s:                what stands on after TEARDOWN, FIN or a client's last session: it may be refused,
                             repeated, or followed at once by the next
    provisional_s:           a client has so long to acknowledge what its backend sent
    provisional_max:         pins of clients that have not
    connections_max:         connections that are read, and sessions, each
    client_connections_max:  connections of one client that are read; a site behind one NAT may have thousands
    pins_max:                pins in all; the map of the forwarding core holds as many
    buffer_bytes:            bytes of all half-streams and parsers together
    header_bytes:            of one header block, and of all that one connection keeps
    stall_s:                 delivery has stalled when nothing progressed for so long
    read_every_s:            how often the statistics of a session are read
    read_soon_s:             the same until its first delivery, which is timed by it
    sessions_per_connection: alive at once; a recorder that proxies cameras has a few dozen
    tracks_per_session:      a presentation has two or three
    pins_per_session:        UDP ports, with those its client gave up a moment ago; a track has two
    """

    idle_s: float = 90.0
    linger_s: float = 10.0
    provisional_s: float = 10.0
    provisional_max: int = 65_536
    connections_max: int = 262_144
    client_connections_max: int = 4096
    pins_max: int = 1_000_000
    buffer_bytes: int = 256 * _MIB
    header_bytes: int = 65_536
    stall_s: float = 10.0
    read_every_s: float = 5.0
    read_soon_s: float = 1.0
    sessions_per_connection: int = 64
    tracks_per_session: int = 32
    pins_per_session: int = 64
