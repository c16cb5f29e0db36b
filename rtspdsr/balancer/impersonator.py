"""Speaks in the name of either end of a client's connection, as the deciding code orders.

To a client it speaks as the VIP, by the machine's own routes; to a backend as the client, at the link layer
with the backend's MAC address, as XDP would have sent it on. A session whose own connection is of no use it
can only end in its own name, on one to the backend's real address. It decides nothing.
"""

import asyncio
from contextlib import suppress

from rtspdsr.balancer.fleet import Fleet
from rtspdsr.core.events import Effect, Ends, LoneTeardownOrdered, ResetOrdered, TeardownOrdered
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.model import TcpFlag
from rtspdsr.network.resets import Resetter
from rtspdsr.network.tcp import End, packet, reset

WINDOW = 0xFFFF  # what the client is said to have room for: the answer, however its scale was agreed
ALONE_S = 3.0  # for a connection of our own, its request and the answer


class Impersonator:
    """Sends what is ordered; ``close`` it."""

    def __init__(self, fleet: Fleet, dataplane: Dataplane) -> None:
        self._fleet, self._dataplane = fleet, dataplane
        self._resetter = Resetter()
        self._alone: set[asyncio.Task[None]] = set()

    @property
    def failed(self) -> int:
        """Resets of clients that the kernel did not take."""
        return self._resetter.failed

    def perform(self, order: Effect) -> None:
        """Send what is ordered; what cannot be sent is not told: the other end finds out in its own time."""
        match order:
            case ResetOrdered():
                self._reset(order)
            case TeardownOrdered():
                self._tear_down(order)
            case LoneTeardownOrdered():
                task = asyncio.create_task(self._tear_down_alone(order))
                self._alone.add(task)
                task.add_done_callback(self._alone.discard)

    def _reset(self, order: ResetOrdered) -> None:
        """Reset a connection at one end or both. A backend's kernel may live on when its server hangs."""
        if (ends := self._ends(order)) is None:
            return
        client, server = ends
        if Ends.CLIENT in order.ends:
            self._resetter.send(server, client)
        if Ends.BACKEND in order.ends:
            self._dataplane.inject(order.backend_id, reset(client, server))

    def _tear_down(self, order: TeardownOrdered) -> None:
        """Ask a backend to end sessions."""
        if (ends := self._ends(order)) is None:
            return
        client, server = ends
        flags = TcpFlag.PSH | TcpFlag.ACK
        self._dataplane.inject(order.backend_id, packet(client, server, flags, order.requests, WINDOW))

    async def _tear_down_alone(self, order: LoneTeardownOrdered) -> None:
        """Ask from an address of our own: most servers know a session by its id alone."""
        if (address := self._fleet.rtsp_address(order.service_id, order.backend_id)) is None:
            return
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(ALONE_S):
                reader, writer = await asyncio.open_connection(*address)
                try:
                    writer.write(order.request)
                    await reader.read(1)  # the request has been read; what is answered changes nothing
                finally:
                    writer.close()

    def close(self) -> None:
        """Close the sockets, and end what is under way."""
        self._resetter.close()
        for task in self._alone:
            task.cancel()

    def _ends(self, order: ResetOrdered | TeardownOrdered) -> tuple[End, End] | None:
        flow = order.flow
        vip = self._fleet.vip(flow.service_id, flow.client.version)
        if vip is None:
            return None
        client = End(flow.client, flow.client_port, order.sequence)
        return client, End(vip, flow.service_port, order.next_sequence)
