"""Effects: changes of the forwarding core, and what is sent in the name of either end of a connection."""

from dataclasses import dataclass
from enum import Flag, auto

from rtspdsr.core.events.event import Event
from rtspdsr.model import Address, FlowKey, Pin


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect(Event):
    """A change of the forwarding core, to be made before the segment that caused it is sent on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinMade(Effect):
    """Make or replace a pin.

    provisional: the client's ACKs have not moved yet; from a budget of its own
    """

    pin: Pin
    provisional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PinReleased(Effect):
    """Delete a pin and its statistics."""

    flow: FlowKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPlaced(Effect):
    """New flows of this client go to this backend while it has sessions."""

    service_id: int
    client: Address
    backend_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientReleased(Effect):
    """The client's last session ended, and its linger passed: it is placed anew."""

    service_id: int
    client: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowForgotten(Effect):
    """Delete what XDP noted of a connection at its SYN, so that what follows goes where its client goes."""

    flow: FlowKey


class Ends(Flag):
    """Of a control connection."""

    CLIENT = auto()
    BACKEND = auto()
    BOTH = CLIENT | BACKEND


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetOrdered(Effect):
    """Reset a control connection: its client as the VIP, and its backend as the client.

    sequence:      what the client expects next of the server's stream, which makes the reset valid
    next_sequence: what the backend expects next of the client's
    ends:          who is reset
    """

    flow: FlowKey
    backend_id: int
    sequence: int
    next_sequence: int
    ends: Ends = Ends.BOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class TeardownOrdered(Effect):
    """Have a backend end sessions: requests in the client's name, on its connection.

    sequence, next_sequence: as of ``ResetOrdered``; what is sent begins at ``next_sequence``
    requests:                one TEARDOWN or more, as on the wire
    """

    flow: FlowKey
    backend_id: int
    sequence: int
    next_sequence: int
    requests: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LoneTeardownOrdered(Effect):
    """Have a backend end a session that its own connection can say nothing of: on one of ours."""

    service_id: int
    backend_id: int
    request: bytes
