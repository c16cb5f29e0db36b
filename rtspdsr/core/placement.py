"""Where the new flows of a client go while it has sessions.

It is handed the beginning and end of whatever binds a client to a backend, and says when the client is
placed there and when it is free again. It keeps one entry per client with sessions, and for a linger after.
"""

from collections import Counter

from rtspdsr.core.events import ClientPlaced, ClientReleased, Event
from rtspdsr.model import Address


class Placement:
    """A client bound to a backend.

    bonds:       how many to each backend, the latest last: that one decides
    backend_id:  where it is placed; 0 if nowhere, as its only session is being torn down
    released_at: when the last bond ended; None while there is one
    """

    __slots__ = ("backend_id", "bonds", "client", "released_at", "service_id")

    def __init__(self, service_id: int, client: Address) -> None:
        self.service_id = service_id
        self.client = client
        self.backend_id = 0
        self.bonds: dict[int, int] = {}
        self.released_at: float | None = None


class Placements:
    """All clients that are bound to a backend."""

    def __init__(self) -> None:
        self._placements: dict[tuple[int, Address], Placement] = {}
        self._loads: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._placements)

    def load(self, backend_id: int) -> int:
        """How many bonds there are to a backend."""
        return self._loads[backend_id]

    def bind(
        self, service_id: int, client: Address, backend_id: int, now: float, said: list[Event]
    ) -> Placement:
        """A session of the client begins at this backend."""
        key = (service_id, client)
        placement = self._placements.get(key)
        if placement is None:
            placement = self._placements[key] = Placement(service_id, client)
        placement.bonds[backend_id] = placement.bonds.pop(backend_id, 0) + 1  # now the last one
        placement.released_at = None
        self._loads[backend_id] += 1
        self._place(placement, now, said)
        return placement

    def unbind(self, placement: Placement, backend_id: int, now: float, said: list[Event]) -> None:
        """A session of the client has ended; with the last one its linger begins."""
        placement.bonds[backend_id] -= 1
        self._loads[backend_id] -= 1
        if not placement.bonds[backend_id]:
            del placement.bonds[backend_id]
        if placement.bonds:
            self._place(placement, now, said)
        else:
            placement.released_at = now

    def leave(self, placement: Placement, now: float, said: list[Event]) -> None:
        """Its session is being torn down: if it has no other, what it begins next is placed anew already."""
        if sum(placement.bonds.values()) == 1 and placement.backend_id:
            placement.backend_id = 0
            said.append(ClientReleased(at=now, service_id=placement.service_id, client=placement.client))

    def stay(self, placement: Placement, now: float, said: list[Event]) -> None:
        """Its session goes on after all: what it begins next follows that."""
        if placement.bonds:
            self._place(placement, now, said)

    def release(self, placement: Placement, now: float, said: list[Event]) -> None:
        """Its linger has passed: the client is placed anew from now on."""
        key = (placement.service_id, placement.client)
        if placement.bonds or self._placements.get(key) is not placement:
            return  # its client has come back, to this placement or to a new one
        del self._placements[key]
        said.append(ClientReleased(at=now, service_id=placement.service_id, client=placement.client))

    def let_go(self, service_id: int, client: Address, now: float, said: list[Event]) -> None:
        """A client is placed anew if nothing binds it; it may have been placed by hand."""
        placement = self._placements.get((service_id, client))
        if placement is None:
            said.append(ClientReleased(at=now, service_id=service_id, client=client))
        else:
            self.release(placement, now, said)

    def _place(self, placement: Placement, now: float, said: list[Event]) -> None:
        backend_id = next(reversed(placement.bonds))
        if placement.backend_id == backend_id:
            return
        placement.backend_id = backend_id
        said.append(
            ClientPlaced(
                at=now, service_id=placement.service_id, client=placement.client, backend_id=backend_id
            )
        )
