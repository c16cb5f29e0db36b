"""``rtspdsr lab demo``: several players through the VIP at once, and what came of it.

``run`` makes a lab of its own, plays in it and removes it; ``show_lab`` and ``show_plays`` print what it
gives back. If what the demo is to show does not hold, ``faults`` says so.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rtspdsr.lab.daemon import XdpMode
from rtspdsr.lab.forwarder import forwarded, to_unix
from rtspdsr.lab.lab import Lab, Result, Settings, down
from rtspdsr.lab.player import PlayerKind, Transport, Watch
from rtspdsr.lab.report import console, log_line, nodes_table, result_record, results_table
from rtspdsr.lab.topology import VIP4, VIP6, url
from rtspdsr.review.files import as_json
from rtspdsr.review.reading import review_logs
from rtspdsr.review.report import Report
from rtspdsr.review.selection import Selection

NAME = "demo"
WATCH_S = 12.0
CLOSE_WAIT_S = 15.0  # a session that was torn down lingers for 10 s
FRAMES_MIN = 100  # of 25 a second: 4 of 12 s, on a machine that is busy with ten players


@dataclass(frozen=True, slots=True)
class Part:
    """One player of the demo.

    backend: where it is placed, if the client's address is not to decide: only gst-rtsp-server can record,
             and VLC serves UDP alone
    """

    watch: Watch
    backend: str | None = None


PARTS = (
    Part(Watch(player=PlayerKind.FFMPEG, node="player", url=url("clip"), seconds=WATCH_S)),
    Part(
        Watch(
            player=PlayerKind.FFPLAY,
            node="player2",
            url=url("clip"),
            transport=Transport.TCP,
            seconds=WATCH_S,
        ),
        "gst-b",
    ),
    Part(Watch(player=PlayerKind.GSTREAMER, node="player3", url=url("live", VIP6), seconds=WATCH_S)),
    Part(Watch(player=PlayerKind.AIORTSP, node="player4", url=url("clip"), seconds=WATCH_S)),
    Part(Watch(player=PlayerKind.FFMPEG, node="player5", url=url("clip"), seconds=WATCH_S), "vlc"),
    Part(Watch(player=PlayerKind.PUBLISHER, node="player6", url=url("record"), seconds=WATCH_S), "gst-a"),
    Part(Watch(player=PlayerKind.GSTREAMER, node="player-keep", url=url("clip"), seconds=WATCH_S)),
    Part(
        Watch(
            player=PlayerKind.FFMPEG,
            node="player-random",
            url=url("clip"),
            transport=Transport.TCP,
            seconds=WATCH_S,
        ),
        "gst-a",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What the demo found.

    status: of the lab, as ``Lab.status``
    served: what the daemon says of itself after the plays, as ``rtspdsr status --json``
    lines:  of the session log, while the players played
    review: of that log
    """

    status: dict[str, Any]
    results: tuple[Result, ...]
    served: dict[str, Any]
    lines: tuple[dict[str, Any], ...]
    review: Report

    def record(self) -> dict[str, Any]:
        """All of it for a script."""
        return {
            "lab": self.status,
            "plays": [result_record(result) for result in self.results],
            "status": self.served,
            "session_log": list(self.lines),
            "review": json.loads(as_json(self.review)),
            "faults": self.faults(),
        }

    def faults(self) -> list[str]:
        """What did not turn out as the demo means to show; empty if all is well."""
        return [f"{result.played.watch}: {fault}" for result in self.results for fault in _faults(result)]


def run(mode: XdpMode, tell: Callable[[str], None], parts: Sequence[Part] = PARTS) -> Demo:
    """Make the lab, play, and remove it, whatever happens.

    tell: is told what goes on meanwhile
    """
    tell("making a lab: a balancer, three media servers, players")
    lab = Lab.up(NAME, Settings(mode=mode))
    try:
        for part in parts:
            if part.backend:
                version = 6 if str(VIP6) in part.watch.url else 4
                lab.daemon.place(str(lab.client(part.watch.node, version)), part.backend)
        status = lab.status()
        with forwarded(to_unix(lab.daemon.socket)) as port:
            tell(f"{len(parts)} players play for {WATCH_S:g} s; the web page: http://127.0.0.1:{port}/")
            results = lab.play([part.watch for part in parts])
            tell("waiting for their sessions to be closed")
            served = lab.daemon.ask("GET", "/v1/status")
            lines = _lines_when_closed(lab)
        return Demo(
            status=status,
            results=tuple(results),
            served=served,
            lines=tuple(lines),
            review=review_logs([lab.daemon.log], Selection(), progress=False),
        )
    finally:
        down(NAME)


def _lines_when_closed(lab: Lab) -> list[dict[str, Any]]:
    """What the log says of the sessions, once each has its summary: they linger after TEARDOWN."""
    deadline = time.monotonic() + CLOSE_WAIT_S
    while True:
        lines = [line for line in lab.session_log() if "session" in line]
        closed = {line["session"] for line in lines if line["event"] == "session_summary"}
        if closed == {line["session"] for line in lines} or time.monotonic() > deadline:
            return lines
        time.sleep(0.2)


def show_lab(demo: Demo) -> None:
    """Print the topology and the session log."""
    out = console()
    out.print(nodes_table(demo.status))
    out.print("the session log, shortened (in the file each line is JSON; --json shows them whole):")
    for line in demo.lines:
        out.print(log_line(line), soft_wrap=True, highlight=False, markup=False)


def show_plays(demo: Demo) -> None:
    """Print what the players got, and the whole in one sentence."""
    out = console()
    out.print(results_table(demo.results))
    watched = [one for one in demo.results if one.played.watch.player is not PlayerKind.PUBLISHER]
    delivered = sum(one.delivery.delivered_bytes for one in watched)
    crossed = sum(one.delivery.balancer_bytes for one in watched)
    out.print(
        f"{len(watched)} players watched through the VIP: {delivered:,} bytes were delivered to them, "
        f"{crossed:,} crossed the balancer (1:{delivered / max(crossed, 1):.0f}).",
        soft_wrap=True,
    )
    for fault in demo.faults():
        out.print(f"but {fault}", soft_wrap=True, style="bold red")


def _faults(result: Result) -> Iterator[str]:
    played, delivery = result.played, result.delivery
    if played.frames < FRAMES_MIN:
        yield f"only {played.frames} frames in {played.lasted_s:.0f} s; see its log"
    if len(delivery.backends) != 1:
        yield f"its packets reached {' and '.join(delivery.backends) or 'no backend'}, not one"
    if strangers := set(delivery.media_sources) - {VIP4, VIP6}:
        yield f"media came from {', '.join(map(str, strangers))}, not from the VIP"
    if delivery.returned_packets:
        yield f"{delivery.returned_packets} packets to it crossed the balancer"
