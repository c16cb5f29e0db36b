"""What the daemon lets an operator ask and do: the seam between the API and the balancer."""

from collections.abc import Iterator
from typing import Protocol

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
from rtspdsr.admin.asked import (
    Explain,
    Sessions,
    Top,
)
from rtspdsr.model import (
    Address,
    AdminState,
)


class Operator(Protocol):
    """The daemon, to those who ask it. What it refuses is an RtspDsrError, an unknown name NotFound."""

    def status(self) -> StatusAnswer:
        """How the daemon stands."""

    def sessions(self, asked: Sessions) -> Iterator[SessionAnswer | None]:
        """Those that are asked for, None for each other; they may come and go while they are told."""

    def session(self, name: str) -> StoryAnswer:
        """What happened to a session, by a beginning of its name that no other has."""

    def top(self, asked: Top) -> Iterator[TopAnswer | None]:
        """What stands out among all sessions: None as often as it was looked at some of them, then that."""

    def explain(self, asked: Explain) -> Iterator[ExplanationAnswer]:
        """What the XDP program would do with a client's packets, and by which rule."""

    def history(self) -> Iterator[HistoryAnswer]:
        """How each backend's counters went lately."""

    def backends(self) -> list[BackendAnswer]:
        """Every backend, and how it is."""

    def place(self, service: str, client: Address, backend: str) -> None:
        """Send a client's new connections to a backend."""

    async def backend(self, service: str, backend: str) -> BackendDetail:
        """A backend, and what is left there."""

    async def administer(
        self, service: str, backend: str, state: AdminState, deadline_s: float | None, *, force: bool
    ) -> None:
        """Take a backend out, or give it back."""

    def failed(self, error: Exception) -> None:
        """Survive a fault of the API, and tell of it."""
