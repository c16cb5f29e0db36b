"""What the network around the daemon does: links and neighbours come and go, others claim a VIP.

It follows them as they change, has XDP attached to the interfaces of the forwarding core, announces the VIPs
there, and passes on to the fleet, the checks and the log what they have to know.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from rtspdsr.balancer.applier import Applier
from rtspdsr.balancer.fleet import Fleet
from rtspdsr.config import DataplaneSection
from rtspdsr.core.events import AttachNotice, Event, NetworkRestored, VipClaimed, VipUnheard
from rtspdsr.dataplane.dataplane import Dataplane
from rtspdsr.dataplane.loader import Attachment
from rtspdsr.errors import InterfaceGone
from rtspdsr.model import Address
from rtspdsr.network.announcer import Announcer
from rtspdsr.network.links import LinkChange, Restored
from rtspdsr.network.neighbours import Neighbours


class Surroundings:
    """The network of one daemon, in the namespace in which it is entered.

    moved: is called when the way to a backend may have changed
    modes: how XDP is attached, by interface
    """

    def __init__(
        self,
        section: DataplaneSection,
        dataplane: Dataplane,
        fleet: Fleet,
        applier: Applier,
        moved: Callable[[], None],
    ) -> None:
        self._mode = section.mode
        self._dataplane, self._fleet, self._applier, self._moved = dataplane, fleet, applier, moved
        self._neighbours = Neighbours(section.interfaces)
        self._announcer = Announcer()
        self._attached: dict[str, int] = {}
        self._own_macs: set[bytes] = set()
        self.modes: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as entered:
            await entered.enter_async_context(self._neighbours)
            await entered.enter_async_context(self._announcer)
            self._leave = entered.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave.aclose()

    def configure(self) -> None:
        """Watch the backends and VIPs that are configured."""
        self._neighbours.watch(self._fleet.addresses(), self._fleet.vips())

    async def announce(self) -> None:
        """Announce the VIPs that are configured, and no others."""
        self._unheard(await self._announcer.watch(self._fleet.vips()))

    async def attach(self) -> None:
        """Put the program in force. Raises DataplaneError."""
        for attached in await asyncio.to_thread(self._dataplane.attach, self._mode):
            self._take_attachment(attached)

    async def run(self) -> None:
        """Follow it, for ever."""
        async for change in self._neighbours.changes():
            match change:
                case LinkChange():
                    await self._link(change)
                case Restored():
                    self._say(
                        NetworkRestored(
                            at=time.monotonic(),
                            interface=change.interface,
                            restored=change.restored,
                            refused=change.refused,
                        )
                    )
                case _:
                    self._applier.apply(self._fleet.neighbour(change, time.monotonic()))
                    self._moved()

    async def _link(self, change: LinkChange) -> None:
        if change.ifindex:
            self._own_macs.add(change.mac)
            self._dataplane.set_interface(change.ifindex, change.mac)
            self._dataplane.interface_changed(change.ifindex)
            former = self._attached.get(change.interface, change.ifindex)
            if former != change.ifindex:
                await self._attach_again(change.interface, former)
        else:
            self.modes.pop(change.interface, None)
        self._moved()
        self._unheard(await self._announcer.link(change))

    def _unheard(self, problems: Iterable[str]) -> None:
        for problem in problems:
            self._say(VipUnheard(at=time.monotonic(), problem=problem))

    def claimed(self, vip: Address, mac: bytes, ifindex: int) -> None:
        """Another machine has answered for a VIP."""
        if mac not in self._own_macs and self._applier.due(f"claim {vip}"):
            interface = _interface(ifindex)
            defended = self._announcer.defend(interface)
            self._say(
                VipClaimed(
                    at=time.monotonic(), vip=vip, mac=mac.hex(":"), interface=interface, defended=defended
                )
            )

    async def _attach_again(self, interface: str, former: int) -> None:
        """To an interface that was removed and made again."""
        self._dataplane.forget_interface(former)
        with contextlib.suppress(InterfaceGone):  # once more: its next coming is told as well
            self._take_attachment(
                await asyncio.to_thread(self._dataplane.attach_interface, self._mode, interface)
            )

    def _take_attachment(self, attached: Attachment) -> None:
        self.modes[attached.interface] = attached.mode
        self._attached[attached.interface] = attached.ifindex
        for problem in attached.notices:
            self._say(AttachNotice(at=time.monotonic(), interface=attached.interface, problem=problem))

    def _say(self, event: Event) -> None:
        self._applier.apply([event])


def _interface(ifindex: int) -> str:
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        return str(ifindex)
