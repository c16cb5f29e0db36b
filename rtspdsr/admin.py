"""The daemon's ear for its operator: a small JSON API over HTTP on a Unix socket for root and its group.

It is handed an ``Operator`` (the daemon) and a directory, and answers the command line. Requests ask or
change; an error of the operator's comes back as ``{"error": ...}`` with status 400.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from aiohttp import ClientError, ClientSession, UnixConnector, web

from rtspdsr.errors import AdminError, RtspDsrError
from rtspdsr.model import Address

SOCKET = "admin.sock"
MODE = 0o660
REQUEST_MAX = 64 << 10  # octets
TOLD_AT_ONCE = 50  # sessions, some 4 ms

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Operator(Protocol):
    """What the daemon lets an operator ask and do."""

    def status(self) -> dict[str, Any]:
        """How the daemon stands."""

    def sessions(self) -> Iterator[dict[str, Any]]:
        """Every live session; others may come and go while they are told."""

    def backends(self) -> list[dict[str, Any]]:
        """Every backend, and how it is."""

    def place(self, service: str, client: Address, backend: str) -> None:
        """Send a client's new connections to a backend. Raises RtspDsrError."""


class Admin:
    """The server side, from ``start`` to ``stop``."""

    def __init__(self, operator: Operator, directory: Path) -> None:
        self._operator = operator
        self._path = directory / SOCKET
        application = web.Application(middlewares=[_errors], client_max_size=REQUEST_MAX)
        application.add_routes(
            [
                web.get("/v1/status", self._status),
                web.get("/v1/sessions", self._sessions),
                web.get("/v1/backends", self._backends),
                web.put("/v1/services/{service}/clients/{client}", self._place),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self) -> None:
        """Listen. A socket that an earlier daemon left is replaced; the forwarding core's lock is ours.

        Raises AdminError if the directory cannot be written.
        """
        await self._runner.setup()
        try:
            self._path.unlink(missing_ok=True)
            await web.UnixSite(self._runner, str(self._path)).start()
            self._path.chmod(MODE)
        except OSError as error:
            raise AdminError(
                f"cannot listen at {self._path}: {error.strerror}; mend it, or set daemon.run_dir"
            ) from error

    async def stop(self) -> None:
        """Listen no more."""
        await self._runner.cleanup()
        self._path.unlink(missing_ok=True)

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(self._operator.status())

    async def _sessions(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        separator = "["
        sessions = self._operator.sessions()
        while told := [json.dumps(one) for one in islice(sessions, TOLD_AT_ONCE)]:
            await response.write((separator + ",".join(told)).encode())
            separator = ","
            await asyncio.sleep(0)  # a hundred thousand sessions must not keep a segment waiting
        await response.write(b"[]" if separator == "[" else b"]")
        await response.write_eof()
        return response

    async def _backends(self, _request: web.Request) -> web.Response:
        return web.json_response(self._operator.backends())

    async def _place(self, request: web.Request) -> web.Response:
        try:
            body = await request.json()
            backend = str(body["backend"])
            client = ip_address(request.match_info["client"])
        except (ValueError, KeyError, TypeError) as error:
            raise AdminError('expected an address in the path and {"backend": NAME} in the body') from error
        self._operator.place(request.match_info["service"], client, backend)
        return web.json_response({"client": str(client), "backend": backend})


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RtspDsrError as error:
        return web.json_response({"error": str(error)}, status=400)


async def ask(directory: Path, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the daemon whose ``run_dir`` this is. Raises AdminError if it does not answer or refuses."""
    socket = directory / SOCKET
    try:
        async with (
            ClientSession(connector=UnixConnector(str(socket))) as session,
            session.request(method, f"http://rtspdsr{path}", json=body) as response,
        ):
            answer = json.loads(await response.text())
    except (OSError, ClientError, ValueError) as error:
        raise AdminError(
            f"no daemon answers at {socket} ({error}); start it (rtspdsr run), "
            "or name its configuration with --config"
        ) from error
    if response.status != 200:
        raise AdminError(answer.get("error", f"the daemon refused {method} {path}"))
    return answer
