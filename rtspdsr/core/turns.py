"""Whose turn it is among backends: the order in which a service's new clients are given to them.

It is handed candidates and gives back backend ids, the next turn first. A rotation repeats, each backend in
proportion to its weight and evenly spread; by load, the turns are the choices that the policy would make for
the clients to come, one after the other, each taken to add one step to its backend's load.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from math import gcd

#: Turns of a rotation at most: what the forwarding core holds for one service.
ROTATION_MAX = 4_096

#: Turns by load at one time: 2 ms of work, and clients of some seconds even in a rush.
BY_LOAD = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A backend that may be given new clients.

    weight: its share of them, or of the load, relative to the others
    load:   what it carries now: sessions, or bytes in a second
    room:   how many more clients it takes; None for any number
    """

    backend_id: int
    weight: float
    load: float = 0.0
    room: int | None = None


def in_rotation(candidates: Sequence[Candidate]) -> list[int]:
    """One round of all that have room, by weight; weights that have no short round are rounded to it."""
    open_ones = [one for one in candidates if one.room != 0]
    places = [
        ((turn + 0.5) / count, order, one.backend_id)
        for order, (one, count) in enumerate(zip(open_ones, _counts(open_ones), strict=True))
        for turn in range(count)
    ]
    return [backend_id for _, _, backend_id in sorted(places)]


def _counts(candidates: Sequence[Candidate]) -> list[int]:
    """Turns of each in one round, one at least."""
    weights = [one.weight for one in candidates]
    if all(weight == int(weight) for weight in weights):
        divisor = gcd(*map(int, weights)) or 1
        if sum(weights) <= ROTATION_MAX * divisor:
            return [int(weight) // divisor for weight in weights]
    spare, total = ROTATION_MAX - len(weights), sum(weights)
    return [1 + int(spare * weight / total) for weight in weights]


def by_load(candidates: Sequence[Candidate], step: float, count: int = BY_LOAD) -> list[int]:
    """Turns that keep loads in proportion to weights, until ``count`` or until nobody has room.

    step: what one more client adds to a load, more than 0
    """
    heap = [
        ((one.load + step) / one.weight, order, one.load + step, one.room)
        for order, one in enumerate(candidates)
        if one.room != 0
    ]
    heapify(heap)
    turns: list[int] = []
    while heap and len(turns) < count:
        _, order, load, room = heap[0]
        one = candidates[order]
        turns.append(one.backend_id)
        if room == 1:
            heappop(heap)
        else:
            load += step
            heapreplace(heap, (load / one.weight, order, load, room and room - 1))
    return turns
