"""The daemon's signs of life, taken where its work shows: in the kernel's maps and at the detour.

That it is asked at all says that the loop turns; what it answers says that the loop's work is done.
"""

import time
from collections.abc import Callable

from rtspdsr.balancer.detour import Detour
from rtspdsr.core.events import WatchdogWithheld
from rtspdsr.core.liveness import Liveness, Look
from rtspdsr.dataplane.dataplane import Dataplane


class Vitals:
    """Looks at one forwarding core and its detour.

    tell: is handed what is wrong, at each look that finds it
    """

    def __init__(
        self, dataplane: Dataplane, detour: Detour, tell: Callable[[WatchdogWithheld], None]
    ) -> None:
        self._dataplane, self._detour, self._tell = dataplane, detour, tell
        self._liveness = Liveness()

    def problem(self) -> str | None:
        """What is wrong, None if nothing is."""
        detour = self._detour
        seen = Look(alive_until=self._dataplane.alive_until, waiting=detour.waiting, read=detour.read)
        if found := self._liveness.judge(seen):
            self._tell(WatchdogWithheld(at=time.monotonic(), problem=found))
        return found
