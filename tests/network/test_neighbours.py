"""Neighbours against the real kernel: two namespaces and a cable."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from rtspdsr.errors import DataplaneError
from rtspdsr.network.announcer import ARP_REQUEST, gratuitous_arp
from rtspdsr.network.links import LinkChange, Restored
from rtspdsr.network.neighbours import Change, Neighbours
from rtspdsr.network.netlink import Netlink
from rtspdsr.network.resolver import PROBE_S, NeighbourChange
from tests.network.wire import FAR_MAC, NEAR_MAC, Wire, wire

pytestmark = pytest.mark.kernel

CAM4, CAM6 = ip_address("10.9.0.2"), ip_address("fd09::2")
NOBODY = ip_address("10.9.0.77")
MOVED_MAC = bytes.fromhex("020000000099")
LONGEST_STRETCH_S = 0.02


@pytest.fixture
def cable() -> Iterator[Wire]:
    with wire() as made:
        yield made


class Heard:
    """Everything that a ``Neighbours`` has yielded so far."""

    def __init__(self, neighbours: Neighbours) -> None:
        self.neighbours = neighbours
        self.changes: list[Change] = []
        self._news = asyncio.Event()

    async def listen(self) -> None:
        async for change in self.neighbours.changes():
            self.changes.append(change)
            self._news.set()

    async def wait(self, wanted: Callable[[Change], bool], within_s: float) -> Change:
        """Return the first change from now on that is wanted, or fail with what came instead."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    for change in self.changes:
                        if wanted(change):
                            return change
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pytest.fail(f"not within {within_s} s; heard {self.changes}")

    async def mac(self, address: object, mac: bytes | None, within_s: float) -> NeighbourChange:
        def wanted(change: Change) -> bool:
            return isinstance(change, NeighbourChange) and (change.address, change.mac) == (address, mac)

        found = await self.wait(wanted, within_s)
        assert isinstance(found, NeighbourChange)
        return found

    async def link(self, within_s: float, *, up: bool) -> LinkChange:
        found = await self.wait(lambda change: isinstance(change, LinkChange) and change.up is up, within_s)
        assert isinstance(found, LinkChange)
        return found


@contextlib.asynccontextmanager
async def hearing(neighbours: Neighbours) -> AsyncIterator[Heard]:
    async with neighbours:
        heard = Heard(neighbours)
        listening = asyncio.create_task(heard.listen())
        yield heard
        if listening.done():
            listening.result()
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


async def test_both_families_resolve_and_a_missing_machine_is_told(cable: Wire) -> None:
    async with hearing(Neighbours(["near"])) as heard:
        heard.neighbours.watch([CAM4, CAM6, NOBODY])
        link = await heard.link(1.0, up=True)
        assert (link.interface, link.mac) == ("near", NEAR_MAC)
        for address in (CAM4, CAM6):
            found = await heard.mac(address, FAR_MAC, 3.0)
            assert (found.interface, found.ifindex, found.source_mac) == ("near", link.ifindex, NEAR_MAC)
            assert not found.problem
        lost = await heard.mac(NOBODY, None, 3.0)
        assert "does not answer ARP" in lost.problem


async def test_a_reload_resolves_new_backends_and_is_silent_about_known_ones(cable: Wire) -> None:
    async with hearing(Neighbours()) as heard:
        heard.neighbours.watch([CAM4])
        await heard.mac(CAM4, FAR_MAC, 3.0)
        heard.changes.clear()
        heard.neighbours.watch([CAM4, CAM6])
        await heard.mac(CAM6, FAR_MAC, 3.0)
        assert [change.address for change in heard.changes if isinstance(change, NeighbourChange)] == [CAM6]


async def test_a_gratuitous_arp_is_followed_at_once(cable: Wire) -> None:
    async with hearing(Neighbours()) as heard:
        heard.neighbours.watch([CAM4])
        await heard.mac(CAM4, FAR_MAC, 3.0)
        await asyncio.sleep(1.1)  # the kernel locks a fresh entry for a second against ARP that flaps
        with cable.sniffer() as far:
            far.send(gratuitous_arp(IPv4Address(CAM4), MOVED_MAC, ARP_REQUEST))
            await heard.mac(CAM4, MOVED_MAC, 0.5)


