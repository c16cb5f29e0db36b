"""Facts about the daemon, its network, and the forwarding core."""

from dataclasses import dataclass

from rtspdsr.core.events.event import Event
from rtspdsr.model import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class VipClaimed(Event):
    """Another machine answers for a VIP: two owners of one address.

    defended: the VIP was announced anew at once; at most every ten seconds (RFC 5227 section 2.4)
    """

    vip: Address
    mac: str
    interface: str
    defended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VipUnheard(Event):
    """An interface may not hear solicitations for an IPv6 VIP: the kernel refused its multicast group."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFilling(Event):
    """A map of the forwarding core fills up. Full, it refuses: new sessions go by client address.

    map:             its name; ``dataplane.<map>_max`` sets its size
    entries:         how many stand, of ``entries_max``
    entries_refused: how many were refused since the daemon started
    """

    map: str
    entries: int
    entries_max: int
    entries_refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonFault(Event):
    """A fault of ours that was survived; a segment in hand was sent on all the same.

    faults: how many since the daemon started
    """

    problem: str
    faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRestored(Event):
    """Static routes and addresses that a link took with it were put back when it came up again.

    refused: what could not be put back and must be added by hand
    """

    interface: str
    restored: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigReloaded(Event):
    """A new configuration is in force. ``changes`` in words, one a difference."""

    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigRefused(Event):
    """A reload failed; the old configuration stays in force."""

    mistakes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStarted(Event):
    """Forwarding is attached.

    mode:    ``native`` or ``generic`` XDP, per interface
    adopted: pins found from an earlier daemon
    """

    mode: dict[str, str]
    adopted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachNotice(Event):
    """Forwarding is attached to an interface that is not as it should be. ``problem`` says what to do."""

    interface: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogWithheld(Event):
    """The daemon does not do its work, and gives the service manager no sign of life: a restart mends it."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStopped(Event):
    """The daemon ends. ``forwarding`` says what goes on without it."""

    forwarding: str
