"""Ends TCP connections of others by a RST that both ends believe (design section 4).

Handed the two ends of a connection and the sequence numbers that each expects next, it sends one packet in
the name of either. It decides nothing, and keeps nothing of a connection. What goes to a backend bears a
packet mark, for the table that leads there.
"""

import socket
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
_SO_MARK = 36


@dataclass(frozen=True, slots=True)
class End:
    """An end of a connection.

    expects: the sequence number that it wants next of the other's stream
    """

    address: Address
    port: int
    expects: int


def reset(sender: End, receiver: End) -> bytes:
    """The IP packet by which ``sender`` resets the connection. A RST counts only at the number expected."""
    flags = TcpFlag.RST | TcpFlag.ACK
    source, destination = sender.address.packed, receiver.address.packed

    def header(checksum: int) -> bytes:
        ports = (sender.port, receiver.port)
        return _TCP.pack(*ports, receiver.expects, sender.expects, _TCP.size // 4 << 4, flags, 0, checksum, 0)

    pseudo = source + destination + struct.pack("!II", _TCP.size, _TCP_PROTO)
    tcp = header(_checksum(pseudo + header(0)))
    if sender.address.version == 6:
        return _IPV6.pack(6 << 28, len(tcp), _TCP_PROTO, _TTL, source, destination) + tcp
    parts = (0x45, 0, _IPV4.size + len(tcp), 0, _DONT_FRAGMENT, _TTL, _TCP_PROTO)
    ip = _IPV4.pack(*parts, _checksum(_IPV4.pack(*parts, 0, source, destination)), source, destination)
    return ip + tcp


class Resetter:
    """Raw sockets, opened at first use. Never blocks; counts what the kernel did not take."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self.failed = 0

    def send(self, sender: End, receiver: End, mark: int = 0) -> None:
        """Reset a connection at ``receiver``, in the name of ``sender``."""
        version = receiver.address.version
        try:
            raw = self._sockets.get(version) or self._open(version)
            raw.setsockopt(socket.SOL_SOCKET, _SO_MARK, mark)
            raw.sendto(reset(sender, receiver), (str(receiver.address), 0))
        except OSError:
            self.failed += 1

    def close(self) -> None:
        """Close the sockets."""
        for one in self._sockets.values():
            one.close()
        self._sockets.clear()

    def _open(self, version: int) -> socket.socket:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK  # IPPROTO_RAW: the IP header is ours too
        self._sockets[version] = socket.socket(family, kind, socket.IPPROTO_RAW)
        return self._sockets[version]


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    return ~_folded(sum(_words(data))) & 0xFFFF


def _words(data: bytes) -> Iterator[int]:
    return (word for (word,) in struct.iter_unpack("!H", data))


def _folded(total: int) -> int:
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
