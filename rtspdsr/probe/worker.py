"""``python -m rtspdsr.probe.worker``: the process that makes the checks which play.

It is handed orders on its standard input and gives back outcomes on its standard output, one JSON object a
line each. It ends with its input: so when the daemon is killed, every session that a check has opened at a
server is ended all the same.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

from rtspdsr.core.health import Outcome
from rtspdsr.probe.play import describe, play
from rtspdsr.probe.way import Way

LINE_MAX = 1 << 16  # octets of an order: a URL has 1 KiB at most


class Worker:
    """Makes what is ordered, all of it side by side; how much that is, the daemon decides."""

    def __init__(self, answer: Callable[[str], None]) -> None:
        self._answer = answer
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def take(self, line: bytes) -> None:
        """Begin a check, or cancel one."""
        order = json.loads(line)
        number = order["order"]
        if order.get("cancel"):
            if task := self._tasks.get(number):
                task.cancel()
            return
        task = self._tasks[number] = asyncio.ensure_future(self._make(number, order))
        task.add_done_callback(lambda _: self._tasks.pop(number))

    async def end(self) -> None:
        """Cancel every check; each ends its session first."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, number: int, order: dict[str, Any]) -> None:
        try:
            told: dict[str, Any] = {"outcome": _plain(await _outcome(order))}
        except Exception as error:  # noqa: BLE001 - without an answer its backend is not checked for long
            traceback.print_exc()
            told = {"unmade": f"{type(error).__name__}: {error}"}
        self._answer(json.dumps({"order": number, **told}))


async def _outcome(order: dict[str, Any]) -> Outcome:
    way = Way(vip=ip_address(order["vip"]), port=order["port"], mark=order["mark"])
    if order["timeout_s"] is None:
        return await play(way, order["url"])
    return await describe(way, order["timeout_s"], order["url"])


def _plain(outcome: Outcome) -> dict[str, Any]:
    source = outcome.source
    return {**asdict(outcome), "source": None if source is None else str(source)}


async def work() -> None:
    """Take orders until there are no more."""
    reader = asyncio.StreamReader(LINE_MAX)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    worker = Worker(_say)
    while line := await reader.readline():
        worker.take(line)
    await worker.end()


def _say(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def main() -> None:
    """Work, whoever signals: the daemon decides when this ends, and Ctrl-C reaches both of them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(work())


if __name__ == "__main__":
    main()
