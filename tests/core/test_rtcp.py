"""Receiver reports: what clients send, and every way to cut it short."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspdsr.core.rtcp import first_report
from rtspdsr.model import ReceiverReport

BLOCK = struct.pack("!IIIIII", 0x11223344, 0x40_000005, 0x0001_0203, 77, 0, 0)
REPORT = ReceiverReport(ssrc=0x11223344, fraction_lost=0.25, cumulative_lost=5, highest=0x00010203, jitter=77)
RR = struct.pack("!BBHI", 0x81, 201, 7, 0xCAFE) + BLOCK
SR = struct.pack("!BBHIQIII", 0x81, 200, 12, 0xCAFE, 1, 2, 3, 4) + BLOCK
EMPTY_RR = struct.pack("!BBHI", 0x80, 201, 1, 0xCAFE)
SDES = struct.pack("!BBHI", 0x81, 202, 3, 0xCAFE) + b"\x01\x04name\0\0"


@pytest.mark.parametrize(
    ("payload", "report"),
    [
        pytest.param(RR, REPORT, id="a receiver report"),
        pytest.param(RR + SDES, REPORT, id="a receiver report with a source description"),
        pytest.param(SR, REPORT, id="a sender report with a block"),
        pytest.param(SDES + RR, REPORT, id="not first in its compound"),
        pytest.param(EMPTY_RR + RR, REPORT, id="behind an empty one"),
        pytest.param(EMPTY_RR + SDES, None, id="an empty report"),
        pytest.param(b"\xce\xfa\xed\xfe", None, id="a punch of VLC"),
        pytest.param(b"\x80\xc9\x00", None, id="a header cut short"),
        pytest.param(b"\x41" + RR[1:], None, id="another version"),
        pytest.param(b"\xa1" + RR[1:-1] + b"\x04", None, id="padding over the end of the block"),
        pytest.param(b"\xa1" + RR[1:-1] + b"\xff", None, id="padding beyond the packet"),
        pytest.param(b"\xa0" + EMPTY_RR[1:] + RR, None, id="padding before the last packet"),
        pytest.param(b"\x9f" + RR[1:], None, id="more blocks stated than there are"),
        pytest.param(RR[:2] + b"\x00\x06" + RR[4:], None, id="a length that ends within the block"),
        pytest.param(RR[:2] + b"\xff\xff" + RR[4:], REPORT, id="a length beyond what was kept"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_first_report(payload: bytes, report: ReceiverReport | None) -> None:
    assert first_report(payload) == report


def test_more_duplicates_than_losses_are_a_negative_loss() -> None:
    report = first_report(RR[:12] + b"\x00\xff\xff\xfe" + RR[16:])
    assert report is not None
    assert (report.fraction_lost, report.cumulative_lost) == (0.0, -2)


@pytest.mark.parametrize("size", range(len(RR)))
def test_a_report_cut_short_is_none(size: int) -> None:
    assert first_report(RR[:size]) is None


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: RR[:8] + tail))
def test_any_bytes_are_read_without_harm(payload: bytes) -> None:
    report = first_report(payload)
    assert report is None or 0 <= report.fraction_lost < 1
