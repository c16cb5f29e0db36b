"""What a review is told of a session's reception."""

import json

import pytest

from rtspdsr.core.quality import ANSWER_BYTES, Quality
from rtspdsr.model import ReceiverReport
from tests.core.builders import report


def test_nothing_heard_is_nothing_known() -> None:
    quality = Quality()
    assert (quality.delivered_packets, quality.lost_packets, quality.jitter) == (None, None, None)
    assert (quality.worst_loss, quality.last_loss, quality.first_delivery_at) == (None, None, None)


def test_reports_of_two_tracks_are_one_account() -> None:
    quality = Quality()
    quality.report(5001, report(1000, lost=1, fraction=0.25, jitter=30), 2.0)
    quality.report(5003, report(70, lost=0, jitter=90), 2.5)
    quality.report(5001, report(1100, lost=3, fraction=0.02, jitter=20), 7.0)
    quality.report(5003, report(80, lost=2, fraction=0.01, jitter=60), 7.5)
    assert (quality.delivered_packets, quality.lost_packets, quality.jitter) == (110, 5, 60)
    assert (quality.worst_loss, quality.last_loss) == (0.25, 0.01)
    assert quality.first_delivery_at == 2.0


def test_a_report_that_was_read_before_counts_once() -> None:
    quality = Quality()
    for _ in range(2):
        quality.report(5001, report(100, fraction=0.5), 2.0)
    quality.report(5001, report(999, fraction=0.9), 1.0)
    assert (quality.delivered_packets, quality.worst_loss) == (None, 0.5)


def test_one_report_alone_tells_no_number_of_packets() -> None:
    first = Quality()
    first.report(5001, report(4711), 2.0)
    quality = Quality.restored(first.snapshot())
    told = [first.delivered_packets, quality.delivered_packets]
    for at, highest in ((3.0, 4711), (4.0, 4720)):
        quality.report(5001, report(highest), at)
        told.append(quality.delivered_packets)
    assert told == [None, None, 0, 9]


def test_sequence_numbers_pass_their_end() -> None:
    quality = Quality()
    quality.report(5001, report(0xFFFFFFF0), 1.0)
    quality.report(5001, report(0x10), 2.0)
    assert quality.delivered_packets == 32


def test_more_packets_than_anybody_receives_are_not_counted() -> None:
    quality = Quality()
    for at in range(100):
        quality.report(5001, report(at * 0x7FFFFFFF & 0xFFFFFFFF), float(at))
    assert quality.delivered_packets == 0
    quality.report(5001, report((99 * 0x7FFFFFFF & 0xFFFFFFFF) + 500), 100.0)
    assert quality.delivered_packets == 500


@pytest.mark.parametrize("second", [report(40, lost=1, ssrc=8), report(40, lost=1)])
def test_a_new_source_or_a_jump_back_begins_a_new_count(second: ReceiverReport) -> None:
    quality = Quality()
    quality.report(5001, report(100, lost=2), 1.0)
    quality.report(5001, report(150, lost=4), 2.0)
    quality.report(5001, second, 3.0)
    quality.report(5001, report(50, lost=1, ssrc=second.ssrc), 4.0)
    assert (quality.delivered_packets, quality.lost_packets) == (60, 5)


def test_silence_while_playing_is_a_stall_told_once() -> None:
    quality = Quality()
    quality.begin(interleaved=True, now=10.0)
    assert quality.stalled(19.9, 10.0) is None
    assert quality.stalled(20.5, 10.0) == 10.5
    assert quality.stalled(30.0, 10.0) is None
    quality.progressed(35.0)
    assert [quality.resumed() for _ in range(2)] == [25.0, None]
    assert (quality.stalls, quality.stalled_s) == (1, 25.0)


def test_a_player_that_never_reports_does_not_stall() -> None:
    quality = Quality()
    quality.begin(interleaved=False, now=10.0)
    assert quality.stalled(1000.0, 10.0) is None


def test_reports_that_stop_progressing_are_a_stall() -> None:
    quality = Quality()
    quality.begin(interleaved=False, now=10.0)
    quality.report(5001, report(100), 12.0)
    quality.report(5001, report(100), 17.0)
    assert quality.stalled(22.0, 10.0) == 10.0


def test_a_pause_is_no_stall_and_ends_one() -> None:
    quality = Quality()
    quality.begin(interleaved=True, now=10.0)
    assert quality.stalled(25.0, 10.0) == 15.0
    quality.halt(30.0)
    assert quality.stalled(99.0, 10.0) is None
    quality.begin(interleaved=True, now=100.0)
    assert quality.stalled(105.0, 10.0) is None
    assert (quality.stalls, quality.stalled_s, quality.resumed()) == (1, 20.0, None)


def test_answers_are_no_media() -> None:
    quality = Quality()
    quality.begin(interleaved=True, now=10.0)
    first = []
    for grown in (ANSWER_BYTES, ANSWER_BYTES + 1):
        quality.acknowledged(grown, answers=1, at=12.0)
        first.append(quality.first_delivery_at)
    assert first == [None, 12.0]
    assert quality.delivered_bytes == 2 * ANSWER_BYTES + 1


def test_a_snapshot_goes_on_where_it_was_taken() -> None:
    quality = Quality()
    quality.acknowledged(5000, answers=0, at=1.0)
    quality.report(5001, report(100, lost=2, fraction=0.5, jitter=7), 1.0)
    quality.report(5001, report(10, lost=1, ssrc=9), 2.0)
    again = Quality.restored(json.loads(json.dumps(quality.snapshot())))
    for one in (quality, again):
        one.report(5001, report(10, lost=1, ssrc=9), 2.0)
        one.report(5001, report(30, lost=4, fraction=0.1, jitter=3, ssrc=9), 3.0)
    assert again.snapshot() == quality.snapshot()
    assert (again.delivered_packets, again.lost_packets) == (20, 6)
