"""Runs the XDP program on one frame at a time, without an interface (BPF_PROG_TEST_RUN).

An ``XdpRunner`` owns a loaded program and its maps, small ones. Tests say what the maps hold in the
words of the model, run a frame, and get back all that came of it: action, frame, verdict, ring records.
"""

import struct
import time
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rtspdsr.dataplane import layout, loader
from rtspdsr.dataplane.layout import BackendFlag, ScheduleFlag, Verdict, index
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.dataplane.libbpf.objects import Object
from rtspdsr.dataplane.libbpf.rings import RingBuffers
from rtspdsr.dataplane.schedules import Schedules
from rtspdsr.dataplane.ticks import Ticks
from rtspdsr.dataplane.vips import Vips
from rtspdsr.model import FlowKey, PinFlag, PinReading, Proto, Segment, Service, Traffic
from tests.packets.frames import (
    BACKEND_A,
    BACKEND_B,
    BACKEND_C,
    CLIENT,
    CLIENT6,
    CLIENT_PORT,
    LB,
    RTSP_PORT,
    TLS_PORT,
    VIP,
    VIP6,
    Machine,
    built,
    rtsp,
)

OBJECT = Path(layout.__file__).with_name("forward.bpf.o")
LOOPBACK = 1  # the interface that a test run seems to come in by
OTHER_INTERFACE = 77  # need not exist: a test run does not carry a redirect out
DROP, PASS, TX, REDIRECT = 1, 2, 3, 4  # enum xdp_action

SERVICE = Service(
    service_id=3,
    name="cams",
    vips=(ip_address(VIP), ip_address(VIP6)),
    ports=(RTSP_PORT, 8554, TLS_PORT),
)
A, B, C = 1, 2, 7  # backend ids
MACHINES = {A: BACKEND_A, B: BACKEND_B, C: BACKEND_C}
UP = BackendFlag.RESOLVED | BackendFlag.UP
DOWN = BackendFlag.RESOLVED
LOST = 0
PLACES = 2 * layout.CHUNK_PINS
NEVER = 1 << 62  # a deadline that does not pass

_SIZES = {
    "slot_tables": 4,
    "slots": 4 * 2 * layout.SLOT_COUNT,
    "schedules": 4,
    "turns": 4 * 2 * layout.TURN_COUNT,
    "turns_taken": 4,
    "admissions": 16,
    "rooms": 16,
    "pins": 4096,
    "flows": 4096,
    "clients": 4096,
    "newcomers": 4096,
    "backends": 16,
    "backend_traffic": 16,
    "service_traffic": 4,
    "statistics": 2,
    "segments": 1 << 18,
}


def mac(text: str) -> bytes:
    """A MAC address as octets."""
    return bytes.fromhex(text.replace(":", ""))


def flow(
    proto: Proto = Proto.UDP,
    *,
    client: str = CLIENT,
    port: int = CLIENT_PORT,
    service_port: int | None = None,
) -> FlowKey:
    """The flow of the frames that ``frames`` builds by default."""
    if service_port is None:
        service_port = RTSP_PORT if proto is Proto.TCP else 0
    return FlowKey(SERVICE.service_id, proto, ip_address(client), port, service_port)


def client_of(version: int) -> str:
    """The client's address in that family."""
    return CLIENT if version == 4 else CLIENT6


@dataclass(frozen=True, slots=True)
class Claim:
    """A ``struct vip_claim`` in words."""

    vip: str
    mac: bytes
    ifindex: int


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one frame.

    segments, notices, claims: what was put in the rings
    """

    action: int
    packet: bytes
    verdict: Verdict
    segments: tuple[Segment, ...]
    notices: tuple[Segment, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What the program has told of frames.

    verdicts:                  frames by verdict
    segments, notices, claims: what was put in the rings
    """

    verdicts: Counter[Verdict]
    segments: tuple[Segment, ...]
    notices: tuple[Segment, ...]
    claims: tuple[Claim, ...]


