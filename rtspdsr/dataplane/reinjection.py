"""Sends a detoured frame on to its backend, with its checksum looked at before anything reads it.

Handed a ``Segment`` and the backend's MAC addresses, it sends the frame by AF_PACKET as XDP would have:
destination and source MAC rewritten, nothing else. A frame of a local peer (a veth, a virtual machine)
may carry a partial checksum, which the kernel is asked to complete (linux/virtio_net.h); a super-packet
of generic XDP is cut to the interface's MTU by the kernel likewise.
"""

import fcntl
import socket
import struct
from enum import StrEnum

from rtspdsr.model import Segment

_SOL_PACKET = 263
_PACKET_VNET_HDR = 15
_SIOCGIFMTU = 0x8921
_NEEDS_CSUM = 1
_GSO_TCPV4, _GSO_TCPV6 = 1, 4
_VNET_HEADER = struct.Struct("=BBHHHH")
_PLAIN = _VNET_HEADER.pack(0, 0, 0, 0, 0, 0)
_CHECKSUM_OFFSET = 16  # in the TCP header (RFC 9293 section 3.1)
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"  # EtherTypes


class Checksum(StrEnum):
    """What a TCP checksum says of its segment."""

    VALID = "valid"
    PARTIAL = "partial"  #: of the pseudo-header alone: the sender left the rest to its hardware
    WRONG = "wrong"


def _fold(data: bytes) -> int:
    """The one's complement sum of 16-bit words (RFC 1071), by long division: 2**16 is 1 modulo 65535."""
    if len(data) % 2:
        data += b"\0"
    return int.from_bytes(data) % 0xFFFF


def checksum_of(segment: Segment) -> Checksum:
    """Judge the TCP checksum of a segment's frame."""
    frame, tcp = segment.frame, segment.tcp_offset
    end = tcp + _tcp_length(segment)
    if segment.flow.client.version == 4:
        addresses = frame[_ip_offset(frame) + 12 : _ip_offset(frame) + 20]
    else:
        addresses = frame[_ip_offset(frame) + 8 : _ip_offset(frame) + 40]
    pseudo = _fold(addresses + struct.pack(">HH", 6, end - tcp))
    if (pseudo + _fold(frame[tcp:end])) % 0xFFFF == 0:
        return Checksum.VALID
    written = int.from_bytes(frame[tcp + _CHECKSUM_OFFSET : tcp + _CHECKSUM_OFFSET + 2])
    return Checksum.PARTIAL if written % 0xFFFF == pseudo else Checksum.WRONG


def _tcp_length(segment: Segment) -> int:
    header = (segment.frame[segment.tcp_offset + 12] >> 4) * 4
    return header + len(segment.payload)


def _ip_offset(frame: bytes) -> int:
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return at + 2


class Reinjector:
    """One raw socket an interface, opened at first use. Never blocks; counts what could not be sent."""

    def __init__(self) -> None:
        self._sockets: dict[int, tuple[socket.socket, int]] = {}
        self.failed = 0

    def send(self, segment: Segment, checksum: Checksum, mac: bytes, source: bytes, ifindex: int) -> None:
        """Send a segment's frame out of ``ifindex``; a frame that the kernel refuses is counted."""
        try:
            sender, mtu = self._socket(ifindex)
            sender.send(self._vnet_header(segment, checksum, mtu) + mac + source + segment.frame[12:])
        except OSError:
            self.failed += 1
            self.forget(ifindex)

    def inject(self, packet: bytes, mac: bytes, source: bytes, ifindex: int) -> None:
        """Send an IP packet of our own making, whole and of the interface's MTU at most; counted likewise."""
        kind = _IPV6 if packet[0] >> 4 == 6 else _IPV4
        try:
            sender, _ = self._socket(ifindex)
            sender.send(_PLAIN + mac + source + kind + packet)
        except OSError:
            self.failed += 1
            self.forget(ifindex)

    def forget(self, ifindex: int) -> None:
        """Close the socket of an interface that has gone or changed."""
        if found := self._sockets.pop(ifindex, None):
            found[0].close()

    def close(self) -> None:
        """Close every socket."""
        for ifindex in list(self._sockets):
            self.forget(ifindex)

    def _socket(self, ifindex: int) -> tuple[socket.socket, int]:
        if ifindex not in self._sockets:
            name = socket.if_indextoname(ifindex)
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            sender.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
            sender.bind((name, 0))
            self._sockets[ifindex] = (sender, _mtu(sender, name))
        return self._sockets[ifindex]

    def _vnet_header(self, segment: Segment, checksum: Checksum, mtu: int) -> bytes:
        large = len(segment.frame) > mtu + _ip_offset(segment.frame)
        if checksum is not Checksum.PARTIAL and not large:
            return _PLAIN
        kind = 0
        headers = len(segment.frame) - len(segment.payload)
        if large:
            kind = _GSO_TCPV4 if segment.flow.client.version == 4 else _GSO_TCPV6
        size = mtu - (headers - _ip_offset(segment.frame)) if large else 0
        return _VNET_HEADER.pack(
            _NEEDS_CSUM, kind, headers if large else 0, size, segment.tcp_offset, _CHECKSUM_OFFSET
        )


def _mtu(sender: socket.socket, name: str) -> int:
    # Not from /sys: that shows the network namespace in which it was mounted, which may be another.
    answer = fcntl.ioctl(sender, _SIOCGIFMTU, struct.pack("=16si12x", name.encode(), 0))
    return int(struct.unpack("=16si12x", answer)[1])
