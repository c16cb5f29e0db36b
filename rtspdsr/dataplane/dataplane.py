"""The forwarding core as the daemon sees it: services, backends, slots, pins and what was counted.

Handed model values, it writes maps; asked, it reads them. It decides nothing and knows no time but the
tracker's deadline. Every call takes microseconds; ``load``, ``attach`` and ``grow`` block for some
10 ms and belong in a thread. What it has written outlives it: ``close`` leaves forwarding in place.
"""

import errno
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from rtspdsr.dataplane import layout, loader
from rtspdsr.dataplane.adoption import Left
from rtspdsr.dataplane.bpffs import Home
from rtspdsr.dataplane.counters import count
from rtspdsr.dataplane.explanation import Explanation, explain
from rtspdsr.dataplane.layout import SLOT_COUNT, TURN_COUNT, BackendFlag, Verdict, index
from rtspdsr.dataplane.libbpf.binding import refused_with
from rtspdsr.dataplane.libbpf.rings import RingBuffers
from rtspdsr.dataplane.loader import Attachment
from rtspdsr.dataplane.reinjection import Checksum, Reinjector, checksum_of
from rtspdsr.dataplane.schedules import Schedules
from rtspdsr.dataplane.slots import Slots
from rtspdsr.dataplane.statistics import Statistics
from rtspdsr.dataplane.vips import Vips
from rtspdsr.errors import DataplaneError, MapFull
from rtspdsr.model import Address, FlowKey, Pin, PinReading, Segment, Service, Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How frames reach a backend.

    mac:     the backend's, as last known; None if it never was
    source:  the balancer's own, of the interface towards it
    ifindex: that interface
    """

    mac: bytes | None
    source: bytes = bytes(6)
    ifindex: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Entries of the maps that the configuration sizes."""

    pins: int = 1_000_000
    flows: int = 262_144
    clients: int = 262_144
    newcomers: int = 65_536
    services: int = 16
    backends: int = 1024
    segments_bytes: int = 4 << 20

    def entries(self) -> dict[str, int]:
        """By map name."""
        return {
            "pins": self.pins,
            "flows": self.flows,
            "clients": self.clients,
            "newcomers": self.newcomers,
            "slot_tables": self.services,
            "slots": 2 * self.services * SLOT_COUNT,
            "schedules": self.services,
            "turns": 2 * self.services * TURN_COUNT,
            "turns_taken": self.services,
            "service_traffic": self.services,
            "backends": self.backends + 1,  # ids count from 1
            "backend_traffic": self.backends + 1,
            "admissions": self.backends + 1,
            "rooms": self.backends + 1,
            "backend_macs": self.backends,
            "statistics": -(-self.pins // layout.CHUNK_PINS) + 1,
            "segments": self.segments_bytes,
        }


class Dataplane:
    """The maps of one home, open for writing, and the way back for detoured segments.

    schedules: how services place new clients
    slots:     where those go that schedules leave to their address
    """

    def __init__(self, loaded: loader.Loaded) -> None:
        self._loaded = loaded
        self._maps = loaded.maps
        self._statistics = Statistics(loaded.home, self._maps["statistics"], loaded.ticks)
        self._vips = Vips(self._maps["vips"])
        self.schedules = Schedules(self._maps)
        self.slots = Slots(self._maps)
        self._control = self._maps["control"].memory()
        self._places: dict[FlowKey, int] = {}
        self._routes: dict[int, Route] = {}
        self._reinjector = Reinjector()
        self._rings: RingBuffers | None = None
        self.adopted: list[Pin] = []
        self._adopt()

    @classmethod
    def load(cls, home: Home, sizes: Sizes) -> Self:
        """Load the program and adopt what stands; forwarding is untouched until ``attach``."""
        return cls(loader.load(home, sizes.entries()))

    def attach(self, mode: str) -> list[Attachment]:
        """Put the program in force on every interface. Raises InterfaceGone, AlreadyRunning."""
        return loader.attach(self._loaded, mode)

    def attach_interface(self, mode: str, interface: str) -> Attachment:
        """Put it in force on one that was made anew. Raises InterfaceGone, AlreadyRunning."""
        return loader.attach_interface(self._loaded, mode, interface)

    @property
    def left(self) -> Left:
        """Identities that an earlier daemon's maps held."""
        return self._loaded.left

    @property
    def adopted_maps(self) -> bool:
        """Whether the maps are those of an earlier daemon, filled as it left them."""
        return self._loaded.adopted

    def close(self) -> None:
        """Let go of everything; the kernel goes on forwarding."""
        if self._rings:
            self._rings.close()
        self._reinjector.close()
        self._statistics.close()
        self.schedules.close()
        self.slots.close()
        self._control.close()
        for one in self._maps.values():
            one.close()
        self._loaded.release()

    # --- services and backends

    def set_service(self, service: Service) -> None:
        """Serve a service's VIPs."""
        for vip in service.vips:
            self._vips.serve(vip, service)

    def remove_vip(self, vip: Address) -> None:
        """Serve a VIP no longer: its packets pass to the kernel."""
        self._vips.leave(vip)

    def set_interface(self, ifindex: int, mac: bytes) -> None:
        """Tell XDP the balancer's own MAC address on an interface it is attached to."""
        self._write("interfaces", index(ifindex), layout.INTERFACE.pack(mac))

    def forget_interface(self, ifindex: int) -> None:
        """Forget an interface that is gone; no matter if it is not known."""
        self._maps["interfaces"].delete(index(ifindex))
        self._reinjector.forget(ifindex)

    def set_backend(
        self, service_id: int, backend_id: int, addresses: tuple[Address, ...], route: Route, *, up: bool
    ) -> None:
        """Say how frames reach a backend, and whether it takes new connections."""
        flags = (BackendFlag.RESOLVED if route.mac else 0) | (BackendFlag.UP if up and route.mac else 0)
        former = self._routes.get(backend_id)
        mac = route.mac or (former.mac if former else None) or bytes(6)
        packed = layout.BACKEND.pack(
            mac, route.source, route.ifindex, flags, service_id, layout.pack_addresses(addresses)
        )
        self._write("backends", index(backend_id), packed)
        self._routes[backend_id] = route
        if former and former.mac and former.mac != route.mac:
            self._forget_mac(former.mac)
        if route.mac:
            self._write("backend_macs", layout.MAC_KEY.pack(route.mac), index(backend_id))

    def remove_backend(self, backend_id: int) -> None:
        """Forget a backend that no pin leads to, and what was counted of it: another may have its number."""
        former = self._routes.pop(backend_id, None)
        self._write("backends", index(backend_id), bytes(layout.BACKEND.size))
        cpus = len(self._maps["backend_traffic"].lookup_percpu(index(backend_id)))
        self._write("backend_traffic", index(backend_id), bytes(layout.TRAFFIC.size * cpus))
        self.schedules.limit(backend_id, None)
        if former and former.mac:
            self._forget_mac(former.mac)

    def route(self, backend_id: int) -> Route | None:
        """How frames reach a backend, as last set."""
        return self._routes.get(backend_id)

    # --- pins and clients

    def pin(self, pin: Pin) -> None:
        """Make or replace a pin. Raises MapFull when there is no room."""
        key = layout.pack_flow(pin.flow)
        known = self._places.get(pin.flow, 0)
        place = known or self._statistics.take()
        try:
            self._write("pins", key, layout.PIN.pack(place, pin.backend_id, pin.flags))
        except DataplaneError:
            if not known:
                self._statistics.give_back(place)
            raise
        self._places[pin.flow] = place

    def unpin(self, flow: FlowKey) -> None:
        """Delete a pin and its statistics; no matter if there is none."""
        self._maps["pins"].delete(layout.pack_flow(flow))
        place = self._places.pop(flow, None)
        if place is not None:
            self._statistics.give_back(place)

    def forget_flow(self, flow: FlowKey) -> None:
        """Delete what XDP noted of a TCP connection at its SYN; no matter if there is nothing."""
        self._maps["flows"].delete(layout.pack_flow(flow))

    def place_client(self, service_id: int, client: Address, backend_id: int) -> None:
        """Send new flows of a client to a backend. Raises MapFull."""
        self._write("clients", layout.pack_client(service_id, client), index(backend_id))

    def release_client(self, service_id: int, client: Address) -> None:
        """Let a client be placed anew."""
        key = layout.pack_client(service_id, client)
        self._maps["clients"].delete(key)
        self._maps["newcomers"].delete(key)

    def forget_newcomers(self, backend_ids: Collection[int]) -> None:
        """Delete what XDP noted of clients placed there that began nothing. Not for the event loop."""
        newcomers = self._maps["newcomers"]
        for key, value in list(newcomers.entries()):
            if layout.NEWCOMER.named(value)["backend"] in backend_ids:
                newcomers.delete(key)

    def clients_at(self, backend_ids: Collection[int]) -> list[tuple[int, Address]]:
        """The clients that are placed there: service id, address. Reads all: not for the event loop."""
        found, wanted = [], {index(one) for one in backend_ids}
        for key, value in self._maps["clients"].entries():
            if value in wanted:
                client, service_id = layout.CLIENT_KEY.unpack(key)
                found.append((service_id, layout.address(client)))
        return found

    def clients(self) -> Iterator[tuple[int, Address]]:
        """Every client that is placed: service id, address."""
        for key, _ in self._maps["clients"].entries():
            client, service_id = layout.CLIENT_KEY.unpack(key)
            yield service_id, layout.address(client)

    def explain(
        self, vips: Iterable[Address], client: Address, port: int | None, now_ns: int
    ) -> Iterator[Explanation]:
        """What XDP would do with the packets of a client; a millisecond or two for each service."""
        return explain(self._maps, vips, client, port, now_ns)

    def read(self, flows: Iterable[FlowKey]) -> dict[FlowKey, PinReading]:
        """What XDP has counted for pins; those that do not exist are left out."""
        places = ((flow, self._places.get(flow)) for flow in flows)
        return {flow: self._statistics.read(place) for flow, place in places if place is not None}

    def news(self, flows: Iterable[FlowKey]) -> dict[FlowKey, PinReading]:
        """The same, of pins that packets came for since they were last asked for here.

        A pin that was made when there was no room to count it is counted from here on, if there is some now.
        """
        found = {}
        places, news = self._places, self._statistics.news
        for flow in flows:
            place = places.get(flow)
            if place is None:
                continue
            if (reading := news(place)) is not None:
                found[flow] = reading
            if not place:
                self._count(flow)
        return found

    @property
    def pins(self) -> int:
        """How many pins stand."""
        return len(self._places)

    def pinned_backends(self) -> set[int]:
        """The backends that pins lead to. Reads every pin: not for the event loop."""
        return {layout.PIN.unpack(value)[1] for _, value in self._maps["pins"].entries()}

    # --- segments

    def listen(self, segment: Callable[[bytes], None], notice: Callable[[bytes], None]) -> RingBuffers:
        """Hand over ring records: detoured segments first, then notices. The caller polls and consumes."""
        self._rings = RingBuffers([(self._maps["segments"], segment), (self._maps["notices"], notice)])
        return self._rings

    def checksum(self, segment: Segment) -> Checksum:
        """What a detoured segment's TCP checksum says; a wrong one is forwarded, and not read."""
        return checksum_of(segment)

    def forward(self, segment: Segment, checksum: Checksum) -> None:
        """Send a detoured segment on to the backend that XDP chose."""
        route = self._routes.get(segment.backend_id)
        if route and route.mac and segment.frame:
            self._reinjector.send(segment, checksum, route.mac, route.source, route.ifindex)
        else:
            self._reinjector.failed += 1

    def inject(self, backend_id: int, packet: bytes) -> None:
        """Send an IP packet to a backend as if a client's had been forwarded."""
        route = self._routes.get(backend_id)
        if route and route.mac:
            self._reinjector.inject(packet, route.mac, route.source, route.ifindex)
        else:
            self._reinjector.failed += 1

    @property
    def reinjections_failed(self) -> int:
        """Detoured segments that could not be sent on (TCP sends them again), and packets of our own."""
        return self._reinjector.failed

    def interface_changed(self, ifindex: int) -> None:
        """Forget what was known of an interface: its socket and its MTU."""
        self._reinjector.forget(ifindex)

    def renew(self, alive_until: float) -> None:
        """Move the tracker's deadline, seconds on the monotonic clock; past it XDP detours nothing."""
        struct.pack_into("=Q", self._control, 0, int(alive_until * 1e9))

    @property
    def alive_until(self) -> float:
        """The tracker's deadline as XDP reads it."""
        (nanoseconds,) = struct.unpack_from("=Q", self._control)
        return float(nanoseconds / 1e9)

    # --- counters

    @property
    def scarce(self) -> bool:
        """Whether ``grow`` should be called soon."""
        return self._statistics.scarce

    def grow(self) -> None:
        """Make room for the statistics of more pins."""
        self._statistics.grow()

    def verdicts(self) -> dict[Verdict, int]:
        """Packets by verdict, all CPUs."""
        return count(self._maps["verdicts"])

    def backend_traffic(self, backend_id: int) -> Traffic:
        """What clients sent to a backend."""
        return layout.sum_traffic(self._maps["backend_traffic"].lookup_percpu(index(backend_id)))

    def service_traffic(self, service_id: int) -> Traffic:
        """What clients sent to a service."""
        return layout.sum_traffic(self._maps["service_traffic"].lookup_percpu(index(service_id)))

    # --- inside

    def _count(self, flow: FlowKey) -> None:
        """Give a place in the statistics to a pin that has none, if there is one."""
        key = layout.pack_flow(flow)
        standing = self._maps["pins"].lookup(key)
        if standing is None or not (place := self._statistics.take()):
            return
        _, backend_id, flags = layout.PIN.unpack(standing)
        try:
            self._write("pins", key, layout.PIN.pack(place, backend_id, flags))
            self._places[flow] = place
        except DataplaneError:  # no memory: at the next reading, perhaps
            self._statistics.give_back(place)

    def _write(self, name: str, key: bytes, value: bytes) -> None:
        try:
            self._maps[name].update(key, value)
        except DataplaneError as error:
            if refused_with(error) == errno.E2BIG:
                raise MapFull(name, self._maps[name].max_entries) from error
            raise

    def _forget_mac(self, mac: bytes) -> None:
        if not any(route.mac == mac for route in self._routes.values()):
            self._maps["backend_macs"].delete(layout.MAC_KEY.pack(mac))

    def _adopt(self) -> None:
        """Take over the pins of adopted maps, or write those carried over from others."""
        for backend_id, (service_id, addresses) in self.left.backends.items():
            self._adopt_backend(backend_id, service_id, addresses)
        for (service_id, client), backend_id in self.left.clients.items():
            self.place_client(service_id, client, backend_id)
        standing = {index(ifindex) for ifindex, _ in socket.if_nameindex()}
        for key, _ in list(self._maps["interfaces"].entries()):
            if key not in standing:
                self._maps["interfaces"].delete(key)
        for pin, counted in self.left.pins:
            if self._statistics.scarce:
                self._statistics.grow()
            self.pin(pin)
            self._statistics.write(self._places[pin.flow], counted)
            self.adopted.append(pin)
        for pin, place in self._standing_pins() if self._loaded.adopted else ():
            self._places[pin.flow] = place
            self.adopted.append(pin)
        self._statistics.adopt(set(self._places.values()))

    def _adopt_backend(self, backend_id: int, service_id: int, addresses: tuple[Address, ...]) -> None:
        mac, source, ifindex, flags, *_ = layout.BACKEND.unpack(
            self._maps["backends"].lookup(index(backend_id)) or bytes(layout.BACKEND.size)
        )
        if self._loaded.adopted:
            known = mac if flags & BackendFlag.RESOLVED else None
            self._routes[backend_id] = Route(mac=known, source=source, ifindex=ifindex)
        else:
            self.set_backend(service_id, backend_id, addresses, Route(mac=None), up=False)

    def _standing_pins(self) -> Iterator[tuple[Pin, int]]:
        return (layout.unpack_pin(key, value) for key, value in self._maps["pins"].entries())
