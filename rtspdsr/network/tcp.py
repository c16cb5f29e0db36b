"""TCP packets in the name of either end of a connection of others, as bytes ready for the wire.

Handed the two ends and the sequence numbers that each expects next, it builds an IP packet that the receiver
takes for the sender's. It sends nothing. There are no options: Linux takes segments without the timestamps
that a connection has agreed on (RFC 7323 section 3.2 lets a receiver drop them).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from rtspdsr.model import Address, TcpFlag

_TCP = struct.Struct("!HHIIBBHHH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_TTL = 64
_DONT_FRAGMENT = 0x4000
_TCP_PROTO = 6


@dataclass(frozen=True, slots=True)
class End:
    """An end of a connection.

    expects: the sequence number that it wants next of the other's stream
    """

    address: Address
    port: int
    expects: int


def packet(sender: End, receiver: End, flags: TcpFlag, payload: bytes = b"", window: int = 0) -> bytes:
    """The IP packet that ``receiver`` expects next of ``sender``."""
    source, destination = sender.address.packed, receiver.address.packed

    def header(checksum: int) -> bytes:
        ports = (sender.port, receiver.port)
        numbers = (receiver.expects, sender.expects)
        return _TCP.pack(*ports, *numbers, _TCP.size // 4 << 4, flags, window, checksum, 0)

    length = _TCP.size + len(payload)
    pseudo = source + destination + struct.pack("!II", length, _TCP_PROTO)
    tcp = header(_checksum(pseudo + header(0) + payload)) + payload
    if sender.address.version == 6:
        return _IPV6.pack(6 << 28, length, _TCP_PROTO, _TTL, source, destination) + tcp
    parts = (0x45, 0, _IPV4.size + length, 0, _DONT_FRAGMENT, _TTL, _TCP_PROTO)
    ip = _IPV4.pack(*parts, _checksum(_IPV4.pack(*parts, 0, source, destination)), source, destination)
    return ip + tcp


def reset(sender: End, receiver: End) -> bytes:
    """The packet by which ``sender`` resets the connection. A RST counts only at the number expected."""
    return packet(sender, receiver, TcpFlag.RST | TcpFlag.ACK)


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    return ~_folded(sum(_words(data + b"\0" * (len(data) % 2)))) & 0xFFFF


def _words(data: bytes) -> Iterator[int]:
    return (word for (word,) in struct.iter_unpack("!H", data))


def _folded(total: int) -> int:
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
