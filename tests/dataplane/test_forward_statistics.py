"""What is counted for a pin: packets, the progress of both TCP streams, the last receiver report."""

import struct
import time
from dataclasses import dataclass, field

import pytest

from rtspdsr.dataplane.layout import CHUNK_PINS
from rtspdsr.model import PinFlag, Proto
from tests.packets.frames import media, rtsp
from tests.packets.runner import B, XdpRunner, flow

pytestmark = pytest.mark.kernel

TCP_FLOW = flow(Proto.TCP)
PLACE = 5
WRAP = 1 << 32
BLOCK = struct.pack("!6I", 0xCAFE0001, 0x40FFFFFE, 0x00012345, 321, 7, 8)
REPORT = {"ssrc": 0xCAFE0001, "lost": 0x40FFFFFE, "highest": 0x12345, "jitter": 321}
NO_REPORT = dict.fromkeys(REPORT, 0)
OTHER_BLOCK = struct.pack("!6I", *range(11, 17))


def rtcp(kind: int, blocks: bytes = b"", *, count: int | None = None, words: int | None = None) -> bytes:
    """A sender report (200) or a receiver report (201), with lies where asked for."""
    sender = bytes(20) if kind == 200 else b""
    body = struct.pack("!I", 0x5E4DE4) + sender + blocks
    first = 0x80 | (len(blocks) // 24 if count is None else count)
    return struct.pack("!BBH", first, kind, len(body) // 4 if words is None else words) + body


def reading(xdp: XdpRunner, *names: str) -> dict[str, int]:
    counted = xdp.statistics(PLACE)
    return {name: counted[name] for name in names}


def test_packets_bytes_and_the_time_of_the_last_are_counted(xdp: XdpRunner) -> None:
    xdp.pin(flow(), B, place=PLACE)
    frames = [bytes(media(payload=bytes(size))) for size in (4, 200, 1400)]
    for frame in frames:
        xdp.run(frame)
    assert reading(xdp, "packets", "bytes") == {"packets": 3, "bytes": sum(map(len, frames))}
    assert abs(xdp.read_statistics(PLACE).heard_at - time.monotonic()) < 0.1


@pytest.mark.parametrize("place", [1, CHUNK_PINS - 1, CHUNK_PINS, 2 * CHUNK_PINS - 1])
def test_every_place_is_its_own(xdp: XdpRunner, place: int) -> None:
    xdp.pin(flow(), B, place=place)
    xdp.run(bytes(media()))
    counted = {at for at in (0, 1, 2, CHUNK_PINS - 1, CHUNK_PINS, CHUNK_PINS + 1, 2 * CHUNK_PINS - 1)
               if xdp.statistics(at)["packets"]}  # fmt: skip
    assert counted == {place}


@pytest.mark.parametrize("place", [0, 2 * CHUNK_PINS, (1 << 32) - 1])
def test_a_place_that_does_not_exist_is_not_counted_and_no_harm(xdp: XdpRunner, place: int) -> None:
    xdp.pin(flow(), B, place=place)
    assert xdp.run(bytes(media())).action
    assert not xdp.statistics(0)["packets"]


def test_a_detoured_segment_is_counted(xdp: XdpRunner) -> None:
    xdp.pin(TCP_FLOW, B, place=PLACE)
    sent = bytes(rtsp(payload=b"OPTIONS"))
    xdp.run(sent)
    assert reading(xdp, "packets", "bytes", "next_sequence") == {
        "packets": 1,
        "bytes": len(sent),
        "next_sequence": 1007,
    }


@dataclass(frozen=True, kw_only=True)
class Course:
    """Segments of one connection, and what must have been counted after them."""

    name: str
    segments: tuple[dict[str, object], ...]
    delivered: int
    acknowledged: int
    following: int
    flags: PinFlag = field(default=PinFlag.UNREAD)


COURSES = [
    Course(name="a first reading only sets the base", segments=({"seq": 1000, "ack": 5000},), delivered=0,
           acknowledged=5000, following=1000),
    Course(name="progress is added", segments=({"ack": 5000}, {"ack": 6000}, {"ack": 9000}), delivered=4000,
           acknowledged=9000, following=1000),
    Course(name="an old acknowledgement is not progress", segments=({"ack": 5000}, {"ack": 4000},
           {"ack": 5001}),
           delivered=1, acknowledged=5001, following=1000),
    Course(name="progress goes over the wrap", segments=({"ack": WRAP - 10}, {"ack": 20}), delivered=30,
           acknowledged=20, following=1000),
    Course(name="an acknowledgement of 0 is made up for by the next",
           segments=({"ack": WRAP - 10}, {"ack": 0}, {"ack": 20}), delivered=30, acknowledged=20,
           following=1000),
    Course(name="a SYN sets a new base", segments=({"ack": 5000}, {"ack": 6000},
           {"flags": "S", "seq": 70, "ack": 0},
           {"seq": 71, "ack": 100}, {"seq": 71, "ack": 150}), delivered=1050, acknowledged=150, following=71),
    Course(name="a segment without ACK has no acknowledgement",
           segments=({"ack": 5000}, {"flags": "R", "ack": 9000}),
           delivered=0, acknowledged=5000, following=1000),
    Course(name="payload, SYN and FIN take sequence numbers", delivered=0, acknowledged=5000, following=1012,
           segments=({"payload": b"0123456789"}, {"flags": "FA", "seq": 1010, "payload": b"x"})),
    Course(name="a retransmission does not take the stream back", delivered=0, acknowledged=5000,
           following=1020,
           segments=({"seq": 1010, "payload": b"0123456789"}, {"seq": 1000, "payload": b"0123456789"})),
    Course(name="a keepalive probe does not take the stream back", delivered=0, acknowledged=5000,
           following=1000, segments=({"seq": 1000}, {"seq": 999})),
    Course(name="the client's own stream wraps", delivered=0, acknowledged=5000, following=5,
           segments=({"seq": WRAP - 5, "payload": b"0123456789"},)),
]  # fmt: skip


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.name)
def test_progress_of_a_connection(xdp: XdpRunner, course: Course) -> None:
    xdp.pin(TCP_FLOW, B, course.flags, place=PLACE)
    for segment in course.segments:
        xdp.run(bytes(rtsp(**segment)))  # type: ignore[arg-type]
    assert reading(xdp, "delivered", "acknowledged", "next_sequence") == {
        "delivered": course.delivered,
        "acknowledged": course.acknowledged,
        "next_sequence": course.following,
    }


RR, SR = 201, 200
TAKEN = {
    "a receiver report": rtcp(RR, BLOCK),
    "a sender report": rtcp(SR, BLOCK),
    "a compound: receiver report and SDES": rtcp(RR, BLOCK) + b"\x81\xca\x00\x02" + bytes(8),
    "the first of two blocks": rtcp(RR, BLOCK + OTHER_BLOCK),
    "profile extensions behind the blocks": rtcp(RR, BLOCK + bytes(8), count=1),
}
IGNORED = {
    "a receiver report without a block": rtcp(RR),
    "a sender report without a block": rtcp(SR),
    "a count beyond the length": rtcp(RR, BLOCK, count=2),
    "a count far beyond the length": rtcp(SR, BLOCK, count=31),
    "a length beyond the datagram": rtcp(RR, BLOCK, words=8),
    "a length short of the block": rtcp(RR, BLOCK, words=6),
    "a length of zero": rtcp(RR, BLOCK, words=0),
    "the longest length": rtcp(RR, BLOCK, words=0xFFFF),
    "a block cut short": rtcp(RR, BLOCK)[:-1],
    "version 1": b"\x41" + rtcp(RR, BLOCK)[1:],
    "padding beyond the packet": b"\xa1" + rtcp(RR, BLOCK)[1:-1] + b"\xff",
    "padding over the block": b"\xa1" + rtcp(RR, BLOCK)[1:-1] + b"\x18",
    "padding that is said, not there": b"\xa1" + rtcp(RR, BLOCK)[1:],
    "SDES before the report": b"\x81\xca\x00\x02" + bytes(8) + rtcp(RR, BLOCK),
    "BYE": rtcp(203, BLOCK),
    "a punch of four octets": b"\xce\xfa\xed\xfe",
    "an empty datagram": b"",
    "three octets": b"\x81\xc9\x00",
    "random octets": bytes(range(7, 207)),
}


@pytest.mark.parametrize("payload", TAKEN.values(), ids=TAKEN.keys())
@pytest.mark.parametrize("version", [4, 6])
def test_a_report_is_taken_in(xdp: XdpRunner, payload: bytes, version: int) -> None:
    client = "198.51.100.7" if version == 4 else "2001:db8:c::7"
    xdp.pin(flow(client=client), B, place=PLACE)
    xdp.run(bytes(media(version=version, payload=payload)))
    assert reading(xdp, *REPORT) == REPORT
    assert xdp.statistics(PLACE)["reported_ticks"] == xdp.statistics(PLACE)["heard_ticks"]


@pytest.mark.parametrize("payload", IGNORED.values(), ids=IGNORED.keys())
def test_what_is_no_report_is_forwarded_and_counted_alone(xdp: XdpRunner, payload: bytes) -> None:
    xdp.pin(flow(), B, place=PLACE)
    assert xdp.run(bytes(media(payload=payload))).verdict.name == "PINNED"
    assert reading(xdp, "packets", "reported_ticks", *REPORT) == {
        "packets": 1,
        "reported_ticks": 0,
        **NO_REPORT,
    }


def test_a_report_in_the_padding_of_the_frame_is_none(xdp: XdpRunner) -> None:
    xdp.pin(flow(), B, place=PLACE)
    report = rtcp(RR, BLOCK)
    xdp.run(bytes(media(payload=report[:4])) + report[4:])
    assert reading(xdp, "packets", *REPORT) == {"packets": 1, **NO_REPORT}


def test_a_udp_length_that_lies_yields_no_report(xdp: XdpRunner) -> None:
    xdp.pin(flow(), B, place=PLACE)
    for length in (0, 7, 8, 39, 41, 65535):
        frame = media(payload=rtcp(RR, BLOCK))
        frame["UDP"].len = length
        assert xdp.run(bytes(frame)).verdict.name == "PINNED"
    assert reading(xdp, "packets", *REPORT) == {"packets": 6, **NO_REPORT}


def test_a_later_report_replaces_the_earlier(xdp: XdpRunner) -> None:
    xdp.pin(flow(), B, place=PLACE)
    for block in (OTHER_BLOCK, BLOCK):
        xdp.run(bytes(media(payload=rtcp(RR, block))))
    assert reading(xdp, *REPORT) == REPORT
