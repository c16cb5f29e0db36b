"""The stream that everybody plays: a test picture with noise at a bit rate, as RTP payloads for the source.

Handed a directory and a bit rate, it has ffmpeg encode some seconds of H.264, cuts them as RFC 6184 says, and
writes the file that ``source.c`` reads. The same pictures as MP4 are for a server that reads files.
"""

import struct
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

PICTURES_A_SECOND = 25
SECONDS = 4
REPEATS = 15  # in the MP4
PAYLOAD_MAX = 1400  # octets
_HEAD = struct.Struct("<III")
_PACKET = struct.Struct("<HBBI")
_SLICE, _IDR, _SPS, _PPS, _FU_A = 1, 5, 7, 8, 28


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream.

    bitrate: bit/s that the encoder was asked for
    packets: the file for the source
    mp4:     the same pictures, repeated to a minute
    """

    bitrate: int
    packets: Path
    mp4: Path


def make(directory: Path, bitrate: int) -> Stream:
    """Encode it, which takes a second or two."""
    stem = directory / f"stream-{bitrate}"
    stream = Stream(bitrate, stem.with_suffix(".packets"), stem.with_suffix(".mp4"))
    raw = _ffmpeg(
        *["-f", "lavfi", "-i", f"testsrc2=size=640x360:rate={PICTURES_A_SECOND},noise=alls=40:allf=t"],
        *["-t", str(SECONDS), "-codec:v", "libx264", "-preset", "veryfast", "-profile:v", "main"],
        *["-pix_fmt", "yuv420p", "-bf", "0", "-g", str(PICTURES_A_SECOND), "-sc_threshold", "0"],
        *["-b:v", str(bitrate), "-maxrate", str(bitrate), "-bufsize", str(bitrate // 2), "-f", "h264", "-"],
    )
    pace = ["-r", str(PICTURES_A_SECOND), "-f", "h264", "-i", "-"]
    _ffmpeg(*pace, "-codec", "copy", str(stream.mp4), given=raw * REPEATS)
    stream.packets.write_bytes(packed(raw))
    return stream


def packed(raw: bytes) -> bytes:
    """What the source reads: counts, SDP, then each packet with its picture's number."""
    units = list(_units(raw))
    sdp = description(units).encode()
    packets, picture, key = list[bytes](), 0, False
    for unit in units:
        kind = unit[0] & 31
        ends = kind in (_SLICE, _IDR)
        key |= kind in (_SPS, _IDR)
        payloads = list(payloads_of(unit))
        for number, payload in enumerate(payloads):
            marker = ends and number == len(payloads) - 1
            packets.append(_PACKET.pack(len(payload), marker, key, picture) + payload)
        if ends:
            picture, key = picture + 1, False
    return _HEAD.pack(picture, len(packets), len(sdp)) + sdp + b"".join(packets)


def payloads_of(unit: bytes) -> Iterator[bytes]:
    """A NAL unit as one payload, or as fragments (FU-A)."""
    if len(unit) <= PAYLOAD_MAX:
        yield unit
        return
    kind, body, room = unit[0], unit[1:], PAYLOAD_MAX - 2
    for at in range(0, len(body), room):
        first, last = not at, at + room >= len(body)
        yield bytes([kind & 0xE0 | _FU_A, first << 7 | last << 6 | kind & 31]) + body[at : at + room]


def description(units: list[bytes]) -> str:
    """The SDP, with the parameter sets."""
    sps = next(unit for unit in units if unit[0] & 31 == _SPS)
    pps = next(unit for unit in units if unit[0] & 31 == _PPS)
    sets = ",".join(b64encode(one).decode() for one in (sps, pps))
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=stream",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "m=video 0 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        f"a=fmtp:96 packetization-mode=1;profile-level-id={sps[1:4].hex()};sprop-parameter-sets={sets}",
        "a=control:stream=0",
    ]
    return "".join(f"{line}\r\n" for line in lines)


def _units(raw: bytes) -> Iterator[bytes]:
    """NAL units between start codes (Annex B)."""
    starts, at = [], raw.find(b"\0\0\1")
    while at >= 0:
        starts.append(at)
        at = raw.find(b"\0\0\1", at + 3)
    for begin, end in pairwise([*starts, len(raw)]):
        yield raw[begin + 3 : end].rstrip(b"\0")


def _ffmpeg(*arguments: str, given: bytes = b"") -> bytes:
    command = ["ffmpeg", "-loglevel", "error", "-y", *arguments]
    return subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True).stdout
