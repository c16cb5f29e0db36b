"""Ticks of the kernel as seconds of our clock, against the kernel's own coarse clock."""

import time

import pytest

from rtspdsr.dataplane.ticks import Ticks
from tests.packets.frames import media
from tests.packets.runner import B, XdpRunner, flow

pytestmark = pytest.mark.kernel

PLACE = 5


def heard_now(xdp: XdpRunner) -> float:
    """When the daemon thinks that a packet came that has come this moment."""
    xdp.run(bytes(media()))
    return xdp.read_statistics(PLACE).heard_at


def test_what_was_heard_is_told_in_seconds_of_our_clock(xdp: XdpRunner) -> None:
    xdp.pin(flow(), B, place=PLACE)
    for _ in range(20):
        before = time.monotonic()
        heard = heard_now(xdp)
        assert before - 0.05 < heard < time.monotonic() + 0.05
        time.sleep(0.013)


def test_time_passes_as_fast_as_ours(xdp: XdpRunner) -> None:
    xdp.pin(flow(), B, place=PLACE)
    began, first = time.monotonic(), heard_now(xdp)
    time.sleep(1)
    assert heard_now(xdp) - first == pytest.approx(time.monotonic() - began, abs=0.05)


def test_never_is_zero_not_the_origin() -> None:
    assert Ticks(origin_s=-17.0, length_s=0.004).seconds(0) == 0
    assert Ticks(origin_s=-17.0, length_s=0.004).seconds(5000) == 3
