"""Record the client halves of real players: ``python -m tests.dialogs.record [NAME ...]``, as root.

Two namespaces, one link. A server in one (gst-rtsp-server or VLC), a player in the other, tcpdump at the
server's end of the link. Each run becomes ``NAME.json`` beside this file, in the form that
``tests.dialogs.load`` reads. What is expected of a reader is found here with regular expressions over the
whole stream, not with the code under test. Everything it makes is removed at its end, also after Ctrl-C.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shlex import split
from typing import Any, Literal

from rtspdsr.model import TcpFlag

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CLIP = ROOT / "media" / "clip.mp4"
GST_SERVER = ROOT / "backends" / "gst-rtsp-server" / "server.py"

Server = Literal["gst-rtsp-server", "vlc"]

SERVER_SIDE, PLAYER_SIDE = "rdd-server", "rdd-player"
VIP, CLIENT, PORT = "192.0.2.10", "192.0.2.20", 554

AIORTSP = """
import asyncio, sys
from aiortsp.rtsp.reader import RTSPReader

async def play(url, seconds):
    async with RTSPReader(url) as reader:
        await asyncio.sleep(seconds)
        runner = reader._runner
    await asyncio.wait([runner])

asyncio.run(play(sys.argv[1], float(sys.argv[2])))
"""

H264_AAC = split(
    "-f lavfi -i testsrc=size=64x64:rate=5 -f lavfi -i sine=sample_rate=16000 -t 2"
    " -c:v libx264 -preset ultrafast -tune zerolatency -g 5 -pix_fmt yuv420p -c:a aac -b:a 16k"
)


@dataclass(frozen=True)
class Run:
    """One recording.

    command:   the player's
    stop_s:    SIGINT after so long; None if the player ends by itself
    blocked:   UDP from the server is dropped, so that the player falls back to TCP
    """

    name: str
    server: Server
    player: str
    command: Sequence[str]
    stop_s: float | None = None
    blocked: bool = False


def ffmpeg(transport: str, path: str, *options: str) -> list[str]:
    """Two seconds of playing."""
    url = f"rtsp://{VIP}/{path}"
    return [
        *split("ffmpeg -v error -rtsp_transport"),
        transport,
        *options,
        "-i",
        url,
        *split("-t 2 -f null -"),
    ]


def publish(transport: str) -> list[str]:
    """Two seconds of publishing, small pictures so that the recording stays small."""
    target = ["-f", "rtsp", "-rtsp_transport", transport, f"rtsp://{VIP}/record"]
    return [*split("ffmpeg -v error -re"), *H264_AAC, *target]


def gstreamer(protocols: str, path: str) -> list[str]:
    """rtspsrc, every track into a sink."""
    source = f"rtspsrc location=rtsp://{VIP}/{path} protocols={protocols} name=s s. ! fakesink s. ! fakesink"
    return ["gst-launch-1.0", "-q", *split(source)]


def aiortsp(scheme: str, path: str) -> list[str]:
    """``rtspt`` is its scheme for TCP."""
    return [sys.executable, "-c", AIORTSP, f"{scheme}://{VIP}/{path}", "3"]


RUNS = [
    Run("ffmpeg-udp", "gst-rtsp-server", "ffmpeg", ffmpeg("udp", "clip")),
    Run("ffmpeg-tcp", "gst-rtsp-server", "ffmpeg", ffmpeg("tcp", "clip")),
    Run("ffmpeg-udp-vlc-server", "vlc", "ffmpeg", ffmpeg("udp", "clip")),
    Run("ffmpeg-tcp-vlc-server", "vlc", "ffmpeg", ffmpeg("tcp", "clip")),
    Run(
        "ffmpeg-udp-blocked",
        "gst-rtsp-server",
        "ffmpeg",
        ffmpeg("udp+tcp", "clip", "-timeout", "3000000"),
        blocked=True,
    ),
    Run("ffmpeg-record-udp", "gst-rtsp-server", "ffmpeg", publish("udp")),
    Run("ffmpeg-record-tcp", "gst-rtsp-server", "ffmpeg", publish("tcp")),
    Run("gstreamer-udp", "gst-rtsp-server", "gst-launch-1.0", gstreamer("udp", "clip"), stop_s=4),
    Run("gstreamer-tcp", "gst-rtsp-server", "gst-launch-1.0", gstreamer("tcp", "clip"), stop_s=4),
    Run("gstreamer-udp-vlc-server", "vlc", "gst-launch-1.0", gstreamer("udp", "clip"), stop_s=4),
    Run(
        "gstreamer-udp-blocked",
        "gst-rtsp-server",
        "gst-launch-1.0",
        gstreamer("udp+tcp", "clip"),
        stop_s=11,
        blocked=True,
    ),
    Run(
        "gstreamer-udp-blocked-vlc-server",
        "vlc",
        "gst-launch-1.0",
        gstreamer("udp+tcp", "clip"),
        stop_s=11,
        blocked=True,
    ),
    Run("aiortsp-udp", "gst-rtsp-server", "aiortsp", aiortsp("rtsp", "clip")),
    Run("aiortsp-tcp", "gst-rtsp-server", "aiortsp", aiortsp("rtspt", "clip")),
]


@dataclass
class Packet:
    """A TCP segment of the client, as captured."""

    at: float
    port: int
    sequence: int
    acknowledgement: int
    flags: TcpFlag
    payload: bytes


@dataclass
class Stream:
    """One connection's bytes, contiguous, for the regular expressions."""

    data: bytearray = field(default_factory=bytearray)
    end: int | None = None

    def add(self, packet: Packet) -> None:
        """Append what is new; the link loses nothing, so nothing is out of order."""
        if self.end is not None and packet.sequence != self.end:
            sys.exit(f"port {packet.port}: sequence {packet.sequence}, expected {self.end}; record it again")
        self.data += packet.payload
        self.end = (packet.sequence + len(packet.payload)) & 0xFFFFFFFF


