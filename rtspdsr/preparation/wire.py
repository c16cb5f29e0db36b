"""Looks which source address this server really sends UDP from, and who its RTSP clients are.

Handed interfaces and a time to look; gives back what was sent, counted. Reads packets and the socket
table, changes nothing. Under a load that it cannot follow it sees a sample, which is enough: one packet
from the wrong address tells.
"""

import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from select import select

from rtspdsr.errors import PreparationError
from rtspdsr.model import Address

ETH_P_ALL = 0x0003
PACKET_OUTGOING = 4
ESTABLISHED = "01"
HEADERS = 128  #: bytes kept of a packet: IP with options, and UDP
SOCKET_TABLES = (Path("/proc/thread-self/net/tcp"), Path("/proc/thread-self/net/tcp6"))
REREAD_S = 0.5  #: how often the socket table is read while looking


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """UDP that this server sent from one port of its own to one port of another machine."""

    source: Address
    source_port: int
    destination: Address
    destination_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen.

    clients: machines that had a TCP connection to a VIP while we looked
    packets: UDP sent, in packets
    """

    clients: frozenset[Address]
    packets: Counter[Emission]
    seconds: float


def observe(interfaces: Sequence[str], vips: Sequence[Address], seconds: float) -> Observation:
    packets: Counter[Emission] = Counter()
    clients: set[Address] = set()
    with ExitStack() as stack:
        sockets = [stack.enter_context(_tap(interface)) for interface in interfaces]
        end = time.monotonic() + seconds
        reread = 0.0
        while (now := time.monotonic()) < end:
            if now >= reread:
                clients.update(_clients(vips))
                reread = now + REREAD_S
            for ready in select(sockets, [], [], min(end, reread) - now)[0]:
                data, origin = ready.recvfrom(HEADERS)
                if origin[2] == PACKET_OUTGOING and (emission := parse_udp(data)):
                    packets[emission] += 1
    return Observation(clients=frozenset(clients), packets=packets, seconds=seconds)


def parse_udp(packet: bytes) -> Emission | None:
    """The addresses and ports of an IP packet that begins a UDP datagram; None of any other."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        header = (packet[0] & 0x0F) * 4
        fragment = struct.unpack_from("!H", packet, 6)[0] & 0x1FFF
        if packet[9] != socket.IPPROTO_UDP or fragment:
            return None
        source: Address = IPv4Address(packet[12:16])
        destination: Address = IPv4Address(packet[16:20])
    elif len(packet) >= 40 and packet[0] >> 4 == 6 and packet[6] == socket.IPPROTO_UDP:
        header = 40
        source, destination = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    else:
        return None
    if len(packet) < header + 4:
        return None
    source_port, destination_port = struct.unpack_from("!HH", packet, header)
    return Emission(
        source=source,
        source_port=source_port,
        destination=destination,
        destination_port=destination_port,
    )


def parse_clients(table: str, vips: Sequence[Address]) -> Iterator[Address]:
    """The other ends of established connections to a VIP, from the text of /proc/net/tcp or tcp6."""
    for line in table.splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if state == ESTABLISHED and _unhex(local) in vips:
            yield _unhex(remote)


def _clients(vips: Sequence[Address]) -> Iterator[Address]:
    for table in SOCKET_TABLES:
        if table.exists():
            yield from parse_clients(table.read_text(), vips)


def _unhex(text: str) -> Address:
    """An address as the kernel prints it: words of 32 bits in the machine's byte order."""
    digits = text.partition(":")[0]
    words = [int(digits[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(digits), 8)]
    packed = b"".join(words)
    if len(packed) == 4:
        return IPv4Address(packed)
    address = IPv6Address(packed)
    return address.ipv4_mapped or address


def _tap(interface: str) -> socket.socket:
    """A socket that hears every packet of the interface, without its Ethernet header."""
    try:
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        tap.bind((interface, ETH_P_ALL))
    except OSError as error:
        raise PreparationError(f"cannot listen on {interface}: {error.strerror}; run as root") from error
    return tap
