"""The way of a check to one backend: the VIP, the port, and the packet mark that leads there.

Hands out sockets that bear the mark, of either family, and says in plain words why a connection failed. Where
the mark leads is the business of ``network/probepath.py``.
"""

import asyncio
import errno
import os
import socket as sockets
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from rtspdsr.model import Address

SO_MARK = 36  # <asm-generic/socket.h>, not in the socket module of Python 3.11
RECEIVE_BYTES = 1 << 20  # of a media socket: 200 ms of 40 Mb/s
CONTROL_BYTES = 1 << 16  # of a control connection: what one read may hand to the parser
PAIRS_TRIED = 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where a check goes. ``mark`` 0 is the ordinary way of this machine."""

    vip: Address
    port: int
    mark: int = 0

    def __str__(self) -> str:
        host = f"[{self.vip}]" if self.vip.version == 6 else str(self.vip)
        return f"{host}:{self.port}"

    def socket(self, kind: sockets.SocketKind) -> sockets.socket:
        """A socket whose packets go this way. It never blocks."""
        family = sockets.AF_INET if self.vip.version == 4 else sockets.AF_INET6
        made = sockets.socket(family, kind)
        made.setblocking(False)
        try:
            made.setsockopt(sockets.SOL_SOCKET, SO_MARK, self.mark)
        except OSError:
            made.close()
            raise
        return made

    async def connect(self) -> sockets.socket:
        """A control connection. Raises OSError; the caller sets the time."""
        made = self.socket(sockets.SOCK_STREAM)
        try:
            made.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, CONTROL_BYTES)
            await asyncio.get_running_loop().sock_connect(made, (str(self.vip), self.port))
        except BaseException:
            made.close()
            raise
        return made

    def media_pair(self) -> tuple[sockets.socket, sockets.socket]:
        """Sockets on an even port and the next one, as RTP and RTCP want them. Raises OSError."""
        for _ in range(PAIRS_TRIED):
            first = self.socket(sockets.SOCK_DGRAM)
            second = self.socket(sockets.SOCK_DGRAM)
            try:
                first.bind(("", 0))
                port = first.getsockname()[1]
                if port % 2 == 0:
                    second.bind(("", port + 1))
                    first.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, RECEIVE_BYTES)
                    return first, second
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            first.close()
            second.close()
        raise OSError(errno.EADDRINUSE, "no two UDP ports in a row are free on the balancer")


async def in_time(asked: Awaitable[T], timeout_s: float, late: str) -> T:
    """Wait for something so long at most. Raises Unanswered in the words of ``late``."""
    try:
        async with asyncio.timeout(timeout_s):
            return await asked
    except TimeoutError as error:
        raise Unanswered(late) from error


class Unanswered(Exception):
    """What a check waited for did not come; the message is for the operator."""


def unconnected(way: Way, timeout_s: float) -> str:
    """What it means that no connection came about in time."""
    return f"takes no connection at {way} within {timeout_s:g} s: is the VIP on its lo, is the machine up?"


def unanswered(request: str, timeout_s: float) -> str:
    """What it means that a request on a good connection was not answered in time."""
    return f"takes connections, and does not answer {request} within {timeout_s:g} s: does it hang?"


def why(error: OSError, way: Way) -> str:
    """What an error of the connection means."""
    match error.errno:
        case errno.ECONNREFUSED:
            return f"refuses connections at {way}: is the media server running?"
        case errno.ECONNRESET | errno.EPIPE:
            return f"resets the connection to {way}"
        case errno.EHOSTUNREACH | errno.ENETUNREACH | errno.ENETDOWN:
            return f"cannot be reached at {way}: {os.strerror(error.errno)}"
        case errno.EPERM | errno.EACCES:
            return (
                f"cannot be checked: {error.strerror}; checks need CAP_NET_ADMIN, and no firewall in the way"
            )
        case _:
            return f"cannot be checked at {way}: {error.strerror or error}"