class XdpRunner:
    """The program, with one service, backends A and B (and C by another interface), every slot on A."""

    def __init__(self, sizes: Mapping[str, int] | None = None) -> None:
        """Load it; ``sizes``: entries of maps that are to be larger than suits tests."""
        opened = Object(OBJECT)
        sized = {**_SIZES, **(sizes or {})}
        try:
            opened.resize(sized)
            opened.load()
            self.program = opened.program(loader.PROGRAM)
            with opened.program(loader.CLOCK) as clock:
                self._ticks = Ticks.read(clock)
            self.maps: dict[str, Map] = opened.maps()
        finally:
            opened.close()
        self.vips = Vips(self.maps["vips"])
        self.schedules = Schedules(self.maps)
        self._vip_places = self.maps["vips"].memory()
        self._chunks = [self._make_chunk(number) for number in range(sized["statistics"])]
        self._slots = self.maps["slots"].memory()
        self._control = self.maps["control"].memory()
        self._segments: list[bytes] = []
        self._notices: list[bytes] = []
        self._rings = RingBuffers(
            [(self.maps["segments"], self._segments.append), (self.maps["notices"], self._notices.append)]
        )
        self._counted = self.verdicts()
        self._traffic = {one: self._read_traffic(one) for one in (0, *MACHINES)}
        self._furnish()

    def reset(self) -> None:
        """Make it as new: loading takes the verifier half a second, this a few milliseconds."""
        for name in ("pins", "flows", "clients", "newcomers", "backend_macs", "interfaces"):
            for key, _ in list(self.maps[name].entries()):
                self.maps[name].delete(key)
        for memory in (*self._chunks, self._vip_places):
            memory[:] = bytes(len(memory))
        self._rings.consume()
        self._segments.clear()
        self._notices.clear()
        self._traffic = {one: self._read_traffic(one) for one in (0, *MACHINES)}
        self._counted = self.verdicts()
        self._furnish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rings.close()
        self.schedules.close()
        for memory in (*self._chunks, self._vip_places, self._slots, self._control):
            memory.close()
        for one in self.maps.values():
            one.close()
        self.program.close()

    def _make_chunk(self, number: int) -> Any:
        with Map.create_array("chunk", layout.PIN_STATISTICS.size, layout.CHUNK_PINS) as chunk:
            self.maps["statistics"].update(index(number), chunk.fd.to_bytes(4, "little"))
            return chunk.memory()

    def _furnish(self) -> None:
        for vip in SERVICE.vips:
            self.vips.serve(vip, SERVICE)
        self.maps["interfaces"].update(index(LOOPBACK), layout.INTERFACE.pack(mac(LB.mac)))
        for backend_id, machine in MACHINES.items():
            self.backend(backend_id, UP)
            self.maps["backend_macs"].update(layout.MAC_KEY.pack(mac(machine.mac)), index(backend_id))
            self.schedules.limit(backend_id, None)
        self.all_slots(A)
        self.schedules.write(SERVICE.service_id, ScheduleFlag(0), [])
        self.deadline(NEVER)

    # --- what the maps hold

    def backend(self, backend_id: int, flags: int) -> None:
        """Set a backend's state: ``UP``, ``DOWN`` or ``LOST``."""
        machine: Machine = MACHINES[backend_id]
        ifindex = OTHER_INTERFACE if backend_id == C else LOOPBACK
        packed = layout.BACKEND.pack(
            mac(machine.mac), mac(machine.source), ifindex, flags, SERVICE.service_id, bytes(32)
        )
        self.maps["backends"].update(index(backend_id), packed)

    def all_slots(self, backend_id: int) -> None:
        """Give the service's every slot to one backend; 0 for none."""
        self.slot_table(array("I", [backend_id]) * layout.SLOT_COUNT)

    def slot_table(self, slots: "array[int]") -> None:
        """Put a slot table in force, in the second half of the service's slots."""
        base = (2 * SERVICE.service_id + 1) * layout.SLOT_COUNT
        values = array("Q", slots)
        self._slots[8 * base : 8 * (base + len(values))] = values.tobytes()
        self.maps["slot_tables"].update(index(SERVICE.service_id), layout.SLOT_TABLE.pack(base, 1))

    def pin(self, key: FlowKey, backend_id: int, flags: PinFlag = PinFlag.NONE, place: int = 0) -> None:
        """Pin a flow."""
        self.maps["pins"].update(layout.pack_flow(key), layout.PIN.pack(place, backend_id, flags))

    def flow(self, key: FlowKey, backend_id: int, opened_at: int = 5, initial: int = 999) -> None:
        """Write down a connection as its SYN would have."""
        self.maps["flows"].update(layout.pack_flow(key), layout.FLOW.pack(opened_at, initial, backend_id))

    def client(self, address: str, backend_id: int) -> None:
        """Place a client that has sessions."""
        self.maps["clients"].update(
            layout.pack_client(SERVICE.service_id, ip_address(address)), index(backend_id)
        )

    def newcomer(self, address: str, backend_id: int, age_s: float = 1) -> None:
        """Place a client as its SYN would have, a moment ago or earlier."""
        self.maps["newcomers"].update(
            layout.pack_client(SERVICE.service_id, ip_address(address)),
            layout.NEWCOMER.pack(time.monotonic_ns() - int(age_s * 1e9), backend_id),
        )

    def deadline(self, nanoseconds: int) -> None:
        """Set the tracker's deadline."""
        struct.pack_into("=Q", self._control, 0, nanoseconds)

    def fill_segments(self) -> None:
        """Detour until the ring of segments has no room left, and leave what is in it unread."""
        request = built(rtsp(sport=60000, payload=bytes(1400)))
        while self.program.test_run(request, ifindex=LOOPBACK).action == DROP:
            pass
        self._counted = self.verdicts()

    def turns(self, *backend_ids: int, flags: ScheduleFlag = ScheduleFlag.BY_TURN) -> None:
        """Have new clients take turns."""
        self.schedules.write(SERVICE.service_id, flags, backend_ids)

    def room(self, backend_id: int, clients: int) -> None:
        """Let a backend take so many more new clients."""
        self.schedules.limit(backend_id, self.schedules.admitted(backend_id) + clients)

    # --- what XDP wrote

    def written_flow(self, key: FlowKey) -> dict[str, Any] | None:
        """The entry of ``flows``."""
        found = self.maps["flows"].lookup(layout.pack_flow(key))
        return layout.FLOW.named(found) if found else None

    def written_newcomer(self, address: str) -> int | None:
        """The backend in the entry of ``newcomers``."""
        found = self.maps["newcomers"].lookup(layout.pack_client(SERVICE.service_id, ip_address(address)))
        return layout.NEWCOMER.unpack(found)[1] if found else None

    def statistics(self, place: int) -> dict[str, Any]:
        """``struct pin_statistics`` at a place, as counted."""
        memory = self._chunks[place // layout.CHUNK_PINS]
        at = place % layout.CHUNK_PINS * layout.PIN_STATISTICS.size
        return layout.PIN_STATISTICS.named(memory[at : at + layout.PIN_STATISTICS.size])

    def read_statistics(self, place: int) -> PinReading:
        """The same as the daemon reads it."""
        at = place % layout.CHUNK_PINS * layout.PIN_STATISTICS.size
        return layout.unpack_statistics(self._chunks[place // layout.CHUNK_PINS], at, self._ticks.seconds)

    def _read_traffic(self, backend_id: int) -> Traffic:
        if backend_id:
            return layout.sum_traffic(self.maps["backend_traffic"].lookup_percpu(index(backend_id)))
        return layout.sum_traffic(self.maps["service_traffic"].lookup_percpu(index(SERVICE.service_id)))

    def traffic(self, backend_id: int = 0) -> Traffic:
        """What has gone to a backend since the last reset; to the service if none is named."""
        now, before = self._read_traffic(backend_id), self._traffic[backend_id]
        return Traffic(packets=now.packets - before.packets, bytes=now.bytes - before.bytes)

    def verdicts(self) -> dict[Verdict, int]:
        """Packets by verdict."""
        read = self.maps["verdicts"].lookup_percpu
        return {one: sum(int.from_bytes(n, "little") for n in read(index(one))) for one in Verdict}

    # --- frames

    def run(self, frame: bytes) -> Ran:
        """Run the program once; exactly one verdict must count it."""
        ran = self.program.test_run(frame, ifindex=LOOPBACK)
        told = self.told()
        counted = list(told.verdicts.elements())
        assert len(counted) == 1, f"a packet must leave under one verdict, not {counted}"
        return Ran(
            action=ran.action,
            packet=ran.frame,
            verdict=counted[0],
            segments=told.segments,
            notices=told.notices,
            claims=told.claims,
        )

    def told(self) -> Told:
        """What was counted, and put in the rings, since this was asked last."""
        before, self._counted = self._counted, self.verdicts()
        self._rings.consume()
        segments, notices = tuple(self._segments), tuple(self._notices)
        self._segments.clear()
        self._notices.clear()
        claims = [layout.unpack_claim(one) for one in notices if len(one) == layout.VIP_CLAIM.size]
        return Told(
            verdicts=Counter({one: count - before[one] for one, count in self._counted.items()}),
            segments=tuple(layout.unpack_segment(one) for one in segments),
            notices=tuple(layout.unpack_segment(one) for one in notices if len(one) == layout.SEGMENT.size),
            claims=tuple(Claim(str(vip), claimant, ifindex) for vip, claimant, ifindex in claims),
        )
