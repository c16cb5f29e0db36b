"""What a machine is and does, as frozen values: interfaces, counters, settings, firewall, clock.

Nothing here reads the kernel: ``facts`` and ``reach`` fill these in, and the judges compare them with what
real-time media needs. An interface is named, never numbered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from rtspdsr.model import Address


class XdpMode(StrEnum):
    """How an XDP program is attached, as the kernel tells."""

    NATIVE = "native"
    GENERIC = "generic"
    OFFLOADED = "offloaded"
    SEVERAL = "several"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """So much of at most so much: a ring's entries, queues, descriptors."""

    used: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """One interrupt of an interface's queue: how often each CPU has taken it."""

    number: int
    name: str
    by_cpu: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface, as far as it tells.

    kind:       of a virtual interface: veth, bridge, bond, vlan ...; empty for a device
    master:     the bridge or bond that it is a port of; empty if there is none
    uppers:     VLAN interfaces on top of it
    queue:      name of its queueing discipline
    length:     of the transmit queue, packets
    xdp:        None if no program is attached
    features:   offloads by ethtool's names: on or off; without those that the driver does not have
    ring:       receive descriptors; None if there is no ring, or the driver does not tell
    queues:     receive queues; None likewise
    duplex:     "full", "half", or empty if it does not say
    steering:   CPU mask of each receive queue (RPS); None if /sys shows another network namespace
    interrupts: of its queues; empty if none bears its name
    """

    name: str
    mac: str
    up: bool
    mtu: int
    kind: str = ""
    driver: str = ""
    master: str = ""
    uppers: tuple[str, ...] = ()
    queue: str = ""
    length: int = 1000
    xdp: XdpMode | None = None
    features: Mapping[str, bool] = field(default_factory=dict)
    ring: Share | None = None
    queues: Share | None = None
    duplex: str = ""
    steering: tuple[str, ...] | None = None
    interrupts: tuple[Interrupt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What the kernel has counted, read twice.

    first, last: ``what.name`` -> count
    seconds:     between both readings
    """

    first: Mapping[str, int]
    last: Mapping[str, int]
    seconds: float

    def total(self, *names: str) -> int:
        """The sum of these counters as they stand."""
        return sum(self.last.get(name, 0) for name in names)

    def lately(self, *names: str) -> int:
        """What came to them between both readings."""
        return sum(self.last.get(name, 0) - self.first.get(name, 0) for name in names)

    def known(self, name: str) -> bool:
        """Whether the kernel counts it."""
        return name in self.last

    def told(self, *names: str) -> str:
        """The total, and what of it is news."""
        lately = self.lately(*names)
        return f"{self.total(*names):,}" + (
            f", {lately:,} in the last {self.seconds:.1f} s" if lately else ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The wall clock (adjtimex).

    error_s: by which it may be wrong at most
    """

    synchronised: bool
    error_s: float


class Packets(StrEnum):
    """Which of the packets that a firewall rule takes matter to media."""

    INVALID = "invalid"  #: those that connection tracking calls so
    ALL = "all"  #: whatever no other rule took


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallRule:
    """A rule, or a chain's policy, that may hurt media.

    hook:  where it stands: input, output, prerouting, postrouting, forward
    takes: the packets that it drops or translates
    text:  as told to the operator
    mend:  the command that takes it away
    nat:   it translates the source; else it drops
    """

    hook: str
    takes: Packets
    text: str
    mend: str
    nat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Firewall:
    """What the packet filter does that matters.

    unread: why it could not be read; empty if it was
    """

    rules: tuple[FirewallRule, ...] = ()
    unread: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process with its file descriptors; ``most`` is its soft limit."""

    pid: int
    name: str
    descriptors: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """All that is common to the balancer and a media server.

    release:    of the kernel, as ``uname -r``
    cpus:       on line
    sysctls:    path below /proc/sys -> value, for those that are there
    interfaces: by name
    """

    release: str
    cpus: int
    interfaces: Mapping[str, Interface]
    sysctls: Mapping[str, str]
    counters: Counters
    clock: Clock | None = None
    firewall: Firewall = field(default_factory=Firewall)

    def sysctl(self, key: str) -> int | None:
        """A setting's first number; None if this kernel or namespace has none such."""
        text = self.sysctls.get(key, "").split()
        return int(text[0]) if text and text[0].lstrip("-").isdigit() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """What pings to one address found.

    name:     whose address it is, in words
    mtu:      of the interface that leads there
    answered: a small ping was
    largest:  packet that came back, octets; 0 if none did
    """

    name: str
    address: Address
    interface: str
    mtu: int
    answered: bool
    largest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A machine that answered for a VIP when it was asked for on an interface."""

    vip: Address
    interface: str
    mac: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where the kernel sends packets to an address.

    gateway: the router in between; None if it is on the link
    local:   it is this machine's own
    """

    interface: str
    gateway: Address | None = None
    local: bool = False
