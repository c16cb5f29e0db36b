"""The server side of the API: it listens, checks what is asked, calls the handler and writes the answer.

An error of the operator's comes back as ``{"error": ...}`` with a status of 400 and above; a fault of ours is
told to the daemon, and answered with 500.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from rtspdsr.admin import bundle
from rtspdsr.admin.asked import Asked
from rtspdsr.admin.attempts import WHILE_S
from rtspdsr.admin.connection import IDLE_S, PROTECTION, Connection, Room
from rtspdsr.admin.feed import Crowded
from rtspdsr.admin.guard import GUARD, Guard, Listen
from rtspdsr.admin.monitor import MONITORING
from rtspdsr.admin.nuisance import Nuisances
from rtspdsr.admin.operator import Operator
from rtspdsr.admin.route import Call, Reply, Route
from rtspdsr.admin.routes import ROUTES
from rtspdsr.admin.stream import tell_totals
from rtspdsr.admin.watch import WATCH, Watch
from rtspdsr.errors import AdminError, NotFound, RtspDsrError

SOCKET = "admin.sock"
MODE = 0o660
REQUEST_MAX = 64 << 10  # octets
TOLD_AT_ONCE = 50  # sessions, some 4 ms

STOP_S = 2.0  # how long requests under way may take once the daemon ends
BODY_S = 10.0  # how long a body may take to come

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admin:
    """The server side, from ``start`` to ``stop``.

    listen: over TCP too
    watch:  what is served by the routes of ``monitor.py``, which are not there without it
    """

    def __init__(
        self,
        operator: Operator,
        directory: Path,
        listen: Listen | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._operator, self._watch = operator, watch
        self._path, self._listen = directory / SOCKET, listen
        self._totals: asyncio.Task[None] | None = None
        self._sockets: list[asyncio.Server] = []
        self._room = Room()
        self._nuisances = Nuisances()
        self._local = _runner(operator, watch, Guard(None, listen.hosts if listen else ()))
        self._remote: web.AppRunner | None = None
        if listen:
            guard = Guard(listen.token, listen.hosts, self._nuisances.tell)
            self._remote = _runner(operator, watch, guard)

    async def start(self) -> None:
        """Listen. A socket that an earlier daemon left is replaced; the forwarding core's lock is ours.

        Raises AdminError if the directory cannot be written, or the address cannot be had.
        """
        if self._watch:
            self._totals = asyncio.create_task(tell_totals(self._watch, self._operator.failed))
        loop = asyncio.get_running_loop()
        await self._local.setup()
        try:
            self._path.unlink(missing_ok=True)
            self._sockets.append(await loop.create_unix_server(self._of_local, str(self._path)))
            self._path.chmod(MODE)
        except OSError as error:
            raise AdminError(
                f"cannot listen at {self._path}: {error.strerror}; mend it, or set daemon.run_dir"
            ) from error
        if self._remote and self._listen:
            await self._remote.setup()
            where = self._listen
            try:
                listening = await loop.create_server(self._of_remote, where.address, where.port)
                self._sockets.append(listening)
            except OSError as error:
                raise AdminError(
                    f"cannot listen at {where.address} port {where.port}: {error.strerror}; "
                    "name another address in admin.listen"
                ) from error

    async def stop(self) -> None:
        """Listen no more."""
        if self._watch and self._totals:
            self._watch.feed.close()
            self._totals.cancel()
        for one in self._sockets:
            one.close()
        await self._local.cleanup()
        if self._remote:
            await self._remote.cleanup()
        self._path.unlink(missing_ok=True)

    def _of_local(self) -> Connection:
        return Connection(_server(self._local), self._nuisances)

    def _of_remote(self) -> Connection:
        assert self._remote is not None
        return Connection(_server(self._remote), self._nuisances, self._room, keepalive_timeout=IDLE_S)


def _runner(operator: Operator, watch: Watch | None, guard: Guard) -> web.AppRunner:
    return web.AppRunner(application(operator, watch, guard), shutdown_timeout=STOP_S)


def _server(runner: web.AppRunner) -> web.Server:
    assert runner.server is not None
    return runner.server


def application(operator: Operator, watch: Watch | None, guard: Guard) -> web.Application:
    """All routes, and what stands around them."""
    served = [route for route in ROUTES if watch or route not in MONITORING]
    handlers = [(route, _handler(route, operator)) for route in served]
    page = bundle.Bundle()
    public: frozenset[Handler] = frozenset(
        [*(handler for route, handler in handlers if route.public), page.answer]
    )
    made = web.Application(
        middlewares=[_errors(operator), _guarded(guard, public)], client_max_size=REQUEST_MAX
    )
    made[GUARD] = guard
    if watch:
        made[WATCH] = watch
    made.on_response_prepare.append(_protect)
    for route, handler in handlers:
        if route.method == "GET":
            made.router.add_get(route.path, handler, allow_head=not route.streams)
        else:
            made.router.add_route(route.method, route.path, handler)
    for path in bundle.PATHS:
        made.router.add_get(path, page.answer)
    return made


def _guarded(guard: Guard, public: Collection[Handler]) -> Any:
    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        guard.check(request, public=request.match_info.handler in public)
        return await handler(request)

    return checked


async def _protect(_request: web.Request, response: web.StreamResponse) -> None:
    """Say what a browser may do with an answer, unless the answer says so itself."""
    for name, value in PROTECTION.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = PROTECTION["Server"]  # aiohttp has put its own there already


def _handler(route: Route, operator: Operator) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        answer = await route.handler(Call(operator, await _asked(route, request), request))
        match answer:
            case web.StreamResponse():
                return answer
            case Iterator():
                return await _in_pieces(request, answer)
            case Reply(status=status, value=value):
                return web.json_response(value, status=status)
            case _:
                return web.json_response(answer)

    return handle


async def _asked(route: Route, request: web.Request) -> Asked:
    """What a request asks, checked. Raises AdminError that names what is wrong."""
    values: dict[str, Any] = {**request.query}
    if route.changes:
        try:
            async with asyncio.timeout(BODY_S):
                body = json.loads(await request.read()) if request.can_read_body else {}
        except (ValueError, RecursionError, web.RequestPayloadError) as error:
            raise AdminError(f"the body is no JSON: {error}") from error
        except TimeoutError:
            raise web.HTTPRequestTimeout(reason=f"the body did not come within {BODY_S:.0f} s") from None
        if not isinstance(body, dict):
            raise AdminError("the body should be a JSON object")
        values = body
    try:
        return route.asked.model_validate({**values, **request.match_info})
    except ValidationError as error:
        mistakes = (f"{'.'.join(map(str, one['loc'][:1]))}: {one['msg']}" for one in error.errors())
        raise AdminError("; ".join(dict.fromkeys(mistakes))) from error


async def _in_pieces(request: web.Request, parts: Iterator[Any]) -> web.StreamResponse:
    """A list too long to be made at once: a hundred thousand sessions must not keep a segment waiting.

    None among its parts is nothing; it only took time to see that.
    """
    response = web.StreamResponse()
    response.content_type = "application/json"
    await response.prepare(request)
    separator = "["
    while looked_at := list(islice(parts, TOLD_AT_ONCE)):
        if told := [json.dumps(one) for one in looked_at if one is not None]:
            await response.write((separator + ",".join(told)).encode())
            separator = ","
        await asyncio.sleep(0)
    await response.write(b"[]" if separator == "[" else b"]")
    await response.write_eof()
    return response


def _errors(operator: Operator) -> Any:
    @web.middleware
    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except NotFound as error:
            return _refusal(404, str(error))
        except Crowded as error:
            return _refusal(503, str(error))
        except RtspDsrError as error:
            return _refusal(400, str(error))
        except web.HTTPException as error:
            return _refusal(error.status, f"{request.method} {request.path}: {error.reason}")
        except ConnectionError:
            raise  # the asker went away
        except Exception as error:  # noqa: BLE001 - a fault in an answer must not end the daemon, nor be hidden
            operator.failed(error)
            return _refusal(500, "a fault of the daemon's own; its log has it as daemon_fault")

    return answered


def _refusal(status: int, problem: str) -> web.Response:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": f"{WHILE_S:.0f}"}}.get(status)
    return web.json_response({"error": problem}, status=status, headers=headers)
