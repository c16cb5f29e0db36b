"""The checks that play, made in a process of their own, and their outcomes.

A play hears a stream of several Mb/s for seconds, and the RTSP client behind it leaves reference cycles: both
would hold up the loop that reads segments. The process is started with the first check, and again when it has
died. Orders and outcomes are lines of JSON (``worker.py``).
"""

import asyncio
import json
import sys
from ipaddress import ip_address
from itertools import count
from typing import Any, Self

from rtspdsr.core.health import Outcome
from rtspdsr.probe.way import Way

END_S = 6.0  # for the sessions of its checks to be ended at their servers
TRIES = 2  # of a check whose process dies


class ProberGone(Exception):
    """The process has died under a check."""


class Prober:
    """One process, from the first check to ``__aexit__``."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is None or self._listening is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._listening

    async def play(self, way: Way, url: str) -> Outcome:
        """Play a little of a URL, and look at what comes."""
        return await self._ask(way, url, None)

    async def describe(self, way: Way, timeout_s: float, url: str) -> Outcome:
        """Whether it describes what is to be played."""
        return await self._ask(way, url, timeout_s)

    async def _ask(self, way: Way, url: str, timeout_s: float | None) -> Outcome:
        order = {"vip": str(way.vip), "port": way.port, "mark": way.mark, "url": url, "timeout_s": timeout_s}
        for _ in range(TRIES):
            try:
                return await self._order(order)
            except ProberGone:
                continue
            except OSError as error:
                problem = f"the process that plays cannot be started: {error.strerror}"
                return Outcome(problem=f"cannot be checked: {problem}")
        return Outcome(problem="cannot be checked: the process that plays has died, twice; see its messages")

    async def _order(self, order: dict[str, Any]) -> Outcome:
        process = await self._started()
        number = next(self._numbers)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._send(process, {"order": number, **order})
            return await answer
        except asyncio.CancelledError:
            self._send(process, {"order": number, "cancel": True})
            raise
        finally:
            del self._waiting[number]

    @staticmethod
    def _send(process: asyncio.subprocess.Process, order: dict[str, Any]) -> None:
        if process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(json.dumps(order).encode() + b"\n")

    async def _started(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "rtspdsr.probe.worker",
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                )
                self._listening = asyncio.ensure_future(self._listen(self._process))
            return self._process

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Hand outcomes to those who wait for them, until the process has ended."""
        if process.stdout is not None:
            while line := await process.stdout.readline():
                told = json.loads(line)
                answer = self._waiting.get(told["order"])
                if answer is not None and not answer.done():
                    answer.set_result(_outcome(told["outcome"]))
        await process.wait()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ProberGone())


def _outcome(told: dict[str, Any]) -> Outcome:
    source = told.pop("source")
    return Outcome(**told, source=None if source is None else ip_address(source))
