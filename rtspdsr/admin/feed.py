"""Live news for whoever listens: lines of the session log as they are written, and other messages.

Handed lines, it keeps them for each subscription until they are taken; it never waits. Whoever is slower than
the news misses some, and is told how many.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rtspdsr.errors import AdminError

SUBSCRIPTIONS_MAX = 32
WAITING_MAX = 1000  # messages that wait for one subscription: some 400 KB


class Crowded(AdminError):
    """So many listen already that no more are taken."""

    def __init__(self) -> None:
        super().__init__(f"{SUBSCRIPTIONS_MAX} listen already; close some, or try again later")


class Subscription:
    """What one listener has not taken yet."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._missed = 0
        self._news = asyncio.Event()

    def put(self, message: str) -> None:
        """Keep a message until it is taken, or count it as missed."""
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append(message)
            self._news.set()
        else:
            self._missed += 1

    async def take(self, patience_s: float) -> str:
        """All that has come since, once something has; "" if nothing does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._news.wait()
        self._news.clear()
        taken, missed = self._waiting, self._missed
        self._waiting, self._missed = [], 0
        if missed:
            taken.append(message("missed", f'{{"missed":{missed}}}'))
        return "".join(taken)


class Feed:
    """All subscriptions. A session log writes to it as to a file."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self.closed = False

    def __len__(self) -> int:
        return len(self._subscriptions)

    def put(self, line: str) -> None:
        """Tell a line of the session log."""
        if self._subscriptions:
            self.publish(message("record", line))

    def publish(self, message: str) -> None:
        """Tell a message to all who listen."""
        for one in self._subscriptions:
            one.put(message)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Listen for a while. Raises Crowded."""
        if len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
            raise Crowded
        subscription = Subscription()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """Let every listener go."""
        self.closed = True


def message(kind: str, data: str) -> str:
    """A message as an event stream has it (WHATWG HTML, server-sent events): data is one line of JSON."""
    return f"event: {kind}\ndata: {data}\n\n"
