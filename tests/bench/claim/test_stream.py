"""The stream's payloads hold what was cut, and nothing else."""

from collections.abc import Iterator
from struct import unpack_from

import pytest

from tests.bench.claim.stream import PAYLOAD_MAX, packed, payloads_of

SPS, PPS = b"\x67\x4d\x40\x1e\xaa", b"\x68\xee\x3c\x80"
KEY = b"\x65" + bytes(range(1, 256)) * 20
SLICE = b"\x41" + b"\x55" * 300


def joined(payloads: list[bytes]) -> Iterator[bytes]:
    """NAL units, as a player puts them together again (RFC 6184 section 5.8)."""
    whole = b""
    for payload in payloads:
        if payload[0] & 31 != 28:
            yield payload
            continue
        if payload[1] & 0x80:
            whole = bytes([payload[0] & 0xE0 | payload[1] & 31])
        whole += payload[2:]
        if payload[1] & 0x40:
            yield whole


@pytest.mark.parametrize("size", [1, PAYLOAD_MAX, PAYLOAD_MAX + 1, 3 * PAYLOAD_MAX, 3 * PAYLOAD_MAX - 5])
def test_a_unit_of_any_size_can_be_put_together_again(size: int) -> None:
    unit = (b"\x65" + bytes(range(256)) * 20)[:size]
    payloads = list(payloads_of(unit))
    assert max(map(len, payloads)) <= PAYLOAD_MAX
    assert list(joined(payloads)) == [unit]


def test_the_source_is_given_every_picture_its_key_and_its_last_packet() -> None:
    units = [SPS, PPS, KEY, SLICE]
    made = packed(b"".join(b"\0\0\0\1" + unit for unit in units))
    pictures, count, sdp_length = unpack_from("<III", made)
    sdp, at = made[12 : 12 + sdp_length].decode(), 12 + sdp_length
    packets = []
    while at < len(made):
        length, marker, key, picture = unpack_from("<HBBI", made, at)
        packets.append((made[at + 8 : at + 8 + length], marker, key, picture))
        at += 8 + length
    assert (pictures, count) == (2, len(packets))
    assert list(joined([payload for payload, *_ in packets])) == units
    assert [picture for _, marker, _, picture in packets if marker] == [0, 1]
    assert {(key, picture) for _, _, key, picture in packets} == {(1, 0), (0, 1)}
    assert "profile-level-id=4d401e" in sdp
