"""How traffic went lately: each backend's counters, written down now and then, so that a plot has a past.

It is handed readings and keeps the last half hour of them; it knows nobody whose counters they are.
"""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

EVERY_S = 10.0
KEPT = 180  # readings: half an hour; 20 KB a backend


class Reading(NamedTuple):
    """Counters at one time, since the daemon started; the first one since the forwarding core was loaded.

    at: monotonic clock, seconds
    """

    at: float
    client_bytes: int
    delivered_bytes: int
    delivered_packets: int
    lost_packets: int


class History:
    """The readings of all backends, by their numbers."""

    def __init__(self) -> None:
        self._readings: dict[int, deque[Reading]] = {}

    def note(self, readings: Mapping[int, Reading]) -> None:
        """Write down a reading of every backend there is; what is not among them is forgotten."""
        former, self._readings = self._readings, {}
        for backend_id, reading in readings.items():
            kept = former.get(backend_id) or deque(maxlen=KEPT)
            kept.append(reading)
            self._readings[backend_id] = kept

    def of(self, backend_id: int) -> list[Reading]:
        """A backend's, the oldest first."""
        return list(self._readings.get(backend_id, ()))
