"""Octets that are nearly right: the pieces that hostile frames are put together from.

Every piece is handed dice, and mostly comes out as RFCs have it; now and then one of its fields lies. All is
put together by hand, not with scapy: a million frames are to take a minute or two.
"""

import struct
from random import Random

LIE = 0.03  # how often a field lies: of three frames one has none, and most of the others have one

RTCP_KINDS = (200, 201, 202, 203, 204, 207)
REQUEST = b"%s rtsp://192.0.2.10/clip RTSP/1.0\r\nCSeq: 1\r\n%s\r\n"
METHODS = (b"OPTIONS", b"DESCRIBE", b"SETUP", b"PLAY", b"TEARDOWN", b"GET_PARAMETER", b"ANNOUNCE", b"RECORD")
TRANSPORT = b"Transport: RTP/AVP;unicast;client_port=51000-51001\r\n"
TLS_HELLO = bytes.fromhex("16030102000100 01fc0303")


def lies(dice: Random, share: float = LIE) -> bool:
    """Whether this field is to lie."""
    return dice.random() < share


def number(dice: Random, right: int, bits: int) -> int:
    """A field of so many bits: right, or now and then one of its limits, near it, or anything."""
    if not lies(dice):
        return right
    highest = (1 << bits) - 1
    wrong = (0, 1, highest, highest >> 1, right - 1, right + 1, right * 2, dice.getrandbits(bits))
    return dice.choice(wrong) & highest


def rtcp(dice: Random) -> bytes:
    """A compound of RTCP, its counts, lengths, padding and order not always what they should be."""
    kinds = [dice.choice(RTCP_KINDS) for _ in range(dice.randrange(3))]
    kinds.insert(dice.randrange(len(kinds) + 1) if lies(dice, 0.2) else 0, dice.choice((200, 201, 201)))
    return b"".join(_rtcp_packet(dice, kind) for kind in kinds)


