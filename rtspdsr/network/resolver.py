"""Which MAC address each backend has: the state machine behind ``Neighbours``.

Sans-IO: handed hops, neighbour entries and ``now``; gives back orders for the kernel and changes for the
forwarding core. It never asks anything itself.

The kernel confirms a neighbour only when it has packets of its own for it. XDP's do not count, so each
backend is probed every few seconds: a dead one is noticed within PROBE_S + 3 s (the kernel's three unicast
probes) + LOST_S.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rtspdsr.model import Address
from rtspdsr.network.values import Hop, Link, NeighbourEntry, Nud

PROBE_S = 5.0
PROBES_PER_S = 100  # a probe costs the loop 0.02 ms; with more backends the interval grows
SOLICIT_S = 5.0  # between attempts; the kernel spends three seconds on each
LOOKUP_S = 30.0  # a lookup that no message asked for
LOST_S = 1.0  # without a valid entry, until a backend counts as lost: a moved MAC resolves in less

VALID = Nud.REACHABLE | Nud.STALE | Nud.DELAY | Nud.PROBE | Nud.NOARP | Nud.PERMANENT
UNMANAGED = Nud.NOARP | Nud.PERMANENT  # set by hand: never probed

NEVER = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourChange:
    """Where to send frames for one backend address, or that nobody knows.

    mac:        None if the address is lost
    interface:  the interface towards it, "" if there is none; ``ifindex`` is 0 then
    source_mac: our own MAC address of that interface
    problem:    why it is lost and what to look at, "" if it is not
    """

    address: Address
    mac: bytes | None
    ifindex: int
    interface: str
    source_mac: bytes
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Order: ask for the hop of ``address``."""

    address: Address


