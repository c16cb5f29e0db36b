"""Which flows are pinned, to which backend, and for whom.

It is handed claims on flows and their releases, and says the effects that make the forwarding core agree.
It does not know why a flow is claimed: a holder is whatever shares the fate of its pins (a connection, a
session, or a lone pin that is only waited out).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Protocol

from rtspdsr.core.events import Event, PinMade, PinReleased
from rtspdsr.core.limits import TrackerLimits
from rtspdsr.core.source import source_of
from rtspdsr.model import Address, FlowKey, Pin, PinFlag, PinReading

#: Sources that it takes to fill the budget of provisional pins, and what each may have all the same.
SOURCES, SHARE_LEAST = 16, 64


class Holder(Protocol):
    """Whoever claims a flow; its pins go to its backend."""

    backend_id: int


#: What most pins share: nobody claimed them before.
_NOBODY: dict[Holder, None] = {}


class _Ended:
    """Has a pin that has ended, so that its last holder is free without a search for cycles."""

    backend_id = 0


_ENDED = _Ended()


class HeldPin:
    """A pinned flow, and what was last read of it.

    holder: whoever has it
    packets, bytes, delivered: as last read, to tell progress
    """

    __slots__ = (
        "_former",
        "backend_id",
        "bytes",
        "delivered",
        "flags",
        "flow",
        "holder",
        "packets",
        "provisional",
    )

    def __init__(self, flow: FlowKey, backend_id: int, holder: Holder, provisional: bool) -> None:
        self.flow = flow
        self.backend_id = backend_id
        self.flags = PinFlag.NONE
        self.provisional = provisional
        self.holder = holder
        self._former = _NOBODY
        self.packets = self.bytes = self.delivered = 0

    @property
    def former(self) -> Mapping[Holder, None]:
        """Those that claimed it before, and still do, the latest last."""
        return self._former

    def pass_to(self, holder: Holder) -> None:
        """Its holder becomes a former one, the latest of them."""
        if self._former is _NOBODY:
            self._former = {}
        self._former.pop(holder, None)
        self._former[self.holder] = None
        self.holder = holder

    def pass_back(self) -> bool:
        """The latest former holder has it again; whether there is one."""
        if not self._former:
            return False
        self.holder, _ = self._former.popitem()
        return True

    def leave(self, holder: Holder) -> None:
        """A former holder claims it no more."""
        self._former.pop(holder, None)

    def handed_over(self, octets: int) -> None:
        """A frame came before the pin, and made it: it is to be part of what is read next."""
        self.packets -= 1
        self.bytes -= octets

    def progress(self, reading: PinReading) -> tuple[int, int, int]:
        """Packets, bytes, delivered bytes since the last reading; all of them if they were counted anew."""
        if reading.packets < self.packets:
            self.packets = self.bytes = self.delivered = 0
        grown = (
            reading.packets - self.packets,
            max(0, reading.bytes - self.bytes),
            max(0, reading.delivered - self.delivered),
        )
        self.packets, self.bytes, self.delivered = reading.packets, reading.bytes, reading.delivered
        return grown

    def made(self, now: float) -> PinMade:
        """The effect that makes the forwarding core agree."""
        pin = Pin(flow=self.flow, backend_id=self.backend_id, flags=self.flags)
        return PinMade(at=now, pin=pin, provisional=self.provisional)


class PinBook:
    """All pins of the tracker, within two budgets: one for all, and one for the provisional ones."""

    def __init__(self, limits: TrackerLimits) -> None:
        self._pins: dict[FlowKey, HeldPin] = {}
        self.limits = limits
        self.provisional = 0
        self._provisional_of: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._pins)

    def __iter__(self) -> Iterator[HeldPin]:
        return iter(self._pins.values())

    def get(self, flow: FlowKey) -> HeldPin | None:
        """The pin of a flow, if it has one."""
        return self._pins.get(flow)

    def exhausted(self, client: Address, provisional: bool) -> str | None:
        """The limit that leaves this client no room for one more pin."""
        if len(self._pins) >= self.limits.pins_max:
            return "pins_max"
        if provisional and self.provisional >= self.limits.provisional_max:
            return "provisional_max"
        share = max(SHARE_LEAST, self.limits.provisional_max // SOURCES)
        if provisional and self._provisional_of[source_of(client)] >= share:
            return "provisional_max"
        return None

    def hold(
        self,
        flow: FlowKey,
        holder: Holder,
        provisional: bool,
        now: float,
        said: list[Event],
        flags: PinFlag = PinFlag.NONE,
    ) -> HeldPin:
        """Claim a flow. Of several holders the last has it: its client reuses a port that it has freed."""
        held = self._pins.get(flow)
        if held is None:
            held = self._pins[flow] = HeldPin(flow, holder.backend_id, holder, provisional)
            held.flags = flags
            self._count(held, provisional)
            said.append(held.made(now))
            return held
        if held.holder is not holder:
            held.pass_to(holder)
        self._settle(held, held.flags, held.provisional and provisional, now, said)
        return held

    def release(self, held: HeldPin, holder: Holder, now: float, said: list[Event]) -> None:
        """Give up a claim. The pin goes back to the holder before, or ends with its last one."""
        if held.holder is not holder:
            held.leave(holder)
        elif held.pass_back():
            self._settle(held, held.flags, held.provisional, now, said)
        elif self._pins.pop(held.flow, None) is not None:
            self._count(held, -held.provisional)
            held.holder = _ENDED
            said.append(PinReleased(at=now, flow=held.flow))

    def confirm(self, held: HeldPin, now: float, said: list[Event]) -> None:
        """Its client has acknowledged what the backend sent: the pin leaves the provisional budget."""
        self._settle(held, held.flags, False, now, said)

    def flag(self, held: HeldPin, flags: PinFlag, now: float, said: list[Event]) -> None:
        """Change how the forwarding core treats it."""
        self._settle(held, flags, held.provisional, now, said)

    def adopt(self, pin: Pin, holder: Holder) -> HeldPin:
        """Enter a pin that already stands in the forwarding core; its limits held when it was made."""
        held = self._pins[pin.flow] = HeldPin(pin.flow, pin.backend_id, holder, False)
        held.flags = pin.flags
        return held

    def _settle(
        self, held: HeldPin, flags: PinFlag, provisional: bool, now: float, said: list[Event]
    ) -> None:
        """Say the pin anew if the forwarding core has to know."""
        backend_id = held.holder.backend_id
        if (held.backend_id, held.flags, held.provisional) == (backend_id, flags, provisional):
            return
        self._count(held, provisional - held.provisional)
        held.backend_id, held.flags, held.provisional = backend_id, flags, provisional
        said.append(held.made(now))

    def _count(self, held: HeldPin, change: int) -> None:
        """Keep the accounts of provisional pins."""
        if not change:
            return
        self.provisional += change
        source = source_of(held.flow.client)
        self._provisional_of[source] += change
        if not self._provisional_of[source]:
            del self._provisional_of[source]
