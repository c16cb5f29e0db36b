"""The interfaces we forward on: what becomes of them, and what the kernel takes away with them.

Sans-IO: handed ``Link`` values, static routes and addresses, and ``now``; gives back changes and what to
restore. Setting a link down deletes its IPv4 routes (without a message), its IPv6 routes and its global
IPv6 addresses; setting it up brings back only IPv4 addresses, connected routes and link-local addresses
(measured, kernel 6.18). A lost carrier deletes nothing but neighbours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rtspdsr.model import Address
from rtspdsr.network.values import Link, LinkGone, StaticAddress, StaticRoute

RETRY_S = 1.0  # between attempts to restore: an IPv6 address is no route's source before DAD is over
ATTEMPTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChange:
    """An interface of the forwarding core as it is now.

    ifindex: 0 if there is no such interface; another one than before if it was removed and made again, and
             then nothing is attached to it
    """

    interface: str
    ifindex: int
    mac: bytes
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Static routes and addresses that the kernel had dropped with a link, in words.

    restored: put back
    refused:  given up; the operator must add them by hand
    """

    interface: str
    restored: tuple[str, ...]
    refused: tuple[str, ...] = ()


class Links:
    """Every interface of this machine, and the changes of those with the given names."""

    def __init__(self, interfaces: Iterable[str]) -> None:
        self._by_index: dict[int, Link] = {}
        self._reported: dict[str, LinkChange | None] = dict.fromkeys(interfaces)

    @property
    def by_index(self) -> Mapping[int, Link]:
        """Interfaces by their index."""
        return self._by_index

    def watched(self) -> set[int]:
        """Return the indexes of the interfaces with the given names."""
        return {index for index, link in self._by_index.items() if link.interface in self._reported}

    def receive(self, link: Link | LinkGone) -> None:
        """Take in one message."""
        if isinstance(link, Link):
            self._by_index[link.ifindex] = link
        else:
            self._by_index.pop(link.ifindex, None)

    def reset(self, links: Iterable[Link]) -> None:
        """Take in the whole list."""
        self._by_index.clear()
        self._by_index.update((link.ifindex, link) for link in links)

    def changes(self) -> list[LinkChange]:
        """Return what differs from what was returned before; all of it at first."""
        by_name = {link.interface: link for link in self._by_index.values()}
        changes = []
        for name, before in self._reported.items():
            link = by_name.get(name)
            after = LinkChange(
                interface=name,
                ifindex=link.ifindex if link else 0,
                mac=link.mac if link else b"",
                up=link is not None and link.up,
            )
            if after != before:
                self._reported[name] = after
                changes.append(after)
        return changes


@dataclass(slots=True)
class _Belongings:
    """What one interface had when it was last known to be whole."""

    enabled: bool
    addresses: Sequence[StaticAddress] = ()
    routes: Sequence[StaticRoute] = ()
    attempts_left: int = 0
    retry_at: float = 0.0
    restored: list[str] = field(default_factory=list)


class Memory:
    """The static routes and IPv6 addresses of interfaces, to be put back after a link was down.

    Remembered are all configured global IPv6 addresses, and those routes that lead to a backend or VIP.
    Default routes are left to whoever manages the machine's network.
    """

    def __init__(self) -> None:
        self._by_index: dict[int, _Belongings] = {}

    def receive(self, link: Link | LinkGone, now: float) -> None:
        """Take in one message about an interface; a link that was set up again becomes due."""
        if isinstance(link, LinkGone):
            self._by_index.pop(link.ifindex, None)
            return
        belongings = self._by_index.setdefault(link.ifindex, _Belongings(link.enabled))
        if link.enabled and not belongings.enabled:
            belongings.attempts_left = ATTEMPTS
            belongings.retry_at = now
            belongings.restored.clear()
        belongings.enabled = link.enabled

    def remember(
        self, ifindex: int, addresses: Sequence[StaticAddress], routes: Sequence[StaticRoute]
    ) -> None:
        """Take in what an interface has, unless it is down or not whole again yet."""
        belongings = self._by_index.get(ifindex)
        if belongings and belongings.enabled and not belongings.attempts_left:
            belongings.addresses, belongings.routes = addresses, routes

    def due(self, now: float) -> list[int]:
        """Return the interfaces whose belongings are to be compared and restored."""
        return [index for index, at in self._retries() if at <= now]

    def next_timer(self) -> float | None:
        """Return when ``due`` will have something to say."""
        return min((at for _, at in self._retries()), default=None)

    def missing(
        self, ifindex: int, addresses: Sequence[StaticAddress], routes: Sequence[StaticRoute]
    ) -> list[StaticAddress | StaticRoute]:
        """Return what is to be put back, in the order in which the kernel accepts it."""
        belongings = self._by_index[ifindex]
        lost_routes = [route for route in belongings.routes if route not in routes]
        # A route through a router needs that router's own route first.
        lost_routes.sort(key=lambda route: bool(route.gateway))
        return [*(address for address in belongings.addresses if address not in addresses), *lost_routes]

    def attempted(
        self, link: Link, restored: Iterable[str], refused: Sequence[str], now: float
    ) -> Restored | None:
        """Take in the outcome of an attempt; return the final word when there is one."""
        belongings = self._by_index[link.ifindex]
        belongings.restored += restored
        belongings.attempts_left -= 1
        belongings.retry_at = now + RETRY_S
        if refused and belongings.attempts_left:
            return None
        belongings.attempts_left = 0
        if not belongings.restored and not refused:
            return None
        return Restored(interface=link.interface, restored=tuple(belongings.restored), refused=tuple(refused))

    def _retries(self) -> list[tuple[int, float]]:
        return [(index, b.retry_at) for index, b in self._by_index.items() if b.attempts_left and b.enabled]


def leads_to(route: StaticRoute, addresses: Iterable[Address]) -> bool:
    """Whether a route is one to any of these addresses, and not the default route."""
    network = route.network
    return network.prefixlen > 0 and any(
        address.version == network.version and address in network for address in addresses
    )
