"""Loads a forwarder with packets of many clients, and counts those that come back: ``generator.bpf.c``."""

import errno
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Timer, get_ident
from typing import Self

from rtspdsr.dataplane.libbpf.binding import refused_with
from rtspdsr.dataplane.libbpf.programs import Link
from rtspdsr.errors import DataplaneError
from tests.bench.programs import Loaded
from tests.bench.wire import End
from tests.packets.frames import built, media

PORT = 6971  # that all of it is sent to
FIRST_PORT = 20_000  # of the clients
REPORT = bytes.fromhex("81c90007") + bytes(28)  # RTCP: a receiver report with one block, as players send
ENDLESS = 2**31 - 1  # frames: starting and ending a test run takes 30 ms, so that one has to last
LATE_S = 0.5  # after the last one was sent, none is waited for any longer
POLL_S = 0.002
_COUNTS = struct.Struct("=2Q")
_LOAD = struct.Struct("=5Q2I6s6sH2s")


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load: how long it was sent, and how much of it came back."""

    seconds: float
    sent: int
    received: int

    @property
    def lost(self) -> int:
        return self.sent - self.received


class Generator:
    """Sends from an end, and receives at it. Has to be entered there."""

    def __init__(self, end: End, clients: int, source: bytes, destination: bytes) -> None:
        self._end, self._clients = end, clients
        self._addresses = (destination, source)
        self._frame = _unsummed(built(media(dport=PORT, payload=REPORT)))
        self._held = ExitStack()

    def __enter__(self) -> Self:
        with self._held as held, self._end.entered() as ifindex:
            loaded = Loaded("generator.bpf.c")
            held.callback(loaded.close)
            self._generate = held.enter_context(loaded.program("generate"))
            self._memory = held.enter_context(loaded.maps["loads"].memory())
            held.enter_context(Link.attach(held.enter_context(loaded.program("count")), ifindex, "native"))
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def load(self, seconds: float, window: int) -> Load:
        """Send for so long, never more than ``window`` packets under way."""
        load = (0, 0, 0, 0, 0, window, self._clients, *self._addresses, FIRST_PORT, PORT.to_bytes(2))
        _LOAD.pack_into(self._memory, 0, *load)
        with self._end.entered() as ifindex:
            began_at = time.monotonic()
            with _interrupted(after_s=seconds):
                self._generate.transmit(self._frame, ifindex, ENDLESS)
            took_s = time.monotonic() - began_at
        sent, received = self._last(patience_s=LATE_S)
        return Load(took_s, sent, received)

    def _last(self, patience_s: float) -> tuple[int, int]:
        """Sent and received, once what is still under way has come."""
        deadline = time.monotonic() + patience_s
        while True:
            sent, received = _COUNTS.unpack_from(self._memory)
            if received >= sent or time.monotonic() > deadline:
                return sent, received
            time.sleep(POLL_S)


@contextmanager
def _interrupted(after_s: float) -> Iterator[None]:
    """Whatever this thread does in the kernel meanwhile is ended by a signal after so long."""
    before = signal.signal(signal.SIGUSR2, lambda *_: None)
    timer = Timer(after_s, signal.pthread_kill, (get_ident(), signal.SIGUSR2))
    timer.start()
    try:
        yield
    except DataplaneError as error:
        if refused_with(error) != errno.EINTR:
            raise
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGUSR2, before)


def _unsummed(frame: bytes) -> bytes:
    """Without the checksum of UDP, which holds whatever port it comes from (RFC 768)."""
    return frame[:40] + bytes(2) + frame[42:]
