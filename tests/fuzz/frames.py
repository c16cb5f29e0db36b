"""Hostile frames: any that a client, a neighbour or a broken switch could send, made up with dice."""

import struct
from ipaddress import ip_address
from random import Random

from tests.fuzz import octets
from tests.fuzz.octets import lies, number
from tests.packets.frames import (
    BACKEND_A,
    CLIENT,
    CLIENT6,
    CLIENT_MAC,
    CLIENT_PORT,
    ELSEWHERE,
    ELSEWHERE6,
    FOREIGN_MAC,
    LB,
    RTSP_PORT,
    TLS_PORT,
    VIP,
    VIP6,
)
from tests.packets.runner import mac

SHORTEST = 14  # BPF_PROG_TEST_RUN takes no less
WIRE = 1514
LENGTHS = (2048, 3520, 9014, 65_000)  # of super-packets and jumbo frames, a few

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
VIPS = {4: ip_address(VIP).packed, 6: ip_address(VIP6).packed}
OTHERS = {4: ip_address(ELSEWHERE).packed, 6: ip_address(ELSEWHERE6).packed}
CLIENTS = {4: ip_address(CLIENT).packed, 6: ip_address(CLIENT6).packed}
MAPPED = bytes(10) + b"\xff\xff"
SOLICITED = bytes.fromhex("ff0200000000000000000001ff") + VIPS[6][-3:]
CLIENT_PORTS = (CLIENT_PORT, CLIENT_PORT, CLIENT_PORT + 1, CLIENT_PORT + 2, 0, 65535)
SERVICE_PORTS = (*(RTSP_PORT,) * 8, 8554, TLS_PORT, 80, 0, 65535)
MEDIA_PORTS = (6970, 6971, 0, 65535)
TYPES = {4: 0x0800, 6: 0x86DD}
TAGS = (0x8100, 0x88A8, 0x9100)
SOURCES = tuple(map(mac, (*(CLIENT_MAC,) * 10, FOREIGN_MAC, BACKEND_A.mac)))
ERRORS = {4: (3, 4, 11, 12), 6: (1, 2, 3, 4)}


def frame(dice: Random) -> bytes:
    """The next frame."""
    kind = dice.randrange(20)
    if kind == 0:
        return dice.randbytes(dice.randrange(SHORTEST, WIRE + 1))
    if kind == 1:
        made = _link(dice, 0x0806, _arp(dice))
    elif kind == 2:
        made = _link(dice, number(dice, TYPES[6], 16), _neighbour(dice))
    else:
        version = dice.choice((4, 6))
        made = _link(dice, number(dice, TYPES[version], 16), _datagram(dice, version))
    return _damaged(dice, made)


def _link(dice: Random, kind: int, body: bytes) -> bytes:
    tags = b""
    for _ in range(dice.choice((0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3))):
        tags += struct.pack("!HH", dice.choice(TAGS[: 2 + lies(dice)]), dice.getrandbits(16))
    return mac(LB.mac) + dice.choice(SOURCES) + tags + struct.pack("!H", kind) + body


def _damaged(dice: Random, made: bytes) -> bytes:
    """Now and then with octets changed, cut short, padded, or far longer than it says."""
    chance = dice.random()
    if chance < 0.6:
        return made
    damaged = bytearray(made)
    if chance < 0.75:
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(min(len(damaged), 90))] = dice.choice(
                (0, 1, 0x40, 0x80, 0xFF, dice.randrange(256))
            )
    elif chance < 0.9:
        del damaged[dice.randrange(SHORTEST, len(damaged)) :]
    elif chance < 0.998:
        damaged += dice.randbytes(dice.randrange(64))
    else:
        damaged += bytes(max(0, dice.choice(LENGTHS) - len(damaged)))
    return bytes(damaged)


def _destination(dice: Random, version: int) -> bytes:
    return (
        VIPS[version]
        if dice.random() < 0.9
        else dice.choice((OTHERS[version], dice.randbytes(len(VIPS[version]))))
    )


