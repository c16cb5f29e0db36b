"""Who may ask: whoever can open the Unix socket, and over TCP whoever has the token.

A token comes as ``Authorization: Bearer``, or once to the login, which gives a browser a cookie that scripts
cannot read and that other sites' pages cannot use. Against pages of other sites there is more, on both ways
in (``ssh -L`` may lead a browser to the Unix socket): the Host must be an address, ``localhost`` or a
configured name, so that nobody rebinds a name of theirs to us, and an Origin must be the Host.
"""

import hmac
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from rtspdsr.admin.attempts import WHILE_S, WRONG_MAX, Attempts
from rtspdsr.errors import ConfigError

COOKIE = "rtspdsr"
LOGIN_S = 12 * 3600  # a login outlives a shift, and a restart of the daemon
TOKEN_MIN = 32  # characters: not to be guessed, however fast
OTHERS_READ = 0o004
OWN_NAMES = ("localhost", "rtspdsr")  # the latter is what our own client calls us


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where and how the API is reached over TCP.

    token: what opens it
    hosts: names by which browsers reach it, beside its address
    """

    address: str
    port: int
    token: str
    hosts: tuple[str, ...] = ()


def read_token(file: Path) -> str:
    """The token in a file. Raises ConfigError."""
    try:
        token, mode = file.read_text(encoding="ascii").strip(), file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"admin.token_file: {file} cannot be read: {error}") from error
    if mode & OTHERS_READ:
        raise ConfigError(f"admin.token_file: everybody can read {file}; chmod 640 {file}")
    if len(token) < TOKEN_MIN or not token.isprintable() or " " in token:
        raise ConfigError(
            f"admin.token_file: {file} should hold one word of at least {TOKEN_MIN} characters; "
            f"openssl rand -hex 32 > {file}"
        )
    return token


class Guard:
    """Lets a request pass, or refuses it.

    token: what is needed; None where the way in is guarded otherwise
    tell:  is told of wrong tokens
    """

    def __init__(
        self, token: str | None, hosts: Collection[str] = (), tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._token, self._tell = token, tell
        self._attempts = Attempts()
        self._hosts = {*OWN_NAMES, *(host.lower() for host in hosts)}

    def check(self, request: web.Request, *, public: bool) -> None:
        """Raises HTTPForbidden, HTTPUnauthorized or HTTPTooManyRequests with the reason.

        public: it takes no token
        """
        self._check_host(request)
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.host:
            raise web.HTTPForbidden(reason=f"the page of another site, {origin!r:.200}, may not ask here")
        if public or self._token is None or self._bears_token(request):
            return
        if not self._is_logged_in(request):
            raise web.HTTPUnauthorized(reason="this takes the token: Authorization: Bearer TOKEN")
        if origin is None and request.method not in ("GET", "HEAD"):
            raise web.HTTPForbidden(reason="a change by a login's cookie takes an Origin header")

    def log_in(self, token: str, address: str, now: float) -> str | None:
        """The value of a new login's cookie; None where none is needed.

        Raises HTTPUnauthorized, HTTPTooManyRequests.
        """
        if self._token is None:
            return None
        if not self._is_token(token.encode(), address):
            raise web.HTTPUnauthorized(reason="this is not the token in admin.token_file")
        return self._signed(int(now) + LOGIN_S)

    def _check_host(self, request: web.Request) -> None:
        name = _host_name(request.host)
        if name not in self._hosts and not _is_address(name):
            raise web.HTTPForbidden(reason=f"the Host {name!r:.200} is none of ours; see admin.hosts")

    def _bears_token(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_token(_octets(token.strip()), request.remote or "")

    def _is_token(self, given: bytes, address: str) -> bool:
        """Whether this is the token. Raises HTTPTooManyRequests for one wrong token too many."""
        if hmac.compare_digest(given, (self._token or "").encode()):
            return True
        now = time.monotonic()
        if self._attempts.too_many(address, now):
            raise web.HTTPTooManyRequests(
                reason=f"{WRONG_MAX} wrong tokens came from {address}; try again in {WHILE_S:.0f} s"
            )
        self._attempts.wrong(address, now)
        self._tell(f"a wrong token came from {address}")
        return False

    def _is_logged_in(self, request: web.Request) -> bool:
        cookie = request.cookies.get(COOKIE, "")
        until, _, _ = cookie.partition(".")
        if not (until.isascii() and until.isdigit() and len(until) < len(cookie) < 100):
            return False
        genuine = hmac.compare_digest(_octets(cookie), self._signed(int(until)).encode())
        return genuine and time.time() < int(until)

    def _signed(self, until: int) -> str:
        signature = hmac.digest((self._token or "").encode(), f"login until {until}".encode(), "sha256")
        return f"{until}.{signature.hex()}"


GUARD = web.AppKey("guard", Guard)


def _octets(header: str) -> bytes:
    """A header as it came: what is no text in it, aiohttp keeps as surrogates."""
    return header.encode(errors="surrogateescape")


def _host_name(host: str) -> str:
    """A Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # half a bracket
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
