"""A connection to the API, and how many of them there may be.

It is aiohttp's, which would tell of nonsense by tracebacks in the daemon's log and by its versions in the
answer; here that is a line now and then, and an answer like every other refusal.
"""

import asyncio
import socket
from collections import Counter
from typing import Any

from aiohttp import web

from rtspdsr.admin.attempts import site
from rtspdsr.admin.nuisance import Nuisances

CONNECTIONS_MAX = 128  # over TCP: 32 listeners to events, and some browsers
OF_ONE_MAX = 64  # of them from one address, which may be a proxy
IDLE_S = 30.0  # over TCP, without a request
STUCK_MS = 30_000  # over TCP, without the peer taking what is sent (TCP_USER_TIMEOUT, tcp(7))
LINGER_S = 2.0  # how long the rest of a refused request is read
PROTECTION = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Server": "rtspdsr",  # versions are nobody's business
}


class Room:
    """How many connections are there, by whose address they come from."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Whether one more is taken."""
        if self._of.total() >= CONNECTIONS_MAX or self._of[site(address)] >= OF_ONE_MAX:
            return False
        self._of[site(address)] += 1
        return True

    def leave(self, address: str) -> None:
        """One that was taken has ended."""
        key = site(address)
        self._of[key] -= 1
        if not self._of[key]:
            del self._of[key]


class Connection(web.RequestHandler):
    """One connection.

    room: what it must find room in; None where only those come who may
    """

    def __init__(
        self, server: web.Server, nuisances: Nuisances, room: Room | None = None, **how: Any
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            lingering_time=LINGER_S,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,  # who has not shown a token yet may not have us unpack anything
            **how,
        )
        self._nuisances, self._room = nuisances, room
        self._address: str | None = None
        self._made_of: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it, if there is room."""
        self._made_of = transport
        if self._room is not None:
            peer = transport.get_extra_info("peername") or ("somebody",)  # None: it has gone already
            address = str(peer[0])
            if not self._room.enter(address):
                self._nuisances.tell(f"no room for one more connection, from {address}")
                transport.close()
                return
            self._address = address
            stuck = transport.get_extra_info("socket")
            stuck.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_MS)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It has ended."""
        if self._room is not None and self._address is not None:
            self._room.leave(self._address)
        super().connection_lost(exc)
        # A transport refers to itself by this, and cycles stay as long as any session lives (upkeep.py).
        vars(self._made_of).pop("_read_ready_cb", None)
        self._made_of = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what could not be read."""
        sender = request.remote or "somebody"
        self._nuisances.tell(f"what {sender} sent could not be read: {_brief(exc or message)}")
        if exc is not None:
            exc.__traceback__ = None  # a cycle: its frames hold the exception
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer is sent already")
        told = {"error": f"this is no request that can be read: {_brief(message)}"}
        answer = web.json_response(told, status=status, headers=PROTECTION)
        answer.force_close()
        return answer

    def log_exception(self, *_args: Any, **how: Any) -> None:
        """What aiohttp survives on a connection: bodies that end too early, above all."""
        self._nuisances.tell(f"a connection came to a bad end: {_brief(how.get('exc_info'))}")


def _brief(problem: object) -> str:
    """A problem in a few words on one line, whatever a stranger has put into it."""
    text = str(problem) or type(problem).__name__
    return repr(" ".join(text.split())[:120])[1:-1]
