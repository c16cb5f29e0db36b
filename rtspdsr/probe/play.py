"""The check that plays: OPTIONS, DESCRIBE, SETUP, PLAY, some seconds of RTP, and always TEARDOWN.

Handed a way and a URL, it gives back an ``Outcome``: what a client of this backend would see. Whatever ends
it, a failure or its own cancelling, the server's session is ended first, also one whose SETUP was only just
asked for. It lasts ``PLAY_S`` and twice ``END_S`` at the most. ``describe`` is its beginning alone.
"""

import asyncio
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from aiortsp.rtsp.errors import RTSPConnectionError, RTSPError, RTSPResponseError, RTSPTimeoutError
from aiortsp.rtsp.sdp import SDP

from rtspdsr.core.health import Outcome
from rtspdsr.probe.limits import END_S, PLAY_S
from rtspdsr.probe.media import DatagramMedia, InterleavedMedia, MarkedConnection
from rtspdsr.probe.reception import Reception
from rtspdsr.probe.way import Unanswered, Way, in_time, unanswered, unconnected, why

ANSWER_S = 3.0  # for one answer
FIRST_RTP_S = 5.0  # a live stream waits for its next key picture
LISTEN_S = 2.0
LISTEN_STEP_S = 0.05
PACKETS_MAX = 20_000  # heard enough, whatever the time
UNSUPPORTED_TRANSPORT = 461
UNAUTHORIZED = 401
CONNECTION = "connection"  # the step before any request


async def play(way: Way, url: str) -> Outcome:
    """Play a little of a URL, and look at what comes."""
    return await _Dialog(way, url, ANSWER_S).run(PLAY_S, media=True)


async def describe(way: Way, timeout_s: float, url: str) -> Outcome:
    """Whether it describes what is to be played."""
    return await _Dialog(way, url, timeout_s).run(timeout_s, media=False)


