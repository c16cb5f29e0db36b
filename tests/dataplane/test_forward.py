"""Where a packet goes: every rule that chooses a backend, every reason to pass it by or to drop it."""

import re
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    IPerror6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from rtspdsr.dataplane.layout import Verdict
from rtspdsr.model import PinFlag, Proto
from tests.dataplane.test_forward_answers import CASES as ANSWERS
from tests.dataplane.test_forward_answers import ping6
from tests.dataplane.test_forward_schedules import CASES as SCHEDULED
from tests.packets.case import Case
from tests.packets.frames import (
    BACKEND_A,
    BACKEND_B,
    BACKEND_C,
    CLIENT,
    CLIENT6,
    CLIENT_PORT,
    ELSEWHERE,
    ELSEWHERE6,
    LB,
    ROUTER,
    ROUTER6,
    RTSP_PORT,
    VIP,
    VIP6,
    Machine,
    ether,
    ip,
    media,
    rtsp,
)
from tests.packets.given import newcomer, opened, pinned, placed, ring_full, slots, state, tracker_dead
from tests.packets.runner import DOWN, DROP, LOST, PASS, REDIRECT, TX, UP, A, B, C, XdpRunner, client_of, flow

VERIFIED_MAX = 250_000  # instructions; 112,000 with Linux 6.18

pytestmark = pytest.mark.kernel

TCP_FLOW = flow(Proto.TCP)
MAPPED_CLIENT = f"::ffff:{CLIENT}"  # as the maps write it, which no IPv6 packet may
MAPPED_VIP = f"::ffff:{VIP}"
UDP_FLOW = flow(Proto.UDP)


def stray(source: Machine) -> Packet:
    """A datagram to the VIP that a backend sent itself."""
    frame = media()
    frame[Ether].src = source.mac
    return frame


