"""A session as text, and back."""

import json
from typing import Any

import pytest

from rtspdsr.core import record
from rtspdsr.core.session import State
from rtspdsr.model import FlowKey, Proto
from tests.core.builders import CLIENT, URL, Control, World, play_udp, report, transport, udp


def session_record() -> dict[str, Any]:
    """The record of a session that has lived a little: two tracks, one torn down, reports."""
    world, control = World(), Control()
    world.feed(
        *play_udp(control),
        control.ask("SETUP", f"{URL}/track2", Transport=transport(5002, 5003), Session="abc"),
        control.ask("TEARDOWN", f"{URL}/track2", Session="abc"),
    )
    world.hear(udp(5001), report=report(100, lost=3, fraction=0.5, jitter=8))
    world.wait(6)
    text = json.dumps(world.tracker.snapshot("s1"))
    kept: dict[str, Any] = json.loads(text)
    return kept


def test_what_was_written_is_read() -> None:
    known = record.read("s1", session_record(), 120.0)
    assert known is not None
    session = known.session
    assert (session.name, session.client, session.state, session.server_session) == (
        "s1",
        CLIENT,
        State.PLAYING,
        "abc",
    )
    assert [(track.url, track.client_ports, track.live) for track in session.tracks] == [
        (f"{URL}/track1", (5000, 5001), True),
        (f"{URL}/track2", (5002, 5003), False),
    ]
    assert (session.opened_at, session.syn_at, session.heard_at) == (100.0, 99.5, 120.0)
    assert (session.quality.lost_packets, session.quality.worst_loss) == (3, 0.5)
    assert [flow.flow for flow in known.pins] == [udp(port) for port in (5000, 5001, 5002, 5003)]
    assert known.pins[1].packets == 1
    assert known.connection is not None
    assert known.connection.control.flow == FlowKey(0, Proto.TCP, CLIENT, 40000, 554)
    assert (known.connection.initial, known.connection.opened_at) == (1000, 99.5)


@pytest.mark.parametrize("key", sorted(session_record()))
def test_a_record_that_lacks_anything_is_none(key: str) -> None:
    kept = session_record()
    del kept[key]
    assert record.read("s1", kept, 120.0) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("client", "nobody"),
        ("state", "asleep"),
        ("tracks", None),
        ("pins", [{}]),
        ("quality", 5),
        ("connection", 1),
    ],
)
def test_a_record_of_another_kind_is_none(key: str, value: object) -> None:
    assert record.read("s1", session_record() | {key: value}, 120.0) is None
