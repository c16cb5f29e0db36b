"""The heartbeat, and what it promises to TCP."""

import asyncio
import time
from typing import Any, cast

from rtspdsr.balancer.upkeep import Upkeep

LEAST_RETRANSMISSION_S = 0.2  # TCP_RTO_MIN of Linux
COARSE_S = 0.004  # by so much the clock that XDP reads may lag


class Heard:
    """A forwarding core that hears deadlines."""

    def __init__(self) -> None:
        self.ahead_s: list[float] = []
        self.enough = asyncio.Event()

    def renew(self, alive_until: float) -> None:
        self.ahead_s.append(alive_until - time.monotonic())
        if len(self.ahead_s) == 3:
            self.enough.set()


async def test_a_deadline_is_over_before_tcp_sends_again_what_died_with_the_daemon() -> None:
    heard = Heard()
    upkeep = Upkeep(cast(Any, heard), cast(Any, None), cast(Any, None), cast(Any, None))
    beat = asyncio.ensure_future(upkeep.beat())
    await heard.enough.wait()
    beat.cancel()
    assert max(heard.ahead_s) + COARSE_S < LEAST_RETRANSMISSION_S
