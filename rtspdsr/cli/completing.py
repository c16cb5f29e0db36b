"""Names that a shell completes: asked of the daemon, in silence. A shell waits for no error message."""

from typing import Any

from rtspdsr.cli.asking import ask
from rtspdsr.cli.daemon import CONFIG
from rtspdsr.errors import RtspDsrError


def backend_names(ctx: Any, incomplete: str) -> list[str]:
    """Every SERVICE/BACKEND of the configuration that is in force."""
    answer = _asked(ctx, "/v1/backends")
    return [name for one in answer if (name := f"{one['service']}/{one['name']}").startswith(incomplete)]


def session_names(ctx: Any, incomplete: str) -> list[str]:
    """Some live sessions."""
    answer = _asked(ctx, "/v1/sessions?limit=1000")
    return [one["session"] for one in answer if one["session"].startswith(incomplete)][:50]


def _asked(ctx: Any, path: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = ask(ctx.params.get("config") or CONFIG, "GET", path)
    except RtspDsrError:
        return []
    return found
