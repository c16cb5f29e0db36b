"""What is asked of each route that takes something: a model each, with its fields explained."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Asked(BaseModel):
    """What is asked of a route. Fields named in its path stand there, others in the query or, of a route that
    changes something, in the body.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(lambda text: ip_network(text, strict=False))]


class Sessions(Asked):
    """Which sessions are meant: those that fit all that is asked."""

    client: Network | None = None
    """the client's address, or a network that it is in"""
    url: str | None = None
    """part of the URL, or a pattern with ``*``, ``?`` or ``[``"""
    service: str | None = None
    """name of the service"""
    backend: str | None = None
    """name of the backend, as BACKEND or SERVICE/BACKEND"""
    state: Literal["live", "init", "ready", "playing", "recording", "ending", "ended"] = "live"
    """what the client has asked for; ``live``: any; ``ended``: the last 5,000, latest first"""
    limit: int | None = Field(default=None, ge=1)
    """so many at most"""


class OneSession(Asked):
    """A session by its name."""

    session: str = Field(min_length=1)
    """our name of it, or a beginning that no other has"""


class Top(Asked):
    """How much of the top."""

    limit: int = Field(default=10, ge=1, le=100)
    """so many of each at most"""


class Explain(Asked):
    """Whose packets are to be explained."""

    client: IPv4Address | IPv6Address
    """the client's address"""
    port: int | None = Field(default=None, ge=1, le=65535)
    """its TCP or UDP port; without it, what is told is true of any port"""


class Placement(Asked):
    """Where a client's new connections are to go."""

    service: str
    """name of the service"""
    client: IPv4Address | IPv6Address
    """the client's address"""
    backend: str
    """name of a backend of the service"""


class Login(Asked):
    """A browser's login."""

    token: str = Field(max_length=1024)
    """what ``admin.token_file`` holds"""


class OneBackend(Asked):
    """Which backend."""

    service: str
    """name of the service"""
    backend: str
    """name of a backend of the service"""


class BackendWish(OneBackend):
    """What the operator wants of a backend."""

    state: Literal["ready", "drain", "maint"]
    """``ready``: it takes new clients; ``drain``: none but its own, and its sessions finish; ``maint``: it is
    out at once, its sessions are ended and it is not checked"""
    deadline_s: float | None = Field(None, ge=0, le=365 * 86_400)
    """of a drain: after so many seconds the sessions that are left are ended; null: never"""
    force: bool = False
    """take out the last backend of its service too: new clients then get no answer"""
