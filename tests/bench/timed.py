"""The daemon as a child process whose loop is timed: each step by the CPU that its thread has used.

Handed a configuration and one end of a pipe, it serves until it is ended. It says a word when it forwards,
and how it is whenever it is asked.
"""

import asyncio
import gc
import sys
import time
from asyncio import Handle
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pyroute2 import netns

from rtspdsr.balancer.balancer import Balancer
from rtspdsr.balancer.supervisor import Supervisor
from rtspdsr.core.events import Event
from rtspdsr.sessionlog import SessionLog


class Stretches:
    """The longest step of the loop, by what ran."""

    def __init__(self) -> None:
        self.longest: dict[str, float] = {}

    def watch(self) -> None:
        """Time every step from now on."""
        run = Handle._run

        def timed(handle: Handle) -> None:
            begun = time.thread_time()
            run(handle)
            lasted = time.thread_time() - begun
            if lasted > 0.001:
                name = _name(handle)
                self.longest[name] = max(lasted, self.longest.get(name, 0.0))

        Handle._run = timed  # type: ignore[assignment, method-assign]


def _name(handle: Any) -> str:
    """What a step belongs to: a task's coroutine, or the function that was called."""
    called = handle._callback
    task = getattr(called, "__self__", None)
    if isinstance(task, asyncio.Task):
        return str(getattr(task.get_coro(), "__qualname__", task))
    return str(getattr(called, "__qualname__", called))


class _Ready(Supervisor):
    """Tells the benchmark, in place of a service manager."""

    def __init__(self, talk: Connection) -> None:
        super().__init__(None, None)
        self._talk = talk

    async def ready(self, status: str) -> None:
        await asyncio.sleep(0)  # the heartbeat, which was just started, beats first
        self._talk.send(status)


def main(namespace: str, config: str, logged: str, talk: str) -> None:
    """Run the daemon in a namespace. ``unlogged``: events are put in force and not written."""
    netns.setns(namespace)
    if logged == "unlogged":
        SessionLog.write = _forget  # type: ignore[assignment, method-assign]
    asyncio.run(_serve(Path(config), Connection(int(talk))))


def _forget(_log: SessionLog, _event: Event) -> None:
    """In place of writing."""


async def _serve(config: Path, talk: Connection) -> None:
    stretches = Stretches()
    balancer = await Balancer.open(config, _Ready(talk))

    def tell() -> None:
        talk.recv()
        talk.send(
            {
                "sessions": len(balancer.tracker.sessions),
                "pins": balancer._dataplane.pins,
                "stretches": stretches.longest.copy(),
            }
        )
        stretches.longest.clear()

    asyncio.get_running_loop().add_reader(talk.fileno(), tell)
    stretches.watch()
    gc.collect()
    await balancer.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
