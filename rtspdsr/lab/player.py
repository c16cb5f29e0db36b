"""Real players in the lab: what each is called with, how its decoded frames are counted, how it ends.

Handed a ``Watch`` and a lab's processes, ``start`` gives back a ``Playing``; its ``wait`` or ``stop`` gives
back a frozen ``Played``. What went over the wires is not seen here but in ``capture.py``.
"""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from shlex import split
from sys import executable

from rtspdsr.errors import LabError
from rtspdsr.lab.process import Processes
from rtspdsr.lab.server import CLIP
from rtspdsr.lab.topology import Topology

GRACE_S = 8.0  # for set-up and TEARDOWN, on top of the time watched; then SIGINT
END_S = 5.0  # from SIGINT to SIGKILL
SAID = 800  # characters of what a player said last, where it failed


class PlayerKind(StrEnum):
    """What plays, or publishes."""

    FFMPEG = "ffmpeg"
    FFPLAY = "ffplay"
    GSTREAMER = "gstreamer"
    AIORTSP = "aiortsp"
    VLC = "vlc"
    PUBLISHER = "publisher"  #: ffmpeg sends the clip (ANNOUNCE, RECORD)


class Transport(StrEnum):
    """What a player is told to ask for."""

    UDP = "udp"
    TCP = "tcp"
    MULTICAST = "multicast"
    AUTO = "auto"  #: told nothing: UDP first, each in its own way


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Who is to play what, from where, for how long.

    node:    the player's node
    options: further options of that player, before its URL (for GStreamer: properties of rtspsrc)
    """

    player: PlayerKind
    node: str
    url: str
    transport: Transport = Transport.UDP
    seconds: float = 8.0
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.player} {self.transport} {self.url} at {self.node}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How a player fared.

    frames:    pictures decoded (aiortsp: received whole; publisher: sent)
    exit_code: negative: ended by that signal
    lasted_s:  from its start to its end
    log:       what it said
    """

    watch: Watch
    frames: int
    exit_code: int
    lasted_s: float
    log: Path


class Playing:
    """A player that runs."""

    def __init__(self, watch: Watch, process: subprocess.Popen[bytes], files: "Files") -> None:
        self.watch, self.files = watch, files
        self._process = process
        self._started = time.monotonic()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def frames(self) -> int:
        """Pictures so far."""
        return PLAYERS[self.watch.player].frames(self.files)

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def wait_for_frames(self, frames: int, patience_s: float = 15.0) -> None:
        """Return once so many pictures came; LabError if they do not, or if the player ends."""
        deadline = time.monotonic() + patience_s
        while (seen := self.frames) < frames:
            if not self.running or time.monotonic() > deadline:
                state = "still runs" if self.running else f"ended with {self._process.poll()}"
                said = self.files.log.read_text(errors="replace")[-SAID:]
                raise LabError(
                    f"{self.watch}: {seen} frames instead of {frames}; it {state}; {self.files.log}: {said}"
                )
            time.sleep(0.1)

    def wait(self) -> Played:
        """Let it watch as long as it was told to."""
        left = self.watch.seconds - (time.monotonic() - self._started)
        patience_s = left + (GRACE_S if PLAYERS[self.watch.player].ends else 0.0)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(patience_s, 0.0))
        return self.stop()

    def stop(self) -> Played:
        """End it as Ctrl-C would. It sends TEARDOWN; ffplay just goes, with exit code 123."""
        if self.running:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self.kill()
        return Played(
            watch=self.watch,
            frames=self.frames,
            exit_code=self._process.wait(),
            lasted_s=time.monotonic() - self._started,
            log=self.files.log,
        )

    def kill(self) -> None:
        """End it at once, without a word to the server."""
        self._process.kill()
        self._process.wait()


@dataclass(frozen=True, slots=True)
class Files:
    """Where a player writes.

    log:      its output
    progress: ffmpeg's machine-readable reports, or what VLC recorded
    """

    log: Path
    progress: Path


@dataclass(frozen=True, slots=True)
class Player:
    """How one kind of player is called, and how its frames are counted.

    ends: by itself after the time to watch, unless no media comes; ffplay and gst-launch take no duration
    """

    command: Callable[[Watch, Files], list[str]]
    frames: Callable[[Files], int]
    ends: bool = True


def start(topology: Topology, processes: Processes, watch: Watch) -> Playing:
    """Start a player at its node."""
    namespace = topology.namespace(topology.node(watch.node).name)
    name = processes.unused_name(f"{watch.player}-{watch.node}")
    log = processes[name].log
    files = Files(log, log.with_suffix(".progress"))
    log.parent.mkdir(parents=True, exist_ok=True)
    if watch.player is PlayerKind.VLC and (reason := why_vlc_cannot_play()):
        raise LabError(reason)
    command = PLAYERS[watch.player].command(watch, files)
    return Playing(watch, processes.attend(name, namespace, command), files)


def why_vlc_cannot_play() -> str | None:
    """Debian builds VLC without live555, its only reader of rtsp://; None where it can play."""
    listed = subprocess.run([*_NOBODY, "vlc", "--list"], capture_output=True, text=True, check=False)
    if re.search(r"^\s*live555\b", listed.stdout, re.MULTILINE):
        return None
    return "this build of VLC has no live555 plugin, so it cannot play rtsp://; take another player"


