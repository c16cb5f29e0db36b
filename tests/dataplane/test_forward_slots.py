"""The slot of a client: its address alone, spread evenly."""

from array import array
from collections import Counter
from ipaddress import ip_address

import pytest

from rtspdsr.dataplane.layout import SLOT_COUNT, Verdict, octets
from tests.dataplane.test_forward import fragment
from tests.packets.frames import BACKEND_A, BACKEND_B, CLIENT, CLIENT6, LB, ip, media, rtsp
from tests.packets.runner import A, B, XdpRunner, mac

pytestmark = pytest.mark.kernel

MASK = (1 << 64) - 1


def mix(value: int) -> int:
    """MurmurHash3's finalizer."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ value >> 33) * factor & MASK
    return value ^ value >> 33


def slot_of(client: str) -> int:
    """The slot as choose.h reckons it."""
    packed = octets(ip_address(client))
    return mix(mix(int.from_bytes(packed[:8])) ^ int.from_bytes(packed[8:])) % SLOT_COUNT


@pytest.mark.parametrize(("version", "client"), [(4, CLIENT), (6, CLIENT6)])
def test_tcp_udp_and_fragments_of_a_client_share_its_slot(xdp: XdpRunner, version: int, client: str) -> None:
    slots = array("I", [A]) * SLOT_COUNT
    slots[slot_of(client)] = B
    xdp.slot_table(slots)
    frames = [
        media(version=version),
        media(version=version, sport=6000, dport=7000),
        rtsp(version=version),
        fragment(LB, version, 0, True),
        fragment(LB, version, 1000, False),
        rtsp(version=version, sport=1, dport=8554, flags="S"),
    ]
    for ran in [xdp.run(bytes(frame)) for frame in frames]:
        assert (ran.verdict, ran.packet[:6]) == (Verdict.BY_SLOT, mac(BACKEND_B.mac))


def test_a_client_of_another_slot_goes_elsewhere(xdp: XdpRunner) -> None:
    slots = array("I", [A]) * SLOT_COUNT
    slots[slot_of(CLIENT)] = B
    xdp.slot_table(slots)
    ran = xdp.run(bytes(media(network=ip(4, client="198.51.100.8"))))
    assert ran.packet[:6] == mac(BACKEND_A.mac)


def test_neighbouring_addresses_spread_over_the_table() -> None:
    counted = Counter(
        slot_of(f"10.0.{high}.{low}") * 8 // SLOT_COUNT for high in range(64) for low in range(256)
    )
    assert len(counted) == 8
    assert max(counted.values()) < 1.1 * min(counted.values())
