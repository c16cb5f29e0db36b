"""Players in numbers: light ones, all in one process of our own, and real ones, an ffmpeg each.

Handed a side and a transport, a crowd is a context: it begins to play, ``wait`` returns once everybody has a
picture, and at its end everybody has left. What they tell is read afterwards.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rtspdsr.errors import LabError
from rtspdsr.lab.network import inside
from rtspdsr.lab.player import Transport
from rtspdsr.lab.process import wait_until
from tests.bench.claim import native
from tests.bench.claim.ground import PLAYER
from tests.bench.claim.peers import Side

PATIENCE_S = 40.0  # until all play: a machine at its limits, and a relay, take their time
END_S = 8.0
PROGRAM = "player"
REAL_MAX_S = 90  # a real player ends by itself then, whatever became of us


@dataclass(frozen=True, slots=True, kw_only=True)
class Fortune:
    """How one light player fared.

    first_ms:    from its TCP connect to the first RTP of a key picture; None if it had none
    requests_ms: what OPTIONS, DESCRIBE, SETUP and PLAY took, each from its sending to its answer
    """

    failed: bool
    first_ms: float | None
    requests_ms: tuple[float, ...]
    packets: int
    octets: int
    lost: int
    reports: int

    @classmethod
    def of(cls, told: dict[str, Any]) -> "Fortune":
        """From its line of JSON."""
        return cls(
            failed=told["failed"],
            first_ms=told["first_us"] / 1000 or None,
            requests_ms=tuple(one / 1000 for one in told["requests_us"]),
            packets=told["packets"],
            octets=told["octets"],
            lost=told["lost"],
            reports=told["reports"],
        )


class LightCrowd:
    """Light players that play."""

    def __init__(self, child: "subprocess.Popen[bytes]", log: Path) -> None:
        self._child, self._log = child, log

    def wait(self) -> None:
        """Return once everybody has a key picture, or failed."""
        deadline = time.monotonic() + PATIENCE_S
        while "playing\n" not in self._log.read_text(errors="replace"):
            if self._child.poll() is not None:
                raise LabError(f"the light players ended with {self._child.poll()}; see {self._log}")
            if time.monotonic() > deadline:
                return  # those without a picture are counted as failed
            time.sleep(0.05)

    def leave(self) -> None:
        """Everybody tears down."""
        self._child.terminate()
        try:
            self._child.wait(END_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def fortunes(self) -> list[Fortune]:
        """How each fared; after they have left."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [Fortune.of(json.loads(line)) for line in lines if line.startswith("{")]


@contextmanager
def light(
    side: Side, transport: Transport, players: int, rate: int, think_us: Sequence[float] = (0, 0, 0)
) -> Iterator[LightCrowd]:
    """So many light players, ``rate`` of them beginning in a second.

    think_us: that each takes before DESCRIBE, SETUP and PLAY, microseconds
    """
    lab = side.ground.lab
    program = lab.state / PROGRAM
    if not program.exists():
        native.build(PROGRAM, lab.state)
    name = lab.processes.unused_name("light")
    think = ",".join(f"{one:.0f}" for one in think_us)
    command = [str(program), side.host, str(side.port), "stream", str(players), str(rate), transport, think]
    child = lab.processes.attend(name, lab.topology.namespace(PLAYER), command)
    crowd = LightCrowd(child, lab.processes[name].log)
    try:
        yield crowd
    finally:
        crowd.leave()


class RealCrowd:
    """Instances of ffmpeg that play, and copy what they get to nowhere."""

    def __init__(self, side: Side, transport: Transport, directory: Path) -> None:
        self._side, self._transport, self._directory = side, transport, directory
        self._children: list[subprocess.Popen[bytes]] = []

    def begin(self, players: int, apart_s: float) -> None:
        """Start so many more."""
        for _ in range(players):
            time.sleep(apart_s)
            number = len(self._children)
            progress = self._directory / f"{number}.progress"
            command = ffmpeg(self._side, self._transport)
            command += ["-codec", "copy", "-t", str(REAL_MAX_S), "-f", "null", "-"]
            command[1:1] = ["-progress", f"file:{progress}", "-stats_period", "0.5"]
            self._children.append(at_player(self._side, command))

    def wait(self) -> None:
        """Return once everybody has pictures, or ended."""

        def all_play() -> bool:
            time.sleep(0.1)
            return all(self._plays(number) for number in range(len(self._children)))

        with suppress(LabError):
            wait_until(all_play, PATIENCE_S, "all to play")

    def playing(self) -> int:
        """How many play."""
        return sum(one.poll() is None and self._plays(number) for number, one in enumerate(self._children))

    def leave(self) -> None:
        """Everybody tears down."""
        for one in self._children:
            one.terminate()
        deadline = time.monotonic() + END_S
        for one in self._children:
            with suppress(subprocess.TimeoutExpired):
                one.wait(max(deadline - time.monotonic(), 0.01))
        for one in self._children:
            one.kill()
            one.wait()

    def _plays(self, number: int) -> bool:
        progress = self._directory / f"{number}.progress"
        return (
            progress.exists() and re.search(r"^frame=[1-9]", progress.read_text(), re.MULTILINE) is not None
        )


@contextmanager
def real(side: Side, transport: Transport, players: int, apart_s: float = 0.0) -> Iterator[RealCrowd]:
    """So many real players, one after the other."""
    directory = side.ground.lab.state / "real"
    directory.mkdir(exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    crowd = RealCrowd(side, transport, directory)
    with ExitStack() as stack:
        stack.callback(crowd.leave)
        crowd.begin(players, apart_s)
        yield crowd


def first_picture_ms(side: Side, transport: Transport) -> float | None:
    """Milliseconds from a real player's TCP connect to its first decoded picture; None if there was none.

    Told by when ffmpeg says that it connects and when its filter says that it has a picture.
    """
    command = [*ffmpeg(side, transport), "-vf", "showinfo", "-frames:v", "1", "-f", "null", "-"]
    command[1:1] = ["-loglevel", "debug"]
    began = first = None
    child = at_player(side, command, heard=True)
    assert child.stderr is not None
    with child:
        for line in child.stderr:
            at = time.monotonic()
            if began is None and b"Starting connection attempt" in line:
                began = at
            if first is None and b"Parsed_showinfo" in line and b" n: " in line:
                first = at
    return (first - began) * 1000 if first is not None and began is not None else None


def ffmpeg(side: Side, transport: Transport) -> list[str]:
    """The call up to its input. It takes no look at the stream first, and ends where the server is silent."""
    return [
        *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-threads", "1"),
        *("-analyzeduration", "0", "-probesize", "32", "-timeout", "8000000", "-rtsp_transport", transport),
        *("-i", f"rtsp://{side.host}:{side.port}/stream"),
    ]


def at_player(side: Side, command: list[str], *, heard: bool = False) -> "subprocess.Popen[bytes]":
    """Our child at the players' node, which the kernel ends if we are killed."""
    namespace = side.ground.lab.topology.namespace(PLAYER)
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *inside(namespace), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if heard else subprocess.DEVNULL,
    )


def spent_ms(fortunes: Sequence[Fortune]) -> list[float]:
    """Milliseconds that a request took each player, on the mean of its four."""
    return [sum(one.requests_ms) / len(one.requests_ms) for one in fortunes if not one.failed]


def typical(values: list[float]) -> float:
    """The median; not a number where there is nothing."""
    return median(values) if values else float("nan")
