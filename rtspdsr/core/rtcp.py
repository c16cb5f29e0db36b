"""What a client tells about its reception: the first report block of an RTCP packet.

It is handed the payload of a datagram or of an interleaved frame, perhaps cut short, and gives back the
report or None. It does not judge what else a datagram holds (design rule 10).
"""

import struct

from rtspdsr.model import ReceiverReport

_SENDER_REPORT, _RECEIVER_REPORT = 200, 201

#: Where the report blocks begin in each kind of packet, bytes (RFC 3550 sections 6.4.1 and 6.4.2).
_BLOCKS_AT = {_SENDER_REPORT: 28, _RECEIVER_REPORT: 8}

#: Version 2 and no padding, which only the last packet of a compound may have, and which would hide a block.
_VERSION_2 = 4

_HEADER = struct.Struct("!BBH")
_BLOCK = struct.Struct("!IIII")  # SSRC, lost, highest, jitter; the two words that follow are not read
_BLOCK_SIZE = 24


def first_report(payload: bytes) -> ReceiverReport | None:
    """The first report block of a compound packet; None if it holds none, or is no RTCP."""
    at = 0
    while at + _HEADER.size <= len(payload):
        first, kind, words = _HEADER.unpack_from(payload, at)
        if first >> 5 != _VERSION_2:
            return None
        size = 4 * (words + 1)
        if kind in _BLOCKS_AT and first & 0x1F:
            block = at + _BLOCKS_AT[kind]
            end = block + _BLOCK_SIZE * (first & 0x1F)
            if end > at + size or block + _BLOCK_SIZE > len(payload):
                return None
            return ReceiverReport.from_block(*_BLOCK.unpack_from(payload, block))
        at += size
    return None
