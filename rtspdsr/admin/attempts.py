"""Wrong tokens by the address that they came from: who has given too many is told to leave off for a while.

Handed addresses and the time, it says whether it is too many. The right token is not refused for it: an
address may be a proxy's, and a stranger behind it would keep everybody else out.
"""

from ipaddress import ip_address, ip_network

WRONG_MAX = 20  # in a while: a person who mistypes, and a scraper with an old token, stay below
WHILE_S = 60.0
ADDRESSES_MAX = 4096  # some 0.5 MB; the oldest is forgotten for one more
SITE_BITS = 64  # of an IPv6 address: one host has that many of the others at will


class Attempts:
    """How often each address was wrong, and since when."""

    def __init__(self) -> None:
        self._wrong: dict[str, tuple[float, int]] = {}

    def too_many(self, address: str, now: float) -> bool:
        """Whether this address has given too many wrong ones lately. ``now``: any clock, seconds."""
        since, number = self._wrong.get(site(address), (now, 0))
        return number >= WRONG_MAX and now < since + WHILE_S

    def wrong(self, address: str, now: float) -> None:
        """Count a wrong token."""
        key = site(address)
        since, number = self._wrong.pop(key, (now, 0))
        if now >= since + WHILE_S:
            since, number = now, 0
        if len(self._wrong) >= ADDRESSES_MAX:
            del self._wrong[next(iter(self._wrong))]
        self._wrong[key] = since, number + 1


def site(address: str) -> str:
    """Whose an address is: of IPv6, its network."""
    try:
        known = ip_address(address)
    except ValueError:  # a link-local address with its zone, or none
        return address
    return str(ip_network((known, SITE_BITS), strict=False)) if known.version == 6 else address
