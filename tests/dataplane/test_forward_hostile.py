"""Frames cut short at every octet, and frames with octets changed at random: what may come of them."""

import random
from collections import Counter

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
from tests.packets.frames import BACKEND_A, BACKEND_B, CLIENT6, ELSEWHERE, LB, ip, media, ping, rtsp
from tests.packets.runner import DROP, PASS, REDIRECT, TX, B, Ran, XdpRunner, flow

pytestmark = pytest.mark.kernel

SEED = 2326
MUTATIONS = 20_000
LINK = 14  # BPF_PROG_TEST_RUN takes no less

PASSED = {Verdict.NOT_IP, Verdict.NOT_A_VIP, Verdict.UNPARSED, Verdict.VIP_CLAIMED}
ANSWERED = {Verdict.ARP_ANSWERED, Verdict.ND_ANSWERED, Verdict.ECHO_ANSWERED}
DROPPED = {
    Verdict.DETOURED,
    Verdict.TRUNCATED,
    Verdict.NOT_SERVED,
    Verdict.NO_BACKEND,
    Verdict.FROM_BACKEND,
}

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


def hold(sent: bytes, ran: Ran) -> None:
    """What must be true of any frame at all."""
    if ran.verdict in ANSWERED:
        assert ran.action == TX
    elif ran.verdict in PASSED:
        assert (ran.action, ran.packet) == (PASS, sent)
    elif ran.verdict in DROPPED:
        assert (ran.action, ran.packet) == (DROP, sent)
    else:
        assert ran.action in (TX, REDIRECT)
        assert ran.packet[12:] == sent[12:]
        assert ran.packet[:6] in (bytes.fromhex(one.mac.replace(":", "")) for one in (BACKEND_A, BACKEND_B))
        assert ran.packet[6:12] == bytes.fromhex(BACKEND_A.source.replace(":", ""))


@pytest.mark.parametrize("frame", WHOLE.values(), ids=WHOLE.keys())
def test_a_frame_cut_short_at_any_octet_has_a_verdict_and_is_not_altered(
    xdp: XdpRunner, frame: Packet
) -> None:
    furnish(xdp)
    whole = bytes(frame)
    for length in range(LINK, len(whole)):
        sent = whole[:length]
        ran = xdp.run(sent)
        hold(sent, ran)
        if ran.verdict not in PASSED | ANSWERED:
            assert ran.verdict is Verdict.TRUNCATED, f"cut to {length} octets"


def mutated(whole: bytes, dice: random.Random) -> bytes:
    """The frame with one to four octets changed, and perhaps cut or lengthened."""
    octets = bytearray(whole)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(octets)) if dice.random() < 0.3 else dice.randrange(min(len(octets), 80))
        octets[at] = dice.choice((0, 1, 0x40, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    if dice.random() < 0.2:
        del octets[dice.randrange(LINK, len(octets)) :]
    if dice.random() < 0.1:
        octets += dice.randbytes(dice.randrange(64))
    return bytes(octets)


def test_mutated_frames_change_in_their_mac_addresses_at_most(xdp: XdpRunner) -> None:
    """Frames that pass as they came prove little alone: the walk must have been wide as well."""
    furnish(xdp)
    dice = random.Random(SEED)
    frames = [bytes(frame) for frame in WHOLE.values()]
    seen: Counter[Verdict] = Counter()
    for _ in range(MUTATIONS):
        sent = mutated(dice.choice(frames), dice)
        ran = xdp.run(sent)
        hold(sent, ran)
        for segment in ran.segments:
            assert segment.frame == sent
            assert segment.payload in sent
        seen[ran.verdict] += 1
    unwalked = {Verdict.TRACKER_DEAD, Verdict.RING_FULL, Verdict.NO_BACKEND, Verdict.NO_ROOM}
    assert set(seen) >= set(Verdict) - unwalked - {Verdict.FROM_BACKEND}
