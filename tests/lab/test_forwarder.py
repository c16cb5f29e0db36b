"""The way from a port of the loopback to a Unix socket: bytes pass, and nothing is left of a connection."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtspdsr.lab.forwarder import forwarded, to_unix
from tests.lab.helpers import wait_for

DESCRIPTORS = Path("/proc/self/fd")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Leads to a server that says what it hears, until it hears no more."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "echo"))
        server.listen()
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        with forwarded(to_unix(tmp_path / "echo")) as port:
            yield port
        server.shutdown(socket.SHUT_RDWR)


def _echo(server: socket.socket) -> None:
    while True:
        try:
            heard, _ = server.accept()
        except OSError:
            return
        with heard:
            while data := heard.recv(1000):
                heard.sendall(data)


def said(port: int) -> bytes:
    """What comes back over a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as asked:
        asked.sendall(b"clip")
        asked.shutdown(socket.SHUT_WR)
        return asked.recv(1000)


def open_descriptors() -> int:
    return len(list(DESCRIPTORS.iterdir()))


def test_connections_that_are_over_keep_no_descriptor(port: int) -> None:
    before = open_descriptors()
    assert [said(port) for _ in range(20)] == 20 * [b"clip"]
    wait_for(lambda: open_descriptors() == before, "every connection to be closed at both ends")
