"""Fills the slot tables: which backends of a service take new clients, and how many slots each has.

Told that a service's backends came, went or changed, it computes the table in pieces beside the other
tasks of the loop and puts it in force whole. When no backend is usable the last table stays: a wrong
alarm about all of them must not send everyone away. When the operator has taken out all of them there is
none.
"""

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Sequence

from rtspdsr.core.rendezvous import Rendezvous
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.model import Backend, Service

SETTLE_S = 0.05  # several backends that resolve at once make one table

Usable = Callable[[Service], Sequence[Backend]]
Withdrawn = Callable[[Service], bool]
Filled = Callable[[Service, dict[str, int]], None]


class SlotTables:
    """One task that fills tables one after the other.

    usable:    the backends of a service that take new clients now
    withdrawn: whether a service without any is to have no table
    filled:    is told of each table put in force: slots by backend name; empty if the last one stays, or none
    """

    def __init__(self, dataplane: Dataplane, usable: Usable, withdrawn: Withdrawn, filled: Filled) -> None:
        self._dataplane = dataplane
        self._usable, self._withdrawn, self._filled = usable, withdrawn, filled
        self._rendezvous = Rendezvous()
        self._wanted: dict[int, Service] = {}
        self._wake = asyncio.Event()

    def request(self, service: Service) -> None:
        """Have a service's table filled anew soon."""
        self._wanted[service.service_id] = service
        self._wake.set()

    async def run(self) -> None:
        """Fill what is requested, for ever."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(SETTLE_S)
            self._wake.clear()
            await self.settle()

    async def settle(self) -> None:
        """Fill every table that is requested now."""
        while self._wanted:
            _, service = self._wanted.popitem()
            await self._fill(service)

    async def _fill(self, service: Service) -> None:
        backends = self._usable(service)
        if not backends:
            if self._withdrawn(service):
                self._dataplane.slots.clear(service.service_id)
            self._filled(service, {})
            return
        slots: array[int] = array("H")
        for piece in self._rendezvous.fill(backends):
            slots.extend(piece)
            await asyncio.sleep(0)
        self._dataplane.slots.write(service.service_id, slots)
        counted = Counter(slots)
        self._filled(service, {one.name: counted[one.backend_id] for one in backends})
