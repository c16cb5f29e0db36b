"""The benchmark of the tracker measures what it says: sessions of a real daemon, their pins, their end."""

from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address

import pytest

from rtspdsr.core.rtcp import first_report
from rtspdsr.dataplane.layout import Verdict
from rtspdsr.dataplane.reinjection import Checksum, checksum_of
from rtspdsr.model import FlowKey, Proto, Segment, TcpFlag
from tests.bench import crowd as crowd_module
from tests.bench import tracker
from tests.bench.crowd import Crowd, Script, report, tcp
from tests.bench.stand import Stand, standing

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """One daemon for all of them."""
    with standing() as found:
        found.start()
        yield found


def test_every_client_says_what_was_recorded_with_an_id_of_its_own() -> None:
    script = Script.of("ffmpeg-udp")
    assert [one.payload.split()[0] for one in script.playing.steps] == [
        b"OPTIONS", b"DESCRIBE", b"SETUP", b"SETUP", b"PLAY",
    ]  # fmt: skip
    assert [one.ports for one in script.steps] == [(), (), (23706, 23707), (23708, 23709), (), ()]
    said = script.said(script.playing.steps[-1], 7)
    assert b"Session: 0000000000000007\r\n" in said
    assert len(said) == len(script.playing.steps[-1].payload)


def test_frames_carry_whole_checksums_and_reports_are_read() -> None:
    payload = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    frame = tcp(5, 40_000, 1, 2, TcpFlag.ACK | TcpFlag.PSH, payload)
    client = ip_address("10.0.0.5")
    flow = FlowKey(0, Proto.TCP, client, 40_000, 554)
    segment = Segment(
        flow=flow, backend_id=1, sequence=1, acknowledgement=2, flags=TcpFlag.ACK, payload=payload,
        frame=frame, tcp_offset=34,
    )  # fmt: skip
    assert frame[26:30] == client.packed
    assert checksum_of(segment) is Checksum.VALID
    told = first_report(report(4711))
    assert told is not None
    assert told.highest == 4711


def test_sessions_are_pinned_before_their_setup_arrives_and_end(stand: Stand) -> None:
    with closing(Crowd(stand, Script.of("ffmpeg-udp"))) as crowd:
        played = crowd.play(range(30), whole=False)
        assert (played.sessions, played.requests, played.datagrams, played.late) == (30, 150, 120, 0)
        assert (stand.ask().sessions, stand.ask().pins) == (30, 150)

        before = stand.verdicts()
        crowd.live(30, 1.5, keepalives=True)
        after = stand.verdicts()
        assert after[Verdict.DETOURED] > before[Verdict.DETOURED]  # keepalives
        assert after[Verdict.PINNED] > before[Verdict.PINNED]  # receiver reports
        assert after[Verdict.BY_CLIENT] == before[Verdict.BY_CLIENT]
        assert stand.ask().sessions == 30


def test_a_late_pin_is_seen(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Script.said

    def unreadable(script: Script, step: crowd_module.Step, client: int) -> bytes:
        return said(script, step, client).replace(b"client_port", b"clientXport")

    monkeypatch.setattr(Script, "said", unreadable)
    with closing(Crowd(stand, Script.of("ffmpeg-udp"))) as crowd:
        assert crowd.play(range(1000, 1003), whole=False).late == 3 * 4


def test_the_part_as_a_whole_with_few_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("BURST", 20), ("LIVE", (10, 20)), ("WINDOW_S", 0.2), ("SETTLE_S", 0.2), ("ADOPTED", 200),
        ("READ_ALONE", 1), ("LINGER_S", 0.2),
    ):  # fmt: skip
        monkeypatch.setattr(tracker, name, value)
    cells = {cell.case: cell for cell in tracker.bench(2, lambda words: None)}
    assert cells["read and pinned in time"].value.median == 100
    assert cells["pins of each of 20 sessions, UDP"].value.median == 5
    assert cells["pins of each of 10 sessions, interleaved"].value.median == 1
    assert "restart with 20 sessions, 100 pins" in cells
    assert "restart with 40 sessions, 200 pins" in cells
    assert all(one.value.median > 0 for one in cells.values() if "CPU" in one.case or "/s" in one.unit)
    (table,) = tracker.tables(list(cells.values()))
    assert len(table.rows) == len(cells)
    upkeep, steps = tracker.plots(list(cells.values()))
    assert "20 live sessions, UDP: with keepalives" in upkeep.svg
    assert "10 live sessions, interleaved" in steps.svg


def test_the_longest_of_several_steps_can_be_drawn() -> None:
    longest = tracker._most([1.0, 2.0, 9.0])
    (_, plot) = tracker.plots(
        [tracker.Cell("longest step of the loop, 10 live sessions, UDP", longest, "ms")]
    )
    assert longest.median == longest.high == 9.0
    assert "longest" in plot.svg
