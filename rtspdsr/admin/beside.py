"""Whether a command stands where the daemon does: what looks at the machine's network must."""

import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rtspdsr.admin.server import SOCKET
from rtspdsr.errors import RtspDsrError
from rtspdsr.network import namespace


def require_same_network(status: Mapping[str, Any], directory: Path) -> None:
    """Raise RtspDsrError if the daemon that told this status runs in another network namespace.

    directory: its ``run_dir``
    """
    if status["network_namespace"] == namespace.own():
        return
    pid = daemon_pid(directory) or "PID"
    raise RtspDsrError(
        "the daemon runs in another network namespace, and this one's interfaces are not the balancer's; "
        f"enter it with `nsenter -t {pid} -n`, that of a lab with `rtspdsr lab shell balancer`"
    )


def daemon_pid(directory: Path) -> int | None:
    """The process that listens at the admin socket of this ``run_dir``; None if none can be told."""
    with socket.socket(socket.AF_UNIX) as asked, suppress(OSError):
        asked.connect(str(directory / SOCKET))
        credentials = asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid: int = struct.unpack("3i", credentials)[0]
        return pid or None
    return None
