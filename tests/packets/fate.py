"""What may become of any frame at all, judged by its octets alone, and not by what the program says."""

from enum import Enum, auto
from ipaddress import ip_address

from rtspdsr.dataplane.layout import Verdict
from tests.packets.frames import BACKEND_A, BACKEND_B, BACKEND_C, LB, VIP, VIP6
from tests.packets.runner import DROP, PASS, REDIRECT, TX, mac

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
TAGS = (0x8100, 0x88A8)
TAGS_MAX = 2
ICMP6, SOLICITATION, ADVERTISEMENT = 58, 135, 136
ALL_NODES = mac("33:33:00:00:00:01")
CHANGED_MAX = (
    12 + 32 + 4
)  # octets that an answer in place changes: MACs, addresses, hop limit, type, checksum


class Fate(Enum):
    """What became of a frame."""

    PASSED = auto()
    ANSWERED = auto()
    FORWARDED = auto()
    DROPPED = auto()


FATES = {
    **dict.fromkeys(Verdict, Fate.FORWARDED),
    **dict.fromkeys((Verdict.NOT_IP, Verdict.NOT_A_VIP, Verdict.UNPARSED, Verdict.VIP_CLAIMED), Fate.PASSED),
    **dict.fromkeys((Verdict.ARP_ANSWERED, Verdict.ND_ANSWERED, Verdict.ECHO_ANSWERED), Fate.ANSWERED),
    **dict.fromkeys(
        (
            Verdict.DETOURED,
            Verdict.TRUNCATED,
            Verdict.NOT_SERVED,
            Verdict.NO_BACKEND,
            Verdict.NO_ROOM,
            Verdict.FROM_BACKEND,
        ),
        Fate.DROPPED,
    ),
}
HEADS = {mac(one.mac) + mac(one.source) for one in (BACKEND_A, BACKEND_B, BACKEND_C)}
OWN = mac(LB.mac)
VIPS = (ip_address(VIP).packed, ip_address(VIP6).packed)


def fate(sent: bytes, action: int, left: bytes) -> Fate:
    """What became of it. An AssertionError if that may become of no frame, or not of this one."""
    became = _became(sent, action, left)
    possible = _possible(sent)
    assert became in possible, f"{became.name}, where only {', '.join(one.name for one in possible)} may be"
    return became


def _became(sent: bytes, action: int, left: bytes) -> Fate:
    if action in (PASS, DROP):
        assert left == sent, "altered, and neither sent on nor answered"
        return Fate.PASSED if action == PASS else Fate.DROPPED
    assert action in (TX, REDIRECT), f"action {action}"
    if left[12:] == sent[12:] and left[:12] in HEADS:
        return Fate.FORWARDED
    assert action == TX, "altered beyond its MAC addresses"
    assert left[6:12] == OWN, "altered beyond its MAC addresses, or sent to nobody that is known"
    assert left[:6] in (sent[6:12], ALL_NODES), "an answer to somebody else"
    if _neighbours_message(sent) != SOLICITATION:  # whose answer is written anew
        assert len(left) == len(sent), "an answer of another length"
        changed = sum(one != other for one, other in zip(sent, left, strict=True))
        assert changed <= CHANGED_MAX, "altered too much for an answer"
    return Fate.ANSWERED


def _network(sent: bytes) -> tuple[int, int]:
    """What the frame says it carries behind at most two tags, and where that begins."""
    at = 12
    for _ in range(TAGS_MAX):
        if int.from_bytes(sent[at : at + 2]) not in TAGS or len(sent) < at + 6:
            break
        at += 4
    return int.from_bytes(sent[at : at + 2]), at + 2


def _possible(sent: bytes) -> tuple[Fate, ...]:
    """A frame for a VIP is never left to the kernel, unless it claims that VIP; any other always is."""
    kind, at = _network(sent)
    if kind == ARP:
        return Fate.PASSED, Fate.ANSWERED
    if kind == IPV4 and len(sent) >= at + 20 and sent[at] >> 4 == 4:
        to_vip = sent[at + 16 : at + 20] in VIPS
    elif kind == IPV6 and len(sent) >= at + 40 and sent[at] >> 4 == 6:
        to_vip = sent[at + 24 : at + 40] in VIPS
        if _neighbours_message(sent):
            return (Fate.PASSED, Fate.ANSWERED, Fate.DROPPED) if to_vip else (Fate.PASSED, Fate.ANSWERED)
    else:
        return (Fate.PASSED,)
    return (Fate.ANSWERED, Fate.FORWARDED, Fate.DROPPED) if to_vip else (Fate.PASSED,)


def _neighbours_message(sent: bytes) -> int:
    """Its type, if it is a solicitation or an advertisement; else 0."""
    kind, at = _network(sent)
    if kind != IPV6 or len(sent) <= at + 40 or sent[at + 6] != ICMP6:
        return 0
    return sent[at + 40] if sent[at + 40] in (SOLICITATION, ADVERTISEMENT) else 0