def _client(dice: Random, version: int) -> bytes:
    if not lies(dice):
        return CLIENTS[version]
    strange = [VIPS[version], bytes(len(VIPS[version])), b"\xff" * len(VIPS[version])]
    if version == 6:
        strange.append(MAPPED + CLIENTS[4])
    return dice.choice(strange)


def _datagram(dice: Random, version: int) -> bytes:
    """What a client sends to the VIP."""
    match dice.randrange(10):
        case 0 | 1 | 2 | 3:
            ports = dice.choice(CLIENT_PORTS), dice.choice(SERVICE_PORTS)
            proto, body = TCP, octets.tcp(dice, *ports, octets.control(dice))
        case 4 | 5 | 6 | 7:
            payload = (
                octets.rtcp(dice)
                if dice.random() < 0.6
                else dice.randbytes(dice.choice((0, 4, 8, 200, 1400)))
            )
            proto, body = UDP, octets.udp(dice, dice.choice(CLIENT_PORTS), dice.choice(MEDIA_PORTS), payload)
        case 8:
            proto, body = (ICMP, ICMP6)[version == 6], _message(dice, version)
        case _:
            proto, body = (
                dice.choice((0, 1, 2, 41, 47, 50, 58, 59, 132, 255)),
                dice.randbytes(dice.randrange(80)),
            )
    return _network(dice, version, proto, _client(dice, version), _destination(dice, version), body)


def _network(dice: Random, version: int, proto: int, source: bytes, destination: bytes, body: bytes) -> bytes:
    make = octets.ipv4 if version == 4 else octets.ipv6
    return make(dice, proto, source, destination, body)


def _message(dice: Random, version: int) -> bytes:
    """An echo request, or an error about a packet of a backend's, cut wherever the sender liked to."""
    if dice.random() < 0.3:
        return octets.icmp(
            dice, 8 if version == 4 else 128, dice.randbytes(dice.randrange(80)), dice.randbytes(4)
        )
    client, service = dice.choice(CLIENT_PORTS), dice.choice(SERVICE_PORTS)
    proto = dice.choice((TCP, UDP, UDP, ICMP))
    inner = octets.udp(dice, service, client, bytes(20))
    if proto == TCP:
        inner = octets.tcp(dice, service, client, b"")
    embedded = _network(dice, version, proto, _destination(dice, version), _client(dice, version), inner)
    if lies(dice, 0.3):
        embedded = embedded[: dice.randrange(len(embedded))]
    return octets.icmp(dice, dice.choice(ERRORS[version]), embedded)


def _neighbour(dice: Random) -> bytes:
    """A solicitation for the VIP, or an advertisement that claims it."""
    target = VIPS[6] if dice.random() < 0.7 else OTHERS[6]
    kind, destination = (
        (135, SOLICITED) if dice.random() < 0.7 else (136, bytes.fromhex("ff02") + bytes(13) + b"\1")
    )
    source = dice.choice((CLIENTS[6], bytes(16), VIPS[6]))
    if lies(dice, 0.1):
        destination = VIPS[6]
    message = octets.neighbour(dice, kind, target)
    head = struct.pack("!IHBB", 6 << 28, number(dice, len(message), 16), ICMP6, number(dice, 255, 8))
    if lies(dice, 0.1):
        return octets.ipv6(dice, ICMP6, source, destination, message, 255)
    return head + source + destination + message


def _arp(dice: Random) -> bytes:
    """A request for the VIP, or a claim on it."""
    vip, other, client = VIPS[4], OTHERS[4], CLIENTS[4]
    sender, target = dice.choice(
        ((client, vip), (client, vip), (client, other), (vip, client), (vip, vip), (bytes(4), vip))
    )
    return octets.arp(dice, dice.choice((1, 1, 2)), sender, target)
