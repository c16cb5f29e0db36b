"""Sessions that come and go: real players that watch for some seconds, and scripted ones, far more of them.

The scripted ones ask for what no server has: they are refused at once, which costs a server nothing, and the
balancer, which does not hear answers, a session like any other.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from random import Random
from threading import Event

from rtspdsr.errors import LabError
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import PlayerKind, Transport, Watch
from rtspdsr.lab.topology import VIP4, VIP6, url
from tests.lab.background import Background
from tests.lab.client import Client

LIGHT_S = 0.05  # between two scripted sessions of a node
WATCHED_S = (3.0, 20.0)
FRAMES_WAIT_S = 20.0
OFFERS = ("RTP/AVP;unicast;client_port=23000-23001", "RTP/AVP/TCP;unicast;interleaved=0-1")


class Churn(Background):
    """Players and scripted clients at their nodes, while it is entered.

    played: sessions that went well, by what they were
    missed: when one did not (monotonic clock), and what it says
    """

    def __init__(self, lab: Lab, players: Sequence[str], clients: Sequence[str], dice: Random) -> None:
        self._lab, self._dice = lab, dice
        self._hurry = Event()
        self.played: Counter[str] = Counter()
        self.missed: list[tuple[float, str]] = []
        self._offers = cycle(OFFERS)
        super().__init__(
            *(partial(self._go_on, self._watch, node, 0.5) for node in players),
            *(partial(self._go_on, self._ask, node, LIGHT_S) for node in clients),
        )

    def fill(self, sessions: int, patience_s: float) -> bool:
        """Let scripted sessions come as fast as they can until there were so many; False if time ran out."""
        wanted, deadline = self.played["scripted"] + sessions, time.monotonic() + patience_s
        self._hurry.set()
        while (enough := self.played["scripted"] >= wanted) is False and time.monotonic() < deadline:
            time.sleep(0.5)
        self._hurry.clear()
        return enough

    def _go_on(self, once: Callable[[str, Event], str], node: str, pause_s: float, over: Event) -> None:
        while not over.is_set():
            try:
                self.played[once(node, over)] += 1
            except (AssertionError, LabError, OSError) as error:
                self.missed.append((time.monotonic(), f"{node}: {error}"))
                over.wait(1.0)
            if not self._hurry.is_set():
                over.wait(pause_s)

    def _watch(self, node: str, over: Event) -> str:
        kind = self._dice.choice((PlayerKind.FFMPEG, PlayerKind.GSTREAMER))
        transport = self._dice.choice((Transport.UDP, Transport.TCP))
        where = url("clip", self._dice.choice((VIP4, VIP6)))
        playing = self._lab.start(Watch(player=kind, node=node, url=where, transport=transport, seconds=60.0))
        try:
            playing.wait_for_frames(20, FRAMES_WAIT_S)
            over.wait(self._dice.uniform(*WATCHED_S))
            playing.stop()
        finally:
            playing.kill()
        return f"{kind} {transport}"

    def _ask(self, node: str, _over: Event) -> str:
        with Client(self._lab, node) as client:
            where = url("none", client.vip)
            client.request("SETUP", where, Transport=next(self._offers))
            client.request("TEARDOWN", where)
        return "scripted"