def run(*command: str) -> None:
    """A command that must succeed."""
    subprocess.run(command, check=True)


def inside(namespace: str, *command: str) -> list[str]:
    """A command line that runs in a namespace; ``ip`` replaces itself by the command."""
    return ["ip", "netns", "exec", namespace, *command]


@contextmanager
def network() -> Iterator[None]:
    """The server's and the player's namespace, and the link between them."""
    try:
        for name in (SERVER_SIDE, PLAYER_SIDE):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        peer = ["peer", "name", "wire", "netns", PLAYER_SIDE]
        run("ip", "-n", SERVER_SIDE, "link", "add", "wire", "type", "veth", *peer)
        for name, address in ((SERVER_SIDE, VIP), (PLAYER_SIDE, CLIENT)):
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "wire")
            run("ip", "-n", name, "link", "set", "wire", "up")
            # segments as on a real wire, not what offloading makes of them
            run(*inside(name, "ethtool", "-K", "wire", "tso", "off", "gso", "off", "gro", "off"))
        # VLC must not be root, and is to listen on 554
        run(*inside(SERVER_SIDE, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0"))
        yield
    finally:
        for name in (SERVER_SIDE, PLAYER_SIDE):
            subprocess.run(["ip", "netns", "delete", name], check=False)


@contextmanager
def process(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block, by SIGINT or else by SIGKILL."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
    try:
        yield child
    finally:
        with suppress(subprocess.TimeoutExpired):
            child.send_signal(signal.SIGINT)
            child.wait(5)
        child.kill()
        child.wait()


def server_command(kind: Server, home: Path) -> list[str]:
    """How a server is started; VLC loops the clip at one mount."""
    clip = str(home / CLIP.name)
    if kind == "gst-rtsp-server":
        return inside(SERVER_SIDE, "/usr/bin/python3", str(GST_SERVER), clip, "--port", str(PORT))
    user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", f"HOME={home}"]
    sout = f"#rtp{{sdp=rtsp://{VIP}:{PORT}/clip}}"
    return inside(SERVER_SIDE, *user, "cvlc", "-q", "--loop", clip, "--sout", sout, "--sout-keep")


def wait_listening(within_s: float = 15) -> None:
    """Until somebody listens on the RTSP port, without leaving a connection in the recording."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = subprocess.run(
            inside(SERVER_SIDE, "ss", "-Hltn", f"sport = :{PORT}"), capture_output=True, check=True
        )
        if found.stdout:
            return
        time.sleep(0.2)
    sys.exit(f"no server listens on port {PORT} after {within_s} s; run its command by hand to see why")


@contextmanager
def udp_blocked(blocked: bool) -> Iterator[None]:
    """The player's namespace drops all UDP that comes in."""
    table = inside(PLAYER_SIDE, "nft", "add", "table", "ip", "block")
    chain = "chain ip block input { type filter hook input priority 0; meta l4proto udp drop; }"
    if blocked:
        run(*table)
        run(*inside(PLAYER_SIDE, "nft", "add", chain))
    try:
        yield
    finally:
        if blocked:
            run(*inside(PLAYER_SIDE, "nft", "delete", "table", "ip", "block"))


def capture(what: Run, home: Path) -> list[Packet]:
    """Play once; give back the client's segments."""
    pcap = home / f"{what.name}.pcap"
    tcpdump = f"tcpdump -i wire -U -s 0 -w {pcap} src host {CLIENT} and tcp dst port {PORT}"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with process(*server_command(what.server, home), **quiet), udp_blocked(what.blocked):
        wait_listening()
        with process(*inside(SERVER_SIDE, *split(tcpdump)), **quiet):
            time.sleep(1)
            player = inside(PLAYER_SIDE, *what.command)
            with process(*player, cwd=home) as played, suppress(subprocess.TimeoutExpired):
                played.wait(what.stop_s or 30)
            time.sleep(1)
    return read(pcap)


def read(pcap: Path) -> list[Packet]:
    """The segments in a capture."""
    from scapy.layers.inet import IP, TCP
    from scapy.utils import rdpcap

    packets = [frame for frame in rdpcap(str(pcap)) if TCP in frame]
    if not packets:
        sys.exit(f"{pcap.stem}: nothing was captured; the player's messages above may say why")
    return [
        Packet(
            at=round(float(frame.time - packets[0].time), 4),
            port=frame[TCP].sport,
            sequence=frame[TCP].seq,
            acknowledgement=frame[TCP].ack,
            flags=TcpFlag(int(frame[TCP].flags) & 0x1F),
            # the IP length, since short frames are padded
            payload=bytes(frame[TCP].payload)[: frame[IP].len - 4 * frame[IP].ihl - 4 * frame[TCP].dataofs],
        )
        for frame in packets
    ]


def dialog(what: Run, packets: list[Packet]) -> dict[str, Any]:
    """The JSON of one dialog: SYNs become connections, bare ACKs, never handed over, are left out."""
    told = [p for p in packets if TcpFlag.SYN not in p.flags]
    told = [p for p in told if p.payload or p.flags & (TcpFlag.FIN | TcpFlag.RST)]
    streams: dict[int, Stream] = {}
    for packet in told:
        if TcpFlag.RST not in packet.flags:
            streams.setdefault(packet.port, Stream()).add(packet)
    return {
        "player": what.player,
        "server": what.server,
        "client": CLIENT,
        "service_port": PORT,
        "expected": expected([bytes(stream.data) for stream in streams.values()]),
        "connections": [
            {"port": p.port, "initial": p.sequence, "at": p.at} for p in packets if TcpFlag.SYN in p.flags
        ],
        "segments": [line(packet) for packet in told],
    }


def line(packet: Packet) -> dict[str, Any]:
    """One segment; its payload as text where it is text."""
    fields: dict[str, Any] = {
        "at": packet.at,
        "port": packet.port,
        "sequence": packet.sequence,
        "acknowledgement": packet.acknowledgement,
        "flags": int(packet.flags),
    }
    if re.fullmatch(rb"[\t\r\n -~]+", packet.payload):
        fields["text"] = packet.payload.decode("ascii")
    elif packet.payload:
        fields["base64"] = base64.b64encode(packet.payload).decode("ascii")
    return fields


def expected(streams: list[bytes]) -> dict[str, Any]:
    """What a reader must find, by plain search in each connection's bytes."""
    requests: list[tuple[str, str, str]] = []
    for stream in streams:
        for match in re.finditer(rb"([A-Z_]+) (rtsp://\S+|\*) RTSP/1\.0\r\n(.*?\r\n)\r\n", stream, re.DOTALL):
            method, url, headers = (part.decode("ascii") for part in match.groups())
            requests.append((method, url, headers))
    sessions = [m[1] for _, _, headers in requests if (m := re.search(r"(?im)^Session: *([^;\s]+)", headers))]
    return {
        "methods": [method for method, _, _ in requests],
        "tracks": [track(url, headers) for method, url, headers in requests if method == "SETUP"],
        "sessions": list(dict.fromkeys(sessions)),
    }


def track(url: str, headers: str) -> dict[str, Any]:
    """The first alternative of a SETUP's Transport header."""
    found = re.search(r"(?im)^Transport: *([^,\r]+)", headers)
    assert found is not None
    transport = found[1]
    ports = re.search(r"client_port=(\d+)-(\d+)", transport)
    channels = re.search(r"interleaved=(\d+)-(\d+)", transport)
    return {
        "url": url,
        "transport": "tcp" if "/TCP" in transport.upper() else "udp",
        "client_ports": [int(n) for n in ports.groups()] if ports else [],
        "channels": [int(n) for n in channels.groups()] if channels else [],
    }


def write(path: Path, record: dict[str, Any]) -> None:
    """A key or a segment a line, so that a difference between two recordings can be read."""
    segments = ",\n".join(f"  {json.dumps(segment)}" for segment in record["segments"])
    head = "".join(f" {json.dumps(k)}: {json.dumps(v)},\n" for k, v in record.items() if k != "segments")
    path.write_text(f'{{\n{head} "segments": [\n{segments}\n ]\n}}\n')


def main(names: list[str]) -> None:
    """Record all runs, or those that are named."""
    if os.geteuid() != 0:
        sys.exit("recording makes network namespaces; run it as root")
    if unknown := set(names) - {what.name for what in RUNS}:
        sys.exit(f"no such run: {', '.join(sorted(unknown))}; there are {', '.join(w.name for w in RUNS)}")
    with tempfile.TemporaryDirectory(prefix="rdd-") as directory, network():
        home = Path(directory)
        shutil.chown(home, "nobody")
        shutil.copy(CLIP, home)
        (home / CLIP.name).chmod(0o644)
        for what in RUNS:
            if not names or what.name in names:
                record = dialog(what, capture(what, home))
                path = HERE / f"{what.name}.json"
                write(path, record)
                print(path.name, path.stat().st_size, "bytes:", " ".join(record["expected"]["methods"]))


if __name__ == "__main__":
    main(sys.argv[1:])
