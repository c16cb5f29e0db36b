"""Events become lines of JSON with documented keys."""

import json
import math
import time
import typing
from dataclasses import fields
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from rtspdsr.core.events import (
    CloseReason,
    ConfigRefused,
    ConnectionEvent,
    Effect,
    Event,
    Guess,
    RequestInferred,
    RequestMalformed,
    SessionOpened,
    SessionStalled,
    SessionSummary,
    TableFilled,
    VipClaimed,
)
from rtspdsr.logfile import Rotation
from rtspdsr.logreference import document, event_classes
from rtspdsr.model import Address
from rtspdsr.sessionlog import KEYS, Lines, event_name, keys_of, open_log

REFERENCE = Path(__file__).parent.parent / "docs" / "session-log.md"
BOOTED_AT = 1_700_000_000.0  # 2023-11-14T22:13:20Z


class Numbered:
    """Service 1 is ``cams``, backend 2 is ``cam-a``; nothing else is configured."""

    def service(self, service_id: int) -> str | None:
        return {1: "cams"}.get(service_id)

    def backend(self, backend_id: int) -> str | None:
        return {2: "cam-a"}.get(backend_id)


def parsed(event: Event) -> dict[str, Any]:
    line = Lines(Numbered(), wall_offset=lambda: BOOTED_AT).line(event)
    assert line.isascii()
    assert line.isprintable()
    record: dict[str, Any] = json.loads(line)
    return record


WHERE: dict[str, Any] = {
    "at": 10.0,
    "service_id": 1,
    "backend_id": 2,
    "client": IPv4Address("192.0.2.7"),
    "client_port": 51000,
}


def sample(annotation: Any) -> Any:
    """Any value of a field's type."""
    for kind, value in (
        (float, 1.5),
        (int, 3),
        (str, "text"),
        (Address, IPv4Address("192.0.2.1")),
        (bool, True),
    ):
        if annotation in (kind, kind | None):
            return value
    if typing.get_origin(annotation) is tuple:
        return (sample(typing.get_args(annotation)[0]),)
    if typing.get_origin(annotation) is dict:
        return {"name": sample(typing.get_args(annotation)[1])}
    return next(iter(annotation))  # an enum


def test_the_whole_summary() -> None:
    assert parsed(
        SessionSummary(
            **WHERE,
            session="a1",
            server_session=None,
            url="rtsp://192.0.2.10/cam",
            user_agent="Lavf59.27.100",
            transports=("udp", "udp"),
            client_ports=(5000, 5001, 5002, 5003),
            opened_at=5.0,
            played_at=5.25,
            closed_at=9.9994,
            setup_s=0.123456,
            first_delivery_s=None,
            client_packets=12,
            client_bytes=3400,
            delivered_bytes=None,
            delivered_packets=900,
            lost_packets=-1,
            worst_loss=1 / 256,
            last_loss=0.0,
            jitter=17,
            stalls=1,
            stalled_s=10.00049,
            reason=CloseReason.CONNECTION_CLOSED,
        )
    ) == {
        "time": "2023-11-14T22:13:30.000Z",
        "event": "session_summary",
        "service": "cams",
        "backend": "cam-a",
        "client": "192.0.2.7",
        "client_port": 51000,
        "session": "a1",
        "server_session": None,
        "url": "rtsp://192.0.2.10/cam",
        "user_agent": "Lavf59.27.100",
        "transports": ["udp", "udp"],
        "client_ports": [5000, 5001, 5002, 5003],
        "opened_at": "2023-11-14T22:13:25.000Z",
        "played_at": "2023-11-14T22:13:25.250Z",
        "closed_at": "2023-11-14T22:13:29.999Z",
        "setup_s": 0.123,
        "first_delivery_s": None,
        "client_packets": 12,
        "client_bytes": 3400,
        "delivered_bytes": None,
        "delivered_packets": 900,
        "lost_packets": -1,
        "worst_loss": 0.0039,
        "last_loss": 0.0,
        "jitter": 17,
        "stalls": 1,
        "stalled_s": 10.0,
        "reason": "connection_closed",
    }