async def test_a_mac_address_that_changes_silently_is_followed_without_a_loss(cable: Wire) -> None:
    async with hearing(Neighbours()) as heard:
        heard.neighbours.watch([CAM4])
        await heard.mac(CAM4, FAR_MAC, 3.0)
        heard.changes.clear()
        cable.far(f"link set far address {MOVED_MAC.hex(':')}")
        moved = await heard.mac(CAM4, MOVED_MAC, PROBE_S + 5.0)
        assert heard.changes == [moved]


async def test_a_backend_that_dies_is_lost_and_comes_back(cable: Wire) -> None:
    async with hearing(Neighbours()) as heard:
        heard.neighbours.watch([CAM4, CAM6])
        await heard.mac(CAM4, FAR_MAC, 3.0)
        await heard.mac(CAM6, FAR_MAC, 3.0)
        heard.changes.clear()
        cable.far("addr del 10.9.0.2/24 dev far", "addr del fd09::2/64 dev far")
        await heard.mac(CAM4, None, PROBE_S + 6.0)
        await heard.mac(CAM6, None, 3.0)
        heard.changes.clear()
        cable.far("addr add 10.9.0.2/24 dev far", "addr add fd09::2/64 dev far nodad")
        await heard.mac(CAM4, FAR_MAC, 6.0)
        await heard.mac(CAM6, FAR_MAC, 6.0)


async def test_link_down_and_up_restores_addresses_routes_and_neighbours(cable: Wire) -> None:
    behind4, behind6 = ip_address("10.77.0.5"), ip_address("fd77::5")
    vip = ip_address("203.0.113.80")
    cable.far("addr add 10.77.0.5/24 dev far", "addr add fd77::5/64 dev far nodad")
    cable.near(
        "route add 10.77.0.0/24 dev near metric 7 mtu 1400",
        "route add fd77::/64 dev near src fd09::1",
        "route add 203.0.113.80/32 via 10.9.0.2 table 77",
        "route add 198.51.100.0/24 dev near",
    )
    routes_before = [cable.near(f"-{family} route show table all").splitlines() for family in (4, 6)]
    async with hearing(Neighbours(["near"])) as heard:
        heard.neighbours.watch([CAM4, CAM6, behind4, behind6], [vip])
        for address in (CAM4, CAM6, behind4, behind6):
            await heard.mac(address, FAR_MAC, 3.0)
        await heard.link(1.0, up=True)
        await asyncio.sleep(0.5)  # what is there settles before it is remembered

        heard.changes.clear()
        cable.near("link set near down")
        await heard.link(1.0, up=False)
        lost = await heard.mac(CAM4, None, 1.0)
        assert lost.problem == "interface near is down"
        await heard.mac(behind6, None, 1.0)

        heard.changes.clear()
        cable.near("link set near up")
        for address in (CAM4, CAM6, behind4, behind6):
            await heard.mac(address, FAR_MAC, 6.0)
        restored = await heard.wait(lambda change: isinstance(change, Restored), 3.0)
        assert restored == Restored(
            interface="near",
            restored=(
                "address fd09::1/64",
                "route 10.77.0.0/24 metric 7",
                "route fd77::/64 metric 1024",
                "route 203.0.113.80/32 via 10.9.0.2 table 77",
            ),
        )
    assert "mtu 1400" in cable.near("route show 10.77.0.0/24")
    routes_after = [cable.near(f"-{family} route show table all").splitlines() for family in (4, 6)]
    missing = [
        sorted(set(before) - set(after)) for before, after in zip(routes_before, routes_after, strict=True)
    ]
    assert missing == [["198.51.100.0/24 dev near scope link "], []], "only the route to none of ours is gone"


