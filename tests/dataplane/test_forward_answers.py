"""What the program answers for the VIP itself: ARP, neighbour solicitations, echo; and who else claims it."""

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6NDOptUnknown,
    IPv6,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw
from scapy.utils import checksum

from rtspdsr.dataplane.layout import Verdict
from tests.packets.case import Case
from tests.packets.frames import (
    CLIENT,
    CLIENT6,
    CLIENT_MAC,
    ELSEWHERE,
    ELSEWHERE6,
    FOREIGN_MAC,
    LB,
    VIP,
    VIP6,
    Machine,
    ether,
    ip,
    ping,
)
from tests.packets.runner import DROP, LOOPBACK, PASS, TX, Claim, XdpRunner, mac

pytestmark = pytest.mark.kernel

BACK = Machine(CLIENT_MAC, LB.mac)  # from us to the client
SOLICITED_NODE = "ff02::1:ff00:10"
ZERO_MAC = "00:00:00:00:00:00"
NEIGHBOUR = "2001:db8::7"


def who_has(sender: str = "192.0.2.7", tags: int = 0, broadcast: bool = True) -> Packet:
    """An ARP request for the VIP, padded as the least Ethernet frame is."""
    asked = ARP(op=1, hwsrc=CLIENT_MAC, psrc=sender, hwdst=ZERO_MAC, pdst=VIP)
    link = ether(Machine("ff:ff:ff:ff:ff:ff", CLIENT_MAC) if broadcast else LB, tags)
    return link / asked / Raw(bytes(18))


def is_at(receiver: str = "192.0.2.7", tags: int = 0) -> Packet:
    """Our reply to it."""
    reply = ARP(op=2, hwsrc=LB.mac, psrc=VIP, hwdst=CLIENT_MAC, pdst=receiver)
    return ether(BACK, tags) / reply / Raw(bytes(18))


def solicitation(
    *options: Packet, source: str = NEIGHBOUR, to: str = SOLICITED_NODE, tags: int = 0, **fields: int
) -> Packet:
    """A neighbour solicitation for the VIP; ``fields`` of the IPv6 header."""
    group = Machine("33:33:ff:00:00:10", CLIENT_MAC)
    frame = ether(group, tags) / IPv6(src=source, dst=to, hlim=fields.get("hlim", 255))
    frame = frame / ICMPv6ND_NS(tgt=VIP6, code=fields.get("code", 0))
    for option in options:
        frame = frame / option
    return frame


def advertisement(to: str = NEIGHBOUR, tags: int = 0) -> Packet:
    """Our answer to it."""
    answer = ICMPv6ND_NA(tgt=VIP6, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=LB.mac)
    return ether(BACK, tags) / IPv6(src=VIP6, dst=to, hlim=255) / answer


def advertised_to_all() -> Packet:
    """Our answer to one who has no address yet."""
    answer = ICMPv6ND_NA(tgt=VIP6, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=LB.mac)
    link = Ether(src=LB.mac, dst="33:33:00:00:00:01")
    return link / IPv6(src=VIP6, dst="ff02::1", hlim=255) / answer


def pong(tags: int = 0) -> Packet:
    """Our reply to ``ping``."""
    reply = IP(src=VIP, dst=CLIENT, ttl=64, id=4660)
    return ether(BACK, tags) / reply / ICMP(type=0, id=9, seq=3) / Raw(b"0123456789")


def ping6(network: Packet) -> Packet:
    """An ICMPv6 echo request to the VIP."""
    return ether(LB) / network / ICMPv6EchoRequest(id=9, seq=3, data=b"0123456789")


def pong6() -> Packet:
    """Our reply to it."""
    network = IPv6(src=VIP6, dst=CLIENT6, hlim=64, fl=0x12345, tc=0x20)
    return ether(BACK) / network / ICMPv6EchoReply(id=9, seq=3, data=b"0123456789")


SOURCE_OPTION = ICMPv6NDOptSrcLLAddr(lladdr=CLIENT_MAC)
NONCE = ICMPv6NDOptUnknown(type=14, len=1, data=b"123456")  # RFC 7527

