"""The lab's media servers: the recipes of ``backends/``, on machines that the product itself prepared.

Handed a topology and a lab's processes, it starts a backend's server in its namespace and returns once
players can connect. What a server serves is ``media/clip.mp4``, repeated to ten minutes without encoding.
"""

import shutil
import sys
from pathlib import Path

from rtspdsr.errors import LabError
from rtspdsr.lab.process import Process, Processes, wait_until
from rtspdsr.lab.topology import (
    CLIENTS4,
    CLIENTS6,
    RTSP_PORT,
    SWITCH,
    VIP4,
    VIP6,
    Node,
    ServerKind,
    Topology,
)

SOURCE = Path(__file__).resolve().parents[2]  #: the source tree, which the lab is run from
CLIP = SOURCE / "media" / "clip.mp4"
REPEATS = 74  # of 8 s: ten minutes in all, 31 MB
LISTEN_WAIT_S = 20.0  # VLC reads its plugins first
TCP_LISTEN = "0A"  # in /proc/net/tcp


def make_media(topology: Topology, processes: Processes, media: Path) -> None:
    """The long file that the servers play, and beside it VLC's list of what it serves.

    VLC reads both as the user ``nobody``, who may not be able to read the source tree.
    """
    if not CLIP.exists():
        raise LabError(f"{CLIP} is missing; the lab runs from a source tree: clone it, then make demo")
    media.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(SOURCE / "backends" / "vlc" / "vlm.conf", media.parent)
    repeat = ["ffmpeg", "-loglevel", "error", "-nostdin", "-y", "-stream_loop", str(REPEATS), "-i", str(CLIP)]
    # No edit list: VLC's demuxer complains of it. The namespace does not matter here.
    repeat += ["-codec", "copy", "-use_editlist", "0", str(media)]
    processes.run("repeat-clip", topology.namespace(SWITCH), repeat)


def prepare(topology: Topology, processes: Processes, node: Node, state: Path) -> None:
    """Prepare a backend as its operator would: VIP on lo, unheard, and the source of what it sends."""
    balancer = topology.balancer
    command = [sys.executable, "-m", "rtspdsr", "backend", "prepare", "--state", str(state)]
    for vip in (VIP4, VIP6):
        command += ["--vip", str(vip)]
    # The balancer's own addresses are among the clients, or its probes would see the real source.
    for network in (CLIENTS4, CLIENTS6, balancer.v4.ip, balancer.address(6)):
        command += ["--clients", str(network)]
    state.parent.mkdir(parents=True, exist_ok=True)
    processes.run(f"prepare-{node.name}", topology.namespace(node.name), command)


def start(topology: Topology, processes: Processes, node: Node, media: Path) -> Process:
    """Start a backend's server; ``ready`` says when it can be connected to."""
    recipes = SOURCE / "backends"
    commands = {
        ServerKind.GST: ["/usr/bin/python3", str(recipes / "gst-rtsp-server" / "server.py"), str(media)],
        ServerKind.VLC: [str(recipes / "vlc" / "serve.sh"), str(media.parent)],
    }
    if node.server is None:
        raise LabError(f"node {node.name} is no backend; choose one of {_names(topology)}")
    return processes.start(node.name, topology.namespace(node.name), commands[node.server])


def ready(server: Process) -> None:
    """Wait until a server listens."""
    wait_until(lambda: _listens(server.pid), LISTEN_WAIT_S, f"{server.name} to listen", server)


def _listens(pid: int | None) -> bool:
    """Whether anything in the namespace of a process listens on the RTSP port."""
    for family in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]
        except OSError:
            return False
        for fields in map(str.split, lines):
            if fields[1].endswith(f":{RTSP_PORT:04X}") and fields[3] == TCP_LISTEN:
                return True
    return False


def _names(topology: Topology) -> str:
    return ", ".join(node.name for node in topology.backends)
