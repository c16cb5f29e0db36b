"""A session that the daemon no longer knows, read back from the session log.

Handed a log file, it reads that and what was rotated from it, and gives back the session in the shape of the
API's answer, with what a log tells: no requests that changed nothing, and no course.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rtspdsr.errors import AdminError, ReviewError

#: Names that are told of those that could be meant.
SHOWN_MAX = 10

#: What the head of a story says, so that its entries need not.
_HEAD = frozenset({"time", "event", "service", "backend", "client", "client_port", "session"})

#: What a line of a session has, whatever it tells.
_NAMING = ("time", "event", "session")

_SUMMARY = (
    "client",
    "client_port",
    "service",
    "backend",
    "url",
    "user_agent",
    "server_session",
    "opened_at",
    "played_at",
    "closed_at",
    "setup_s",
    "first_delivery_s",
    "client_packets",
    "client_bytes",
    "delivered_bytes",
    "delivered_packets",
    "lost_packets",
    "worst_loss",
    "last_loss",
    "jitter",
    "stalls",
    "stalled_s",
    "reason",
)


def find(file: Path, prefix: str) -> dict[str, Any] | None:
    """The session whose name begins so; None if the log has none. Raises AdminError if several do.

    However many begin so, the lines of two are kept at most: of the first, and of that with this very name.
    """
    whole: list[dict[str, Any]] = []
    first: list[dict[str, Any]] = []
    names: set[str] = set()
    for line in _lines(file, prefix):
        name = line["session"]
        if len(names) <= SHOWN_MAX:
            names.add(name)
        if name == prefix:
            whole.append(line)
        elif len(names - {prefix}) > 1:
            first.clear()
        else:
            first.append(line)
    if whole or len(names) == 1:
        return _story(prefix if whole else names.pop(), whole or first)
    if not names:
        return None
    shown = ", ".join(sorted(names)[:SHOWN_MAX])
    raise AdminError(f"several sessions in {file} begin with {prefix!r}: {shown}; write more of it")


def _lines(file: Path, prefix: str) -> Iterator[dict[str, Any]]:
    from rtspdsr.review.source import Batch, batches, in_order, rotated

    if str(file) == "-":
        return
    try:
        files = in_order(rotated(file))
    except ReviewError:
        return
    mark = f'"session":{json.dumps(prefix)[:-1]}'.encode()
    for one in files:
        for batch in batches(one, lambda _read: None):
            if not isinstance(batch, Batch):
                continue
            for text in batch.lines:
                if mark in text and (line := _parsed(text, prefix)) is not None:
                    yield line


def _parsed(text: bytes, prefix: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    if not isinstance(line, dict) or not all(isinstance(line.get(key), str) for key in _NAMING):
        return None
    return line if line["session"].startswith(prefix) else None


def _story(name: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    summary = next((line for line in lines if line["event"] == "session_summary"), {})
    known: dict[str, Any] = {}
    for line in lines:
        known |= line
    entries = [
        {
            "time": line["time"],
            "event": line["event"],
            "method": None,
            "url": None,
            "times": 1,
            "until": line["time"],
            "details": {key: value for key, value in line.items() if key not in _HEAD},
        }
        for line in lines
        if line["event"] != "session_summary"
    ]
    return {
        "session": name,
        "state": "ended" if summary else "unknown",
        **{key: (summary or known).get(key) for key in _SUMMARY},
        "tracks": [
            {key: line[key] for key in ("url", "transport", "client_ports", "channels")}
            for line in lines
            if line["event"] == "track_pinned"
        ],
        "entries": entries,
        "entries_first": len(entries),
        "entries_omitted": 0,
        "course": [],
    }
