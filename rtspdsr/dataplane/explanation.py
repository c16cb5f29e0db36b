"""What the XDP program would do with a client's packet, read from its maps, and by which rule.

It follows choose.h tier by tier, and writes nothing: where the program would count a turn or write down a
newcomer, it only tells. A test runs both on the same maps and holds one against the other.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from rtspdsr.dataplane.layout import (
    BACKEND,
    CONTROL,
    FLOW,
    NEWCOMER,
    PIN,
    ROOM,
    SCHEDULE,
    SERVICE_PORTS,
    SLOT_COUNT,
    SLOT_TABLE,
    BackendFlag,
    ScheduleFlag,
    Verdict,
    index,
    octets,
    pack_client,
    pack_flow,
)
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.dataplane.vips import Vips
from rtspdsr.model import Address, FlowKey, Proto

REACHABLE = BackendFlag.RESOLVED
USABLE = BackendFlag.RESOLVED | BackendFlag.UP
NEWCOMER_NS = 30_000_000_000
TURN_TRIES = 8

_WORD = (1 << 64) - 1


class Kind(StrEnum):
    """What is sent."""

    NEW_CONNECTION = "new connection"  #: a SYN that was not seen before
    CONNECTION = "connection"  #: TCP of a connection that stands
    DATAGRAM = "datagram"  #: UDP
    FRAGMENT = "fragment"  #: of UDP, without a port


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One tier that was asked: the backend that it holds, why that is passed over, whether it settled it."""

    tier: str
    backend_id: int | None
    problem: str
    taken: bool


@dataclass(slots=True, kw_only=True)
class Explanation:
    """What becomes of one packet.

    client_port: 0 if none was named
    verdict:     the rule, or why it is dropped; a segment with a request is read first, and then goes there
    backend_id:  where it goes; None if it is dropped
    steps:       the tiers that were asked, in their order
    """

    kind: Kind
    vip: Address
    service_id: int
    client_port: int
    service_port: int
    verdict: Verdict = Verdict.NO_BACKEND
    backend_id: int | None = None
    steps: list[Step] = field(default_factory=list)


def explain(
    maps: Mapping[str, Map], vips: Iterable[Address], client: Address, port: int | None, now_ns: int
) -> Iterator[Explanation]:
    """Everything that a client may send to those VIPs of its family, from one port or from any.

    now_ns: CLOCK_MONOTONIC
    """
    table = Vips(maps["vips"])
    for vip in vips:
        if vip.version != client.version or (packed := table.service(vip)) is None:
            continue
        service_id, ports = struct.unpack_from(f"=I{2 * SERVICE_PORTS}s", packed)
        served = [
            number for at in range(0, 2 * SERVICE_PORTS, 2) if (number := int.from_bytes(ports[at : at + 2]))
        ]
        tcp = [Kind.NEW_CONNECTION] if port is None else [Kind.NEW_CONNECTION, Kind.CONNECTION]
        for service_port in served:
            for kind in tcp:
                yield _Packet(maps, client, now_ns, kind, vip, service_id, port or 0, service_port).decide()
        kind = Kind.FRAGMENT if port is None else Kind.DATAGRAM
        yield _Packet(maps, client, now_ns, kind, vip, service_id, port or 0, 0).decide()


