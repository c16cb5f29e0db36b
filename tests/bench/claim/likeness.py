"""Whether the light player and the light source may stand in for real ones: the same figures of both, a few.

The light player is held against ffmpeg, with the light source; the source against gst-rtsp-server, with
ffmpeg.
"""

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from rtspdsr.lab import server
from rtspdsr.lab.player import Transport
from tests.bench.claim import crowd
from tests.bench.claim.ground import PLAYER, Ground
from tests.bench.claim.peers import Side
from tests.bench.claim.stream import Stream

TOLERANCE = 0.10
SETTLE_S = 1.0
END_S = 0.5  # for the source to tell of those that left
APART_S = 0.1  # between the beginnings of two players
PAUSES = {method: f"ms before {method}" for method in ("DESCRIBE", "SETUP", "PLAY")}
TO = ("octets to it, 1/s", "packets to it, 1/s")
FROM = ("octets from it, 1/s", "packets from it, 1/s")
REPORTS = ("s between two receiver reports", "octets of a receiver report")
SPENT = "ms from its first request to PLAY"
ALL = ("requests in all", SPENT)
#: Over UDP a player sends nothing but reports; over TCP ffmpeg sends none.
COMPARED = {Transport.UDP: (*TO, *REPORTS, *ALL), Transport.TCP: (*TO, *FROM, *ALL)}
#: What a source has a hand in. How many packets TCP makes of it is the kernel's affair.
SENT = {Transport.UDP: TO, Transport.TCP: TO[:1]}
OTHER = "gst-b"  # the node of the real server
RELAY = Path(__file__).with_name("relay.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """One figure of a real one and of the light one in its place."""

    what: str
    transport: str
    real: float
    light: float

    @property
    def ratio(self) -> float:
        """Light to real; 1 where neither does it at all."""
        return self.light / self.real if self.real else 1.0 + (self.light != 0)

    @property
    def alike(self) -> bool:
        """Within the tolerance."""
        return abs(self.ratio - 1) <= TOLERANCE


def compare(
    side: Side, stream: Stream, players: int, watched_s: float
) -> tuple[list[Likeness], dict[Transport, tuple[float, ...]]]:
    """All figures, and the microseconds that a light player is to take before each request to be alike."""
    found, thinking = list[Likeness](), {}
    for transport in side.transports:
        rate = round(1 / APART_S)
        bare = _measured(crowd.light(side, transport, players, rate), side, players, 0)
        real = _measured(crowd.real(side, transport, players, APART_S), side, players, watched_s)
        think = tuple(max(real[name] - bare[name], 0) * 1000 for name in PAUSES.values())
        light = _measured(crowd.light(side, transport, players, rate, think), side, players, watched_s)
        with _real_server(side.ground, stream) as host:
            elsewhere = replace(side, host=host)
            other = _carried(
                crowd.real(elsewhere, transport, players, APART_S), elsewhere, players, watched_s
            )
        found += [
            *(
                _likeness(f"player: {what}", transport, real[what], light[what])
                for what in COMPARED[transport]
            ),
            *(_likeness(f"source: {what}", transport, other[what], real[what]) for what in SENT[transport]),
        ]
        thinking[transport] = think
    return found, thinking


def _likeness(what: str, transport: Transport, real: float, light: float) -> Likeness:
    return Likeness(what=what, transport=transport, real=real, light=light)


@contextmanager
def _real_server(ground: Ground, stream: Stream) -> Iterator[str]:
    """Its address."""
    node = ground.lab.topology.node(OTHER)
    host = str(node.address(4))
    command = ["/usr/bin/python3", str(RELAY), host, "554", str(stream.mp4)]
    with ground.running("file-server", OTHER, command) as process:
        server.ready(process)
        yield host


def _measured(
    playing: AbstractContextManager[crowd.LightCrowd | crowd.RealCrowd],
    side: Side,
    players: int,
    watched_s: float,
) -> dict[str, float]:
    """What the wire and the source say of a crowd."""
    log = side.ground.source.log
    known = len(log.read_text().splitlines())
    told = _carried(playing, side, players, watched_s)
    time.sleep(END_S)
    sessions = [json.loads(line) for line in log.read_text().splitlines()[known:]]
    reporting = [one for one in sessions if one["reports"] > 1]
    told[REPORTS[0]] = _typical(_cadence_s(one) for one in reporting)
    told[REPORTS[1]] = _typical(one["report_octets"] / one["reports"] for one in reporting)
    for method, name in PAUSES.items():
        told[name] = _typical(_paused_us(one, method) / 1000 for one in sessions)
    told[SPENT] = sum(told[name] for name in PAUSES.values())
    told[ALL[0]] = _typical(len(one["requests"]) for one in sessions)
    return told


def _carried(
    playing: AbstractContextManager[crowd.LightCrowd | crowd.RealCrowd],
    side: Side,
    players: int,
    watched_s: float,
) -> dict[str, float]:
    """What the wire of the players carries for one of them in a second."""
    with playing as they:
        they.wait()
        time.sleep(SETTLE_S if watched_s else 0)
        began, before = time.monotonic(), side.ground.counters(PLAYER)
        time.sleep(watched_s)
        lasted, after = time.monotonic() - began, side.ground.counters(PLAYER)
    names = zip((*TO, *FROM), ("rx_octets", "rx_packets", "tx_octets", "tx_packets"), strict=True)
    return {named: (after[name] - before[name]) / lasted / players for named, name in names}


def _cadence_s(session: dict[str, Any]) -> float:
    lasted_us = int(session["last_report_us"]) - int(session["first_report_us"])
    return lasted_us / 1e6 / (int(session["reports"]) - 1)


def _paused_us(session: dict[str, Any], method: str) -> int:
    """From the request before the first of that method to it, as the source hears them."""
    for (_, before), (asked, at) in pairwise(session["requests"]):
        if asked == method:
            return int(at - before)
    return 0


def _typical(values: Any) -> float:
    listed = list(values)
    return float(median(listed)) if listed else 0.0
