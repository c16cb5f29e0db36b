"""Rate, loss, jitter and source of a stream, from datagrams written by hand."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspdsr.probe.reception import Reception

VIP, REAL = ip_address("192.0.2.10"), ip_address("192.0.2.21")


def rtp(
    number: int, *, timestamp: int | None = None, ssrc: int = 7, kind: int = 96, size: int = 1000
) -> bytes:
    stamp = number * 900 if timestamp is None else timestamp
    return struct.pack("!BBHII", 0x80, kind, number % 65_536, stamp % 2**32, ssrc) + bytes(size - 12)


def heard(numbers: list[int]) -> Reception:
    reception = Reception(90_000)
    for place, number in enumerate(numbers):
        reception.take(rtp(number), VIP, 10 + place / 100)
    return reception


def test_a_steady_stream_has_its_rate_no_loss_and_no_jitter() -> None:
    reception = heard(list(range(65_500, 65_601)))
    assert reception.bits_per_s == pytest.approx(800_000)
    assert reception.lost == 0
    assert reception.jitter_s == pytest.approx(0, abs=1e-6)
    assert reception.sources == {VIP: 101}


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [
        ([1, 2, 3, 5], 0.2),
        ([1, 3, 2, 4], 0.0),
        ([1, 1, 2, 2], 0.0),
        ([65_535, 65_537], 1 / 3),
        ([2, 1, 3], 0.0),
    ],
)
def test_loss_is_what_is_missing_whatever_the_order(numbers: list[int], lost: float) -> None:
    assert heard(numbers).lost == pytest.approx(lost)


def test_nothing_heard_is_nothing_known() -> None:
    reception = Reception(None)
    assert (reception.lost, reception.jitter_s, reception.bits_per_s, reception.first_at) == (None,) * 4


def test_jitter_follows_the_clock_rate() -> None:
    reception = Reception(90_000)
    for number in range(400):
        reception.take(rtp(number), VIP, 10 + number / 100 + (0.004 if number % 2 else 0))
    assert reception.jitter_s == pytest.approx(0.004, rel=0.02)


def test_rtcp_other_sources_and_stubs_are_passed_over() -> None:
    reception = heard([1, 2])
    for other in (rtp(9, kind=200 & 0x7F), rtp(9, ssrc=8), b"\x80", b"", b"\x16\x03" + bytes(30)):
        reception.take(other, REAL, 11.0)
    assert reception.packets == 2
    assert REAL not in reception.sources


@given(st.lists(st.tuples(st.binary(max_size=40), st.floats(0, 1e6))))
def test_whatever_comes_is_borne(datagrams: list[tuple[bytes, float]]) -> None:
    reception = Reception(90_000)
    for datagram, at in datagrams:
        reception.take(datagram, VIP, at)
    assert reception.lost is None or 0 <= reception.lost < 1
