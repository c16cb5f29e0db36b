"""A fair sample of the clients of each backend, which is what backends are compared by.

Sessions of one client are alike (one network, one player) and all go to one backend, so that comparing
sessions would blame a backend for one restless client. The unit of comparison is the client. Kept are, for
each backend, those with the smallest hashes: a uniform sample of bounded size, in which each client is
counted from its first session on, because its hash is below any later bound too.
"""

from collections.abc import Iterator
from hashlib import blake2b
from heapq import heappop, heappush, heappushpop

from rtspdsr.review.line import Summary

CLIENTS_MAX = 2_000  # of one backend
ALL_CLIENTS_MAX = 20_000  # of one service; with many backends each has fewer
CLIENTS_MIN = 100  # of one backend, all the same
BACKENDS_MAX = 1_024  # of one service, as many as a configuration holds by default

#: What is measured of each session, as an amount or as yes and no; in a client, their mean.
AMOUNTS = ("setup_s", "first_delivery_s", "loss", "jitter")
RATES = ("stalled", "failed")


class Member:
    """One client at one backend.

    table: the slot table by which it was placed, None if not known
    """

    __slots__ = ("_numbers", "_sums", "client", "failed", "sessions", "stalled", "table", "transport", "url",
                 "user_agent")  # fmt: skip

    def __init__(self, first: Summary, table: int | None) -> None:
        self.client = first.client
        self.url = first.url
        self.user_agent = first.user_agent
        self.transport = first.transport
        self.table = table
        self.sessions = self.failed = self.stalled = 0
        self._sums = [0.0] * len(AMOUNTS)
        self._numbers = [0] * len(AMOUNTS)

    def take(self, one: Summary) -> None:
        """Take in a session of it."""
        self.sessions += 1
        self.failed += one.failed is not None
        self.stalled += one.stalls > 0
        for at, value in enumerate((one.setup_s, one.first_delivery_s, one.loss, one.jitter)):
            if value is not None:
                self._sums[at] += value
                self._numbers[at] += 1

    def mean(self, amount: str) -> float | None:
        """Over its sessions that know it."""
        at = AMOUNTS.index(amount)
        return self._sums[at] / self._numbers[at] if self._numbers[at] else None


class Sample:
    """The clients of one backend."""

    __slots__ = ("_heap", "members")

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self._heap: list[tuple[int, str]] = []  # largest hash first

    def take(self, one: Summary, table: int | None, mark: int, room: int) -> None:
        """Take in a session, if its client is of the sample."""
        member = self.members.get(one.client)
        if member is None:
            entry = (-mark, one.client)
            if len(self._heap) < room:
                heappush(self._heap, entry)
            else:
                left = heappushpop(self._heap, entry)
                if left == entry:
                    return
                del self.members[left[1]]
            member = self.members[one.client] = Member(one, table)
        member.take(one)

    def shrink(self, room: int) -> None:
        """Keep no more than that."""
        while len(self._heap) > room:
            del self.members[heappop(self._heap)[1]]

    def below(self, room: int) -> int | None:
        """The hash that all its clients are below; None if no client was ever left out."""
        return -self._heap[0][0] + 1 if len(self._heap) >= room else None

    def within(self, bound: int | None) -> Iterator[Member]:
        """Those of its clients whose hashes are below a bound."""
        for mark, client in self._heap:
            if bound is None or -mark < bound:
                yield self.members[client]


class Panel:
    """The samples of one service."""

    def __init__(self) -> None:
        self.backends: dict[str, Sample] = {}
        self._room = CLIENTS_MAX

    def take(self, one: Summary, table: int | None) -> None:
        """Take in a session."""
        sample = self.backends.get(one.backend)
        if sample is None:
            if len(self.backends) >= BACKENDS_MAX:
                return
            sample = self.backends[one.backend] = Sample()
            self._share_room()
        sample.take(one, table, mark(one.client), self._room)

    def uniform(self) -> list[tuple[str, Member]]:
        """Clients of all backends, each with the same chance to be among them, with their backends."""
        bounds = [sample.below(self._room) for sample in self.backends.values()]
        bound = min((one for one in bounds if one is not None), default=None)
        return [(name, member) for name, sample in self.backends.items() for member in sample.within(bound)]

    def _share_room(self) -> None:
        self._room = min(CLIENTS_MAX, max(CLIENTS_MIN, ALL_CLIENTS_MAX // len(self.backends)))
        for sample in self.backends.values():
            sample.shrink(self._room)


class Distinct:
    """How many clients there are: counted up to so many, and estimated beyond, wrong by 1.6 % usually."""

    KEPT = 4_096

    def __init__(self) -> None:
        self._heap: list[int] = []
        self._kept: set[int] = set()

    def add(self, number: int) -> None:
        """Take in the mark of a client."""
        if number in self._kept or (len(self._heap) == self.KEPT and -number <= self._heap[0]):
            return
        self._kept.add(number)
        if len(self._heap) < self.KEPT:
            heappush(self._heap, -number)
        else:
            self._kept.discard(-heappushpop(self._heap, -number))

    @property
    def exact(self) -> bool:
        """Whether it was counted."""
        return len(self._heap) < self.KEPT

    def __len__(self) -> int:
        return len(self._heap) if self.exact else round((self.KEPT - 1) * 2**64 / -self._heap[0])


def mark(client: str) -> int:
    """A client's hash: the same in every run, so that a review can be repeated."""
    return int.from_bytes(blake2b(client.encode("utf-8", "replace"), digest_size=8).digest(), "big")