# --- ffmpeg and ffplay


def _ffmpeg(watch: Watch, files: Files) -> list[str]:
    return [
        *["ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-threads", "1"],
        *["-progress", f"file:{files.progress}", "-stats_period", "0.5"],
        *_lavf_transport(watch),
        *watch.options,
        *["-i", watch.url, "-t", f"{watch.seconds:g}", "-map", "0", "-f", "null", "-"],
    ]


def _publisher(watch: Watch, files: Files) -> list[str]:
    return [
        *["ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-progress", f"file:{files.progress}"],
        *["-re", "-stream_loop", "-1", "-i", str(CLIP), "-codec", "copy", "-t", f"{watch.seconds:g}"],
        *["-f", "rtsp", *_lavf_transport(watch), *watch.options, watch.url],
    ]


def _ffplay(watch: Watch, _files: Files) -> list[str]:
    return [
        *["env", "SDL_VIDEODRIVER=dummy", "SDL_AUDIODRIVER=dummy"],
        *["ffplay", "-hide_banner", "-nostats", "-vf", "showinfo"],
        *_lavf_transport(watch),
        *watch.options,
        *["-i", watch.url],
    ]


def _lavf_transport(watch: Watch) -> list[str]:
    if watch.transport is Transport.AUTO:
        return []
    name = "udp_multicast" if watch.transport is Transport.MULTICAST else watch.transport.value
    return ["-rtsp_transport", name]


def _last_progress(files: Files) -> int:
    counts = re.findall(r"^frame=\s*(\d+)$", _text(files.progress), re.MULTILINE)
    return int(counts[-1]) if counts else 0


def _shown(files: Files) -> int:
    return len(re.findall(r"Parsed_showinfo\S* @ \S+ n:", _text(files.log)))


# --- GStreamer: the sink tells of each picture, and -v prints what it tells

_GST_SINKS = (
    "source. ! application/x-rtp,media=video ! rtph264depay ! avdec_h264 max-threads=1"
    " ! fakesink name=video sync=false silent=false"
    " source. ! application/x-rtp,media=audio ! rtpmp4gdepay ! avdec_aac ! fakesink sync=false"
)


def _gstreamer(watch: Watch, _files: Files) -> list[str]:
    protocols = {
        Transport.UDP: "udp",
        Transport.TCP: "tcp",
        Transport.MULTICAST: "udp-mcast",
        Transport.AUTO: "udp-mcast+udp+tcp",
    }
    return [
        *["gst-launch-1.0", "-v", "rtspsrc", "name=source", f"location={watch.url}"],
        *[f"protocols={protocols[watch.transport]}", "latency=200", *watch.options],
        *split(_GST_SINKS),
    ]


def _told_by_sink(files: Files) -> int:
    return len(re.findall(r"GstFakeSink:video: last-message = chain", _text(files.log)))


# --- aiortsp


def _aiortsp(watch: Watch, _files: Files) -> list[str]:
    if watch.transport not in (Transport.UDP, Transport.TCP):
        raise LabError(f"aiortsp plays over udp or tcp, not {watch.transport}")
    module = "rtspdsr.lab.aiortsp_player"
    return [executable, "-m", module, watch.url, watch.transport, f"{watch.seconds:g}"]


def _reported(files: Files) -> int:
    counts = [json.loads(line)["frames"] for line in _text(files.log).splitlines() if line.startswith("{")]
    return counts[-1] if counts else 0


# --- VLC: what it receives is recorded, and the pictures of that are counted

_NOBODY = ["env", "HOME=/nonexistent", "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def _vlc(watch: Watch, files: Files) -> list[str]:
    files.progress.touch()
    files.progress.chmod(0o666)  # VLC runs as nobody
    return [
        *[
            *_NOBODY,
            "vlc",
            "--intf",
            "dummy",
            "--no-dbus",
            "--play-and-exit",
            f"--run-time={watch.seconds:g}",
        ],
        *(["--rtsp-tcp"] if watch.transport is Transport.TCP else []),
        *watch.options,
        *[f"--sout=#std{{access=file,mux=ts,dst={files.progress}}}", watch.url],
    ]


def _recorded(files: Files) -> int:
    count = ["ffprobe", "-v", "error", "-select_streams", "v", "-count_packets"]
    count += ["-show_entries", "stream=nb_read_packets", "-of", "csv=print_section=0", str(files.progress)]
    counted = subprocess.run(count, capture_output=True, text=True, check=False).stdout.split()
    return int(counted[0]) if counted else 0


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""


PLAYERS = {
    PlayerKind.FFMPEG: Player(_ffmpeg, _last_progress),
    PlayerKind.FFPLAY: Player(_ffplay, _shown, ends=False),
    PlayerKind.GSTREAMER: Player(_gstreamer, _told_by_sink, ends=False),
    PlayerKind.AIORTSP: Player(_aiortsp, _reported),
    PlayerKind.VLC: Player(_vlc, _recorded),
    PlayerKind.PUBLISHER: Player(_publisher, _last_progress),
}
