"""Asks the network: who answers for a VIP, how large a packet gets through, which way the kernel would send.

Handed addresses; gives back what was answered, within a few seconds. Needs raw sockets, so root. What is
sent is harmless: echo requests, and questions for an address in the form that no neighbour learns from
(RFC 5227 section 2.1.1, RFC 4861 section 4.3).
"""

import os
import select
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from rtspdsr.doctor.machine import Claim, Echo, Interface, Way
from rtspdsr.errors import RtspDsrError
from rtspdsr.model import Address

ROUND_S = 0.6  # for an answer; the network is a LAN
ROUNDS = 3
SMALL = 84  # what ping sends by default
SIZES = (8900, 4000, 1500, 1492, 1480, 1450, 1420, 1400, 1360, 1280, 1024, 576)  # MTUs that are met
ASK_S = 0.8
RTN_LOCAL = 2
SCOPE_LINK = 253

IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IPV6_DONTFRAG = 10, 23, 62  # linux/in.h, linux/in6.h
PMTUDISC_PROBE = 3  # forbid fragments, and do not believe a smaller MTU learned before
ECHO = {4: (8, 0), 6: (128, 129)}  # types of request and reply
HEADER = {4: 20, 6: 40}
ICMP = struct.Struct("!BBHHH")

ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD
ARP = struct.Struct("!HHBBH6s4s6s4s")
NS, NA = 135, 136
SOLICITATION = struct.Struct("!BBHI16sBB6s")
LINK_ADDRESS = {1, 2}  # options of a solicitation and an advertisement


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An address to ping, and by which interface it is reached."""

    name: str
    address: Address
    interface: Interface


@dataclass(slots=True)
class _Pinging:
    """What came back from one target so far."""

    target: Target
    came: set[int] = field(default_factory=set)

    def wanted(self, number: int) -> Iterator[int]:
        """The sizes to try in a round: the largest first of all, others only if that fails."""
        most = self.target.interface.mtu
        if most not in self.came:
            yield most
            yield from (size for size in (SMALL, *SIZES) if number and size < most and size not in self.came)


def ping(targets: Sequence[Target]) -> list[Echo]:
    """Ping all side by side, with packets up to the interface's MTU that may not be fragmented."""
    pinging = [_Pinging(target) for target in targets]
    with ExitStack() as stack:
        sockets = {
            version: stack.enter_context(_pinger(version))
            for version in _versions(one.address for one in targets)
        }
        mark = os.getpid() & 0xFFFF
        for number in range(ROUNDS):
            sent: dict[tuple[int, int], tuple[_Pinging, int]] = {}
            for one in pinging:
                for size in one.wanted(number):
                    sequence = len(sent)
                    sent[one.target.address.version, sequence] = one, size
                    _send_echo(sockets[one.target.address.version], one.target.address, mark, sequence, size)
            _take_echoes(sockets, mark, sent)
    return [
        Echo(
            name=one.target.name,
            address=one.target.address,
            interface=one.target.interface.name,
            mtu=one.target.interface.mtu,
            answered=bool(one.came),
            largest=max(one.came, default=0),
        )
        for one in pinging
    ]


def _take_echoes(
    sockets: dict[int, socket.socket], mark: int, sent: dict[tuple[int, int], tuple[_Pinging, int]]
) -> None:
    awaited = set(sent)
    end = time.monotonic() + ROUND_S
    while awaited and (left := end - time.monotonic()) > 0:
        for ready in select.select(list(sockets.values()), [], [], left)[0]:
            version = 4 if ready.family == socket.AF_INET else 6
            try:
                data = ready.recv(65536)
            except OSError:  # an error that waits at the socket, of an interface that goes down
                continue
            data = data[(data[0] & 0xF) * 4 :] if version == 4 else data
            if len(data) < ICMP.size:
                continue
            kind, _, _, who, sequence = ICMP.unpack_from(data)
            if kind == ECHO[version][1] and who == mark and (version, sequence) in awaited:
                awaited.remove((version, sequence))
                one, size = sent[version, sequence]
                one.came.add(size)


def _pinger(version: int) -> socket.socket:
    if version == 4:
        made = _raw(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        made.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)
    else:
        made = _raw(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        made.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)
        made.setsockopt(socket.IPPROTO_IPV6, IPV6_DONTFRAG, 1)
    return made


def _send_echo(sender: socket.socket, to: Address, mark: int, sequence: int, size: int) -> None:
    payload = bytes(max(size - HEADER[to.version] - ICMP.size, 0))
    head = ICMP.pack(ECHO[to.version][0], 0, 0, mark, sequence)
    if to.version == 4:  # the kernel does it for IPv6
        head = ICMP.pack(ECHO[4][0], 0, _checksum(head + payload), mark, sequence)
    with suppress(OSError):  # no route, or no neighbour: then nothing comes back
        sender.sendto(head + payload, (str(to), 0))


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _versions(addresses: Iterable[Address]) -> set[int]:
    return {address.version for address in addresses}


# --- who answers for a VIP -------------------------------------------------------------------------


