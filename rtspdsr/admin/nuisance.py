"""What strangers do that is no question: told in a line, and at most in one a minute, however much there is.

Anybody can reach a TCP port, so what a stranger sends must fill no log.
"""

import sys
import time

EVERY_S = 60.0


class Nuisances:
    """Says the first, and counts those that it does not say."""

    def __init__(self) -> None:
        self._silent_until = float("-inf")
        self._unsaid = 0

    def tell(self, what: str) -> None:
        """Say on standard error what happened, if it is time for a line."""
        if line := self.happened(what, time.monotonic()):
            print(line, file=sys.stderr, flush=True)

    def happened(self, what: str, now: float) -> str | None:
        """The line to say; None while one has been said a short time ago. ``now``: any clock, seconds."""
        if now < self._silent_until:
            self._unsaid += 1
            return None
        more = f" (and {self._unsaid:,} more since the last such line)" if self._unsaid else ""
        self._silent_until, self._unsaid = now + EVERY_S, 0
        return f"admin API: {what}{more}"
