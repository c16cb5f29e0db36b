"""``python -m tests.lab.check_at CHECK GATEWAY VIP URL [TIMES]``: checks made at the balancer, as JSON lines.

It lays its own way through the VIP to one backend, with marks and tables that no daemon uses.
"""

import asyncio
import json
import socket
import sys
from dataclasses import asdict
from ipaddress import ip_address

from rtspdsr.core.health import Outcome
from rtspdsr.lab.topology import RTSP_PORT, UPLINK
from rtspdsr.network.probepath import Leg, Numbers, ProbePath
from rtspdsr.probe import play, quick
from rtspdsr.probe.way import Way

NUMBERS = Numbers(mark_base=0x77770000, table_base=0x77770000, priority=7000)
TIMEOUT_S = 0.8
BRIEF_S = 0.1  # of RTP, for many plays in a row


async def check(kind: str, way: Way, url: str) -> Outcome:
    """One check; ``brief`` is a play that hears little."""
    match kind:
        case "tcp":
            return await quick.tcp(way, TIMEOUT_S)
        case "options":
            return await quick.options(way, TIMEOUT_S, url)
        case "describe":
            return await play.describe(way, TIMEOUT_S, url)
        case "brief":
            play.LISTEN_S = BRIEF_S
    return await play.play(way, url)


async def main(kind: str, gateway: str, vip: str, url: str, times: str = "1") -> None:
    """Lay the way, check, print, and take the way back."""
    leg = Leg(
        backend_id=1,
        vip=ip_address(vip),
        gateway=ip_address(gateway),
        ifindex=socket.if_nametoindex(UPLINK),
    )
    way = Way(vip=leg.vip, port=RTSP_PORT, mark=NUMBERS.mark(1))
    async with ProbePath(NUMBERS) as path:
        assert await path.lay([leg]) == []
        try:
            for _ in range(int(times)):
                outcome = await check(kind, way, url)
                print(json.dumps(asdict(outcome), default=str), flush=True)
        finally:
            await path.lay([])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
