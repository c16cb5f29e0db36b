"""The table of VIPs: what Python writes, the XDP program finds, however VIPs come, go and crowd."""

import random
from collections import defaultdict
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from rtspdsr.dataplane.layout import VIP, VIP_PLACES, VIP_PROBES, Verdict, VipState, index
from rtspdsr.dataplane.vips import Vips
from rtspdsr.errors import DataplaneError
from rtspdsr.model import Address
from tests.packets.frames import VIP as USUAL
from tests.packets.frames import ip, media, rtsp
from tests.packets.runner import SERVICE, XdpRunner

pytestmark = pytest.mark.kernel


def is_served(xdp: XdpRunner, vip: Address) -> bool:
    """Whether XDP takes a packet to it for ours."""
    ran = xdp.run(bytes(media(version=vip.version, network=ip(vip.version, vip=str(vip)))))
    assert ran.verdict in (Verdict.BY_SLOT, Verdict.NOT_A_VIP)
    return ran.verdict is Verdict.BY_SLOT


def crowd(count: int, *, last: bool = False) -> list[IPv4Address]:
    """So many addresses that all have the same first place; ``last``: the table's last one."""
    by_place: dict[int, list[IPv4Address]] = defaultdict(list)
    for number in range(0x0A000000, 0x0B000000):
        folded = int.from_bytes(number.to_bytes(4), "little") ^ 0xFFFF0000
        place = (folded * 2654435769 & 0xFFFFFFFF) >> 20
        if not last or place == VIP_PLACES - 1:
            by_place[place].append(IPv4Address(number))
            if len(by_place[place]) == count:
                return by_place[place]
    raise AssertionError("not so many")


def test_addresses_of_both_families_are_found_and_their_neighbours_are_not(xdp: XdpRunner) -> None:
    draw = random.Random(7)
    served: set[Address] = {IPv4Address(draw.getrandbits(32)) for _ in range(250)}
    served |= {IPv6Address(draw.getrandbits(128)) for _ in range(250)}
    served |= {ip_address("2001:db8::"), ip_address("0.0.0.1")}
    for vip in served:
        xdp.vips.serve(vip, SERVICE)
    assert [vip for vip in served if not is_served(xdp, vip)] == []
    strangers = {vip + 1 for vip in served} - served
    assert [vip for vip in strangers if is_served(xdp, vip)] == []


@pytest.mark.parametrize("nothing", ["0.0.0.0", "::", "::ffff:0:0"])
def test_a_free_place_is_no_vip(xdp: XdpRunner, nothing: str) -> None:
    assert not is_served(xdp, ip_address(nothing))


@pytest.mark.parametrize("last", [False, True], ids=["anywhere", "round the end of the table"])
def test_vips_that_crowd_are_all_found_until_there_is_no_place(xdp: XdpRunner, last: bool) -> None:
    *fitting, stranger = crowd(VIP_PROBES + 1, last=last)
    for vip in fitting:
        xdp.vips.serve(vip, SERVICE)
    assert all(is_served(xdp, vip) for vip in fitting)
    assert not is_served(xdp, stranger)
    with pytest.raises(DataplaneError, match=f"no place for VIP {stranger}"):
        xdp.vips.serve(stranger, SERVICE)


def test_a_vip_that_leaves_hides_none_behind_it(xdp: XdpRunner) -> None:
    first, second, third = crowd(3)
    for vip in (first, second):
        xdp.vips.serve(vip, SERVICE)
    xdp.vips.leave(first)
    xdp.vips.leave(third)
    assert [is_served(xdp, vip) for vip in (first, second, third)] == [False, True, False]


def test_a_place_that_was_left_is_taken_again_and_no_vip_stands_twice(xdp: XdpRunner) -> None:
    first, second, third = crowd(3)
    for vip in (first, second):
        xdp.vips.serve(vip, SERVICE)
    xdp.vips.leave(first)
    xdp.vips.serve(second, SERVICE)
    xdp.vips.serve(third, SERVICE)
    assert [is_served(xdp, vip) for vip in (first, second, third)] == [False, True, True]
    places = [VIP.unpack(value) for _, value in xdp.maps["vips"].entries()]
    here = [address for address, _, state in places if state == VipState.SERVED]
    assert len(here) == len(set(here)) == len(SERVICE.vips) + 2


def test_a_service_may_change_its_ports_and_a_vip_its_service(xdp: XdpRunner) -> None:
    syn = bytes(rtsp(dport=9554, flags="S"))
    assert xdp.run(syn).verdict is Verdict.NOT_SERVED
    xdp.vips.serve(ip_address(USUAL), replace(SERVICE, ports=(9554,)))
    assert xdp.run(syn).verdict is Verdict.BY_SLOT
    xdp.vips.serve(ip_address(USUAL), replace(SERVICE, service_id=0))
    assert xdp.run(bytes(media())).verdict is Verdict.NO_BACKEND


def test_a_place_is_complete_before_it_is_served() -> None:
    class Watched(dict[bytes, bytes]):
        """A map that keeps what was written, write by write."""

        def lookup(self, key: bytes) -> bytes | None:
            return self.get(key, bytes(VIP.size))

    class Recorder(Watched):
        def __init__(self) -> None:
            super().__init__()
            self.written: list[tuple[bytes, bytes]] = []

        def update(self, key: bytes, value: bytes) -> None:  # type: ignore[override]
            self.written.append((key, value))
            self[key] = value

    places = Recorder()
    Vips(places).serve(ip_address(USUAL), SERVICE)  # type: ignore[arg-type]
    (at, prepared), (same, served) = places.written
    assert at == same != index(0)
    assert VIP.named(prepared) == {**VIP.named(served), "state": VipState.LEFT}
