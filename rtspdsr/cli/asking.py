"""Asking the running daemon whose configuration is named."""

import asyncio
from pathlib import Path
from typing import Any


def ask(config: Path, method: str, path: str, body: dict[str, Any] | None = None, **query: object) -> Any:
    """The daemon's answer. A query that is None is not asked. Raises AdminError, NotFound, ConfigError."""
    from urllib.parse import urlencode

    from rtspdsr.admin import ask as answer
    from rtspdsr.config import load

    asked = urlencode({key: value for key, value in query.items() if value is not None})
    whole = f"{path}?{asked}" if asked else path
    return asyncio.run(answer(load(config).daemon.run_dir, method, whole, body))
