"""Every recorded dialog, disturbed in every way, through half-stream and parser: the same requests."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from rtspdsr.core.halfstream import Data, Finished, HalfStream
from rtspdsr.core.parser import RequestParser
from rtspdsr.core.request import InterleavedFrame, Message, Request
from rtspdsr.core.rtcp import first_report
from rtspdsr.core.transport import parse_transport
from rtspdsr.model import FlowKey, Segment
from tests.dialogs import DIRECTORY, MUTATIONS, NAMES, ExpectedTrack, load

FILE_MAX = 60_000


@dataclass
class Reading:
    """What came out of one dialog, over all its connections."""

    messages: list[Message] = field(default_factory=list)
    others: list[object] = field(default_factory=list)

    @property
    def requests(self) -> list[Request]:
        return [message for message in self.messages if isinstance(message, Request)]

    @property
    def frames(self) -> list[InterleavedFrame]:
        return [message for message in self.messages if isinstance(message, InterleavedFrame)]


def read(segments: Iterable[Segment]) -> Reading:
    """Segments as they come, each connection with a stream and a parser of its own."""
    readers: dict[FlowKey, tuple[HalfStream, RequestParser]] = {}
    reading = Reading()
    for segment in segments:
        if segment.flow not in readers:
            readers[segment.flow] = HalfStream(segment.initial, 65536), RequestParser()
        stream, parser = readers[segment.flow]
        for said in stream.receive(segment, now=0.0):
            if isinstance(said, Data):
                reading.messages.extend(parser.feed(said.data, said.begins_segment))
            else:
                reading.others.append(said)
    return reading


def track(request: Request) -> ExpectedTrack:
    specs, problems = parse_transport(request.headers.all("transport"))
    assert not problems
    spec = specs[0]
    return ExpectedTrack(
        url=request.url,
        transport=spec.lower,
        client_ports=spec.client_ports,
        channels=spec.channels,
    )


def test_there_are_dialogs_of_every_player_and_they_are_small() -> None:
    assert {load(name).player for name in NAMES} == {"ffmpeg", "gst-launch-1.0", "aiortsp"}
    assert {load(name).server for name in NAMES} == {"gst-rtsp-server", "vlc"}
    assert all((DIRECTORY / f"{name}.json").stat().st_size < FILE_MAX for name in NAMES)


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_a_dialog_is_read_the_same_however_it_is_disturbed(name: str, mutation: str) -> None:
    dialog = load(name)
    reading = read(MUTATIONS[mutation](dialog.segments))
    assert tuple(request.method for request in reading.requests) == dialog.expected.methods
    setups = [request for request in reading.requests if request.method == "SETUP"]
    assert tuple(track(request) for request in setups) == dialog.expected.tracks
    sessions = dict.fromkeys(request.session for request in reading.requests if request.session)
    assert tuple(sessions) == dialog.expected.sessions
    assert reading.messages == read(dialog.segments).messages
    assert all(isinstance(other, Finished) for other in reading.others)
    assert len(reading.others) == dialog.expected.connections


@pytest.mark.parametrize("name", [name for name in NAMES if "tcp" in name and "gstreamer" in name])
def test_interleaved_receiver_reports_of_gstreamer_are_read(name: str) -> None:
    reports = [first_report(frame.payload) for frame in read(load(name).segments).frames]
    assert [report is not None and report.fraction_lost for report in reports] == [0.0] * len(reports)
    assert reports


def test_media_of_a_publisher_is_read_as_frames_on_the_channels_it_asked_for() -> None:
    reading = read(load("ffmpeg-record-tcp").segments)
    channels = {channel for setup in load("ffmpeg-record-tcp").expected.tracks for channel in setup.channels}
    assert {frame.channel for frame in reading.frames} == channels
    assert sum(frame.length for frame in reading.frames) > 10_000


@pytest.mark.parametrize("name", NAMES)
def test_a_lost_request_is_a_gap_and_the_next_one_is_read(name: str) -> None:
    """The second segment was forwarded unread: what was asked after its answer is read at once."""
    dialog = load(name)
    first, _, third = [segment for segment in dialog.segments if segment.payload][:3]
    if not third.payload.startswith(b"SETUP"):
        third = next(s for s in dialog.segments if s.payload.startswith(b"SETUP"))
    stream, parser = HalfStream(first.initial, 65536), RequestParser()
    messages: list[Message] = []
    for segment in (first, third):
        for said in stream.receive(segment, now=0.0):
            if isinstance(said, Data):
                messages.extend(parser.feed(said.data, said.begins_segment))
            else:
                parser.gap()
    assert [message.method for message in messages if isinstance(message, Request)] == ["OPTIONS", "SETUP"]
