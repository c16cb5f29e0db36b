"""Frames cut short at every octet: what may come of them. Frames made up by the million are in tests/fuzz."""

import pytest
from scapy.packet import Packet

from rtspdsr.dataplane.layout import ScheduleFlag, Verdict
from rtspdsr.model import PinFlag, Proto
from tests.dataplane.test_forward import (
    ALL_EXTENSIONS,
    OPTIONS,
    extended,
    fragment,
    icmp6_error,
    icmp_error,
)
from tests.dataplane.test_forward_answers import CLAIMS, SOURCE_OPTION, ping6, solicitation, who_has
from tests.dataplane.test_forward_statistics import BLOCK, RR, SR, rtcp
from tests.packets.fate import FATES, Fate, fate
from tests.packets.frames import CLIENT6, ELSEWHERE, LB, ip, media, ping, rtsp
from tests.packets.runner import B, XdpRunner, flow

pytestmark = pytest.mark.kernel

LINK = 14  # BPF_PROG_TEST_RUN takes no less

WHOLE: dict[str, Packet] = {
    "pinned UDP": media(),
    "pinned UDP of IPv6": media(version=6),
    "a report under two tags": media(tags=2, payload=rtcp(RR, BLOCK)),
    "a sender report": media(payload=rtcp(SR, BLOCK)),
    "IP options": media(network=OPTIONS),
    "extension headers": media(network=extended(ALL_EXTENSIONS)),
    "a SYN": rtsp(flags="S"),
    "a request": rtsp(payload=b"OPTIONS rtsp://x RTSP/1.0\r\n\r\n"),
    "a request of IPv6 under a tag": rtsp(version=6, tags=1, payload=b"OPTIONS"),
    "media upstream": rtsp(sport=51002, payload=b"$\x00\x00\x40" + bytes(64)),
    "a fragment": fragment(LB, 4, 1000, True),
    "a fragment of IPv6": fragment(LB, 6, 0, True),
    "an ICMP error": icmp_error(LB),
    "an ICMP error about TCP under two tags": icmp_error(LB, tcp=True, tags=2),
    "an ICMPv6 error": icmp6_error(LB),
    "an ICMPv6 error about a fragment": icmp6_error(LB, fragmented=True),
    "a ping": ping(tags=1),
    "a ping of IPv6": ping6(ip(6)),
    "an ARP request": who_has(),
    "an ARP request under two tags": who_has(tags=2),
    "a solicitation": solicitation(SOURCE_OPTION),
    "a solicitation under a tag, to the VIP": solicitation(SOURCE_OPTION, to="2001:db8::10", tags=1),
    "an advertisement": CLAIMS[2].sent,
    "another's datagram": media(network=ip(4, vip=ELSEWHERE)),
}


def furnish(xdp: XdpRunner) -> None:
    """Pins for some of the frames, and turns for new clients, so that every tier is walked."""
    xdp.pin(flow(), B, place=5)
    xdp.pin(flow(client=CLIENT6), B, place=6)
    xdp.pin(flow(Proto.TCP), B, place=7)
    xdp.pin(flow(Proto.TCP, port=51002), B, PinFlag.UPSTREAM, place=8)
    xdp.client(CLIENT6, B)
    xdp.turns(B, flags=ScheduleFlag.BY_TURN | ScheduleFlag.REPEATS)


@pytest.mark.parametrize("frame", WHOLE.values(), ids=WHOLE.keys())
def test_a_frame_cut_short_at_any_octet_has_a_verdict_and_is_not_altered(
    xdp: XdpRunner, frame: Packet
) -> None:
    furnish(xdp)
    whole = bytes(frame)
    for length in range(LINK, len(whole)):
        sent = whole[:length]
        ran = xdp.run(sent)
        assert FATES[ran.verdict] is fate(sent, ran.action, ran.packet)
        if FATES[ran.verdict] not in (Fate.PASSED, Fate.ANSWERED):
            assert ran.verdict is Verdict.TRUNCATED, f"cut to {length} octets"
