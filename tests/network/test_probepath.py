"""Ways to a backend through the VIP, as the kernel routes by them and as a server behind them is reached."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from rtspdsr.network.probepath import Leg, Numbers, ProbePath
from tests.network.wire import Wire, wire

pytestmark = pytest.mark.kernel

NUMBERS = Numbers(mark_base=0x52440000, table_base=0x52440000, priority=5000)
VIP4, VIP6 = ip_address("10.9.0.80"), ip_address("fd09::80")
FAR4, FAR6 = ip_address("10.9.0.2"), ip_address("fd09::2")
SO_MARK = 36


@pytest.fixture
def cable() -> Iterator[Wire]:
    with wire() as made:
        yield made


def legs(*backend_ids: int) -> list[Leg]:
    ifindex = socket.if_nametoindex("near")
    return [
        Leg(backend_id=one, vip=vip, gateway=gateway, ifindex=ifindex)
        for one in backend_ids
        for vip, gateway in ((VIP4, FAR4), (VIP6, FAR6))
    ]


async def lay(*backend_ids: int, numbers: Numbers = NUMBERS) -> list[str]:
    async with ProbePath(numbers) as path:
        return await path.lay(legs(*backend_ids))


def way(cable: Wire, vip: object, mark: int) -> str:
    """Where the kernel sends a marked packet."""
    try:
        return cable.near(f"route get {vip} mark {mark}").splitlines()[0]
    except subprocess.CalledProcessError as refused:
        return str(refused.stderr).strip()


def ours(cable: Wire) -> list[str]:
    """Every rule and route of ours."""
    lines = [*cable.near("rule", "-6 rule", "route show table all proto 82").splitlines()]
    lines += cable.near("-6 route show table all proto 82").splitlines()
    return [line.strip() for line in lines if "proto 82" in line or " via " in line]


async def test_a_marked_packet_goes_to_its_backend_and_an_unmarked_one_as_ever(cable: Wire) -> None:
    assert await lay(1, 2) == []
    for vip, far in ((VIP4, FAR4), (VIP6, FAR6)):
        assert f"via {far} dev near" in way(cable, vip, 0x52440001)
        assert f"via {far} dev near" in way(cable, vip, 0x52440002)
        assert "via" not in way(cable, vip, 0)


async def test_a_mark_that_leads_nowhere_is_refused_and_never_takes_the_main_table(cable: Wire) -> None:
    await lay(1)
    for vip in (VIP4, VIP6):
        assert "unreachable" in way(cable, vip, 0x52440007).lower().replace("no route to host", "unreachable")


async def test_what_an_earlier_daemon_left_is_taken_over_and_what_is_not_wanted_goes(cable: Wire) -> None:
    await lay(1, 2)
    before = ours(cable)
    assert await lay(1, 2) == []
    assert ours(cable) == before
    await lay(2, 3)
    assert not any("0x52440001" in line for line in ours(cable))
    assert f"via {FAR4}" in way(cable, VIP4, 0x52440003)


async def test_nothing_is_left_when_none_is_wanted_and_nothing_of_others_is_touched(cable: Wire) -> None:
    cable.near(
        "rule add fwmark 0x52450001 lookup 77 priority 5000", "route add 192.0.2.0/24 via 10.9.0.2 table 77"
    )
    other = Numbers(mark_base=0x11110000, table_base=0x11110000, priority=6000)
    await lay(5, numbers=other)
    await lay(1, 2)
    await lay()
    left = ours(cable)
    assert not any("0x5244" in line for line in left)
    assert any("0x11110005" in line for line in left)
    assert "fwmark 0x52450001 lookup 77" in cable.near("rule")
    assert "192.0.2.0/24" in cable.near("route show table 77")


async def test_a_backend_that_moved_is_followed(cable: Wire) -> None:
    await lay(1)
    cable.far("addr add 10.9.0.3/24 dev far")
    moved = Leg(backend_id=1, vip=VIP4, gateway=ip_address("10.9.0.3"), ifindex=socket.if_nametoindex("near"))
    async with ProbePath(NUMBERS) as path:
        assert await path.lay([moved]) == []
    assert "via 10.9.0.3" in way(cable, VIP4, 0x52440001)


async def test_what_the_kernel_refuses_is_told_and_the_rest_is_done(cable: Wire) -> None:
    ifindex = socket.if_nametoindex("near")
    nowhere = Leg(backend_id=9, vip=VIP4, gateway=ip_address("203.0.113.1"), ifindex=ifindex)
    async with ProbePath(NUMBERS) as path:
        (problem,) = await path.lay([nowhere, *legs(1)])
    assert "refused to add the route to 10.9.0.80 via 203.0.113.1" in problem
    assert f"via {FAR4}" in way(cable, VIP4, 0x52440001)
    assert "via" not in way(cable, VIP4, 0x52440009)


async def test_a_marked_socket_reaches_the_server_that_holds_the_vip(cable: Wire) -> None:
    cable.far("link set lo up", f"addr add {VIP4}/32 dev lo", f"addr add {VIP6}/128 dev lo nodad")
    await lay(1)
    serve = (
        "import socket; s = socket.create_server(('::', 554), family=socket.AF_INET6, dualstack_ipv6=True)"
    )
    serve += "\nprint('on', flush=True)\nfor _ in 'ab': s.accept()[0].sendall(b'here')"
    server = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", cable.theirs, "python3", "-c", serve, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    await server.stdout.readline()
    loop = asyncio.get_running_loop()
    for vip, family in ((VIP4, socket.AF_INET), (VIP6, socket.AF_INET6)):
        with socket.socket(family) as marked:
            marked.setblocking(False)
            marked.setsockopt(socket.SOL_SOCKET, SO_MARK, NUMBERS.mark(1))
            async with asyncio.timeout(3):
                await loop.sock_connect(marked, (str(vip), 554))
                assert await loop.sock_recv(marked, 10) == b"here"
    await server.wait()
