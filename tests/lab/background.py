"""Jobs that go on in threads while something else is done."""

from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Self

Job = Callable[[Event], None]


class Background:
    """Jobs that run while it is entered; each is handed an event, and returns soon after that is set."""

    def __init__(self, *jobs: Job) -> None:
        self._over = Event()
        self._threads = [Thread(target=job, args=(self._over,)) for job in jobs]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
