"""Values: the few that are made of words on the wire."""

import pytest

from rtspdsr.model import ReceiverReport


@pytest.mark.parametrize(
    ("lost", "fraction", "cumulative"),
    [
        (0, 0.0, 0),
        (0x40_000005, 0.25, 5),
        (0xFF_7FFFFF, 255 / 256, 8_388_607),
        (0x00_800000, 0.0, -8_388_608),
        (0x00_FFFFFE, 0.0, -2),
    ],
)
def test_a_report_block_counts_losses_with_a_sign(lost: int, fraction: float, cumulative: int) -> None:
    assert ReceiverReport.from_block(7, lost, 100, 3) == ReceiverReport(
        ssrc=7, fraction_lost=fraction, cumulative_lost=cumulative, highest=100, jitter=3
    )
