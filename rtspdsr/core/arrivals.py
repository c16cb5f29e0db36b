"""New clients on their way: placed by the forwarding core, without a session yet.

It is handed how many clients were placed at each backend, as counted, and which of them have come to a
session; it gives back how many sessions are still to be expected. Without it a backend would look idle to the
next client until the first one has said SETUP. Clients that never come to a session (a flood of SYNs, a
monitor that only asks) are expected less and less.
"""

from collections import defaultdict, deque
from math import exp

#: A client that has no session so long after its SYN, seconds, is expected no more.
WAIT_S = 2.0

#: What was seen so long ago, seconds, counts about a third.
MEMORY_S = 30.0

#: Clients taken for granted to come before any was seen: the first few that do not are no trend.
TRUSTED = 20.0


class _Backend:
    """One backend's clients on their way.

    admitted: as last counted
    waiting:  when they were counted, and how many
    early:    those that came to their session before they were counted
    """

    __slots__ = ("admitted", "early", "waiting")

    def __init__(self) -> None:
        self.admitted: int | None = None
        self.waiting: deque[tuple[float, int]] = deque()
        self.early = 0


class Arrivals:
    """The clients on their way to all backends."""

    def __init__(self) -> None:
        self._backends: defaultdict[int, _Backend] = defaultdict(_Backend)
        self._came = self._stayed_away = 0.0
        self._faded_at = 0.0

    @property
    def share(self) -> float:
        """How many of the clients placed lately have come to a session, more than 0, to 1."""
        return (self._came + TRUSTED) / (self._came + self._stayed_away + TRUSTED)

    def count(self, backend_id: int, admitted: int, now: float) -> None:
        """Take in how many clients were ever placed at a backend. The first count is where it begins."""
        backend = self._backends[backend_id]
        fresh = 0 if backend.admitted is None else admitted - backend.admitted
        backend.admitted = admitted
        known, backend.early = min(fresh, backend.early), 0
        if fresh > known:
            backend.waiting.append((now, fresh - known))
        self._fade(now)
        while backend.waiting and now - backend.waiting[0][0] >= WAIT_S:
            self._stayed_away += backend.waiting.popleft()[1]

    def came(self, backend_id: int) -> None:
        """A client has its session now."""
        backend = self._backends[backend_id]
        self._came += 1
        if not backend.waiting:
            backend.early += 1
            return
        at, waiting = backend.waiting.popleft()
        if waiting > 1:
            backend.waiting.appendleft((at, waiting - 1))

    def expected(self, backend_id: int) -> float:
        """Sessions that a backend is still to get from the clients placed there."""
        return self.share * sum(number for _, number in self._backends[backend_id].waiting)

    def forget(self, backend_id: int) -> None:
        """A backend is gone, and another one may have its number."""
        self._backends.pop(backend_id, None)

    def _fade(self, now: float) -> None:
        kept = exp(-max(0.0, now - self._faded_at) / MEMORY_S)
        self._came, self._stayed_away, self._faded_at = self._came * kept, self._stayed_away * kept, now
