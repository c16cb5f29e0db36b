"""The table of all routes, and the handlers of those that ask or change in a few lines."""

import asyncio
from collections.abc import Iterator

from rtspdsr.admin.answers import (
    BackendAnswer,
    BackendDetail,
    ExplanationAnswer,
    HistoryAnswer,
    LoggedIn,
    Placed,
    SessionAnswer,
    StatusAnswer,
    StoryAnswer,
    TopAnswer,
)
from rtspdsr.admin.asked import (
    Asked,
    BackendWish,
    Explain,
    Login,
    OneBackend,
    OneSession,
    Placement,
    Sessions,
    Top,
)
from rtspdsr.admin.login import log_in, log_out
from rtspdsr.admin.monitor import MONITORING
from rtspdsr.admin.openapi import document
from rtspdsr.admin.route import Call, Route
from rtspdsr.model import AdminState


async def _status(call: Call[Asked]) -> StatusAnswer:
    return call.operator.status()


async def _sessions(call: Call[Sessions]) -> Iterator[SessionAnswer | None]:
    return call.operator.sessions(call.asked)


async def _session(call: Call[OneSession]) -> StoryAnswer:
    """A live one, or one of the last 5,000 that have ended; the session log has the others."""
    return call.operator.session(call.asked.session)


async def _top(call: Call[Top]) -> TopAnswer:
    """Of a hundred thousand sessions this takes a second, in pieces."""
    for answer in call.operator.top(call.asked):
        if answer is not None:
            return answer
        await asyncio.sleep(0)
    raise AssertionError("unreachable: the answer is the last")


async def _explain(call: Call[Explain]) -> list[ExplanationAnswer]:
    """Read from the kernel's maps, tier by tier, as the program does; nothing is changed by asking."""
    told = []
    for one in call.operator.explain(call.asked):
        told.append(one)
        await asyncio.sleep(0)
    return told


async def _history(call: Call[Asked]) -> Iterator[HistoryAnswer]:
    return call.operator.history()


async def _backends(call: Call[Asked]) -> list[BackendAnswer]:
    return call.operator.backends()


async def _place(call: Call[Placement]) -> Placed:
    """Its sessions elsewhere stay where they are; it is placed anew once it has no sessions any more."""
    asked = call.asked
    call.operator.place(asked.service, asked.client, asked.backend)
    return {"client": str(asked.client), "backend": asked.backend}


async def _backend(call: Call[OneBackend]) -> BackendDetail:
    return await call.operator.backend(call.asked.service, call.asked.backend)


async def _administer(call: Call[BackendWish]) -> BackendDetail:
    """It holds over reload and restart, until it is changed or the backend leaves the configuration."""
    asked = call.asked
    await call.operator.administer(
        asked.service, asked.backend, AdminState(asked.state), asked.deadline_s, force=asked.force
    )
    return await call.operator.backend(asked.service, asked.backend)


async def _openapi(_call: Call[Asked]) -> dict[str, object]:
    return await asyncio.to_thread(document, ROUTES)  # some 40 ms of schemas


ROUTES = (
    Route("GET", "/v1/status", _status, "How the daemon stands", answer=StatusAnswer),
    Route("GET", "/v1/sessions", _sessions, "Sessions", asked=Sessions, answer=list[SessionAnswer]),
    Route(
        "GET",
        "/v1/sessions/{session}",
        _session,
        "What happened to a session",
        asked=OneSession,
        answer=StoryAnswer,
    ),
    Route("GET", "/v1/top", _top, "What stands out among all sessions", asked=Top, answer=TopAnswer),
    Route(
        "GET",
        "/v1/explain",
        _explain,
        "Which backend a client's packets go to, and by which rule",
        asked=Explain,
        answer=list[ExplanationAnswer],
    ),
    Route(
        "GET",
        "/v1/history",
        _history,
        "How each backend's counters went in the last half hour",
        answer=list[HistoryAnswer],
    ),
    Route("GET", "/v1/backends", _backends, "Every backend, and how it is", answer=list[BackendAnswer]),
    Route(
        "PUT",
        "/v1/services/{service}/clients/{client}",
        _place,
        "Send a client's new connections to a backend",
        asked=Placement,
        answer=Placed,
    ),
    *MONITORING,
    Route(
        "POST",
        "/v1/login",
        log_in,
        "Log a browser in: the token for a cookie",
        asked=Login,
        answer=LoggedIn,
        public=True,
    ),
    Route("DELETE", "/v1/login", log_out, "Log a browser out", answer=LoggedIn),
    Route(
        "GET",
        "/v1/services/{service}/backends/{backend}",
        _backend,
        "One backend, and what holds it",
        asked=OneBackend,
        answer=BackendDetail,
    ),
    Route(
        "PUT",
        "/v1/services/{service}/backends/{backend}/state",
        _administer,
        "Take a backend out, or give it back",
        asked=BackendWish,
        answer=BackendDetail,
    ),
    Route("GET", "/v1/openapi.json", _openapi, "This document", answer=dict[str, object]),
)
