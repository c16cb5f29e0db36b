"""Asking a running daemon, from the command line and the lab."""

import json
from errno import EACCES
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, UnixConnector

from rtspdsr.admin.server import SOCKET
from rtspdsr.errors import AdminError, NotFound


async def ask(directory: Path, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the daemon whose ``run_dir`` this is. Raises AdminError if it does not answer or refuses."""
    socket = directory / SOCKET
    try:
        async with (
            ClientSession(connector=UnixConnector(str(socket))) as session,
            session.request(method, f"http://rtspdsr{path}", json=body) as response,
        ):
            answer = json.loads(await response.text())
    except (OSError, ClientError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == EACCES:
            raise AdminError(f"{socket} is for root and its group; be one of them (sudo)") from error
        why = (isinstance(error, OSError) and error.strerror) or error
        raise AdminError(
            f"no daemon answers at {socket} ({why}); start it (rtspdsr run), "
            "or name its configuration with --config, or in RTSPDSR_CONFIG"
        ) from error
    if response.status != 200:
        refusal = NotFound if response.status == 404 else AdminError
        raise refusal(answer.get("error", f"the daemon refused {method} {path}"))
    return answer
