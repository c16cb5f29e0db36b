"""Which part of a log a review is about: a time, clients, URLs, backends.

Handed the texts of an operator, tells of a session or a line whether it belongs. It never guesses: a
line without the key that is asked for does not belong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from rtspdsr.errors import ReviewError
from rtspdsr.model import Address
from rtspdsr.review.line import seconds

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What belongs. ``None`` lets everything through.

    since, until: seconds since 1970; ``until`` itself is outside
    client:       tells of a client as it stands in the log whether it is meant
    url:          part of the URL, or a pattern with ``*``, ``?`` or ``[``
    backend:      its name, as BACKEND or SERVICE/BACKEND
    """

    since: float | None = None
    until: float | None = None
    client: Callable[[str], bool] | None = None
    url: str | None = None
    backend: str | None = None

    def spans(self, begin: float, end: float) -> bool:
        """Whether something that lasted from then to then lies in the time at least in part."""
        return (self.since is None or end >= self.since) and (self.until is None or begin < self.until)

    def clipped(self, begin: float, end: float) -> tuple[float, float]:
        """The part of it that lies in the time."""
        since = begin if self.since is None else max(begin, self.since)
        return since, max(since, end if self.until is None else min(end, self.until))

    def wants(self, service: str | None, backend: str | None, client: str | None, url: str | None) -> bool:
        """Whether a line with these keys is meant, whenever it was."""
        if self.client is not None and (client is None or not self.client(client)):
            return False
        if self.backend is not None and self.backend not in (backend, f"{service}/{backend}"):
            return False
        return self.url is None or (url is not None and _matches(url, self.url))

    @property
    def narrows(self) -> bool:
        """Whether clients, URLs or backends are left out, so that shares cannot be told."""
        return not (self.client is None and self.url is None and self.backend is None)


def moment(text: str, now: float) -> float:
    """``2026-03-01T18:00``, ``2026-03-01`` (UTC without a zone), or ``90m``, ``2h``, ``1d`` before now."""
    if text[-1:] in _UNITS and text[:-1].isdecimal():
        return now - timedelta(**{_UNITS[text[-1]]: int(text[:-1])}).total_seconds()
    found = seconds(text)
    if found is None:
        today = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M")
        raise ReviewError(f"{text!r} is no time; write {today} (UTC), {today}+02:00, or 90m for so long ago")
    return found


def client_matcher(text: str, hashed: Callable[[Address], str] | None = None) -> Callable[[str], bool]:
    """Tells clients of a log: those of an address or a network, or one hashed name as it stands there.

    hashed: how that log names an address, if its key is known
    """
    if text.startswith("#"):
        return lambda client: client == text
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ReviewError(
            f"{text!r} is no client; write 192.0.2.7, 192.0.2.0/24, or a hashed one as #1a2b3c4d5e6f"
        ) from None
    name = None
    if hashed is not None:
        if network.num_addresses != 1:
            raise ReviewError(f"{text!r}: hashed clients can only be found one address at a time")
        name = hashed(network.network_address)

    @lru_cache(maxsize=65_536)
    def matches(client: str) -> bool:
        known = _network(client)
        return client == name if known is None else _overlap(known, network)

    return matches


def _network(client: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(client)
    except ValueError:
        return None


def _overlap(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


def network_of(client: str) -> str:
    """The network that a client is in, as far as its name tells: /24 or /48; else the name."""
    try:
        address: IPv4Address | IPv6Address = ip_address(client)
    except ValueError:
        return client
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))


def _matches(url: str, pattern: str) -> bool:
    return fnmatchcase(url, pattern) if any(mark in pattern for mark in "*?[") else pattern in url
