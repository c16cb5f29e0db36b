"""One route of the API: what it is called, what may be asked of it, and what it answers.

A handler is given a ``Call`` and gives back a value of the answer's type, an iterator of the parts of a long
list, which is sent in pieces, or a response of its own.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from aiohttp import web

from rtspdsr.admin.asked import Asked
from rtspdsr.admin.operator import Operator

READING = ("GET", "HEAD")


A = TypeVar("A", bound=Asked)


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """One request: whom it asks, what, and as it came."""

    operator: Operator
    asked: A
    request: web.Request


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with a status of its own."""

    status: int
    value: Any


@dataclass(frozen=True, slots=True)
class Route:
    """A record of the table.

    path:     as aiohttp writes it, with ``{name}`` for a part that varies
    summary:  what it is for, in a line; the handler's docstring says more
    asked:    model of path, query and body
    answer:   type of the JSON answer; None if it answers something else than JSON
    media:    content type of the answer
    statuses: answers beside 200 and those of every route, with their meaning
    public:   answered over TCP without the token
    """

    method: str
    path: str
    handler: Callable[[Call[Any]], Awaitable[Any]]
    summary: str
    asked: type[Asked] = Asked
    answer: Any = None
    media: str = "application/json"
    statuses: Mapping[int, str] = field(default_factory=dict)
    public: bool = False

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.method not in READING

    @property
    def streams(self) -> bool:
        """Whether its answer goes on for as long as somebody listens."""
        return self.media == "text/event-stream"

    @property
    def places(self) -> frozenset[str]:
        """Names of the parts of its path that vary."""
        parts = (part for part in self.path.split("/") if part.startswith("{"))
        return frozenset(part.strip("{}").partition(":")[0] for part in parts)
