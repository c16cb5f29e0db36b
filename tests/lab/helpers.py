"""What the lab's tests share: commands at a node, the session log, and what is left of a lab.

Players are started with ``lab.start(Watch(...))`` or, side by side and with the wires heard, ``lab.play``;
captures are made with ``lab.capture(NAME)`` and narrowed with plain comprehensions over their packets.
"""

import json
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtspdsr.dataplane.adoption import export
from rtspdsr.dataplane.bpffs import Home
from rtspdsr.dataplane.counters import verdicts as count_verdicts
from rtspdsr.dataplane.layout import Verdict
from rtspdsr.lab.capture import Packet
from rtspdsr.lab.lab import ROOT, Lab
from rtspdsr.lab.network import NETNS, inside
from rtspdsr.lab.player import Playing, Watch
from rtspdsr.lab.topology import UPLINK, VIP4, VIP6
from rtspdsr.model import Address, Pin

LINES_SHOWN = 50  # of the log, when the one that is waited for does not come

Line = dict[str, Any]
Flow = tuple[Address, int, int | None]  #: client, IP protocol, client port
FRAMES_S = 40.0  # until a dozen players that begin at once show pictures


def command_at(lab: Lab, node: str, *command: str) -> list[str]:
    """A command line that runs at a node."""
    return [*inside(lab.topology.namespace(node)), *command]


def run_at(lab: Lab, node: str, *command: str) -> str:
    """What a command at a node prints; its failure fails the test."""
    return subprocess.run(
        command_at(lab, node, *command), capture_output=True, text=True, check=True, timeout=30
    ).stdout


def python_at(lab: Lab, node: str, program: str, *arguments: str) -> str:
    """What a Python program at a node prints."""
    return run_at(lab, node, sys.executable, "-c", program, *arguments)


def log_end(lab: Lab) -> int:
    """Where the session log ends now, for ``lines_since``."""
    return lab.daemon.log.stat().st_size


def lines_since(lab: Lab, octets: int, event: str = "") -> list[Line]:
    """The whole lines behind a place of the session log, those of one event if it is named."""
    with lab.daemon.log.open("rb") as file:
        file.seek(octets)
        text = file.read()
    wanted = f'"event":"{event}"'.encode() if event else b""
    lines = text[: text.rfind(b"\n") + 1].splitlines()
    return [json.loads(line) for line in lines if wanted in line]


def log_lines(lab: Lab, event: str = "", **keys: Any) -> list[Line]:
    """The lines of the session log with that event and those values."""
    if not lab.daemon.log.exists():
        return []
    return [line for line in lines_since(lab, 0, event) if keys.items() <= line.items()]


def wait_for_line(lab: Lab, event: str, *, patience_s: float = 15.0, **keys: Any) -> Line:
    """The first line of the session log with that event and those values, once it is there."""
    try:
        wait_for(lambda: bool(log_lines(lab, event, **keys)), f"a line {event} with {keys}", patience_s)
    except AssertionError:
        for line in log_lines(lab, **keys)[-LINES_SHOWN:]:
            print(line)
        print({verdict.name: count for verdict, count in verdicts(lab).items() if count})
        raise
    return log_lines(lab, event, **keys)[0]


def wait_for(come: Callable[[], bool], what: str, patience_s: float = 15.0) -> None:
    """Wait for a condition; an assertion fails that names it."""
    deadline = time.monotonic() + patience_s
    while not come():
        assert time.monotonic() < deadline, f"waited {patience_s:g} s for {what}"
        time.sleep(0.05)


@contextmanager
def playing(lab: Lab, watches: Iterable[Watch], frames: int = 20) -> Iterator[list[Playing]]:
    """Players that have shown some pictures, all of them side by side; killed at the end."""
    started: list[Playing] = []
    try:
        started.extend(map(lab.start, watches))
        for one in started:
            one.wait_for_frames(frames, FRAMES_S)
        yield started
    finally:
        for one in started:
            one.kill()


def home(lab: Lab) -> Home:
    """Where the lab's program and maps are pinned."""
    return Home(lab.daemon.bpffs, (UPLINK,))


def pins(lab: Lab) -> list[Pin]:
    """The pins that stand, read from the kernel."""
    return [pin for pin, _ in export(home(lab).pins).pins]


def verdicts(lab: Lab) -> dict[Verdict, int]:
    """What the XDP program has counted."""
    return count_verdicts(home(lab))


def reached(lab: Lab, packets: Iterable[Packet]) -> dict[Flow, Counter[str]]:
    """Which backends the packets of each flow to the VIPs reached, counted at the backends' ports."""
    backends = {node.name for node in lab.topology.backends}
    flows: dict[Flow, Counter[str]] = defaultdict(Counter)
    for packet in packets:
        if packet.to_node and packet.node in backends and packet.destination in (VIP4, VIP6):
            flows[packet.source, packet.proto, packet.source_port][packet.node] += 1
    return flows


def sent(lab: Lab, packets: Iterable[Packet]) -> Counter[Flow]:
    """How many packets clients sent to the VIPs, by flow, counted at the clients' ports."""
    clients = {node.name for node in lab.topology.wired} - {node.name for node in lab.topology.backends}
    clients.remove(lab.topology.balancer.name)
    return Counter(
        (packet.source, packet.proto, packet.source_port)
        for packet in packets
        if not packet.to_node and packet.node in clients and packet.destination in (VIP4, VIP6)
    )


def standing_labs(prefix: str) -> list[str]:
    """Labs of which anything is there and whose names are the prefix and a number."""
    namespaces = (path.name.split("-")[1] for path in NETNS.glob(f"rd-{prefix}*-*"))
    directories = (path.name for path in ROOT.glob(f"{prefix}*"))
    return sorted({name for name in (*namespaces, *directories) if re.fullmatch(rf"{prefix}\d+", name)})


def remains(name: str) -> list[str]:
    """What is left of a lab: namespaces, mounts, its directory, and processes in or of it."""
    state = str(ROOT / name)
    left = [str(path) for path in NETNS.glob(f"rd-{name}-*")]
    left += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {state}/" in line]
    left += [state] if Path(state).exists() else []
    return left + [f"{pid} {command}" for pid, command in _commands() if state in command]


def _commands() -> Iterator[tuple[str, str]]:
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        yield directory.name, command