@dataclass(frozen=True, slots=True)
class Solicit:
    """Order: read the entry of ``address``, and make the kernel resolve it if it holds no MAC address."""

    address: Address
    ifindex: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Order: make the kernel confirm the entry of ``address``."""

    address: Address
    ifindex: int


Order = Lookup | Solicit | Probe


@dataclass(slots=True)
class _Target:
    """What is known of one address."""

    address: Address
    hop: Hop | None = None
    mac: bytes | None = None
    by_hand: bool = False
    unread: bool = True  #: the entry may differ from what was heard of it
    looked_up_at: float = NEVER
    asked_at: float = NEVER  #: solicited or probed
    confirmed_at: float = NEVER
    silent_since: float = 0.0
    reported: NeighbourChange | None = None


class Resolver:
    """All watched addresses. ``links`` is a live view of the interfaces."""

    def __init__(self, links: Mapping[int, Link]) -> None:
        self._links = links
        self._targets: dict[Address, _Target] = {}

    @property
    def addresses(self) -> frozenset[Address]:
        """What is watched."""
        return frozenset(self._targets)

    def ifindexes(self) -> set[int]:
        """Return the interfaces towards the watched addresses."""
        return {target.hop.ifindex for target in self._targets.values() if target.hop}

    def watch(self, addresses: Iterable[Address], now: float) -> None:
        """Watch these addresses and no others; what is known of those that stay is kept."""
        self._targets = {
            address: self._targets.get(address) or _Target(address, silent_since=now) for address in addresses
        }

    def routes_changed(self) -> None:
        """Look up every hop again."""
        for target in self._targets.values():
            target.looked_up_at = NEVER

    def links_changed(self, now: float) -> None:
        """Look up every hop again, and give what is lost a new chance to answer."""
        self.routes_changed()
        for target in self._targets.values():
            if target.mac is None:
                self._silence(target, now)

    def resync(self) -> None:
        """Messages were lost: read every hop and entry again."""
        self.routes_changed()
        for target in self._targets.values():
            target.unread = True

    def routed(self, address: Address, hop: Hop | None, now: float) -> None:
        """Take in the answer to a ``Lookup``."""
        target = self._targets.get(address)
        if target is None:
            return
        target.looked_up_at = now
        link = self._links.get(target.hop.ifindex) if target.hop else None
        if hop is None and link is not None and not link.up:
            return  # the route went with its link: that is the problem to name
        if hop != target.hop:
            target.hop = hop
            self._silence(target, now)

    def heard(self, entry: NeighbourEntry, now: float) -> None:
        """Take in a neighbour entry, from a message or an answer."""
        target = self._targets.get(entry.address)
        if target is None or target.hop is None or target.hop.ifindex != entry.ifindex:
            return
        if entry.state & VALID and entry.mac is not None and len(entry.mac) == 6:
            target.mac = entry.mac
            target.by_hand = bool(entry.state & UNMANAGED)
            if entry.state & Nud.REACHABLE:
                target.confirmed_at = now
        elif target.mac is not None:
            self._silence(target, now)

    def orders(self, now: float, limit: int) -> list[Order]:
        """Return at most ``limit`` things to ask of the kernel now."""
        orders: list[Order] = []
        for target in self._targets.values():
            if len(orders) == limit:
                break
            if target.looked_up_at + LOOKUP_S <= now:
                orders.append(Lookup(target.address))
                target.looked_up_at = now
            elif self._due_at(target) <= now and target.hop is not None:
                target.asked_at = now
                ask = Solicit if target.mac is None or target.unread else Probe
                target.unread = False
                orders.append(ask(target.address, target.hop.ifindex))
        return orders

    def changes(self, now: float) -> list[NeighbourChange]:
        """Return what differs from what was returned before."""
        changes = []
        for target in self._targets.values():
            change = self._verdict(target, now)
            if change is not None and change != target.reported:
                target.reported = change
                changes.append(change)
        return changes

    def next_timer(self) -> float | None:
        """Return when ``orders`` or ``changes`` will have something to say without further news."""
        times: list[float] = []
        for target in self._targets.values():
            times += (target.looked_up_at + LOOKUP_S, self._due_at(target))
            reported = target.reported
            if target.mac is None and (reported is None or reported.mac is not None):
                times.append(target.silent_since + LOST_S)
        return min(times, default=None)

    def _silence(self, target: _Target, now: float) -> None:
        """Forget the MAC address; it is asked for at once, and lost if that brings nothing."""
        target.mac = None
        target.by_hand = False
        target.silent_since = now
        target.asked_at = NEVER

    def _due_at(self, target: _Target) -> float:
        """Return when the kernel is to be asked about a target next."""
        hop = target.hop
        link = self._links.get(hop.ifindex) if hop else None
        if hop is None or hop.gateway or hop.local or link is None or not link.up:
            return float("inf")
        if target.unread:
            return NEVER
        if target.by_hand:
            return float("inf")
        if target.mac is None:
            return target.asked_at + SOLICIT_S
        interval = max(PROBE_S, len(self._targets) / PROBES_PER_S)
        return max(target.confirmed_at, target.asked_at) + interval

    def _verdict(self, target: _Target, now: float) -> NeighbourChange | None:
        """Return what there is to say of a target; None while that is open."""
        hop = target.hop
        link = self._links.get(hop.ifindex) if hop else None
        problem = self._problem(target, hop, link)
        if not problem and target.mac is None:
            if now < target.silent_since + LOST_S:
                return None
            asked = "ARP" if target.address.version == 4 else "neighbour solicitation"
            problem = f"does not answer {asked}; is the machine up, and in this network?"
        return NeighbourChange(
            address=target.address,
            mac=None if problem else target.mac,
            ifindex=link.ifindex if link else 0,
            interface=link.interface if link else "",
            source_mac=link.mac if link else b"",
            problem=problem,
        )

    def _problem(self, target: _Target, hop: Hop | None, link: Link | None) -> str:
        """Say why no frame can be sent to a target, whatever the neighbour cache holds."""
        if hop is None:
            return (
                f"no route to {target.address}; add one (`ip route add`)"
                if target.looked_up_at > NEVER
                else ""
            )
        if hop.local:
            return f"{target.address} is an address of this machine; configure the media server's own"
        if hop.gateway:
            return f"behind router {hop.gateway}; a backend must share a network with the balancer"
        if link is None or not link.up:
            return f"interface {link.interface if link else hop.ifindex} is down"
        if len(link.mac) != 6:
            return f"interface {link.interface} has no MAC address; Ethernet is needed"
        return ""
