"""A way for a browser on this machine's loopback to a listener in a namespace or at a Unix socket.

It carries bytes both ways and looks at none of them, one thread a direction. A connection is closed at
both ends once both directions are over.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CHUNK = 64 << 10


@contextmanager
def forwarded(connect: Callable[[], socket.socket], port: int = 0) -> Iterator[int]:
    """A port on 127.0.0.1 that leads to what ``connect`` connects to, while the context lasts.

    port: a wish; 0 takes one that is free. Raises OSError if it is taken
    """
    with socket.create_server(("127.0.0.1", port)) as listener:
        connections: set[socket.socket] = set()
        threading.Thread(target=_accept, args=(listener, connect, connections), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for one in tuple(connections):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


def to_unix(path: Path) -> Callable[[], socket.socket]:
    """Connects to a Unix socket."""

    def connect() -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        try:
            made.connect(str(path))
        except OSError:
            made.close()
            raise
        return made

    return connect


def _accept(
    listener: socket.socket, connect: Callable[[], socket.socket], connections: set[socket.socket]
) -> None:
    with suppress(OSError):  # the listener is shut down
        while True:
            near, _ = listener.accept()
            try:
                far = connect()
            except OSError:
                near.close()
                continue
            connections |= {near, far}
            threading.Thread(target=_join, args=(near, far, connections), daemon=True).start()


def _join(near: socket.socket, far: socket.socket, connections: set[socket.socket]) -> None:
    there = threading.Thread(target=_carry, args=(near, far), daemon=True)
    there.start()
    _carry(far, near)
    there.join()
    connections -= {near, far}
    near.close()
    far.close()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
