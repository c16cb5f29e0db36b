"""rtnetlink in octets, against the real kernel; it leaves nothing behind for a search of cycles."""

import asyncio
import errno
import gc
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspdsr.errors import DataplaneError
from rtspdsr.network import netlink as module
from rtspdsr.network import rtnetlink
from rtspdsr.network.netlink import Netlink
from rtspdsr.network.rtnetlink import Kernel, Raw
from rtspdsr.network.values import Hop, Nud, Resync
from tests.network.wire import FAR_MAC, NEAR_MAC, Wire, wire

FAR4, FAR6 = ip_address("10.9.0.2"), ip_address("fd09::2")


@pytest.fixture
def cable() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.fixture
def kernel(cable: Wire) -> Iterator[Kernel]:
    with Kernel() as made:
        yield made


def near(kernel: Kernel) -> int:
    """The index of our end of the cable."""
    (found,) = (link for piece in kernel.links() for link in piece if link.interface == "near")
    assert (found.mac, found.up) == (NEAR_MAC, True)
    assert kernel.link(found.ifindex) == found
    return found.ifindex


@pytest.mark.kernel
def test_hops_are_told_as_the_kernel_routes(cable: Wire, kernel: Kernel) -> None:
    ifindex = near(kernel)
    cable.near("route add 10.50.0.0/24 via 10.9.0.2", "route add 10.51.0.0/24 via inet6 fd09::2 dev near")
    assert kernel.hop(FAR4) == kernel.hop(FAR6) == Hop(ifindex=ifindex)
    assert kernel.hop(ip_address("10.50.0.9")) == Hop(ifindex=ifindex, gateway=FAR4)
    assert kernel.hop(ip_address("10.51.0.9")) == Hop(ifindex=ifindex, gateway=FAR6)
    assert kernel.hop(ip_address("10.9.0.1")).local
    cable.near("route add blackhole 10.52.0.0/24")
    for nowhere in ("10.52.0.9", "192.0.2.1", "2001:db8::1"):
        with pytest.raises(OSError, match="E") as refused:
            kernel.hop(ip_address(nowhere))
        assert refused.value.errno in (errno.ENETUNREACH, errno.EINVAL)


@pytest.mark.kernel
@pytest.mark.parametrize("address", [FAR4, FAR6])
def test_a_neighbour_is_made_read_and_changed(cable: Wire, kernel: Kernel, address: object) -> None:
    one, ifindex = ip_address(str(address)), near(kernel)
    with pytest.raises(OSError, match="ENOENT"):
        kernel.neighbour(one, ifindex)
    cable.near(f"neigh add {one} lladdr {FAR_MAC.hex(':')} dev near nud stale")
    entry = kernel.neighbour(one, ifindex)
    assert entry is not None
    assert (entry.address, entry.mac, entry.state) == (one, FAR_MAC, Nud.STALE)
    kernel.set_neighbour(one, ifindex, Nud.PERMANENT, create=False)
    assert "PERMANENT" in cable.near(f"neigh show {one} dev near")
    with pytest.raises(OSError, match="ENOENT"):
        kernel.set_neighbour(one + 50, ifindex, Nud.PROBE, create=False)


@pytest.mark.kernel
async def test_what_is_asked_and_heard_all_the_time_leaves_no_cycles(cable: Wire) -> None:
    """The daemon searches for those in what is new alone: what lives a little longer would stay for hours."""
    async with Netlink() as netlink:
        heard = netlink.messages()
        assert await anext(heard) == Resync()
        ifindex = next(one.ifindex for one in await netlink.links() if one.interface == "near")
        asked: list[Callable[[], object]] = [
            lambda: netlink.hop(FAR4),
            lambda: netlink.link(ifindex),
            lambda: netlink.neighbour(FAR4, ifindex),
            lambda: netlink.solicit(FAR4, ifindex),
            lambda: netlink.probe(FAR4, ifindex),
        ]
        gc.collect()
        gc.disable()
        try:
            for ask in asked:
                ask()
            cable.near_batch(["neigh replace 10.9.0.9 lladdr 02:00:00:00:00:09 dev near"] * 3)
            async with asyncio.timeout(10):
                while getattr(await anext(heard), "address", None) != ip_address("10.9.0.9"):
                    pass
            await netlink.links()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            found = [one for one in gc.garbage if type(one).__module__.startswith(("pyroute2", "rtspdsr"))]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert found == []


@given(st.binary(max_size=200))
def test_whatever_octets_come_splitting_them_ends(datagram: bytes) -> None:
    for raw in rtnetlink.split(datagram):
        assert len(raw.body) <= len(datagram)


# --- a dump, as a kernel may answer it ------------------------------------------------------------------


def answer(number: int, kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, number, 0) + body


def done(number: int, code: int = 0, flags: int = 0) -> bytes:
    return answer(number, rtnetlink.NLMSG_DONE, struct.pack("=i", code), flags)


def an_interface(number: int, flags: int = 0) -> bytes:
    name = struct.pack("=HH4s", 8, rtnetlink.IFLA_IFNAME, b"lan\0")
    return answer(number, rtnetlink.RTM_NEWLINK, struct.pack("=BxHiII", 0, 0, 7, 0, 0) + name, flags)


@asynccontextmanager
async def answering(*datagrams: bytes) -> AsyncIterator[Netlink]:
    """What asks a kernel that will answer this."""
    async with Netlink() as netlink:
        netlink._kernel.close()
        netlink._kernel._socket, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        netlink._kernel._socket.setblocking(False)
        with peer:
            for one in datagrams:
                peer.send(one)
            yield netlink


async def test_a_list_that_the_kernel_could_not_end_is_no_list() -> None:
    async with answering(an_interface(1), done(1, -errno.EBUSY)) as netlink:
        with pytest.raises(DataplaneError, match="EBUSY"):
            await netlink.links()


async def test_a_list_that_changed_while_it_was_read_is_read_again() -> None:
    torn = rtnetlink.NLM_F_DUMP_INTR
    async with answering(
        an_interface(1, torn), done(1), done(2, 0, torn), an_interface(3), done(3)
    ) as netlink:
        assert [one.interface for one in await netlink.links()] == ["lan"]


async def test_a_list_that_changes_all_the_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DUMPS_MAX", 3)
    async with answering(*(done(number, 0, rtnetlink.NLM_F_DUMP_INTR) for number in (1, 2, 3))) as netlink:
        with pytest.raises(DataplaneError, match="changed while it was read"):
            await netlink.links()


async def test_the_end_of_a_list_may_come_with_its_last_entries() -> None:
    async with answering(an_interface(1) + done(1)) as netlink:
        assert [one.interface for one in await netlink.links()] == ["lan"]


def test_entries_of_other_families_concern_nobody() -> None:
    bridge = Raw(rtnetlink.RTM_NEWNEIGH, 0, 0, bytes([7]) + bytes(11))
    assert rtnetlink.message(bridge) is None
    assert rtnetlink.message(Raw(rtnetlink.RTM_NEWLINK, 0, 0, bytes([7]) + bytes(15))) is None
