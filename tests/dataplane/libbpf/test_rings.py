"""Ring buffers as they are read: in order, and no more at a time than was asked for."""

import select

import pytest

from rtspdsr.dataplane import layout
from rtspdsr.dataplane.libbpf.rings import RingBuffers
from tests.packets.frames import built, rtsp
from tests.packets.runner import DROP, LOOPBACK, XdpRunner


def detour(xdp: XdpRunner, seq: int) -> None:
    """Let XDP write one record."""
    ran = xdp.program.test_run(built(rtsp(seq=seq, payload=b"OPTIONS")), ifindex=LOOPBACK)
    assert ran.action == DROP


def sequences(records: list[bytes]) -> list[int]:
    """The sequence numbers of segments."""
    return [layout.unpack_segment(one).sequence for one in records]


@pytest.mark.timeout(20)
def test_a_ring_that_is_written_while_it_is_read_is_left_at_the_limit(xdp: XdpRunner) -> None:
    got: list[bytes] = []

    def receive(record: bytes) -> None:
        got.append(record)
        detour(xdp, len(got) + 1)

    rings = RingBuffers([(xdp.maps["segments"], receive)])
    detour(xdp, 1)
    assert rings.consume(5) == 5
    assert select.select([rings], [], [], 0)[0], "what is left in the ring is to be seen"
    assert rings.consume(3) == 3
    assert sequences(got) == list(range(1, 9))
    rings.close()


def test_a_limit_holds_for_all_rings_together_and_the_first_goes_first(xdp: XdpRunner) -> None:
    segments: list[bytes] = []
    other: list[bytes] = []
    rings = RingBuffers([(xdp.maps["segments"], segments.append), (xdp.maps["notices"], other.append)])
    for seq in (1, 2):
        detour(xdp, seq)
    assert rings.consume(1) == 1
    assert rings.consume(9) == 1
    assert sequences(segments) == [1, 2]
    assert rings.consume(9) == 0
    rings.close()


def test_without_a_limit_the_rings_are_emptied(xdp: XdpRunner) -> None:
    segments: list[bytes] = []
    rings = RingBuffers([(xdp.maps["segments"], segments.append)])
    for seq in range(20):
        detour(xdp, seq)
    assert rings.consume() == 20
    assert not select.select([rings], [], [], 0)[0]
    rings.close()