def _rtcp_packet(dice: Random, kind: int) -> bytes:
    blocks = dice.choice((0, 1, 1, 1, 2, 31)) if kind in (200, 201) else 1
    body = dice.randbytes((24 if kind == 200 else 4) + 24 * blocks)
    padding = b""
    if lies(dice, 0.15):
        padding = bytes(3) + bytes([number(dice, 4, 8)])
    first = number(dice, 2, 2) << 6 | bool(padding) << 5 | number(dice, blocks, 5)
    words = number(dice, (len(body) + len(padding)) // 4, 16)
    return struct.pack("!BBH", first, number(dice, kind, 8), words) + body + padding


def control(dice: Random) -> bytes:
    """What a client says on its control connection: requests, frames, or neither; often nothing."""
    match dice.randrange(8):
        case 0 | 1 | 2:
            return b""
        case 3 | 4:
            headers = TRANSPORT if dice.random() < 0.5 else b""
            return REQUEST % (dice.choice(METHODS), headers) * dice.choice((1, 1, 2))
        case 5:
            payload = rtcp(dice)
            return struct.pack("!BBH", 0x24, dice.randrange(256), number(dice, len(payload), 16)) + payload
        case 6:
            return TLS_HELLO + dice.randbytes(dice.randrange(200))
        case _:
            return dice.randbytes(dice.choice((1, 4, 60, 1400)))


def tcp(dice: Random, source: int, destination: int, payload: bytes) -> bytes:
    """A segment with options, any flags, and a data offset that may point anywhere."""
    options = dice.randbytes(4 * dice.choice((0, 0, 3, 3, 10)))
    offset = number(dice, 5 + len(options) // 4, 4)
    flags = dice.choice((0x02, 0x10, 0x10, 0x18, 0x18, 0x11, 0x04, dice.randrange(256)))
    head = struct.pack(
        "!HHIIBBHHH",
        number(dice, source, 16),
        number(dice, destination, 16),
        dice.getrandbits(32),
        dice.getrandbits(32),
        offset << 4 | dice.randrange(16),
        flags,
        502,
        dice.getrandbits(16),
        0,
    )
    return head + options + payload


def udp(dice: Random, source: int, destination: int, payload: bytes) -> bytes:
    """A datagram whose length may lie."""
    head = struct.pack(
        "!HHHH",
        number(dice, source, 16),
        number(dice, destination, 16),
        number(dice, 8 + len(payload), 16),
        dice.getrandbits(16),
    )
    return head + payload


def ipv4(dice: Random, proto: int, source: bytes, destination: bytes, body: bytes) -> bytes:
    """A datagram with options, perhaps a fragment, its lengths perhaps other than they are."""
    options = dice.randbytes(4 * dice.choice((0, 0, 0, 0, 1, 3, 10)))
    total = 20 + len(options) + len(body)
    fragment = dice.choice((0x2000, 0x20B9, 0x00B9, dice.getrandbits(16))) if lies(dice, 0.1) else 0x4000
    head = struct.pack(
        "!BBHHHBBH",
        number(dice, 4, 4) << 4 | number(dice, 5 + len(options) // 4, 4),
        dice.getrandbits(8),
        number(dice, total, 16),
        dice.getrandbits(16),
        fragment,
        dice.randrange(256),
        number(dice, proto, 8),
        dice.getrandbits(16),
    )
    return head + source + destination + options + body


#: IPv6 extension headers that the program steps over, and those that it does not know.
EXTENSIONS = (0, 43, 44, 51, 60) * 3 + (50, 135)
FRAGMENT, AUTHENTICATION = 44, 51


def ipv6(
    dice: Random, proto: int, source: bytes, destination: bytes, body: bytes, hop_limit: int = 57
) -> bytes:
    """A datagram behind a chain of extension headers, often none, sometimes more than anybody sends."""
    chain = [dice.choice(EXTENSIONS) for _ in range(dice.choice((0, 0, 0, 0, 1, 2, 6, 9)))]
    following = [*chain[1:], proto]
    extensions = b"".join(map(lambda kind, after: _extension(dice, kind, after), chain, following))
    head = struct.pack(
        "!IHBB",
        number(dice, 6, 4) << 28 | dice.getrandbits(28),
        number(dice, min(0xFFFF, len(extensions) + len(body)), 16),
        number(dice, chain[0] if chain else proto, 8),
        number(dice, hop_limit, 8),
    )
    return head + source + destination + extensions + body


def _extension(dice: Random, kind: int, following: int) -> bytes:
    following = number(dice, following, 8)
    if kind == FRAGMENT:
        place = dice.choice((0, 1, 0xB9 << 3, 0xB9 << 3 | 1, dice.getrandbits(16)))
        return struct.pack("!BBHI", following, dice.randrange(256), place, dice.getrandbits(32))
    eights = dice.choice((0, 0, 1, 4))
    stated = 2 * eights if kind == AUTHENTICATION else eights
    return struct.pack("!BB", following, number(dice, stated, 8)) + dice.randbytes(8 * eights + 6)


def icmp(dice: Random, kind: int, body: bytes, more: bytes = bytes(4)) -> bytes:
    """A message of either ICMP; ``more`` is what each kind has behind the checksum."""
    code = number(dice, 0, 8)
    return struct.pack("!BBH", number(dice, kind, 8), code, dice.getrandbits(16)) + more + body


def neighbour(dice: Random, kind: int, target: bytes) -> bytes:
    """A solicitation (135) or an advertisement (136), with options."""
    options = b"".join(
        struct.pack("!BB", number(dice, dice.choice((1, 2)), 8), number(dice, 1, 8)) + dice.randbytes(6)
        for _ in range(dice.choice((0, 1, 1, 2)))
    )
    return icmp(dice, kind, target + options, dice.choice((bytes(4), b"\x60\0\0\0")))


def arp(dice: Random, operation: int, sender: bytes, target: bytes) -> bytes:
    """A request (1) or a reply (2)."""
    head = struct.pack(
        "!HHBBH",
        number(dice, 1, 16),
        number(dice, 0x0800, 16),
        number(dice, 6, 8),
        number(dice, 4, 8),
        number(dice, operation, 16),
    )
    return head + dice.randbytes(6) + sender + dice.randbytes(6) + target + bytes(dice.choice((0, 18)))
