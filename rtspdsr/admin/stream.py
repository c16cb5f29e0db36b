"""``GET /v1/events``: what the feed has, as server-sent events, for as long as somebody listens."""

import asyncio
import json
import time
from collections.abc import Callable

from aiohttp import web

from rtspdsr.admin.asked import Asked
from rtspdsr.admin.feed import message
from rtspdsr.admin.route import Call
from rtspdsr.admin.totals import totals
from rtspdsr.admin.watch import WATCH, Watch

RETRY_MS = 2000  # a browser that lost the stream comes back after so long
TOTALS_S = 2.0
LOOK_S = 1.0  # between two looks whether anybody still listens
HEARTBEAT_S = 15.0  # of silence, before a comment shows that the stream lives
STUCK_S = 30.0  # that nothing could be sent: nobody reads
HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


async def events(call: Call[Asked]) -> web.StreamResponse:
    """A stream of server-sent events.

    ``record``: a line of the session log as it is written, with the same names of clients. ``totals``: what
    ``/v1/totals`` answers, at first and every two seconds. ``missed``: so many messages were left out because
    the listener was too slow. Comments keep the connection open.
    """
    watch = call.request.app[WATCH]
    feed = watch.feed
    with feed.subscribe() as subscription:
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(call.request)
        await response.write(f"retry: {RETRY_MS}\n\n".encode())
        transport = call.request.transport
        subscription.put(await totals_message(watch))
        quiet_since = time.monotonic()
        while transport is not None and not transport.is_closing() and not feed.closed:
            told = await subscription.take(LOOK_S)
            now = time.monotonic()
            if told:
                quiet_since = now
            elif now - quiet_since >= HEARTBEAT_S:
                told, quiet_since = ": still here\n\n", now
            if told and not await _sent(response, told):
                transport.abort()
        return response


async def tell_totals(watch: Watch, failed: Callable[[Exception], None]) -> None:
    """Tell totals to all listeners, as long as there are some. Never ends by itself."""
    while True:
        await asyncio.sleep(TOTALS_S)
        if len(watch.feed):
            try:
                watch.feed.publish(await totals_message(watch))
            except Exception as error:  # noqa: BLE001 - listeners go on without totals, and the daemon goes on
                failed(error)


async def totals_message(watch: Watch) -> str:
    """The totals of now, as a message."""
    return message("totals", json.dumps(totals(await watch.figures())))


async def _sent(response: web.StreamResponse, told: str) -> bool:
    try:
        async with asyncio.timeout(STUCK_S):
            await response.write(told.encode())
    except TimeoutError:
        return False
    return True
