"""What the tracker is told: detoured segments with their frames, and notices about those that went on."""

import time
from dataclasses import replace

import pytest
from scapy.layers.inet import TCP

from rtspdsr.dataplane.layout import Verdict
from rtspdsr.model import PinFlag, Proto, Segment, TcpFlag
from tests.packets.frames import CLIENT6, rtsp
from tests.packets.runner import DOWN, DROP, LOOPBACK, TX, A, B, XdpRunner, flow

pytestmark = pytest.mark.kernel

TCP_FLOW = flow(Proto.TCP)
REQUEST = b"OPTIONS rtsp://192.0.2.10/live RTSP/1.0\r\nCSeq: 1\r\n\r\n"
MEDIA = b"$\x00\x05\x78" + bytes((7 * at + at // 256) % 256 for at in range(1400))


def with_request_at(offset: int, length: int, request: bytes = REQUEST) -> bytes:
    """Media that hides a request."""
    filler = (MEDIA * (length // len(MEDIA) + 1))[:length]
    return filler[:offset] + request + filler[offset + len(request) :]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("tags", [0, 1, 2])
def test_a_segment_is_handed_over_with_its_whole_frame(xdp: XdpRunner, version: int, tags: int) -> None:
    key = flow(Proto.TCP, client=CLIENT6) if version == 6 else TCP_FLOW
    xdp.flow(key, B, opened_at=12_500_000_000, initial=999)
    sent = bytes(rtsp(version=version, tags=tags, flags="PA", seq=1000, ack=5000, payload=REQUEST))
    headers = 14 + 4 * tags + (20 if version == 4 else 40)
    ran = xdp.run(sent)
    assert ran.packet == sent
    assert ran.segments == (
        Segment(
            flow=key,
            backend_id=B,
            sequence=1000,
            acknowledgement=5000,
            flags=TcpFlag.PSH | TcpFlag.ACK,
            payload=REQUEST,
            initial=999,
            opened_at=12.5,
            frame=sent,
            tcp_offset=headers,
            ifindex=LOOPBACK,
        ),
    )
    assert ran.notices == ()


def test_a_segment_whose_syn_was_not_seen_says_so(xdp: XdpRunner) -> None:
    (segment,) = xdp.run(bytes(rtsp(payload=REQUEST))).segments
    assert (segment.initial, segment.opened_at, segment.backend_id) == (None, None, A)


def test_a_syn_with_payload_is_remembered_and_detoured(xdp: XdpRunner) -> None:
    (segment,) = xdp.run(bytes(rtsp(flags="S", seq=4711, payload=REQUEST))).segments
    assert (segment.initial, segment.sequence, segment.flags) == (4711, 4711, TcpFlag.SYN)


def test_padding_of_a_short_frame_is_no_payload(xdp: XdpRunner) -> None:
    ran = xdp.run(bytes(rtsp()) + bytes(6))
    assert (ran.verdict, ran.segments) == (Verdict.BY_SLOT, ())
    (segment,) = xdp.run(bytes(rtsp(payload=b"O")) + bytes(6)).segments
    assert segment.payload == b"O"


@pytest.mark.parametrize("length", [1, 1400, 1981, 1982, 1983, 9000, 40000, 60000])
def test_a_frame_of_any_length_is_handed_over_whole(xdp: XdpRunner, length: int) -> None:
    sent = bytes(rtsp(payload=with_request_at(0, length)))
    (segment,) = xdp.run(sent).segments
    assert segment.frame == sent
    assert len(segment.payload) == max(length, len(REQUEST))


@pytest.mark.parametrize("padding", [100, 2000, 9000, 60000])
def test_what_a_frame_holds_behind_its_datagram_is_handed_over_too(xdp: XdpRunner, padding: int) -> None:
    sent = bytes(rtsp(payload=REQUEST)) + bytes(padding)
    (segment,) = xdp.run(sent).segments
    assert (segment.frame, segment.payload) == (sent, REQUEST)


def test_a_pinned_connection_is_detoured_to_its_own_backend(xdp: XdpRunner) -> None:
    xdp.pin(TCP_FLOW, B)
    assert [one.backend_id for one in xdp.run(bytes(rtsp(payload=REQUEST))).segments] == [B]


def test_an_unread_pin_is_not_detoured(xdp: XdpRunner) -> None:
    xdp.pin(TCP_FLOW, B, PinFlag.UNREAD)
    ran = xdp.run(bytes(rtsp(payload=REQUEST)))
    assert (ran.verdict, ran.segments, ran.notices) == (Verdict.PINNED, (), ())


def test_a_connection_that_left_its_unread_pin_is_read_again(xdp: XdpRunner) -> None:
    xdp.pin(TCP_FLOW, B, PinFlag.UNREAD)
    xdp.backend(B, DOWN)
    xdp.flow(TCP_FLOW, A)
    assert [one.backend_id for one in xdp.run(bytes(rtsp(payload=REQUEST))).segments] == [A]


def test_the_greeting_of_tls_is_detoured_too_for_the_tracker_to_tell(xdp: XdpRunner) -> None:
    assert xdp.run(bytes(rtsp(dport=322, payload=b"\x16\x03\x01"))).verdict is Verdict.DETOURED


@pytest.mark.parametrize("flags", ["FA", "R", "RA", "S", "FPA"])
@pytest.mark.parametrize("pin_flags", list(PinFlag))
def test_the_end_and_the_beginning_of_a_pinned_connection_are_told(
    xdp: XdpRunner, flags: str, pin_flags: PinFlag
) -> None:
    xdp.pin(TCP_FLOW, B, pin_flags)
    ran = xdp.run(bytes(rtsp(flags=flags)))
    assert (ran.action, ran.verdict, ran.segments) == (TX, Verdict.PINNED, ())
    (notice,) = ran.notices
    assert notice.flow == TCP_FLOW
    assert (notice.frame, notice.payload, notice.backend_id) == (b"", b"", B)
    assert (notice.sequence, notice.flags) == (1000, TcpFlag(int(TCP(flags=flags).flags)))
    assert notice.initial == (1000 if flags == "S" else None)


def test_a_fin_with_payload_on_an_unread_pin_is_told_as_well(xdp: XdpRunner) -> None:
    xdp.pin(TCP_FLOW, B, PinFlag.UNREAD)
    ran = xdp.run(bytes(rtsp(flags="FA", payload=b"bye")))
    assert (ran.verdict, len(ran.notices)) == (Verdict.PINNED, 1)


def test_a_fin_with_payload_is_detoured_and_not_told_twice(xdp: XdpRunner) -> None:
    xdp.pin(TCP_FLOW, B)
    ran = xdp.run(bytes(rtsp(flags="FA", payload=REQUEST)))
    assert (ran.verdict, len(ran.segments), ran.notices) == (Verdict.DETOURED, 1, ())


def test_a_syn_placed_anew_is_told_with_its_new_backend(xdp: XdpRunner) -> None:
    xdp.pin(TCP_FLOW, B)
    xdp.backend(B, DOWN)
    assert [one.backend_id for one in xdp.run(bytes(rtsp(flags="S"))).notices] == [A]


@pytest.mark.parametrize("flags", ["A", "FA", "R", "S"])
def test_of_an_unpinned_connection_nothing_bare_is_told(xdp: XdpRunner, flags: str) -> None:
    ran = xdp.run(bytes(rtsp(flags=flags)))
    assert (ran.segments, ran.notices) == ((), ())


def test_the_tracker_is_alive_up_to_its_deadline(xdp: XdpRunner) -> None:
    xdp.deadline(1)
    ran = xdp.run(bytes(rtsp(flags="FA", payload=REQUEST)))
    assert (ran.action, ran.verdict) == (TX, Verdict.TRACKER_DEAD)
    xdp.deadline(1 << 62)
    assert xdp.run(bytes(rtsp(payload=REQUEST))).action == DROP


def test_what_went_on_without_the_tracker_is_kept_for_it(xdp: XdpRunner) -> None:
    frame = bytes(rtsp(payload=REQUEST))
    (waiting,) = xdp.run(frame).segments
    xdp.deadline(1)
    ran = xdp.run(frame)
    (passed,) = ran.segments
    assert ran.action == TX
    assert passed.passed_at == pytest.approx(time.monotonic(), abs=60)
    assert replace(passed, passed_at=None) == waiting


def test_without_the_tracker_and_without_room_it_goes_on_unread(xdp: XdpRunner) -> None:
    xdp.fill_segments()
    xdp.deadline(1)
    ran = xdp.run(bytes(rtsp(payload=REQUEST)))
    assert (ran.action, ran.verdict) == (TX, Verdict.RING_FULL)


def upstream(xdp: XdpRunner, payload: bytes, flags: str = "PA") -> Verdict:
    xdp.pin(TCP_FLOW, B, PinFlag.UPSTREAM)
    return xdp.run(bytes(rtsp(flags=flags, payload=payload))).verdict


@pytest.mark.parametrize("length", [1, 3, 4, 7, 8, 127, 128, 129, 1448, 20000])
def test_media_upstream_goes_on_unread(xdp: XdpRunner, length: int) -> None:
    assert upstream(xdp, with_request_at(0, length, b"")) is Verdict.PINNED


@pytest.mark.parametrize("offset", [*range(110, 140), 0, 1, 700, 1393, 16384, 40001, 59000])
@pytest.mark.parametrize("version", [b"RTSP/1.0", b"RTSP/2.0"])
def test_a_request_among_media_is_found_at_any_offset(xdp: XdpRunner, offset: int, version: bytes) -> None:
    assert upstream(xdp, with_request_at(offset, offset + 8, version)) is Verdict.DETOURED


@pytest.mark.parametrize(
    "payload", [b"TEARDOWN rtsp://192.0.2.10/a/very/long", b"GET_PARAMETER *", b"SETUP r"]
)
def test_a_method_at_the_beginning_is_enough(xdp: XdpRunner, payload: bytes) -> None:
    assert upstream(xdp, payload) is Verdict.DETOURED


@pytest.mark.parametrize("payload", [b"RRTSP/1.RTSP/1", b"RTSP/1.", b"RTSP 1.0", b"rtsp/1.0", b"TEA"])
def test_what_only_resembles_a_request_goes_on(xdp: XdpRunner, payload: bytes) -> None:
    assert upstream(xdp, payload) is Verdict.PINNED


def test_padding_that_looks_like_a_request_is_not_read(xdp: XdpRunner) -> None:
    xdp.pin(TCP_FLOW, B, PinFlag.UPSTREAM)
    assert xdp.run(bytes(rtsp(payload=b"$\0\0\1x")) + b"RTSP/1.0").verdict is Verdict.PINNED


def test_media_with_fin_is_detoured_for_the_sake_of_the_fin(xdp: XdpRunner) -> None:
    assert upstream(xdp, MEDIA, flags="FA") is Verdict.DETOURED


def test_a_wrong_checksum_is_the_trackers_to_judge(xdp: XdpRunner) -> None:
    frame = rtsp(payload=REQUEST)
    frame[TCP].chksum = 0xBAD
    assert xdp.run(bytes(frame)).verdict is Verdict.DETOURED
