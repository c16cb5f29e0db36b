"""Ends the clients' half of TCP connections by a RST that they believe (design section 4).

Handed the two ends of a connection and the sequence numbers that each expects next, it sends one packet in
the name of the VIP. It decides nothing, and keeps nothing of a connection.
"""

import socket

from rtspdsr.network.tcp import End, reset


class Resetter:
    """Raw sockets, opened at first use. Never blocks; counts what the kernel did not take."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self.failed = 0

    def send(self, sender: End, receiver: End) -> None:
        """Reset a connection at ``receiver``, in the name of ``sender``."""
        version = receiver.address.version
        try:
            raw = self._sockets.get(version) or self._open(version)
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
