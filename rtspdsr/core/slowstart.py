"""The share of a backend that has come back: small at first, then growing to the whole.

It is told who comes back and when, and gives back shares from 0 to 1. They grow in few steps, for each one
makes a new slot table. It moves no session: a larger share only takes slots, from all the others alike.
"""

#: Shares, each for an equal part of the slow start; then the whole.
SHARES = (0.1, 0.25, 0.5, 0.75)


class SlowStart:
    """The backends that have come back."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[float, float]] = {}

    def begin(self, backend_id: int, lasts_s: float, now: float) -> None:
        """A backend takes new clients again."""
        if lasts_s > 0:
            self._since[backend_id] = (now, lasts_s)

    def forget(self, backend_id: int) -> None:
        """It takes none any more."""
        self._since.pop(backend_id, None)

    def since(self, backend_id: int, now: float) -> float | None:
        """When it came back; None if its share is whole."""
        return self._since[backend_id][0] if self.share(backend_id, now) < 1 else None

    def share(self, backend_id: int, now: float) -> float:
        """How much of its weight counts now."""
        begun = self._since.get(backend_id)
        if begun is None:
            return 1.0
        since, lasts_s = begun
        step = int((now - since) / lasts_s * len(SHARES))
        return SHARES[step] if step < len(SHARES) else 1.0