ARP_CASES = [
    *(Case(name=f"an ARP request with {tags} tags is answered", sent=who_has(tags=tags), action=TX,
           verdict=Verdict.ARP_ANSWERED, expected=is_at(tags=tags)) for tags in (0, 1, 2)),
    Case(name="a unicast ARP request is answered", sent=who_has(broadcast=False), action=TX,
         verdict=Verdict.ARP_ANSWERED, expected=is_at()),
    Case(name="an ARP probe is answered: the address is taken", sent=who_has(sender="0.0.0.0"), action=TX,
         verdict=Verdict.ARP_ANSWERED, expected=is_at(receiver="0.0.0.0")),
    Case(name="ARP for another address passes", sent=Ether() / ARP(pdst=ELSEWHERE, psrc="192.0.2.7"),
         action=PASS, verdict=Verdict.NOT_IP),
    Case(name="an ARP reply to someone passes", sent=Ether() / ARP(op=2, psrc="192.0.2.7", pdst=VIP),
         action=PASS, verdict=Verdict.NOT_IP),
    Case(name="our own gratuitous ARP passes", action=PASS, verdict=Verdict.NOT_IP,
         sent=Ether(src=LB.mac) / ARP(op=1, hwsrc=LB.mac, psrc=VIP, pdst=VIP)),
    Case(name="ARP of another kind of network passes", action=PASS, verdict=Verdict.NOT_IP,
         sent=Ether(type=0x0806) / Raw(b"\0\x06" + bytes(ARP(psrc="192.0.2.7", pdst=VIP))[2:])),
]  # fmt: skip

ND_CASES = [
    *(Case(name=f"a solicitation with {tags} tags is answered", sent=solicitation(SOURCE_OPTION, tags=tags),
           action=TX, verdict=Verdict.ND_ANSWERED, expected=advertisement(tags=tags)) for tags in (0, 1, 2)),
    Case(name="a solicitation without options is answered, with ours", sent=solicitation(), action=TX,
         verdict=Verdict.ND_ANSWERED, expected=advertisement()),
    Case(name="a solicitation with two options is answered with one", sent=solicitation(SOURCE_OPTION, NONCE),
         action=TX, verdict=Verdict.ND_ANSWERED, expected=advertisement()),
    Case(name="a solicitation to the VIP itself is answered", sent=solicitation(SOURCE_OPTION, to=VIP6),
         action=TX, verdict=Verdict.ND_ANSWERED, expected=advertisement()),
    Case(name="duplicate address detection is answered to all nodes", sent=solicitation(source="::"),
         action=TX,
         verdict=Verdict.ND_ANSWERED, expected=advertised_to_all()),
    Case(name="duplicate address detection with a nonce as well", sent=solicitation(NONCE, source="::"),
         action=TX, verdict=Verdict.ND_ANSWERED, expected=advertised_to_all()),
    Case(name="a solicitation from beyond a router is not heeded", sent=solicitation(hlim=254), action=PASS,
         verdict=Verdict.NOT_A_VIP),
    Case(name="one from beyond a router to the VIP itself is dropped", sent=solicitation(to=VIP6, hlim=254),
         action=DROP, verdict=Verdict.NOT_SERVED),
    Case(name="a solicitation with a code is not heeded", sent=solicitation(code=1), action=PASS,
         verdict=Verdict.NOT_A_VIP),
    Case(name="a solicitation for another address passes", action=PASS, verdict=Verdict.NOT_A_VIP,
         sent=Ether() / IPv6(src=NEIGHBOUR, dst="ff02::1:ff00:99", hlim=255) / ICMPv6ND_NS(tgt=ELSEWHERE6)),
    Case(name="a solicitation behind an extension header is not heeded", action=PASS,
         verdict=Verdict.NOT_A_VIP, sent=Ether() / IPv6(src=NEIGHBOUR, dst=SOLICITED_NODE, hlim=255)
         / IPv6ExtHdrHopByHop() / ICMPv6ND_NS(tgt=VIP6)),
    *(Case(name=f"a neighbour's {name} about a VIP of IPv4 passes", sent=sent, action=PASS,
           verdict=Verdict.NOT_A_VIP) for name, sent in (
        ("question", Ether(src=CLIENT_MAC) / IPv6(src=CLIENT6, dst="ff02::1", hlim=255)
         / ICMPv6ND_NS(tgt=f"::ffff:{VIP}")),
        ("claim", Ether(src=FOREIGN_MAC) / IPv6(src=CLIENT6, dst="ff02::1", hlim=255)
         / ICMPv6ND_NA(tgt=f"::ffff:{VIP}")))),
    Case(name="our own advertisement passes", action=PASS, verdict=Verdict.NOT_A_VIP,
         sent=Ether(src=LB.mac) / IPv6(src=VIP6, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=VIP6)
         / ICMPv6NDOptDstLLAddr(lladdr=LB.mac)),
]  # fmt: skip

