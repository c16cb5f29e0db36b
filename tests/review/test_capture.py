"""A capture becomes the lines that the daemon would have written of the same packets.

``captures/udp.pcap`` is what reached a gst-rtsp-server behind the balancer in the lab, from ffmpeg and from
GStreamer, over UDP. The daemon's own summaries of those sessions said 16 and 24 packets from the clients.
"""

import json
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from rtspdsr.errors import ReviewError
from rtspdsr.model import Proto, TcpFlag
from rtspdsr.review.capture import Captured, lines, read
from rtspdsr.review.reading import review_capture
from rtspdsr.review.selection import Selection
from tests import dialogs

CAPTURE = Path(__file__).parent / "captures" / "udp.pcap"
T0 = 1_772_388_000.0


def records(packets: list[Captured]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(packets, [554])]


def summaries(packets: list[Captured]) -> list[dict[str, Any]]:
    return [record for record in records(packets) if record["event"] == "session_summary"]


def test_a_capture_says_what_the_daemon_said() -> None:
    ffmpeg, gstreamer = summaries(list(read(CAPTURE)))

    assert (ffmpeg["client"], ffmpeg["user_agent"]) == ("10.77.1.1", "Lavf59.27.100")
    assert (gstreamer["client"], gstreamer["user_agent"]) == ("10.77.1.2", "GStreamer/1.22.0")
    assert {one["backend"] for one in (ffmpeg, gstreamer)} == {"02:77:00:00:00:0b"}
    assert {one["service"] for one in (ffmpeg, gstreamer)} == {"10.77.0.100"}
    assert (ffmpeg["client_packets"], gstreamer["client_packets"]) == (16, 24)
    assert (gstreamer["delivered_packets"], gstreamer["lost_packets"]) == (198, -2)
    assert (ffmpeg["reason"], gstreamer["reason"]) == ("teardown", "teardown")
    assert ffmpeg["closed_at"] == "2026-11-23T06:28:29.482Z"


def test_another_sight_of_a_packet_counts_once() -> None:
    once = list(read(CAPTURE))
    twice = [packet for packet in once for _ in range(2)]
    assert records(twice) == records(once)


def dialog(name: str, until: int | None = None) -> list[Captured]:
    """A recorded dialog as packets."""
    recorded = dialogs.load(name)
    packets = []
    for number, (at, one) in enumerate(zip(recorded.times, recorded.segments, strict=True)):
        packets.append(
            Captured(
                at=T0 + at,
                proto=Proto.TCP,
                client=one.flow.client,
                client_port=one.flow.client_port,
                vip=IPv4Address("192.0.2.10"),
                vip_port=554,
                mac="02:00:00:00:00:01",
                size=54 + len(one.payload),
                payload=one.payload,
                carried=len(one.payload),
                identity=number,
                sequence=one.sequence,
                acknowledgement=one.acknowledgement,
                flags=one.flags,
            )
        )
    return packets[:until]


@pytest.mark.parametrize("name", dialogs.NAMES)
def test_every_recorded_player_has_its_sessions(name: str) -> None:
    expected = dialogs.load(name).expected
    found = records(dialog(name))
    tracks = [record for record in found if record["event"] == "track_pinned"]
    assert len(tracks) == len(expected.tracks)
    assert [record["transport"] for record in tracks] == [track.transport for track in expected.tracks]


def test_a_session_that_goes_on_ends_with_the_capture() -> None:
    name = next(name for name in dialogs.NAMES if dialogs.load(name).expected.methods[-1] == "TEARDOWN")
    packets = dialog(name)
    last = next(n for n, packet in enumerate(packets) if b"TEARDOWN" in packet.payload)
    (one, *_) = summaries(packets[:last])
    assert one["reason"] == "capture_ended"


def test_other_ports_and_unknown_udp_are_passed_over() -> None:
    stray = Captured(
        at=T0,
        proto=Proto.TCP,
        client=IPv4Address("192.0.2.20"),
        client_port=5,
        vip=IPv4Address("192.0.2.10"),
        vip_port=80,
        mac="",
        size=100,
        payload=b"DESCRIBE rtsp://192.0.2.10/ RTSP/1.0\r\n\r\n",
        carried=40,
        identity=1,
        flags=TcpFlag.ACK,
    )
    assert records([stray]) == []


def test_a_capture_is_reviewed_in_a_process_of_its_own() -> None:
    report = review_capture(CAPTURE, (554,), Selection())
    assert [row["client"] for row in report.table("clients").rows] == ["10.77.1.1", "10.77.1.2"]
    assert report.table("problems").rows == []


def test_what_is_no_capture_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "not.pcap"
    file.write_bytes(b"this is a text")
    with pytest.raises(ReviewError, match=r"not\.pcap: is no capture that can be read"):
        review_capture(file, (554,), Selection())
    with pytest.raises(ReviewError, match="no such file"):
        review_capture(tmp_path / "missing", (554,), Selection())