def test_time_and_event_come_first() -> None:
    record = parsed(RequestInferred(**WHERE, guess=Guess.REFUSED, method="DESCRIBE", url="rtsp://x/"))

    assert list(record)[:2] == ["time", "event"]
    assert record["inferred"] is True


def test_names_that_are_configured_no_longer_are_null() -> None:
    record = parsed(RequestMalformed(**{**WHERE, "service_id": 8, "backend_id": 9}, problem="x"))

    assert (record["service"], record["backend"]) == (None, None)


def test_addresses_mappings_and_lists() -> None:
    claim = parsed(
        VipClaimed(
            at=0.0,
            vip=IPv6Address("2001:db8::10"),
            mac="02:00:00:00:00:01",
            interface="eth0",
            defended=True,
        )
    )
    assert claim["vip"] == "2001:db8::10"
    assert parsed(TableFilled(at=0.0, service_id=1, shares={"cam-a": 65537}))["shares"] == {"cam-a": 65537}
    assert parsed(ConfigRefused(at=0.0, mistakes=("a: b",)))["mistakes"] == ["a: b"]


@pytest.mark.parametrize(
    "text",
    ["\x1b[2J\x1b]0;owned\x07", "a\nb\r\nc", "\x00\x7f\x85\u2028\u2029", "\x9b31m", "\ud800", 'quote " \\'],
)
def test_no_text_of_a_client_reaches_a_terminal_or_ends_a_line(text: str) -> None:
    assert parsed(SessionOpened(**WHERE, session="a", url=text, user_agent=text))["user_agent"] == text


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_json_cannot_say_is_null(value: float) -> None:
    assert parsed(SessionStalled(**WHERE, session="a", silent_s=value))["silent_s"] is None


def test_names_of_events() -> None:
    assert event_name(SessionOpened) == "session_opened"
    assert event_name(VipClaimed) == "vip_claimed"


# --- the list of keys --------------------------------------------------------------------------------


@pytest.mark.parametrize("event_class", event_classes(), ids=event_name)
def test_every_key_of_every_event_is_listed(event_class: type[Event]) -> None:
    missing = [key for key in keys_of(event_class) if key not in KEYS]
    assert not missing, f"describe these in sessionlog.KEYS, and run make docs: {missing}"


@pytest.mark.parametrize("event_class", event_classes(), ids=event_name)
def test_the_keys_of_a_line_are_those_that_are_documented(event_class: type[Event]) -> None:
    values = {field.name: sample(field.type) for field in fields(event_class)}

    record = parsed(event_class(**values))

    assert list(record) == keys_of(event_class)


def test_every_listed_key_is_used() -> None:
    assert set(KEYS) == {key for event_class in event_classes() for key in keys_of(event_class)}


def test_facts_alone_are_lines() -> None:
    classes = event_classes()

    assert SessionOpened in classes
    assert not {Event, Effect, ConnectionEvent} & set(classes)
    assert not [found for found in classes if issubclass(found, Effect)]


def test_the_reference_is_current() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == document(), "run make docs"


# --- on a file ---------------------------------------------------------------------------------------


def test_lines_reach_the_file_at_today_s_time(tmp_path: Path) -> None:
    path = tmp_path / "log" / "sessions.log"
    log, file = open_log(str(path), rotation=Rotation(1 << 20, 2), queue_max=100, names=Numbered())
    before = time.time()

    log.write(RequestMalformed(**{**WHERE, "at": time.monotonic()}, problem="x"))

    assert file.close()
    (line,) = path.read_text().splitlines()
    written = time.mktime(time.strptime(json.loads(line)["time"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    assert int(before) <= written <= before + 1


def test_lines_that_were_lost_are_told_as_a_line(tmp_path: Path) -> None:
    path = tmp_path / "sessions.log"
    log, file = open_log(str(path), rotation=Rotation(1 << 20, 2), queue_max=0, names=Numbered())

    for _ in range(3):
        log.write(RequestMalformed(**WHERE, problem="x"))

    assert file.close()
    record = json.loads(path.read_text())
    assert (record["event"], record["queue_full_lines"], record["write_failed_lines"]) == (
        "lines_dropped",
        3,
        0,
    )