async def test_an_interface_that_is_removed_and_made_again_is_told_with_its_new_index(cable: Wire) -> None:
    async with hearing(Neighbours(["near"])) as heard:
        heard.neighbours.watch([CAM4])
        first = await heard.link(1.0, up=True)
        await heard.mac(CAM4, FAR_MAC, 3.0)
        heard.changes.clear()
        cable.near("link del near")
        await heard.wait(lambda change: isinstance(change, LinkChange) and change.ifindex == 0, 1.0)
        await heard.mac(CAM4, None, 2.0)
        heard.changes.clear()
        cable.connect()
        again = await heard.link(3.0, up=True)
        assert again.ifindex not in (0, first.ifindex)
        assert (await heard.mac(CAM4, FAR_MAC, 3.0)).ifindex == again.ifindex


async def test_messages_that_were_lost_are_made_good(cable: Wire) -> None:
    """A socket with room for a few messages; the storm drops the one that tells of the move."""
    async with hearing(Neighbours(["near"], netlink=Netlink(listen_bytes=2048))) as heard:
        heard.neighbours.watch([CAM4])
        await heard.mac(CAM4, FAR_MAC, 3.0)
        heard.changes.clear()
        storm = [f"neigh replace 10.9.0.{n} lladdr {FAR_MAC.hex(':')} dev near" for n in range(9, 240)]
        moved = f"neigh replace 10.9.0.2 lladdr {MOVED_MAC.hex(':')} dev near nud permanent"
        renumbered = f"link set near address {MOVED_MAC.hex(':')}"
        # The loop stands still meanwhile, so that nothing is read.
        cable.near_batch([*storm, renumbered, *storm, moved, *storm])
        found = await heard.mac(CAM4, MOVED_MAC, 3.0)
        await heard.wait(lambda change: isinstance(change, LinkChange) and change.mac == MOVED_MAC, 3.0)
        assert found.address == CAM4
        heard.changes.clear()
        cable.near("link set near down")
        await heard.link(1.0, up=False)


@pytest.fixture
def frozen_heap() -> Iterator[None]:
    """Keep what pytest has loaded out of garbage collection, which alone holds the loop for 30 ms."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen_heap")
async def test_the_loop_is_never_held_for_long(cable: Wire) -> None:
    """200 backends, 2,000 foreign routes and a flap, while another task watches the clock."""
    cable.near_batch([f"route add 172.16.{n // 250}.{n % 250}/32 dev near proto bird" for n in range(2000)])
    stretches = []

    async def watch_clock() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            stretches.append(time.thread_time() - before)

    async with hearing(Neighbours(["near"])) as heard:
        clock = asyncio.create_task(watch_clock())
        heard.neighbours.watch([CAM4 + n for n in range(200)])
        await heard.mac(CAM4, FAR_MAC, 3.0)
        await heard.mac(CAM4 + 199, None, 3.0)
        await asyncio.to_thread(cable.near, "link set near down")
        await heard.link(2.0, up=False)
        await asyncio.to_thread(cable.near, "link set near up")
        await asyncio.sleep(2.0)
        clock.cancel()
    assert max(stretches) < LONGEST_STRETCH_S


async def test_a_refused_request_says_what_to_do(cable: Wire) -> None:
    async with Netlink() as netlink:
        (near,) = [link for link in await netlink.links() if link.interface == "near"]
        cable.without_ipv6()
        with pytest.raises(DataplaneError, match="refused to add group") as caught:
            await netlink.join(IPv6Address("ff02::1:ff00:1"), near.ifindex)
    assert "disable_ipv6" in str(caught.value)


async def test_an_entry_set_by_hand_is_used_and_stays_as_it_is(cable: Wire) -> None:
    by_hand = f"10.9.0.77 lladdr {MOVED_MAC.hex(':')} dev near nud permanent"
    cable.near(f"neigh add {by_hand}")
    async with hearing(Neighbours()) as heard:
        heard.neighbours.watch([NOBODY])
        await heard.mac(NOBODY, MOVED_MAC, 2.0)
        await asyncio.sleep(PROBE_S + 1.0)
    assert "PERMANENT" in cable.near("neigh show 10.9.0.77 dev near")
