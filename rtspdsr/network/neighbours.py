"""The MAC addresses of backends and the state of links, followed as they change.

The thin shell around ``Resolver``, ``Links`` and ``Memory``: it is handed the interfaces of the forwarding
core and the addresses to watch, moves messages from the kernel to them, carries out their orders, and
yields the changes. It decides nothing, and never touches the forwarding core.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from rtspdsr.errors import DataplaneError
from rtspdsr.model import Address
from rtspdsr.network.links import LinkChange, Links, Memory, Restored, leads_to
from rtspdsr.network.netlink import Netlink
from rtspdsr.network.resolver import UNMANAGED, VALID, Lookup, NeighbourChange, Order, Probe, Resolver
from rtspdsr.network.values import (
    Link,
    LinkGone,
    Message,
    NeighbourEntry,
    Resync,
    RoutesChanged,
    StaticAddress,
    StaticRoute,
)

__all__ = ["Change", "LinkChange", "NeighbourChange", "Neighbours", "Restored"]

Change = NeighbourChange | LinkChange | Restored

SETTLE_S = 0.2  # after a route change, before hops are looked up again: such changes come in crowds
BATCH = 32  # messages or orders in a row before the loop's other tasks have a turn


class Neighbours:
    """Watches backends and links, from ``async with`` to its end, in the namespace it is entered in.

    interfaces: names of the forwarding core's interfaces, whose ``LinkChange`` is wanted
    """

    def __init__(self, interfaces: Iterable[str] = (), *, netlink: Netlink | None = None) -> None:
        self._netlink = netlink or Netlink()
        self._links = Links(interfaces)
        self._resolver = Resolver(self._links.by_index)
        self._memory = Memory()
        self._vips: frozenset[Address] = frozenset()
        self._inbox: asyncio.Queue[Message | DataplaneError | None] = asyncio.Queue()
        self._resync = False
        self._settled_at: float | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._netlink.__aenter__()
        self._reader = asyncio.create_task(self._read(), name="netlink reader")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        await self._netlink.__aexit__(kind, error, trace)

    def watch(self, addresses: Iterable[Address], vips: Iterable[Address] = ()) -> None:
        """Watch these backend addresses and no others. Routes to ``vips`` are restored like theirs."""
        self._vips = frozenset(vips)
        self._resolver.watch(addresses, time.monotonic())
        self._settled_at = 0.0
        self._inbox.put_nowait(None)  # wakes changes()

    async def changes(self) -> AsyncIterator[Change]:
        """Yield every change, for ever; the present state of everything first."""
        while not self._resync:  # the first message; before it, no link is known
            await self._receive()
        while True:
            if self._resync:
                self._resync = False
                await self._read_links()
            now = time.monotonic()
            if self._settled_at is not None and self._settled_at <= now:
                self._settled_at = None
                await self._remember()
                self._resolver.routes_changed()
            for ifindex in self._memory.due(now):
                restored = await self._restore(ifindex)
                if restored:
                    yield restored
            for order in self._resolver.orders(time.monotonic(), BATCH):
                self._carry_out(order)
                await asyncio.sleep(0)
            for link_change in self._links.changes():
                yield link_change
            for change in self._resolver.changes(time.monotonic()):
                yield change
            await self._receive()

    async def _read(self) -> None:
        """Move messages to the inbox, until cancelled."""
        try:
            async for message in self._netlink.messages():
                self._inbox.put_nowait(message)
        except DataplaneError as error:
            self._inbox.put_nowait(error)

    async def _receive(self) -> None:
        """Wait for messages or the next timer, and take in a batch."""
        timers = (self._memory.next_timer(), self._resolver.next_timer(), self._settled_at)
        wake_at = min((timer for timer in timers if timer is not None), default=None)
        wait_s = None if wake_at is None else max(0.0, wake_at - time.monotonic())
        messages: list[Message | DataplaneError | None] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                messages.append(await self._inbox.get())
        while len(messages) < BATCH and not self._inbox.empty():
            messages.append(self._inbox.get_nowait())
        now = time.monotonic()
        for message in messages:
            self._take_in(message, now)

    def _take_in(self, message: Message | DataplaneError | None, now: float) -> None:
        match message:
            case NeighbourEntry():
                self._resolver.heard(message, now)
            case Link() | LinkGone():
                self._links.receive(message)
                self._memory.receive(message, now)
                self._resolver.links_changed(now)
            case RoutesChanged():
                if self._settled_at is None:
                    self._settled_at = now + SETTLE_S
            case Resync():
                self._resync = True
                self._settled_at = now
                self._resolver.resync()
            case DataplaneError():
                raise message
            case None:
                pass

    async def _read_links(self) -> None:
        """Take in every link: which ones are gone is told by their absence."""
        before = set(self._links.by_index)
        links = await self._netlink.links()
        now = time.monotonic()
        self._links.reset(links)
        for link in links:
            self._memory.receive(link, now)
        for ifindex in before - set(self._links.by_index):
            self._memory.receive(LinkGone(ifindex), now)

    def _carry_out(self, order: Order) -> None:
        if isinstance(order, Lookup):
            hop = self._netlink.hop(order.address)
            self._resolver.routed(order.address, hop, time.monotonic())
            return
        # Read first: either request would turn an entry that an operator set by hand into an ordinary one.
        entry = self._netlink.neighbour(order.address, order.ifindex)
        if not entry.state & VALID:
            self._netlink.solicit(order.address, order.ifindex)
            entry = self._netlink.neighbour(order.address, order.ifindex)
        elif isinstance(order, Probe) and not entry.state & UNMANAGED:
            self._netlink.probe(order.address, order.ifindex)
        # Messages are taken in by this same task, so that later news always has the last word.
        self._resolver.heard(entry, time.monotonic())

    async def _remember(self) -> None:
        """Read what the interfaces have, to have it when they lose it."""
        for ifindex in self._links.watched() | self._resolver.ifindexes():
            addresses, routes = await self._belongings(ifindex)
            link = self._netlink.link(ifindex)
            if link and link.enabled:  # else this was read too late, and the message of it is under way
                self._memory.remember(ifindex, addresses, routes)

    async def _belongings(self, ifindex: int) -> tuple[list[StaticAddress], list[StaticRoute]]:
        wanted = self._resolver.addresses | self._vips
        routes = [r for r in await self._netlink.static_routes(ifindex) if leads_to(r, wanted)]
        return await self._netlink.static_addresses(ifindex), routes

    async def _restore(self, ifindex: int) -> Restored | None:
        """Put back what an interface lost while it was down."""
        restored, refused = [], []
        for item in self._memory.missing(ifindex, *await self._belongings(ifindex)):
            try:
                if isinstance(item, StaticAddress):
                    await self._netlink.restore_address(item, ifindex)
                else:
                    await self._netlink.restore_route(item)
                restored.append(str(item))
            except DataplaneError as error:
                refused.append(str(error))
        link = self._links.by_index.get(ifindex)
        return self._memory.attempted(link, restored, refused, time.monotonic()) if link else None