def claims(vips: Iterable[Address], interfaces: Iterable[Interface]) -> list[Claim]:
    """Who on these networks answers for a VIP. This machine itself never hears its own answers."""
    vips = list(vips)
    found: dict[Claim, None] = {}
    with ExitStack() as stack:
        heard: dict[socket.socket, tuple[Interface, int]] = {}
        for interface in interfaces:
            if not interface.mac or not interface.up:
                continue
            for version in _versions(vips):
                with suppress(OSError):  # it has gone meanwhile, or gone down: nobody answers there
                    made = stack.enter_context(_asker(interface, version))
                    heard[made] = interface, version
                    for vip in vips:
                        if vip.version == version:
                            _ask(interface, vip)
        end = time.monotonic() + ASK_S
        while heard and (left := end - time.monotonic()) > 0:
            for ready in select.select(list(heard), [], [], left)[0]:
                interface, version = heard[ready]
                try:
                    told = ready.recv(2048)
                except OSError:  # it goes down just now
                    del heard[ready]
                    continue
                answer = (parse_arp if version == 4 else parse_advertisement)(told)
                if answer and answer[0] in vips and answer[1] != interface.mac:
                    found[Claim(vip=answer[0], interface=interface.name, mac=answer[1])] = None
    return list(found)


def parse_arp(frame: bytes) -> tuple[Address, str] | None:
    """Whose address an ARP reply tells, and the MAC address that goes with it."""
    if len(frame) < 14 + ARP.size:
        return None
    _, _, _, _, operation, mac, address, _, _ = ARP.unpack_from(frame, 14)
    return (ip_address(address), mac.hex(":")) if operation == 2 else None


def parse_advertisement(message: bytes) -> tuple[Address, str] | None:
    """The same of a neighbour advertisement, without its IPv6 header."""
    if len(message) < 32 or message[0] != NA or message[24] not in LINK_ADDRESS:
        return None
    return IPv6Address(message[8:24]), message[26:32].hex(":")


def _asker(interface: Interface, version: int) -> socket.socket:
    """A socket that hears the answers. Raises OSError if the interface has gone."""
    with ExitStack() as unless_bound:
        if version == 4:
            made = _raw(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
            unless_bound.enter_context(made)
            made.bind((interface.name, ETH_P_ARP))
        else:
            made = _raw(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            unless_bound.enter_context(made)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.name.encode())
        unless_bound.pop_all()
    return made


def _ask(interface: Interface, vip: Address) -> None:
    """Send one question.

    As a whole frame: the daemon joins the group of an IPv6 VIP, and the kernel would deliver a packet to that
    group to this machine alone.
    """
    own = bytes.fromhex(interface.mac.replace(":", ""))
    kind = ETH_P_ARP if vip.version == 4 else ETH_P_IPV6
    frame = question(vip, own, _link_local(interface.name))
    with _raw(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender, suppress(OSError):
        sender.sendto(frame, (interface.name, kind))


def question(vip: Address, own: bytes, source: IPv6Address) -> bytes:
    """The frame that asks who has a VIP.

    own:    our MAC address
    source: our link-local address; ARP needs none
    """
    if vip.version == 4:
        asked = ARP.pack(1, 0x0800, 6, 4, 1, own, bytes(4), bytes(6), vip.packed)
        return b"\xff" * 6 + own + ETH_P_ARP.to_bytes(2) + asked
    group = b"\xff\x02" + bytes(9) + b"\x01\xff" + vip.packed[-3:]
    body = SOLICITATION.pack(NS, 0, 0, 0, vip.packed, 1, 1, own)
    pseudo = source.packed + group + struct.pack("!II", len(body), socket.IPPROTO_ICMPV6)
    body = body[:2] + _checksum(pseudo + body).to_bytes(2) + body[4:]
    head = struct.pack("!IHBB", 6 << 28, len(body), socket.IPPROTO_ICMPV6, 255) + source.packed + group
    return b"\x33\x33" + group[-4:] + own + ETH_P_IPV6.to_bytes(2) + head + body


def _link_local(interface: str) -> IPv6Address:
    """An interface's own link-local address; unspecified if it has none."""
    with IPRoute() as netlink:
        index = socket.if_nametoindex(interface)
        for held in netlink.get_addr(family=socket.AF_INET6, index=index, scope=SCOPE_LINK):
            address = IPv6Address(held.get_attr("IFA_ADDRESS"))
            if not address.is_multicast:
                return address
    return IPv6Address(0)


def _raw(family: int, kind: int, protocol: int) -> socket.socket:
    try:
        return socket.socket(family, kind, protocol)
    except PermissionError as error:
        raise RtspDsrError("asking the network needs raw sockets: run as root") from error


# --- the kernel's own way ---------------------------------------------------------------------------


def ways(addresses: Iterable[Address]) -> dict[Address, Way | None]:
    """Where the kernel would send packets to each address; None if nowhere."""
    found: dict[Address, Way | None] = {}
    with IPRoute() as netlink:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in netlink.get_links()}
        for address in addresses:
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            try:
                (route, *_) = netlink.route("get", dst=str(address), family=family)
            except NetlinkError:
                found[address] = None
                continue
            gateway = route.get_attr("RTA_GATEWAY")
            found[address] = Way(
                interface=names.get(route.get_attr("RTA_OIF"), ""),
                gateway=ip_address(gateway) if gateway else None,
                local=route["type"] == RTN_LOCAL,
            )
    return found


def neighbours() -> dict[str, list[Address]]:
    """The addresses that each MAC address is known to have."""
    known: dict[str, list[Address]] = defaultdict(list)
    with IPRoute() as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            for entry in netlink.get_neighbours(family=family):
                if mac := entry.get_attr("NDA_LLADDR"):
                    known[mac].append(ip_address(entry.get_attr("NDA_DST")))
    return known