def fragment(to: Machine, version: int, offset: int, more: bool, proto: int = 17) -> Packet:
    """One piece of a datagram, its octets from ``offset`` on."""
    body = bytes(UDP(sport=CLIENT_PORT, dport=6970, len=2008, chksum=0x1234)) + bytes(1992)
    piece = Raw(body[offset : offset + 1000])
    if version == 4:
        network = IP(
            src=CLIENT, dst=VIP, ttl=57, id=77, proto=proto, frag=offset // 8, flags="MF" if more else 0
        )
        return ether(to) / network / piece
    head = IPv6ExtHdrFragment(nh=proto, offset=offset // 8, m=int(more), id=77)
    return ether(to) / ip(6) / head / piece


def icmp_error(to: Machine, *, tcp: bool = False, vip: str = VIP, tags: int = 0) -> Packet:
    """A router's report that a packet of the VIP's did not reach the client; eight octets of its payload."""
    lost = IPerror(src=vip, dst=CLIENT, ttl=3, id=9, proto=6 if tcp else 17, len=1000)
    ports: Packet = UDPerror(sport=6970, dport=CLIENT_PORT, len=980, chksum=1)
    if tcp:
        ports = Raw(bytes(TCPerror(sport=RTSP_PORT, dport=CLIENT_PORT, seq=7))[:8])
    return ether(to, tags) / ip(4, client=ROUTER) / ICMP(type=3, code=3) / lost / ports


def icmp6_error(to: Machine, client: str = CLIENT6, *, fragmented: bool = False) -> Packet:
    """The same in IPv6: packet too big, of a whole datagram or of a later fragment of one."""
    lost: Packet = IPerror6(src=VIP6, dst=client, hlim=3, plen=1400)
    if fragmented:
        lost = lost / IPv6ExtHdrFragment(nh=17, offset=100, id=5) / Raw(bytes(16))
    else:
        lost = lost / UDPerror(sport=6970, dport=CLIENT_PORT, len=980, chksum=1)
    return ether(to) / ip(6, client=ROUTER6) / ICMPv6PacketTooBig(mtu=1280) / lost


def extended(version6_header: Packet) -> Packet:
    """IPv6 with extension headers before what follows."""
    return ip(6) / version6_header


ALL_EXTENSIONS = (
    IPv6ExtHdrHopByHop()
    / IPv6ExtHdrDestOpt()
    / IPv6ExtHdrRouting(addresses=[])
    / IPv6ExtHdrFragment(nh=51, offset=0, m=0, id=1)
    / AH(nh=60, payloadlen=4, spi=1, seq=1, icv=b"123456789012")
    / IPv6ExtHdrDestOpt()
)
OPTIONS = IP(src=CLIENT, dst=VIP, ttl=57, options=[b"\x07\x07\x04\x00\x00\x00\x00", b"\x00"])

PASSED = [
    Case(name="a frame that is no IP passes", sent=Ether(type=0x88CC) / Raw(bytes(50)), action=PASS,
         verdict=Verdict.NOT_IP),
    Case(name="an LLC frame passes", sent=Ether(type=60) / Raw(bytes(60)), action=PASS,
         verdict=Verdict.NOT_IP),
    Case(name="UDP to another address passes", sent=media(network=ip(4, vip=ELSEWHERE)), action=PASS,
         verdict=Verdict.NOT_A_VIP),
    Case(name="IPv6 to another address passes", sent=rtsp(network=ip(6, vip=ELSEWHERE6)), action=PASS,
         verdict=Verdict.NOT_A_VIP),
    Case(name="multicast media passes", sent=media(network=ip(4, vip="239.1.2.3")), action=PASS,
         verdict=Verdict.NOT_A_VIP),
    Case(name="a third tag passes unparsed", sent=ether(LB, 2) / Dot1Q(vlan=1) / ip(4) / UDP() / Raw(b"x"),
         action=PASS, verdict=Verdict.UNPARSED),
    Case(name="another IP version under IPv4's type passes unparsed",
         sent=ether(LB) / IP(version=5, src=CLIENT, dst=VIP) / UDP(), action=PASS, verdict=Verdict.UNPARSED),
]  # fmt: skip

PINNED = [
    Case(name=f"pinned {proto.name} of IPv{version} with {tags} tags reaches its backend",
         sent=build(version=version, tags=tags), action=TX, verdict=Verdict.PINNED,
         expected=build(BACKEND_B, version=version, tags=tags),
         given=(pinned(flow(proto, client=client_of(version)), B),))
    for proto, build in ((Proto.UDP, media), (Proto.TCP, rtsp))
    for version in (4, 6)
    for tags in (0, 1, 2)
]  # fmt: skip

CHOSEN = [
    Case(name="a backend on another interface is redirected to", sent=media(), action=REDIRECT,
         verdict=Verdict.PINNED, expected=media(BACKEND_C), given=(pinned(UDP_FLOW, C),)),
    Case(name="any server port of UDP belongs to the client's flow", sent=media(dport=50001), action=TX,
         verdict=Verdict.PINNED, expected=media(BACKEND_B, dport=50001), given=(pinned(UDP_FLOW, B),)),
    Case(name="a pin is followed behind IP options", sent=media(network=OPTIONS), action=TX,
         verdict=Verdict.PINNED, expected=media(BACKEND_B, network=OPTIONS), given=(pinned(UDP_FLOW, B),)),
    Case(name="a pin is followed behind IPv6 extension headers",
         sent=media(network=extended(ALL_EXTENSIONS)), action=TX, verdict=Verdict.PINNED,
         expected=media(BACKEND_B, network=extended(ALL_EXTENSIONS)),
         given=(pinned(flow(client=CLIENT6), B),)),
    Case(name="a pin proves a port that is not served", sent=rtsp(dport=9), action=TX, verdict=Verdict.PINNED,
         expected=rtsp(BACKEND_B, dport=9), given=(pinned(flow(Proto.TCP, service_port=9), B),)),
    Case(name="a pin to a backend that is down is followed for lack of a better one", sent=rtsp(), action=TX,
         verdict=Verdict.PINNED, expected=rtsp(BACKEND_B), given=(pinned(TCP_FLOW, B), state(B, DOWN))),
    Case(name="a flow that is up comes before a pin that is down", sent=rtsp(), action=TX,
         verdict=Verdict.BY_FLOW, expected=rtsp(BACKEND_A),
         given=(pinned(TCP_FLOW, B), state(B, DOWN), opened(TCP_FLOW, A))),
    Case(name="a pin that is down comes before a flow that is down", sent=rtsp(), action=TX,
         verdict=Verdict.PINNED, expected=rtsp(BACKEND_B),
         given=(pinned(TCP_FLOW, B), state(B, DOWN), state(A, DOWN), opened(TCP_FLOW, A))),
    Case(name="UDP of a pin to a lost backend follows its client", sent=media(), action=TX,
         verdict=Verdict.BY_CLIENT, expected=media(BACKEND_A),
         given=(pinned(UDP_FLOW, B), state(B, LOST), placed(CLIENT, A))),
    Case(name="an ACK follows the flow of its SYN", sent=rtsp(), action=TX, verdict=Verdict.BY_FLOW,
         expected=rtsp(BACKEND_B), given=(opened(TCP_FLOW, B), placed(CLIENT, A))),
    Case(name="an ACK follows its flow to a backend that is down", sent=rtsp(), action=TX,
         verdict=Verdict.BY_FLOW, expected=rtsp(BACKEND_B), given=(opened(TCP_FLOW, B), state(B, DOWN))),
    Case(name="an ACK whose flow was lost follows its client", sent=rtsp(), action=TX,
         verdict=Verdict.BY_CLIENT, expected=rtsp(BACKEND_B), given=(placed(CLIENT, B), newcomer(CLIENT, A))),
    Case(name="unpinned UDP follows its client", sent=media(), action=TX, verdict=Verdict.BY_CLIENT,
         expected=media(BACKEND_B), given=(placed(CLIENT, B),)),
    Case(name="unpinned UDP follows its client to a backend that is down", sent=media(version=6), action=TX,
         verdict=Verdict.BY_CLIENT, expected=media(BACKEND_B, version=6),
         given=(placed(CLIENT6, B), state(B, DOWN))),
    Case(name="unpinned UDP follows its client's SYN", sent=media(), action=TX, verdict=Verdict.BY_NEWCOMER,
         expected=media(BACKEND_B), given=(newcomer(CLIENT, B),)),
    Case(name="UDP of an unknown client goes by slot", sent=media(), action=TX, verdict=Verdict.BY_SLOT,
         expected=media(BACKEND_A)),
    Case(name="a slot of a backend that is down is better than none", sent=media(), action=TX,
         verdict=Verdict.BY_SLOT, expected=media(BACKEND_A), given=(state(A, DOWN),)),
    Case(name="a SYN goes by slot", sent=rtsp(flags="S"), action=TX, verdict=Verdict.BY_SLOT,
         expected=rtsp(BACKEND_A, flags="S")),
    Case(name="a SYN follows its client", sent=rtsp(flags="S"), action=TX, verdict=Verdict.BY_CLIENT,
         expected=rtsp(BACKEND_B, flags="S"), given=(placed(CLIENT, B), newcomer(CLIENT, A))),
    Case(name="a SYN follows the SYN before it", sent=rtsp(flags="S", sport=51001), action=TX,
         verdict=Verdict.BY_NEWCOMER, expected=rtsp(BACKEND_B, flags="S", sport=51001),
         given=(newcomer(CLIENT, B),)),
    Case(name="a SYN sent again follows its flow", sent=rtsp(flags="S"), action=TX, verdict=Verdict.BY_FLOW,
         expected=rtsp(BACKEND_B, flags="S"), given=(opened(TCP_FLOW, B, initial=1000), newcomer(CLIENT, A))),
    Case(name="a SYN of a port used again follows its client", sent=rtsp(flags="S"), action=TX,
         verdict=Verdict.BY_CLIENT, expected=rtsp(BACKEND_A, flags="S"),
         given=(opened(TCP_FLOW, B, initial=7), placed(CLIENT, A))),
    Case(name="a SYN to a pin that is down is placed anew", sent=rtsp(flags="S"), action=TX,
         verdict=Verdict.BY_SLOT, expected=rtsp(BACKEND_A, flags="S"),
         given=(pinned(TCP_FLOW, B), state(B, DOWN))),
    Case(name="a SYN passes over every tier that is down", sent=rtsp(flags="S"), action=TX,
         verdict=Verdict.BY_SLOT, expected=rtsp(BACKEND_A, flags="S"),
         given=(pinned(TCP_FLOW, B), opened(TCP_FLOW, B, initial=1000), placed(CLIENT, B),
                newcomer(CLIENT, B), state(B, DOWN))),
    Case(name="the second and third RTSP ports are served", sent=rtsp(dport=8554), action=TX,
         verdict=Verdict.BY_SLOT, expected=rtsp(BACKEND_A, dport=8554)),
    Case(name="a pinned segment that is not read goes on", sent=rtsp(payload=b"\x16\x03\x01"), action=TX,
         verdict=Verdict.PINNED, expected=rtsp(BACKEND_B, payload=b"\x16\x03\x01"),
         given=(pinned(TCP_FLOW, B, PinFlag.UNREAD),)),
]  # fmt: skip

FRAGMENTS = [
    Case(name=f"a {what} fragment of IPv{version} goes {verdict.name.lower()}, never by ports",
         sent=fragment(LB, version, offset, more), action=TX, verdict=verdict,
         expected=fragment(backend, version, offset, more),
         given=(pinned(flow(client=client_of(version)), A), *given(client_of(version))))
    for version in (4, 6)
    for what, offset, more in (("first", 0, True), ("middle", 1000, True), ("last", 1000, False))
    for verdict, backend, given in (
        (Verdict.BY_CLIENT, BACKEND_B, lambda client: (placed(client, B),)),
        (Verdict.BY_NEWCOMER, BACKEND_B, lambda client: (newcomer(client, B),)),
        (Verdict.BY_SLOT, BACKEND_A, lambda client: ()),
    )
] + [
    Case(name="a TCP fragment goes by its client, unread", sent=fragment(LB, 4, 1000, False, proto=6),
         action=TX,
         verdict=Verdict.BY_CLIENT, expected=fragment(BACKEND_B, 4, 1000, False, proto=6),
         given=(placed(CLIENT, B),)),
    Case(name="a fragment that begins with destination options goes by its client",
         sent=fragment(LB, 6, 1000, True, proto=60), action=TX, verdict=Verdict.BY_CLIENT,
         expected=fragment(BACKEND_B, 6, 1000, True, proto=60), given=(placed(CLIENT6, B),)),
    Case(name="a fragment of ICMP is not served", sent=fragment(LB, 4, 1000, True, proto=1), action=DROP,
         verdict=Verdict.NOT_SERVED),
]  # fmt: skip

ICMP_ERRORS = [
    Case(name=f"an ICMP error about UDP follows the {what}", sent=icmp_error(LB, tags=tags), action=TX,
         verdict=Verdict.ICMP_ERROR, expected=icmp_error(backend, tags=tags), given=given)
    for what, tags, backend, given in (
        ("pin", 0, BACKEND_B, (pinned(UDP_FLOW, B), placed(CLIENT, A))),
        ("pin under a tag", 1, BACKEND_B, (pinned(UDP_FLOW, B), placed(CLIENT, A))),
        ("client", 0, BACKEND_B, (placed(CLIENT, B), placed(ROUTER, A))),
        ("newcomer", 0, BACKEND_B, (newcomer(CLIENT, B), newcomer(ROUTER, A))),
        ("slot", 0, BACKEND_A, ()),
    )
] + [
    Case(name="an ICMP error about TCP follows the flow", sent=icmp_error(LB, tcp=True), action=TX,
         verdict=Verdict.ICMP_ERROR, expected=icmp_error(BACKEND_B, tcp=True), given=(opened(TCP_FLOW, B),)),
    Case(name="an ICMPv6 error follows the pin", sent=icmp6_error(LB), action=TX, verdict=Verdict.ICMP_ERROR,
         expected=icmp6_error(BACKEND_B), given=(pinned(flow(client=CLIENT6), B),)),
    Case(name="an ICMPv6 error about a later fragment follows the client", sent=icmp6_error(LB,
         fragmented=True),
         action=TX, verdict=Verdict.ICMP_ERROR, expected=icmp6_error(BACKEND_B, fragmented=True),
         given=(placed(CLIENT6, B),)),
    Case(name="an ICMP error about another's packet is not served", sent=icmp_error(LB, vip=ELSEWHERE),
         action=DROP, verdict=Verdict.NOT_SERVED),
    Case(name="an ICMP error about a port that is not served is dropped",
         sent=ether(LB) / ip(4) / ICMP(type=11) / IPerror(src=VIP, dst=CLIENT, proto=6)
         / Raw(bytes(TCPerror(sport=9, dport=CLIENT_PORT))[:8]), action=DROP, verdict=Verdict.NOT_SERVED),
    Case(name="an ICMP error that embeds too little is truncated",
         sent=ether(LB) / ip(4) / ICMP(type=3, code=1) / Raw(bytes(IPerror(src=VIP, dst=CLIENT))),
         action=DROP,
         verdict=Verdict.TRUNCATED),
    Case(name="an ICMPv6 error that embeds half a header is truncated",
         sent=ether(LB) / ip(6) / ICMPv6DestUnreach() / Raw(bytes(IPerror6(src=VIP6, dst=CLIENT6))[:30]),
         action=DROP, verdict=Verdict.TRUNCATED),
]  # fmt: skip

DROPPED = [
    Case(name="a TCP port that is not served", sent=rtsp(dport=22, flags="S"), action=DROP,
         verdict=Verdict.NOT_SERVED),
    Case(name="TCP port 0, which pads the list of ports", sent=rtsp(dport=0), action=DROP,
         verdict=Verdict.NOT_SERVED),
    Case(name="another protocol", sent=ether(LB) / ip(4) / Raw(bytes(20)), action=DROP,
         verdict=Verdict.NOT_SERVED),
    Case(name="an ICMP timestamp request", sent=ether(LB) / ip(4) / ICMP(type=13), action=DROP,
         verdict=Verdict.NOT_SERVED),
    Case(name="ICMPv6 in IPv4", sent=ether(LB) / IP(src=CLIENT, dst=VIP, proto=58) / Raw(b"\x80" + bytes(7)),
         action=DROP, verdict=Verdict.NOT_SERVED),
    *(Case(name=f"IPv6 from a client that is an IPv4 address, {name}", sent=sent, action=DROP,
           verdict=Verdict.NOT_SERVED, given=(pinned(flow(proto), B), placed(CLIENT, B)))
      for name, proto, sent in (
          ("TCP", Proto.TCP, rtsp(network=ip(6, client=MAPPED_CLIENT))),
          ("UDP", Proto.UDP, media(network=ip(6, client=MAPPED_CLIENT))),
          ("ping", Proto.UDP, ping6(ip(6, client=MAPPED_CLIENT))))),
    Case(name="IPv6 to a VIP that is an IPv4 address", sent=media(network=ip(6, vip=MAPPED_VIP)), action=DROP,
         verdict=Verdict.NOT_SERVED, given=(pinned(flow(client=CLIENT6), B),)),
    Case(name="an ICMPv6 error about a client that is an IPv4 address", sent=icmp6_error(LB, MAPPED_CLIENT),
         action=DROP, verdict=Verdict.NOT_SERVED, given=(pinned(UDP_FLOW, B),)),
    Case(name="more extension headers than there are kinds",
         sent=media(network=extended(IPv6ExtHdrDestOpt() / ALL_EXTENSIONS)), action=DROP,
         verdict=Verdict.NOT_SERVED),
    Case(name="an IPv4 header length below its least", sent=ether(LB) / IP(src=CLIENT, dst=VIP,
         ihl=4) / UDP(),
         action=DROP, verdict=Verdict.TRUNCATED),
    Case(name="a TCP data offset below its least",
         sent=ether(LB) / ip(4) / TCP(sport=CLIENT_PORT, dport=RTSP_PORT, dataofs=4), action=DROP,
         verdict=Verdict.TRUNCATED),
    Case(name="a TCP data offset beyond the segment",
         sent=ether(LB) / ip(4) / TCP(sport=CLIENT_PORT, dport=RTSP_PORT, dataofs=6), action=DROP,
         verdict=Verdict.TRUNCATED),
    Case(name="no backend is resolved", sent=rtsp(flags="S"), action=DROP, verdict=Verdict.NO_BACKEND,
         given=(state(A, LOST), state(B, LOST), pinned(TCP_FLOW, B), placed(CLIENT, B))),
    Case(name="empty slots", sent=media(), action=DROP, verdict=Verdict.NO_BACKEND, given=(slots(0),)),
    Case(name="a datagram of a backend's own", sent=stray(BACKEND_B), action=DROP,
         verdict=Verdict.FROM_BACKEND),
    Case(name="a datagram back from the backend that it is pinned to", sent=stray(BACKEND_B), action=DROP,
         verdict=Verdict.FROM_BACKEND, given=(pinned(UDP_FLOW, B),)),
]  # fmt: skip

DETOURED = [
    Case(name="a request on an unpinned connection is detoured", sent=rtsp(payload=b"OPTIONS"), action=DROP,
         verdict=Verdict.DETOURED),
    Case(name="a request goes on when the tracker is dead", sent=rtsp(payload=b"OPTIONS"), action=TX,
         verdict=Verdict.TRACKER_DEAD, expected=rtsp(BACKEND_A, payload=b"OPTIONS"), given=(tracker_dead,)),
    Case(name="a request goes on when the ring is full", sent=rtsp(payload=b"OPTIONS"), action=TX,
         verdict=Verdict.RING_FULL, expected=rtsp(BACKEND_B, payload=b"OPTIONS"),
         given=(pinned(TCP_FLOW, B), ring_full)),
]  # fmt: skip

CASES = [*PASSED, *PINNED, *CHOSEN, *FRAGMENTS, *ICMP_ERRORS, *DROPPED, *DETOURED]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_forwarding(xdp: XdpRunner, case: Case) -> None:
    case.check(xdp)


def test_every_verdict_has_a_case() -> None:
    assert {case.verdict for case in [*CASES, *ANSWERS, *SCHEDULED]} == set(Verdict)


def test_a_syn_is_remembered_for_its_connection_and_its_client(xdp: XdpRunner) -> None:
    xdp.run(bytes(rtsp(flags="S", seq=4711)))
    written = xdp.written_flow(TCP_FLOW)
    assert written is not None
    assert (written["initial"], written["backend"]) == (4711, A)
    assert written["opened_at"] > 0
    assert xdp.written_newcomer(CLIENT) == A


def test_a_syn_sent_again_does_not_make_its_connection_younger(xdp: XdpRunner) -> None:
    xdp.flow(TCP_FLOW, A, opened_at=77, initial=4711)
    xdp.run(bytes(rtsp(flags="S", seq=4711)))
    assert xdp.written_flow(TCP_FLOW) == {"opened_at": 77, "initial": 4711, "backend": A}


def test_a_syn_that_its_client_placed_makes_no_newcomer(xdp: XdpRunner) -> None:
    xdp.client(CLIENT, B)
    xdp.run(bytes(rtsp(flags="S")))
    assert xdp.written_newcomer(CLIENT) is None


def test_a_syn_moves_a_newcomer_from_a_backend_that_is_down(xdp: XdpRunner) -> None:
    xdp.newcomer(CLIENT, B)
    xdp.backend(B, DOWN)
    xdp.run(bytes(rtsp(flags="S")))
    assert xdp.written_newcomer(CLIENT) == A
    assert xdp.run(bytes(media())).verdict is Verdict.BY_NEWCOMER


def test_a_connection_placed_anew_stays_there_when_its_old_backend_returns(xdp: XdpRunner) -> None:
    xdp.pin(TCP_FLOW, B)
    xdp.backend(B, DOWN)
    xdp.run(bytes(rtsp(flags="S")))
    assert xdp.run(bytes(rtsp(flags="A", seq=1001))).verdict is Verdict.BY_FLOW
    assert xdp.run(bytes(rtsp(flags="PA", payload=b"OPTIONS"))).segments[0].backend_id == A


@pytest.mark.parametrize("sent", [media(), rtsp(), fragment(LB, 4, 0, True), icmp_error(LB)])
def test_what_is_no_syn_writes_no_placement(xdp: XdpRunner, sent: Packet) -> None:
    xdp.run(bytes(sent))
    assert [list(xdp.maps[name].entries()) for name in ("flows", "newcomers", "pins", "clients")] == [[]] * 4


@pytest.mark.parametrize("flags", ["SA", "SF", "SR"])
def test_an_odd_syn_writes_no_placement(xdp: XdpRunner, flags: str) -> None:
    xdp.run(bytes(rtsp(flags=flags)))
    assert [list(xdp.maps[name].entries()) for name in ("flows", "newcomers")] == [[]] * 2


def test_a_backends_syn_is_not_remembered(xdp: XdpRunner) -> None:
    frame = rtsp(flags="S")
    frame[Ether].src = BACKEND_B.mac
    assert xdp.run(bytes(frame)).verdict is Verdict.FROM_BACKEND
    assert xdp.written_flow(TCP_FLOW) is None
    assert xdp.written_newcomer(CLIENT) is None


def test_arp_for_another_address_is_not_ours(xdp: XdpRunner) -> None:
    assert xdp.run(bytes(Ether() / ARP(pdst=ELSEWHERE))).verdict is Verdict.NOT_IP


def test_forwarded_and_detoured_frames_are_counted_for_backend_and_service(xdp: XdpRunner) -> None:
    xdp.backend(B, UP)
    frames = [bytes(media()), bytes(rtsp(payload=b"OPTIONS")), bytes(rtsp(dport=22))]
    for frame in frames:
        xdp.run(frame)
    counted = xdp.traffic(A)
    assert (counted.packets, counted.bytes) == (2, len(frames[0]) + len(frames[1]))
    assert xdp.traffic() == counted
    assert xdp.traffic(B).packets == 0


def test_the_verifier_has_room_to_spare(xdp: XdpRunner) -> None:
    """It gives up at 1,000,000 instructions, and that of an older kernel finds fewer ways to be alike."""
    said = Path(f"/proc/self/fdinfo/{xdp.program.fd}").read_text()
    (verified,) = re.findall(r"verified_insns:\s+(\d+)", said)
    assert int(verified) < VERIFIED_MAX
