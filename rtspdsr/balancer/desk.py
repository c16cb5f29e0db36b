"""What an operator asks of the daemon, and has it do: answers to the command line, the API and the page.

Handed the parts of the daemon, it reads them and answers in plain values; it changes only what it is told to.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rtspdsr.admin.answers import (
    BackendAnswer,
    BackendDetail,
    ExplanationAnswer,
    HistoryAnswer,
    SessionAnswer,
    StatusAnswer,
    StoryAnswer,
    TopAnswer,
)
from rtspdsr.admin.asked import Explain, Sessions, Top
from rtspdsr.balancer import remainder, status
from rtspdsr.balancer.applier import Applier
from rtspdsr.balancer.chronicle import Chronicle
from rtspdsr.balancer.drainer import Drainer
from rtspdsr.balancer.explaining import explanation
from rtspdsr.balancer.fleet import Fleet
from rtspdsr.balancer.history import History
from rtspdsr.balancer.journal import Journal
from rtspdsr.balancer.placing import Placing
from rtspdsr.balancer.ranking import rank
from rtspdsr.core.health import Health
from rtspdsr.core.standing import Standings
from rtspdsr.core.tracker import Tracker
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.errors import AdminError, RtspDsrError
from rtspdsr.logfile import LogFile
from rtspdsr.model import Address, AdminState, BackendState, PlaceBy
from rtspdsr.network import namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The parts that it asks. It is the API's ``Operator``.

    modes:        how XDP is attached, by interface
    started_at:   seconds on the monotonic clock
    administered: is called when the operator has taken a backend out or given it back
    """

    dataplane: Dataplane
    fleet: Fleet
    tracker: Tracker
    health: Health
    standings: Standings
    past: History
    chronicle: Chronicle
    placing: Placing
    drainer: Drainer
    applier: Applier
    journal: Journal
    file: LogFile
    modes: Mapping[str, str]
    started_at: float
    administered: Callable[[], None]

    def place(self, service: str, client: Address, backend: str) -> None:
        """Send a client's new connections to a backend while it has sessions. Raises RtspDsrError."""
        one, chosen = self.fleet.find(service, backend)
        if self.fleet.state(chosen) is not BackendState.UP:
            raise RtspDsrError(f"backend {backend} takes no new clients: it is {self.fleet.state(chosen)}")
        if one.place_by is PlaceBy.CONNECTION:
            raise RtspDsrError(
                f"service {service} places every connection by itself (place_by), not clients; "
                "drain the backend that the client is not to go to"
            )
        # A linger would undo it when it has passed.
        self.applier.apply(self.tracker.let_go(one.service_id, client, time.monotonic()))
        self.dataplane.place_client(one.service_id, client, chosen.backend_id)

    async def administer(
        self, service: str, backend: str, state: AdminState, deadline_s: float | None, *, force: bool
    ) -> None:
        """Take a backend out, or give it back. Raises AdminError, NotFound."""
        one, chosen = self.fleet.find(service, backend)
        if state is not AdminState.DRAIN and deadline_s is not None:
            raise AdminError(f"deadline_s goes with drain, not with {state}")
        await self.drainer.administer(one, chosen, state, deadline_s, force=force)
        self.administered()

    async def backend(self, service: str, backend: str) -> BackendDetail:
        """A backend, and what holds it. Raises NotFound."""
        one, chosen = self.fleet.find(service, backend)
        return await remainder.backend(one, chosen, self.fleet, self.health, self.tracker, self.drainer)

    def status(self) -> StatusAnswer:
        """How the daemon stands."""
        return {
            "uptime_s": round(time.monotonic() - self.started_at, 1),
            "modes": dict(self.modes),
            "network_namespace": namespace.own(),
            "pins": self.dataplane.pins,
            "pins_max": self.tracker.limits.pins_max,
            "pins_refused": self.applier.refused,
            "sessions": len(self.tracker.sessions),
            "faults": self.applier.faults,
            "reinjections_failed": self.dataplane.reinjections_failed,
            "lines_dropped": self.file.dropped_lines,
            "journal_failed": self.journal.failed,
            "services": status.services(self.dataplane, self.fleet, self.health, self.tracker, self.placing),
        }

    def history(self) -> Iterator[HistoryAnswer]:
        """How each backend's counters went lately."""
        return status.histories(self.fleet, self.past, time.monotonic())

    def backends(self) -> list[BackendAnswer]:
        """Every backend, and how it is."""
        return status.backends(self.fleet, self.health, self.standings, self.tracker, time.monotonic())

    def sessions(self, asked: Sessions) -> Iterator[SessionAnswer | None]:
        """Those that are asked for; None for each other one that was looked at."""
        return self.chronicle.sessions(asked)

    def session(self, name: str) -> StoryAnswer:
        """What happened to a session. Raises NotFound."""
        return self.chronicle.session(name)

    def top(self, asked: Top) -> Iterator[TopAnswer | None]:
        """What stands out among all sessions; None while that is being looked for."""
        return rank(self.chronicle, self.tracker, asked.limit)

    def explain(self, asked: Explain) -> Iterator[ExplanationAnswer]:
        """What the XDP program would do with a client's packets."""
        found = self.dataplane.explain(self.fleet.vips(), asked.client, asked.port, time.monotonic_ns())
        return (explanation(one, self.fleet) for one in found)

    def failed(self, error: Exception) -> None:
        """Survive a fault in an answer, and tell of it."""
        self.applier.failed(error)