class _Packet:
    """One packet on its way through choose.h; its methods have the names of the functions there."""

    def __init__(
        self,
        maps: Mapping[str, Map],
        client: Address,
        now_ns: int,
        kind: Kind,
        vip: Address,
        service_id: int,
        port: int,
        service_port: int,
    ) -> None:
        self._maps, self._client, self._now_ns = maps, client, now_ns
        self._told = Explanation(
            kind=kind, vip=vip, service_id=service_id, client_port=port, service_port=service_port
        )
        self._opens = kind is Kind.NEW_CONNECTION
        self._wanted = USABLE if self._opens else REACHABLE

    def decide(self) -> Explanation:
        """Go through the tiers."""
        told = self._told
        if told.kind is Kind.FRAGMENT:
            self._by_client()
        else:
            proto = Proto.UDP if told.kind is Kind.DATAGRAM else Proto.TCP
            flow = FlowKey(told.service_id, proto, self._client, told.client_port, told.service_port)
            self._choose(flow)
        return told

    def _choose(self, flow: FlowKey) -> None:
        packed = self._maps["pins"].lookup(pack_flow(flow))
        pin = None if packed is None else int(PIN.named(packed)["backend"])
        if pin is None:
            self._pass("pin", "none")
        elif self._take("pin", pin, USABLE, Verdict.PINNED):
            return
        if flow.proto is Proto.UDP:
            if pin is None or not self._take("pin", pin, REACHABLE, Verdict.PINNED):
                self._by_client()
            return
        self._by_connection(flow, pin)

    def _by_connection(self, flow: FlowKey, pin: int | None) -> None:
        packed = self._maps["flows"].lookup(pack_flow(flow))
        known = None if packed is None else int(FLOW.named(packed)["backend"])
        if known is not None and self._opens:
            self._pass("flow", "of an earlier connection, which a new one does not follow", known)
            known = None
        elif known is None:
            self._pass("flow", "none")
        if known is not None and self._take("flow", known, USABLE, Verdict.BY_FLOW):
            return
        if pin is not None and self._take("pin", pin, self._wanted, Verdict.PINNED):
            return
        if known is not None and self._take("flow", known, self._wanted, Verdict.BY_FLOW):
            return
        self._by_client()

    def _by_client(self) -> None:
        alone = self._goes_alone()
        key = pack_client(self._told.service_id, self._client)
        if alone:
            self._pass("client", "not asked: each connection is placed by itself")
        elif self._by_placed(key) or self._by_newcomer(key):
            return
        port = self._told.client_port if alone else 0
        if self._opens:
            self._by_schedule(port)
        else:
            self._told.verdict = Verdict.NO_BACKEND
            self._take("slot", self._slot_backend(port), REACHABLE, Verdict.BY_SLOT)

    def _by_placed(self, key: bytes) -> bool:
        packed = self._maps["clients"].lookup(key)
        if packed is None:
            self._pass("client", "none: it has no sessions, and no operator has placed it")
            return False
        return self._take("client", int.from_bytes(packed, "little"), self._wanted, Verdict.BY_CLIENT)

    def _by_newcomer(self, key: bytes) -> bool:
        packed = self._maps["newcomers"].lookup(key)
        if packed is None:
            self._pass("newcomer", "none: it was not placed lately")
            return False
        newcomer = NEWCOMER.named(packed)
        fresh = newcomer["placed_at"] + NEWCOMER_NS > self._now_ns or not self._tracker_lives()
        if self._opens and not fresh:
            self._pass("newcomer", "too long ago, so it is new again", newcomer["backend"])
            return False
        return self._take("newcomer", newcomer["backend"], self._wanted, Verdict.BY_NEWCOMER)

    def _by_schedule(self, port: int) -> None:
        packed = self._maps["schedules"].lookup(index(self._told.service_id))
        schedule = SCHEDULE.named(packed or bytes(SCHEDULE.size))
        slot = self._slot_backend(port)
        turns_first = schedule["flags"] & ScheduleFlag.BY_TURN
        if not turns_first and self._admit("slot", slot, Verdict.BY_SLOT):
            return
        if self._by_turn(schedule):
            return
        if turns_first and self._admit("slot", slot, Verdict.BY_SLOT):
            return
        if not self._take("slot", slot, REACHABLE, Verdict.BY_SLOT):
            self._told.verdict = Verdict.NO_BACKEND
        elif self._flags(slot) & BackendFlag.UP and self._tracker_lives():
            self._told.steps.pop()
            self._pass("slot", "full, and so are all others", slot)
            self._told.verdict, self._told.backend_id = Verdict.NO_ROOM, None

    def _by_turn(self, schedule: Mapping[str, int]) -> bool:
        if not schedule["count"]:
            return False
        taken = self._maps["turns_taken"].lookup(index(self._told.service_id)) or bytes(8)
        next_turn = int.from_bytes(taken, "little")
        for tried in range(TURN_TRIES):
            turn = next_turn + tried - schedule["begins"]
            if schedule["flags"] & ScheduleFlag.REPEATS:
                turn %= schedule["count"]
            elif turn >= schedule["count"]:
                self._pass("turn", "all turns are taken")
                return False
            place = self._maps["turns"].lookup(index(schedule["base"] + turn)) or bytes(4)
            if self._admit("turn", int.from_bytes(place, "little"), Verdict.BY_TURN):
                return True
        return False

    def _admit(self, tier: str, backend_id: int, rule: Verdict) -> bool:
        room = ROOM.named(self._maps["rooms"].lookup(index(backend_id)) or bytes(ROOM.size))
        admitted = self._maps["admissions"].lookup(index(backend_id)) or bytes(8)
        if room["limited"] and int.from_bytes(admitted, "little") >= room["until"]:
            self._pass(tier, "full", backend_id)
            return False
        return self._take(tier, backend_id, USABLE, rule)

    # --- what the maps hold

    def _take(self, tier: str, backend_id: int, wanted: int, rule: Verdict) -> bool:
        flags = self._flags(backend_id)
        if flags & wanted != wanted:
            lacks = "takes no new clients" if flags & BackendFlag.RESOLVED else "cannot be reached"
            self._pass(tier, lacks if backend_id else "none", backend_id or None)
            return False
        self._told.steps.append(Step(tier=tier, backend_id=backend_id, problem="", taken=True))
        self._told.verdict, self._told.backend_id = rule, backend_id
        return True

    def _pass(self, tier: str, problem: str, backend_id: int | None = None) -> None:
        step = Step(tier=tier, backend_id=backend_id, problem=problem, taken=False)
        if step not in self._told.steps:  # a tier may be asked again, with less wanted
            self._told.steps.append(step)

    def _flags(self, backend_id: int) -> int:
        packed = self._maps["backends"].lookup(index(backend_id))
        return int(BACKEND.named(packed)["flags"]) if packed else 0

    def _goes_alone(self) -> bool:
        packed = self._maps["schedules"].lookup(index(self._told.service_id)) or bytes(SCHEDULE.size)
        by_connection = SCHEDULE.named(packed)["flags"] & ScheduleFlag.BY_CONNECTION
        return bool(by_connection) and self._told.kind in (Kind.NEW_CONNECTION, Kind.CONNECTION)

    def _slot_backend(self, port: int) -> int:
        packed = self._maps["slot_tables"].lookup(index(self._told.service_id))
        table = SLOT_TABLE.named(packed or bytes(SLOT_TABLE.size))
        if not table["filled"]:
            return 0
        slot = self._maps["slots"].lookup(index(table["base"] + slot_of(self._client, port)))
        return int.from_bytes(slot or b"", "little")

    def _tracker_lives(self) -> bool:
        packed = self._maps["control"].lookup(index(0)) or bytes(CONTROL.size)
        return bool(CONTROL.named(packed)["alive_until"] >= self._now_ns)


def slot_of(client: Address, port: int = 0) -> int:
    """The slot of a client, as choose.h computes it; the port counts where connections go by themselves."""
    packed = octets(client)
    high, low = int.from_bytes(packed[:8]), int.from_bytes(packed[8:])
    return _mix(_mix(high) ^ low ^ port << 32) % SLOT_COUNT


def _mix(value: int) -> int:
    """MurmurHash3's finalizer."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ value >> 33) * factor & _WORD
    return value ^ value >> 33
