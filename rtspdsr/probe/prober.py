"""The checks that play, made in a process of their own, and their outcomes.

A play hears a stream of several Mb/s for seconds, and the RTSP client behind it leaves reference cycles: both
would hold up the loop that reads segments. The process is started with the first check, and again when it has
died or hangs. Orders and outcomes are lines of JSON (``worker.py``).
"""

import asyncio
import json
import sys
from contextlib import suppress
from ipaddress import ip_address
from itertools import count
from typing import Any, Self

from rtspdsr.core.health import Outcome
from rtspdsr.probe.limits import longest_s
from rtspdsr.probe.way import Way

END_S = 6.0  # for the sessions of its checks to be ended at their servers
SLACK_S = 10.0  # beyond the longest that a check may take: the process starts, and the machine may be busy
TRIES = 2  # of a check whose process dies


class Unmade(Exception):
    """A check could not be made, through no fault of its backend; the message is for the operator."""


class Prober:
    """One process at a time, from the first check to ``__aexit__``."""

    def __init__(self) -> None:
        self._starting = asyncio.Lock()
        self._worker: _Worker | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._worker is not None:
            await self._worker.end()

    async def play(self, way: Way, url: str) -> Outcome:
        """Play a little of a URL, and look at what comes. Raises Unmade."""
        return await self._ask(way, url, None)

    async def describe(self, way: Way, timeout_s: float, url: str) -> Outcome:
        """Whether it describes what is to be played. Raises Unmade."""
        return await self._ask(way, url, timeout_s)

    async def _ask(self, way: Way, url: str, timeout_s: float | None) -> Outcome:
        order = {"vip": str(way.vip), "port": way.port, "mark": way.mark, "url": url, "timeout_s": timeout_s}
        for _ in range(TRIES):
            try:
                worker = await self._started()
                return await worker.make(order, longest_s(timeout_s) + SLACK_S)
            except _Gone:
                continue
            except OSError as error:
                raise Unmade(f"the process that plays cannot be started: {error.strerror}") from error
        raise Unmade("the process that plays has died, twice; see its messages")

    async def _started(self) -> "_Worker":
        async with self._starting:
            if self._worker is None or not self._worker.alive:
                self._worker = await _Worker.start()
            return self._worker


class _Gone(Exception):
    """The process has died under a check."""


class _Worker:
    """One process, and who waits for what of it.

    alive: it takes orders
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._listening = asyncio.ensure_future(self._listen())
        self.alive = True

    @classmethod
    async def start(cls) -> Self:
        """Begin a new one. Raises OSError."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "rtspdsr.probe.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )

    async def make(self, order: dict[str, Any], patience_s: float) -> Outcome:
        """Have a check made. Raises Unmade, and _Gone. Without an outcome in time the process is ended."""
        number = next(self._numbers)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._send({"order": number, **order})
            async with asyncio.timeout(patience_s):
                return await answer
        except TimeoutError as error:
            self._kill()
            raise Unmade(
                f"the process that plays gave no outcome within {patience_s:g} s: it hung, and was ended"
            ) from error
        except asyncio.CancelledError:
            self._send({"order": number, "cancel": True})
            raise
        finally:
            del self._waiting[number]

    async def end(self) -> None:
        """Let it end its sessions, and end it; whatever it does, soon."""
        self.alive = False
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await self._process.wait()
        except TimeoutError:
            self._kill()
        await self._listening

    def _send(self, order: dict[str, Any]) -> None:
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(order).encode() + b"\n")

    def _kill(self) -> None:
        self.alive = False
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _listen(self) -> None:
        """Hand outcomes to those who wait for them, until the process has ended."""
        while line := await self._line():
            with suppress(ValueError, KeyError, TypeError, AttributeError):  # its check is waited for in vain
                self._take(json.loads(line))
        self._kill()  # if it has but closed its output, nothing more comes of it
        await self._process.wait()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_Gone())

    async def _line(self) -> bytes:
        """The next one; empty at the end."""
        while self._process.stdout is not None:
            with suppress(ValueError):  # longer than any that it would say of an outcome
                return await self._process.stdout.readline()
        return b""

    def _take(self, told: dict[str, Any]) -> None:
        answer = self._waiting.get(told["order"])
        if answer is None or answer.done():
            return
        if "unmade" in told:
            answer.set_exception(Unmade(told["unmade"]))
        else:
            answer.set_result(_outcome(told["outcome"]))


def _outcome(told: dict[str, Any]) -> Outcome:
    source = told.pop("source")
    return Outcome(**told, source=None if source is None else ip_address(source))
