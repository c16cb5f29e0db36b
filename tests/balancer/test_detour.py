"""The detour over a real veth pair: what is read goes on, whatever reading it does."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from rtspdsr.balancer import detour as module
from rtspdsr.balancer.detour import Detour
from rtspdsr.dataplane.dataplane import Dataplane, Route, Sizes
from rtspdsr.model import Address, FlowKey, Pin, Proto, Segment, Service
from tests.dataplane.conftest import Wire

SIZES = Sizes(pins=100, flows=64, clients=10, newcomers=64, services=2, backends=4, segments_bytes=1 << 16)
BALANCER, BACKEND = "02:00:00:00:00:01", "02:00:00:00:00:0b"
VIP = ip_address("192.0.2.1")
CLIENT = ip_address("198.51.100.7")
FLOW = FlowKey(0, Proto.TCP, CLIENT, 51000, 554)
REQUEST = b"OPTIONS rtsp://192.0.2.1/x RTSP/1.0\r\nCSeq: 1\r\n\r\n"


def frame(payload: bytes = REQUEST, flags: str = "PA") -> bytes:
    """A client's segment on its way to the VIP."""
    link = Ether(src="02:00:00:00:00:07", dst=BALANCER)
    segment = TCP(sport=51000, dport=554, flags=flags, seq=1000, ack=1)
    return bytes(link / IP(src=str(CLIENT), dst=str(VIP)) / segment / Raw(payload))


class Stand:
    """A detour over an attached forwarding core; ``far`` is the wire's other end."""

    def __init__(self, dataplane: Dataplane, far: socket.socket) -> None:
        self.dataplane, self.far = dataplane, far
        self.segments: list[Segment] = []
        self.claims: list[Address] = []
        self.failures: list[Exception] = []
        self.fault: Exception | None = None
        self.detour = Detour(dataplane, self._receive, self._claimed, self.failures.append)

    def _receive(self, segment: Segment) -> None:
        self.segments.append(segment)
        if self.fault:
            raise self.fault

    def _claimed(self, vip: Address, _mac: bytes, _ifindex: int) -> None:
        self.claims.append(vip)

    async def sent_on(self) -> bytes:
        """The next frame for the backend that arrives on the wire."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            while True:
                got = await loop.sock_recv(self.far, 65536)
                if got[:6] == bytes.fromhex(BACKEND.replace(":", "")):
                    return got


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until the condition holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is plain lists
            await asyncio.sleep(0.01)


@asynccontextmanager
async def standing(wire: Wire) -> AsyncIterator[Stand]:
    dataplane = Dataplane.load(wire.home, SIZES)
    near = socket.if_nametoindex(wire.near)
    source, mac = (bytes.fromhex(one.replace(":", "")) for one in (BALANCER, BACKEND))
    dataplane.set_interface(near, source)
    backend = ip_address("192.0.2.11")
    dataplane.set_backend(0, 1, (backend,), Route(mac=mac, source=source, ifindex=near), up=True)
    dataplane.set_service(Service(service_id=0, name="cams", vips=(VIP,)))
    dataplane.pin(Pin(flow=FLOW, backend_id=1))
    dataplane.attach("generic")
    dataplane.renew(time.monotonic() + 60)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as far:
        far.bind((wire.far, 3))
        far.setblocking(False)
        stand = Stand(dataplane, far)
        stand.detour.start()
        yield stand
        stand.detour.stop()
    dataplane.close()


async def test_a_segment_is_read_and_then_sent_on_unchanged_but_for_its_mac_addresses(wire: Wire) -> None:
    async with standing(wire) as stand:
        stand.far.send(frame())
        got = await stand.sent_on()
        assert [one.payload for one in stand.segments] == [REQUEST]
        assert got[6:12] == bytes.fromhex(BALANCER.replace(":", ""))
        assert got[12:] == frame()[12:]


async def test_what_waits_in_the_ring_is_seen_until_it_is_read(wire: Wire) -> None:
    async with standing(wire) as stand:
        detour, deadline = stand.detour, time.monotonic() + 20
        waiting = [detour.waiting]
        stand.far.send(frame())
        while not waiting[-1] and time.monotonic() < deadline:  # the loop has no turn, and reads nothing
            waiting.append(detour.waiting)
        assert (waiting[0], waiting[-1], detour.read) == (False, True, 0)
        await until(lambda: detour.read)
        assert detour.waiting is False


async def test_a_fault_while_reading_costs_no_segment_and_the_next_one_is_read(wire: Wire) -> None:
    async with standing(wire) as stand:
        stand.fault = RuntimeError("a fault of ours")
        for number in range(3):
            stand.far.send(frame(REQUEST + bytes([number])))
            assert (await stand.sent_on()).endswith(REQUEST + bytes([number]))
        assert stand.failures == [stand.fault] * 3


async def test_a_segment_with_a_wrong_checksum_is_sent_on_unread(wire: Wire) -> None:
    spoiled = bytearray(frame())
    spoiled[-1] ^= 1
    async with standing(wire) as stand:
        stand.far.send(bytes(spoiled))
        assert (await stand.sent_on())[12:] == bytes(spoiled)[12:]
        assert stand.segments == []


async def test_what_went_on_while_the_deadline_had_passed_is_read_late_and_sent_on_once(wire: Wire) -> None:
    async with standing(wire) as stand:
        stand.dataplane.renew(0)
        stand.far.send(frame())
        assert (await stand.sent_on())[12:] == frame()[12:]
        await until(lambda: stand.segments)
        stand.dataplane.renew(time.monotonic() + 60)
        stand.far.send(frame(b"next"))
        assert (await stand.sent_on()).endswith(b"next")  # and not the first one again
        assert [one.payload for one in stand.segments] == [REQUEST, b"next"]


async def test_what_went_on_long_ago_is_not_read(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATE_S", 0.0)
    async with standing(wire) as stand:
        stand.dataplane.renew(0)
        stand.far.send(frame())
        await stand.sent_on()
        stand.dataplane.renew(time.monotonic() + 60)
        stand.far.send(frame(b"next"))
        await until(lambda: stand.segments)
        assert [one.payload for one in stand.segments] == [b"next"]


async def test_a_bare_fin_goes_on_at_once_and_is_noticed(wire: Wire) -> None:
    async with standing(wire) as stand:
        stand.far.send(frame(b"", "FA"))
        assert (await stand.sent_on())[12:] == frame(b"", "FA")[12:]
        await until(lambda: stand.segments)
        (notice,) = stand.segments
        assert (notice.flow, notice.frame) == (FLOW, b"")


async def test_a_flood_of_notices_is_bounded_and_counted(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NOTICES_MAX", 10)
    async with standing(wire) as stand:
        for _ in range(50):  # in one go: the loop has no turn meanwhile
            stand.far.send(frame(b"", "FA"))
        await until(lambda: len(stand.segments) + stand.detour.notices_lost == 50)
        assert stand.detour.notices_lost == 40
        assert len(stand.segments) == 10


async def test_a_foreign_claim_of_the_vip_is_told(wire: Wire) -> None:
    claim = Ether(src="02:00:00:00:00:66", dst="ff:ff:ff:ff:ff:ff", type=0x0806) / bytes.fromhex(
        "0001080006040002020000000066c0000201ffffffffffffc0000201"
    )
    async with standing(wire) as stand:
        stand.far.send(bytes(claim))
        await until(lambda: stand.claims)
        assert stand.claims == [VIP]
