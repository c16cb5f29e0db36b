"""Session logs that never happened, made with a seed through the daemon's own ``Lines`` and events.

A world has services with backends and clients that stick to one of them; faults are planted in it by hand.
What comes out is what the daemon would have written, byte for byte, so the formats cannot drift apart.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import count
from random import Random
from typing import Any

from rtspdsr.clientnames import ClientName
from rtspdsr.core.events import (
    CloseReason,
    Event,
    SessionClosed,
    SessionOpened,
    SessionPlaying,
    SessionResumed,
    SessionStalled,
    SessionSummary,
    TableFilled,
    TrackPinned,
)
from rtspdsr.sessionlog import Lines

START = 1_772_388_000.0  # 2026-03-01T18:00:00Z
AGENTS = ("Lavf59.27.100", "LibVLC/3.0.24 (LIVE555 Streaming Media v2026.06)", "GStreamer/1.22.0")


@dataclass
class Backend:
    """How a backend treats its sessions.

    slower_s: added to each set-up
    loss:     of its packets, in a session that loses any
    lossy:    share of its sessions that lose any
    stalls:   share of its sessions that stall
    broken:   share of its sessions that never play
    """

    name: str
    weight: int = 1
    slower_s: float = 0.0
    loss: float = 0.01
    lossy: float = 0.3
    stalls: float = 0.02
    broken: float = 0.01


@dataclass
class World:
    """What is to be made up.

    misplaced: share of clients that go to the first backend, whatever the slots say
    cursed:    a user agent whose sessions never play
    """

    backends: list[Backend] = field(default_factory=lambda: [Backend(f"cam-{name}") for name in "abcd"])
    clients: int = 200
    sessions_each: Callable[[Random], int] = lambda random: min(int(random.paretovariate(1.2)), 40)
    seconds: float = 3600.0
    misplaced: float = 0.0
    cursed: str = ""
    service_name: str = "cams"
    client_name: ClientName = str

    def service(self, service_id: int) -> str | None:
        return self.service_name

    def backend(self, backend_id: int) -> str | None:
        return self.backends[backend_id - 1].name

    def lines(self, seed: int) -> list[str]:
        """The whole log, in the order of time."""
        wording = Lines(self, wall_offset=lambda: START, client_name=self.client_name)
        return [wording.line(event) for event in self.events(seed)]

    def log(self, seed: int) -> bytes:
        """The same as the content of a file."""
        return "".join(f"{line}\n" for line in self.lines(seed)).encode()

    def events(self, seed: int) -> list[Event]:
        random = Random(seed)
        shares = {backend.name: 65_536 * backend.weight // self._weights for backend in self.backends}
        events: list[Event] = [TableFilled(at=0.0, service_id=0, shares=shares)]
        names = (f"{seed:x}-{number:06x}" for number in count(1))
        for number in range(self.clients):
            events += self._client(number, random, names)
        return sorted(events, key=lambda event: event.at)

    @property
    def _weights(self) -> int:
        return sum(backend.weight for backend in self.backends)

    def _client(self, number: int, random: Random, names: Iterator[str]) -> Iterator[Event]:
        weights = [backend.weight for backend in self.backends]
        backend_id = random.choices(range(1, len(weights) + 1), weights)[0]
        if random.random() < self.misplaced:
            backend_id = 1
        address = IPv4Address("198.18.0.0") + number * 7
        agent = random.choice(AGENTS)
        distance_s = random.lognormvariate(-3.0, 0.5)  # alike in all sessions of a client, as in life
        for _ in range(self.sessions_each(random)):
            yield from self._session(backend_id, address, agent, distance_s, next(names), random)

    def _session(
        self, backend_id: int, address: IPv4Address, agent: str, distance_s: float, name: str, random: Random
    ) -> Iterator[Event]:
        backend = self.backends[backend_id - 1]
        opened_at = random.uniform(0.5, self.seconds)
        lasted_s = random.expovariate(1 / 300)
        port = random.randrange(32768, 60000)
        url = f"rtsp://192.0.2.10/cam{min(int(random.paretovariate(1)), 50)}"
        where: dict[str, Any] = {
            "service_id": 0,
            "backend_id": backend_id,
            "client": address,
            "client_port": port,
        }
        one: dict[str, Any] = {**where, "session": name}
        udp = random.random() < 0.7
        plays = random.random() >= backend.broken and agent != self.cursed
        stalls = plays and random.random() < backend.stalls
        setup_s = distance_s * 4 * random.uniform(0.8, 1.3) + backend.slower_s
        closed_at = opened_at + lasted_s
        packets = int(lasted_s * 300) + 1
        lost = int(packets * backend.loss * random.uniform(0.2, 2)) if random.random() < backend.lossy else 0
        ports = (5000, 5001) if udp else ()
        yield SessionOpened(at=opened_at, **one, url=url, user_agent=agent)
        yield TrackPinned(
            at=opened_at,
            **one,
            url=f"{url}/track1",
            transport="udp" if udp else "tcp",
            client_ports=ports,
            channels=() if udp else (0, 1),
        )
        if plays:
            yield SessionPlaying(at=opened_at + 0.01, **one)
        if stalls:
            yield SessionStalled(at=opened_at + lasted_s / 3, **one, silent_s=10.0)
            yield SessionResumed(at=opened_at + lasted_s / 2, **one, stalled_s=lasted_s / 6)
        reason = random.choices(
            (CloseReason.TEARDOWN, CloseReason.CONNECTION_CLOSED, CloseReason.EXPIRED), (90, 7, 3)
        )[0]
        yield SessionClosed(at=closed_at, **one, reason=reason)
        yield SessionSummary(
            at=closed_at,
            **one,
            server_session=f"{random.getrandbits(32):08X}",
            url=url,
            user_agent=agent,
            transports=("udp",) if udp else ("tcp",),
            client_ports=ports,
            opened_at=opened_at,
            played_at=opened_at + 0.01 if plays else None,
            closed_at=closed_at,
            setup_s=setup_s if plays else None,
            first_delivery_s=setup_s + random.uniform(0.1, 1.1) if plays else None,
            client_packets=int(lasted_s * 2) + 8,
            client_bytes=int(lasted_s * 160) + 2000,
            delivered_bytes=None if udp or not plays else int(lasted_s * 390_000),
            delivered_packets=packets if udp and plays else None,
            lost_packets=lost if udp and plays else None,
            worst_loss=min(lost / packets * 3, 1.0) if udp and plays else None,
            last_loss=0.0 if udp and plays else None,
            jitter=int(random.lognormvariate(5, 0.6)) if udp and plays else None,
            stalls=int(stalls),
            stalled_s=lasted_s / 6 if stalls else 0.0,
            reason=reason,
        )
