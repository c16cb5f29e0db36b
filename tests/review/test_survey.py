"""What is gathered from lines: the right sessions, every damage, nothing fatal."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspdsr.clientnames import hashed, truncated
from rtspdsr.core.events import SessionSummary
from rtspdsr.errors import ReviewError
from rtspdsr.review.line import LineDamaged, parse, summary
from rtspdsr.review.selection import Selection, client_matcher, moment, network_of
from rtspdsr.review.source import Batch
from rtspdsr.review.statements import report
from rtspdsr.review.survey import Survey
from rtspdsr.sessionlog import event_name
from tests.review.synthetic import START, World

KNOWN = frozenset({"session_opened", "table_filled", "session_stalled", "session_resumed"})


def surveyed(lines: list[str] | list[bytes], selection: Selection | None = None) -> Survey:
    survey = Survey(selection or Selection(), KNOWN)
    raw = [line.encode() if isinstance(line, str) else line for line in lines]
    survey.take(Batch(Path("log"), 1, raw))
    survey.end()
    return survey


def a_summary(**changes: Any) -> dict[str, Any]:
    """A summary as it stands in a log, some keys changed; ``...`` takes one out."""
    lines = map(json.loads, World(clients=3).lines(1))
    record = next(line for line in lines if line["event"] == event_name(SessionSummary))
    return {key: value for key, value in (record | changes).items() if value is not ...}


def test_every_session_is_counted_once() -> None:
    lines = World().lines(1)
    survey = surveyed(lines)
    summaries = [line for line in lines if '"session_summary"' in line]

    assert survey.whole.sessions == len(summaries)
    assert len(survey.clients) == 200
    assert sum(place.count for place in survey.groups["backend"]) == len(summaries)
    assert survey.open == {}
    assert survey.damaged == {}


def test_a_session_without_its_summary_is_open_to_the_end() -> None:
    lines = World(clients=5).lines(1)
    (left, *_) = [line for line in lines if '"session_summary"' in line]
    survey = surveyed([line for line in lines if line != left])
    assert list(survey.open) == [json.loads(left)["session"]]


DAMAGE = [
    (b"", "empty"),
    (b'{"time":"2026-03-01T18:00:00.000Z","event":"session_sum', "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b"[1]", "JSON, but not an object"),
    (b"\xff\xfe", "not UTF-8 text"),
    (b'{"time":"2026-03-01T18:00:00.000Z"}', "no event"),
    (b'{"event":"session_opened"}', "no time"),
    (b'{"event":"session_opened","time":"yesterday"}', "no time"),
]


def test_damaged_lines_are_counted_by_kind_with_their_place() -> None:
    survey = surveyed([text for text, _ in DAMAGE])
    assert sum(places.count for places in survey.damaged.values()) == len(DAMAGE)
    assert set(survey.damaged) == {kind for _, kind in DAMAGE}
    assert survey.damaged["not JSON"].first == "log:2"


def test_unknown_events_are_named() -> None:
    survey = surveyed(['{"time":"2026-03-01T18:00:00Z","event":"session_praised"}'] * 3)
    assert survey.unknown_events["session_praised"].count == 3


def test_a_summary_of_an_older_version_counts_and_what_it_lacks_is_named() -> None:
    survey = surveyed([json.dumps(a_summary(first_delivery_s=..., stalls=..., setup_s="fast", jitter=None))])
    assert survey.whole.sessions == 1
    assert set(survey.incomplete) == {"first_delivery_s", "stalls", "setup_s"}


def test_a_summary_without_times_is_placed_where_its_line_is() -> None:
    record = a_summary(opened_at=..., closed_at=None, time="2026-03-01T18:00:00Z")
    found = summary(parse(json.dumps(record).encode()), recording=False)
    assert (found.opened_at, found.closed_at) == (START, START)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_no_value_of_any_key_is_fatal(value: Any) -> None:
    record = a_summary()
    survey = surveyed([json.dumps(record | {key: value}) for key in record if key not in ("time", "event")])
    assert survey.whole.sessions == len(record) - 2
    json.dumps(report(survey, {}).record(), allow_nan=False)


@given(st.binary())
def test_no_bytes_are_fatal(text: bytes) -> None:
    with pytest.raises(LineDamaged):
        parse(text)


SILENT = {"first_delivery_s": None, "delivered_packets": None}


@pytest.mark.parametrize(
    ("changes", "recording", "kind"),
    [
        ({"played_at": None}, False, "never_played"),
        ({"reason": "backend_down"}, False, "backend_down"),
        ({"first_delivery_s": None, "delivered_packets": None}, False, "no_delivery"),
        ({"first_delivery_s": None, "delivered_packets": None}, True, None),
        ({"first_delivery_s": None, "delivered_packets": None, "transports": ["multicast"]}, False, None),
        ({"played_at": ...}, False, None),
        ({**SILENT, "user_agent": "GStreamer/1.22.0"}, False, None),
        ({**SILENT, "user_agent": "GStreamer/1.22.0", "transports": ["tcp"]}, False, "no_delivery"),
        ({**SILENT, "user_agent": "Lavf59.27.100"}, False, "no_delivery"),
        ({}, False, None),
    ],
)
def test_what_counts_as_a_failure(changes: dict[str, Any], recording: bool, kind: str | None) -> None:
    times = {
        "opened_at": "2026-03-01T18:00:00Z",
        "played_at": "2026-03-01T18:00:01Z",
        "closed_at": "2026-03-01T18:01:00Z",
    }
    healthy = {"setup_s": 0.1, "first_delivery_s": 0.5, "transports": ["udp"], "reason": "teardown"}
    record = a_summary(**{**times, **healthy, **changes})
    assert summary(parse(json.dumps(record).encode()), recording=recording).failed == kind


def test_a_player_that_may_not_report_has_not_failed() -> None:
    """GStreamer at VLC: b=RR:0, and it would have given up after 5 s without a packet."""
    times = {"played_at": "2026-03-01T18:00:01Z", "closed_at": "2026-03-01T18:01:00Z"}
    record = a_summary(
        **times, **SILENT, transports=["udp"], user_agent="GStreamer/1.22.0", reason="teardown"
    )
    survey = surveyed([json.dumps(record)])
    assert (survey.whole.failed, survey.whole.untold, dict(survey.failures)) == (0, 1, {})
    (overview,) = [one for one in report(survey, {}).tables if one.name == "overview"]
    assert overview.rows[0]["untold"] == 1
    assert "b=RR:0" in overview.note
    assert "inferred" in overview.note  # nobody saw the SDP


def test_shares_of_the_table_in_force_are_followed() -> None:
    def table(**shares: int) -> str:
        return json.dumps(
            {"time": "2026-03-01T18:00:00Z", "event": "table_filled", "service": "cams", "shares": shares}
        )

    survey = surveyed([table(a=3, b=1), table(), table(a=1, b=1), table(a=3, b=1)])
    assert survey.tables["cams"].shares == [{"a": 0.75, "b": 0.25}, {"a": 0.5, "b": 0.5}]
    assert survey.tables["cams"].current == 0


# --- selecting ---------------------------------------------------------------------------------------


def test_a_backend_a_url_a_client_a_time() -> None:
    lines = World().lines(2)
    records = [json.loads(line) for line in lines if '"session_summary"' in line]
    first = records[0]

    def sessions(**chosen: Any) -> int:
        return surveyed(lines, Selection(**chosen)).whole.sessions

    assert sessions(backend="cams/cam-b") == sessions(backend="cam-b")
    assert sessions(backend="cam-b") == sum(one["backend"] == "cam-b" for one in records)
    assert sessions(backend="doors/cam-b") == 0
    assert sessions(url="*/cam1") == sum(one["url"].endswith("/cam1") for one in records)
    assert sessions(url="/cam1") > sessions(url="*/cam1")
    alone = sessions(client=client_matcher(first["client"]))
    assert alone == sum(one["client"] == first["client"] for one in records) < len(records)
    assert sessions(client=client_matcher("198.18.0.0/15")) == len(records)
    assert sessions(client=client_matcher("2001:db8::/32")) == 0
    early, late = sessions(until=START + 1800), sessions(since=START + 1800)
    assert early < len(records) > late
    assert early + late >= len(records)


def test_clients_are_found_in_logs_that_do_not_name_them() -> None:
    name = hashed(b"k" * 32)
    for client_name, matcher in (
        (truncated, client_matcher("198.18.0.7")),
        (name, client_matcher("198.18.0.7", name)),
    ):
        lines = World(client_name=client_name).lines(3)
        whole, some = surveyed(lines), surveyed(lines, Selection(client=matcher))
        assert 0 < some.whole.sessions < whole.whole.sessions
        assert len(some.clients) == 1
        (place,) = some.groups["client"]
        assert surveyed(lines, Selection(client=client_matcher(place.key))).whole.sessions == place.count


@pytest.mark.parametrize("text", ["192.0.2.300", "somebody", ""])
def test_what_is_no_client_is_refused(text: str) -> None:
    with pytest.raises(ReviewError, match="is no client"):
        client_matcher(text)


def test_times() -> None:
    assert moment("2026-03-01T18:00", 0.0) == moment("2026-03-01T20:00+02:00", 0.0) == START
    assert moment("90m", START) == START - 5400
    assert moment("2d", START) == START - 172_800
    for text in ("", "noon", "5w", "m"):
        with pytest.raises(ReviewError, match="is no time"):
            moment(text, START)


def test_networks_of_clients() -> None:
    assert network_of("192.0.2.7") == network_of("192.0.2.0/24") == "192.0.2.0/24"
    assert network_of("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert network_of("#1a2b3c4d5e6f") == "#1a2b3c4d5e6f"