ECHO_CASES = [
    *(Case(name=f"a ping with {tags} tags is answered", sent=ping(tags=tags), action=TX,
           verdict=Verdict.ECHO_ANSWERED, expected=pong(tags=tags)) for tags in (0, 1, 2)),
    Case(name="a ping of IPv6 is answered", sent=ping6(ip(6)), action=TX, verdict=Verdict.ECHO_ANSWERED,
         expected=pong6()),
    Case(name="an echo reply to the VIP is not served", sent=ether(LB) / ip(4) / ICMP(type=0), action=DROP,
         verdict=Verdict.NOT_SERVED),
]  # fmt: skip

CLAIMS = [
    Case(name="a foreign gratuitous ARP is an alarm", action=PASS, verdict=Verdict.VIP_CLAIMED,
         sent=Ether(src=FOREIGN_MAC) / ARP(op=1, hwsrc=FOREIGN_MAC, psrc=VIP, pdst=VIP)),
    Case(name="a foreign ARP reply is an alarm", action=PASS, verdict=Verdict.VIP_CLAIMED,
         sent=Ether(src=CLIENT_MAC) / Dot1Q(vlan=3) / ARP(op=2, hwsrc=FOREIGN_MAC, psrc=VIP, pdst=CLIENT)),
    Case(name="a foreign advertisement is an alarm", action=PASS, verdict=Verdict.VIP_CLAIMED,
         sent=Ether(src=CLIENT_MAC) / IPv6(src=VIP6, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=VIP6)
         / ICMPv6NDOptDstLLAddr(lladdr=FOREIGN_MAC)),
    Case(name="a foreign advertisement without an option is an alarm", action=PASS,
         verdict=Verdict.VIP_CLAIMED,
         sent=Ether(src=FOREIGN_MAC) / IPv6(src=VIP6, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=VIP6)),
]  # fmt: skip

CASES = [*ARP_CASES, *ND_CASES, *ECHO_CASES, *CLAIMS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answers(xdp: XdpRunner, case: Case) -> None:
    case.check(xdp)


@pytest.mark.parametrize("case", CLAIMS, ids=lambda case: case.name)
def test_a_claim_is_told_to_the_daemon(xdp: XdpRunner, case: Case) -> None:
    vip = VIP6 if IPv6 in case.sent else VIP
    assert case.check(xdp).claims == (Claim(vip, mac(FOREIGN_MAC), LOOPBACK),)


def test_an_odd_ping_keeps_its_checksum_right(xdp: XdpRunner) -> None:
    """Every value that the checksum can have is adjusted rightly, the carry as well."""
    for number in range(0, 65536, 97):
        sent = ether(LB) / ip(4) / ICMP(type=8, id=number, seq=0xFFFF)
        reply = Ether(xdp.run(bytes(sent)).packet)
        assert checksum(bytes(reply[ICMP])) == 0
        assert checksum(bytes(reply[IP])[:20]) == 0


def test_without_our_own_mac_nothing_is_answered(xdp: XdpRunner) -> None:
    for key, _ in list(xdp.maps["interfaces"].entries()):
        xdp.maps["interfaces"].delete(key)
    got = [xdp.run(bytes(sent)) for sent in (who_has(), solicitation(), ping())]
    assert [(ran.action, ran.verdict) for ran in got] == [
        (PASS, Verdict.NOT_IP),
        (PASS, Verdict.NOT_A_VIP),
        (DROP, Verdict.NOT_SERVED),
    ]
