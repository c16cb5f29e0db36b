"""What each backend delivers in a second, smoothed.

It is handed what backends have delivered in all, as counted now and then, and which sessions begin; a session
is taken for an average one until it is heard of, so that a backend does not look idle meanwhile.
"""

from math import exp

#: What was delivered so long ago, seconds, counts about a third: clients tell every few seconds.
SMOOTH_S = 15.0


class Bandwidth:
    """The rates of all backends."""

    def __init__(self) -> None:
        self._rates: dict[int, tuple[float, float]] = {}
        self._delivered: dict[int, int] = {}

    def count(self, backend_id: int, delivered: int, now: float) -> None:
        """Take in how many bytes a backend has ever delivered. The first count is where it begins."""
        grown = max(0, delivered - self._delivered.get(backend_id, delivered))
        self._delivered[backend_id] = delivered
        self._add(backend_id, grown / SMOOTH_S, now)

    def expect(self, backend_id: int, rate: float, now: float) -> None:
        """A session begins that will probably take so much, bytes in a second."""
        self._add(backend_id, rate, now)

    def of(self, backend_id: int, now: float) -> float:
        """What a backend delivers, bytes in a second."""
        rate, at = self._rates.get(backend_id, (0.0, now))
        return rate * exp(-max(0.0, now - at) / SMOOTH_S)

    def forget(self, backend_id: int) -> None:
        """A backend is gone, and another one may have its number."""
        self._rates.pop(backend_id, None)
        self._delivered.pop(backend_id, None)

    def _add(self, backend_id: int, rate: float, now: float) -> None:
        self._rates[backend_id] = (self.of(backend_id, now) + rate, now)
