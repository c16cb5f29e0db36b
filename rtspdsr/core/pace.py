"""How many sessions of a service may be ended now, so that those who come back do not come all at once.

It is handed each service's rate and ``now``, and lets as many through. What is left is kept for a second.
"""

from collections.abc import Mapping


class Pace:
    """An allowance for each service."""

    def __init__(self) -> None:
        self._allowance: dict[int, float] = {}
        self._grown_at = 0.0

    def grow(self, rates: Mapping[int, float], now: float) -> None:
        """Let time pass. ``rates`` are of services, per second."""
        elapsed_s, self._grown_at = now - self._grown_at, now
        for service_id, rate in rates.items():
            grown = self._allowance.get(service_id, 0.0) + rate * elapsed_s
            self._allowance[service_id] = min(float(rate), grown)

    def take(self, service_id: int) -> bool:
        """Take one, if the service has any left."""
        left = self._allowance.get(service_id, 0.0)
        if left < 1:
            return False
        self._allowance[service_id] = left - 1
        return True
