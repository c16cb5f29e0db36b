"""A reset: octet by octet as scapy builds it, and believed by the kernel at the other end."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from rtspdsr.network.resets import Resetter
from rtspdsr.network.tcp import End, reset
from tests.network.wire import Wire, wire

NEAR = {4: ip_address("10.9.0.1"), 6: ip_address("fd09::1")}
CLIENT = {4: ip_address("10.9.0.2"), 6: ip_address("fd09::2")}
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21  # <linux/tcp.h>
SEND_QUEUE = 2


@pytest.mark.parametrize(
    ("vip", "client"),
    [("192.0.2.10", "198.51.100.7"), ("2001:db8::10", "2001:db8:1::ffff:7")],
)
def test_a_reset_is_what_scapy_builds_checksums_included(vip: str, client: str) -> None:
    sent = reset(End(ip_address(vip), 554, 0xFFFFFFFF), End(ip_address(client), 51000, 0x89ABCDEF))
    ip = IP(src=vip, dst=client, flags="DF", id=0) if ":" not in vip else IPv6(src=vip, dst=client, hlim=64)
    expected = ip / TCP(sport=554, dport=51000, seq=0x89ABCDEF, ack=0xFFFFFFFF, flags="RA", window=0)
    assert sent == bytes(expected)


@pytest.fixture
def cable() -> Iterator[Wire]:
    with wire() as made:
        yield made


CONNECTION = """
import socket, struct, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listening = socket.socket(family)
listening.bind((sys.argv[1], 0))
listening.listen()
print(listening.getsockname()[1], flush=True)
taken, _ = listening.accept()
taken.settimeout(1)
try:
    print(repr(taken.recv(1)), flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
"""


@pytest.mark.kernel
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("off", "expected"), [(0, "ConnectionResetError"), (40_000, "TimeoutError")])
async def test_the_other_end_believes_the_right_number_alone(
    cable: Wire, version: int, off: int, expected: str
) -> None:
    far = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", cable.theirs, "python3", "-c", CONNECTION, str(CLIENT[version]),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert far.stdout is not None
    port = int(await far.stdout.readline())
    with socket.create_connection((str(CLIENT[version]), port)) as near:
        ours, resetter = near.getsockname()[1], Resetter()
        expects = expected_by_peer(near)
        resetter.send(End(NEAR[version], ours, 0), End(CLIENT[version], port, (expects + off) & 0xFFFFFFFF))
        resetter.close()
        assert resetter.failed == 0
        assert (await far.stdout.readline()).decode().strip() == expected
    await far.wait()


def expected_by_peer(connection: socket.socket) -> int:
    """The sequence number that the peer wants next, as the kernel tells who may repair connections."""
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND_QUEUE)
    number = connection.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ)
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, -1)  # off, and without a word to the peer
    return number & 0xFFFFFFFF


@pytest.mark.kernel
def test_a_reset_that_leads_nowhere_is_counted(cable: Wire) -> None:
    resetter = Resetter()
    resetter.send(End(NEAR[4], 554, 1), End(ip_address("203.0.113.9"), 51000, 1))
    assert resetter.failed == 1
    resetter.send(End(NEAR[4], 554, 1), End(CLIENT[4], 51000, 1))
    assert resetter.failed == 1
    resetter.close()
