"""Which backend an operator means: ``SERVICE/BACKEND``, or ``BACKEND`` where no other is called so."""

from pathlib import Path

from rtspdsr.cli.asking import ask
from rtspdsr.errors import AdminError, NotFound


def full_name(config: Path, name: str) -> tuple[str, str]:
    """Service and backend. Raises NotFound, or AdminError if several are called so."""
    service, _, backend = name.rpartition("/")
    if service:
        return service, backend
    known = [(one["service"], one["name"]) for one in ask(config, "GET", "/v1/backends")]
    found = [one for one in known if one[1] == backend]
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join("/".join(one) for one in found)
        raise AdminError(f"several backends are called {backend}; say {names}")
    raise NotFound(f"no backend {backend}; there are {', '.join('/'.join(one) for one in known)}")
