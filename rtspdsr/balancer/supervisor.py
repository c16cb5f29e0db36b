"""What the daemon tells the service manager that started it, as systemd understands it (sd_notify(3)).

The environment names a Unix socket, and assignments go there as datagrams. Without one, nobody is told and
nothing else changes. Telling never fails and never waits long: a daemon does not end because its supervisor
is deaf.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Self

import asyncio_dgram
from asyncio_dgram.aio import DatagramClient

SEND_S = 1.0  # a manager that takes no more is waited for so long
LOOK_S = 5.0  # between two looks at how the daemon is, at most
LOOKS = 4  # in the time that the watchdog lets pass: some may come late
PATIENCE_S = 120.0  # asked for before each step of the start, whatever there is to adopt


class Supervisor:
    """The service manager, from the daemon's first word to its last.

    watchdog_s: how long it lets pass between two signs of life before it ends us; None if it does not watch
    """

    def __init__(self, stream: DatagramClient | None, watchdog_s: float | None) -> None:
        self._stream = stream
        self.watchdog_s = watchdog_s

    @classmethod
    @asynccontextmanager
    async def of_this_process(cls) -> AsyncIterator[Self]:
        """The one that the environment names, which children then do not inherit."""
        named = {key: os.environ.pop(key, "") for key in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")}
        stream = await _connected(named["NOTIFY_SOCKET"])
        try:
            yield cls(stream, _watchdog_s(named) if stream else None)
        finally:
            if stream:
                stream.close()

    async def starting(self, what: str) -> None:
        """A step of the start begins that may take long."""
        await self._tell(f"STATUS={what}", f"EXTEND_TIMEOUT_USEC={_usec(PATIENCE_S)}")

    async def ready(self, status: str) -> None:
        """Packets are taken; or a reload is over."""
        await self._tell("READY=1", f"STATUS={status}")

    async def reloading(self) -> None:
        """A reload begins."""
        await self._tell("RELOADING=1", f"MONOTONIC_USEC={_usec(time.monotonic())}", "STATUS=reloading")

    async def stopping(self) -> None:
        """The daemon ends."""
        await self._tell("STOPPING=1", "STATUS=stopping; forwarding stays in place")

    async def watch(self, problem: Callable[[], str | None], status: Callable[[], str]) -> None:
        """Give a sign of life as long as there is no problem, and say how the daemon is."""
        while True:
            if found := problem():
                await self._tell(f"STATUS=not alive: {found}")
            else:
                await self._tell("WATCHDOG=1", f"STATUS={status()}")
            await asyncio.sleep(min(LOOK_S, self.watchdog_s / LOOKS) if self.watchdog_s else LOOK_S)

    async def _tell(self, *assignments: str) -> None:
        if self._stream is None:
            return
        with suppress(OSError, TimeoutError, asyncio_dgram.TransportClosed):
            async with asyncio.timeout(SEND_S):
                await self._stream.send("\n".join(assignments).encode())


async def _connected(address: str) -> DatagramClient | None:
    if not address:
        return None
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    try:
        return await asyncio_dgram.connect(address)
    except OSError as error:
        print(f"warning: no service manager listens at NOTIFY_SOCKET: {error.strerror}", file=sys.stderr)
        return None


def _watchdog_s(named: Mapping[str, str]) -> float | None:
    """What ``sd_watchdog_enabled(3)`` reads; it may be meant for another process."""
    if named["WATCHDOG_PID"] not in ("", str(os.getpid())) or not named["WATCHDOG_USEC"].isdigit():
        return None
    return int(named["WATCHDOG_USEC"]) / 1e6 or None


def _usec(seconds: float) -> int:
    return int(seconds * 1e6)
