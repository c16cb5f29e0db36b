"""New sessions that arrive one after the other, each set up, heard and torn down, and counted.

Scripted clients in threads, half of them over UDP and half interleaved: many more than a machine has room for
real players. What goes wrong in one is kept, and the next one comes.
"""

import time
from collections.abc import Sequence
from functools import partial
from threading import Event

from rtspdsr.lab.lab import Lab
from rtspdsr.lab.topology import url
from tests.lab.background import Background
from tests.lab.client import PORTS, Client

HEARD = 3  # packets of media in each session
NO_SUCH_TRANSPORT = 461  # what VLC answers to interleaved


class Arrivals(Background):
    """Sessions from some nodes, while it is entered; the nodes take turns with both transports.

    pause_s: between two sessions of a node
    """

    def __init__(self, lab: Lab, nodes: Sequence[str], pause_s: float = 0.0) -> None:
        self._lab, self._pause_s = lab, pause_s
        super().__init__(*(partial(self._arrive, node, number % 2) for number, node in enumerate(nodes)))
        self.set_up = 0
        self.failed: list[str] = []

    @property
    def tried(self) -> int:
        """Sessions that were begun and have come to an end of either kind."""
        return self.set_up + len(self.failed)

    def _arrive(self, node: str, transport: int, over: Event) -> None:
        while not over.is_set():
            began = time.time()
            try:
                (play_over_udp, play_over_tcp)[transport](self._lab, node)
                self.set_up += 1
            except (AssertionError, OSError) as error:
                self.failed.append(f"{node} at {began:.3f}: {type(error).__name__}: {error}")
            over.wait(self._pause_s)


def play_over_udp(lab: Lab, node: str) -> None:
    """One session, its sound over UDP."""
    with Client(lab, node) as client:
        sound = client.describe("live")[1]
        session = client.set_up(sound, PORTS[0]).session
        assert client.request("PLAY", url("live"), Session=session).status == 200
        client.hear_rtp(PORTS[0][0], HEARD)
        assert client.request("TEARDOWN", url("live"), Session=session).status == 200


def play_over_tcp(lab: Lab, node: str) -> None:
    """One session, its sound interleaved."""
    with Client(lab, node) as client:
        sound = client.describe("live")[1]
        answer = client.request("SETUP", sound, Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
        if answer.status == NO_SUCH_TRANSPORT:
            return
        assert answer.status == 200, answer
        assert client.request("PLAY", url("live"), Session=answer.session).status == 200
        client.hear_frames(HEARD)
        assert client.request("TEARDOWN", url("live"), Session=answer.session).status == 200