class _Dialog:
    """One check, from its first packet to its last."""

    def __init__(self, way: Way, url: str, answer_s: float) -> None:
        parts = urlsplit(url)
        self._way = way
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._base = self._url  # what the server calls the whole of it
        username, password = (unquote(one) if one else None for one in (parts.username, parts.password))
        self._connection = MarkedConnection(way, answer_s, username, password)
        self._answer_s = answer_s
        self._media: DatagramMedia | InterleavedMedia | None = None
        self._setup: asyncio.Future[Any] | None = None
        self._session: str | None = None
        self._step = CONNECTION
        self._begun_at = asyncio.get_running_loop().time()
        self._played_at: float | None = None
        self._reception = Reception(None)

    async def run(self, limit_s: float, *, media: bool) -> Outcome:
        """Go through the dialog, and end it."""
        problem = ""
        try:
            async with asyncio.timeout(limit_s):
                await self._talk(media)
        except TimeoutError:
            problem = self._late(limit_s)
        except OSError as error:
            problem = why(error, self._way)
        except Unanswered as late:
            problem = str(late)
        except RTSPError as error:
            problem = self._refusal(error)
        except Exception as error:  # noqa: BLE001 - what a server sends makes aiortsp raise anything
            problem = f"answers {self._step} with something unreadable ({type(error).__name__}: {error})"
        finally:
            await self._end()
        return self._outcome(problem)

    async def _talk(self, media: bool) -> None:
        late = unconnected(self._way, self._answer_s)
        await in_time(self._connection.prepare(), self._answer_s, late)
        if media:
            await self._ask("OPTIONS")
        described = await self._ask("DESCRIBE", Accept="application/sdp")
        if not media:
            return
        sdp = SDP(described.content)
        kinds = [one["type"] for one in sdp.get("medias", [])]
        if not kinds:
            raise Unanswered(f"describes {self._url} without any media")
        kind = "video" if "video" in kinds else kinds[0]
        self._base = described.headers.get("content-base") or self._url
        self._reception = Reception(sdp.media_clock_rate(kind))
        await self._set_up(sdp.setup_url(self._base, kind))
        self._played_at = asyncio.get_running_loop().time()
        await self._ask("PLAY", self._base, Range="npt=0-")
        await self._listen()

    async def _set_up(self, track: str) -> None:
        """Ask for UDP; of a server that refuses it, for the control connection."""
        try:
            await self._set_up_by(DatagramMedia(self._connection, self._way, self._take), track)
        except RTSPResponseError as error:
            if error.response is None or error.response.status != UNSUPPORTED_TRANSPORT:
                raise
            if self._media is not None:
                self._media.close()
            await self._set_up_by(InterleavedMedia(self._connection, self._way, self._take), track)

    async def _set_up_by(self, media: DatagramMedia | InterleavedMedia, track: str) -> None:
        self._media = media
        await media.prepare()
        headers: dict[str, str] = {}
        media.on_transport_request(headers)
        self._step = "SETUP"
        # Not cancelled with us: the session that its answer names has to be ended.
        self._setup = asyncio.ensure_future(self._connection.send_request("SETUP", track, headers))
        answer = await asyncio.shield(self._setup)
        self._session = _session(answer)
        media.on_transport_response(answer.headers)
        await media.warmup()

    async def _listen(self) -> None:
        """Hear RTP for a while, from the first packet on."""
        loop, self._step = asyncio.get_running_loop(), "RTP"
        while self._reception.packets < PACKETS_MAX:
            await asyncio.sleep(LISTEN_STEP_S)
            if not self._connection.running:
                raise RTSPConnectionError("connection closed")
            first_at, played_at = self._reception.first_at, self._played_at or 0.0
            if first_at is not None and loop.time() - first_at >= LISTEN_S:
                return
            if first_at is None and loop.time() - played_at >= FIRST_RTP_S:
                raise Unanswered(f"accepts PLAY, and no RTP comes within {FIRST_RTP_S:g} s")

    def _take(self, packet: bytes, source: Any, at: float) -> None:
        if self._played_at is not None:
            self._reception.take(packet, source, at)

    async def _ask(self, method: str, url: str | None = None, **headers: str) -> Any:
        self._step = method
        if self._session is not None:
            headers["Session"] = self._session
        return await self._connection.send_request(method, url or self._url, headers)

    async def _end(self) -> None:
        """TEARDOWN and close, whatever happened, and whoever cancels us meanwhile."""
        ending = asyncio.ensure_future(self._tear_down())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):
                await asyncio.wait([ending], timeout=2 * END_S)
            raise

    async def _tear_down(self) -> None:
        try:
            if self._setup is not None and self._session is None:
                await asyncio.wait([self._setup], timeout=END_S)
                if not self._setup.done():
                    self._setup.cancel()
                elif not self._setup.cancelled() and self._setup.exception() is None:
                    self._session = _session(self._setup.result())
            if self._session is not None and self._connection.running:
                with suppress(RTSPError):
                    await self._connection.send_request(
                        "TEARDOWN", self._base, {"Session": self._session}, timeout=END_S
                    )
        finally:
            if self._media is not None:
                self._media.close()
            self._connection.close()

    # --- what was found ------------------------------------------------------------------------------

    def _late(self, timeout_s: float) -> str:
        connecting = self._step == CONNECTION
        return unconnected(self._way, timeout_s) if connecting else unanswered(self._step, timeout_s)

    def _refusal(self, error: RTSPError) -> str:
        """An answer that is none, in words."""
        if isinstance(error, RTSPTimeoutError):
            return self._late(self._answer_s)
        response = error.response if isinstance(error, RTSPResponseError) else None
        if response is None:
            text = str(error.args[0]) if error.args else ""
            if isinstance(error, RTSPConnectionError) and not text.startswith("sends"):
                return f"closes the connection after {self._step}"
            return f"answers {self._step} unreadably: {text}"
        advice = ": give a user and password in probe_url" if response.status == UNAUTHORIZED else ""
        return f"answers {self._step} with {response.status} {ascii(response.status_msg)[1:-1]}{advice}"

    def _outcome(self, problem: str) -> Outcome:
        heard = self._reception
        strange = [source for source in heard.sources if source != self._way.vip]
        if strange and not problem:
            problem = f"RTP came from {strange[0]}, not from the VIP: run rtspdsr backend prepare"
        answered_at, first_at = self._connection.answered_at, heard.first_at
        return Outcome(
            problem=problem,
            response_s=None if answered_at is None else answered_at - self._begun_at,
            first_rtp_s=None if first_at is None or self._played_at is None else first_at - self._played_at,
            bits_per_s=heard.bits_per_s,
            lost=heard.lost,
            jitter_s=heard.jitter_s,
            source=strange[0] if strange else next(iter(heard.sources), None),
        )


def _session(answer: Any) -> str | None:
    """The Session id of an answer, without its time-out."""
    value = answer.headers.get("session")
    return str(value).partition(";")[0].strip() if value else None
