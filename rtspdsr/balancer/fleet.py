"""The backends as they are now: configured, resolved or lost, and how frames reach each.

Handed a configuration, what the neighbours say, what checks found and what the operator wants, it tells the
forwarding core and gives back events; it asks for new slot tables where the usable backends have changed. A
backend that has left the configuration takes no new clients, and keeps its number until the last pin to it is
gone.
"""

import asyncio
from collections.abc import Callable, Iterator

from rtspdsr.balancer.registry import Registry
from rtspdsr.config import Config
from rtspdsr.core.events import BackendLost, BackendResolved, Event
from rtspdsr.dataplane.dataplane import Dataplane, Route
from rtspdsr.errors import NotFound
from rtspdsr.model import Address, AdminState, Backend, BackendState, Service
from rtspdsr.network.neighbours import NeighbourChange

Request = Callable[[Service], None]


class Fleet:
    """Every service and backend of one daemon.

    changed: is told of each service whose usable backends or weights have changed
    """

    def __init__(self, dataplane: Dataplane, registry: Registry, changed: Request) -> None:
        self._dataplane, self._registry, self._changed = dataplane, registry, changed
        self._heard: dict[Address, NeighbourChange] = {}
        self._left = dict(dataplane.left.backends)
        self._leaving: set[int] = set(self._left)
        self._unpinned: set[int] = set()
        self._down: set[int] = set()
        self._admin: dict[int, AdminState] = {}
        self._closed: set[int] = set()
        self._names: dict[tuple[str, int], str] = {}
        self.services: tuple[Service, ...] = ()
        self.settled = asyncio.Event()  #: each backend has been heard of, found or lost

    def configure(self, config: Config) -> None:
        """Serve what is configured, and no other VIP."""
        services = self._registry.services(config)
        served = {vip for service in services for vip in service.vips}
        before = {vip for service in self.services for vip in service.vips}
        for vip in (before | set(self._dataplane.left.services)) - served:
            self._dataplane.remove_vip(vip)
        former = {one.backend_id: (service, one) for service in self.services for one in service.backends}
        self.services = services
        for service in services:
            self._names["service", service.service_id] = service.name
            for backend in service.backends:
                self._names["backend", backend.backend_id] = backend.name
                former.pop(backend.backend_id, None)
                self._leaving.discard(backend.backend_id)
                self._set(service, backend)
            self._dataplane.set_service(service)
            self._changed(service)
        for service, backend in former.values():
            self._leaving.add(backend.backend_id)
            self._set(service, backend)
        for backend_id in self._leaving & self._left.keys():
            self._take_no_clients(backend_id)

    def addresses(self) -> set[Address]:
        """The real addresses of every backend, to be watched."""
        return {address for _, backend in self._all() for address in backend.addresses}

    def vips(self) -> set[Address]:
        """Every VIP that is served."""
        return {vip for service in self.services for vip in service.vips}

    def neighbour(self, change: NeighbourChange, now: float) -> list[Event]:
        """Follow what the neighbours say of one address."""
        affected = [one for one in self._all() if change.address in one[1].addresses]
        before = [(self._route(backend), self._is_resolved(backend)) for _, backend in affected]
        self._heard[change.address] = change
        if self.addresses() <= self._heard.keys():
            self.settled.set()
        events: list[Event] = []
        for (service, backend), former in zip(affected, before, strict=True):
            route, resolved = self._route(backend), self._is_resolved(backend)
            if resolved and former == (route, resolved):
                continue
            self._set(service, backend)
            self._changed(service)
            events.append(self._event(service, backend, change, route if resolved else None, now))
        return events

    def mark(self, backend_id: int, *, down: bool) -> None:
        """Let checks decide whether a backend takes new clients."""
        if down is (backend_id in self._down):
            return
        (self._down.add if down else self._down.discard)(backend_id)
        for service, backend in self._all():
            if backend.backend_id == backend_id:
                self._set(service, backend)
                self._changed(service)

    def administer(self, backend_id: int, state: AdminState, *, closed: bool) -> None:
        """Let the operator decide whether a backend takes new clients; closed, it takes not even its own."""
        if (state, closed) == (self._admin.get(backend_id, AdminState.READY), backend_id in self._closed):
            return
        self._admin[backend_id] = state
        (self._closed.add if closed else self._closed.discard)(backend_id)
        for service, backend in self._all():
            if backend.backend_id == backend_id:
                self._set(service, backend)
                self._changed(service)

    def admin_state(self, backend: Backend) -> AdminState:
        """What the operator wants of a backend."""
        return self._admin.get(backend.backend_id, AdminState.READY)

    def ifindex(self, address: Address) -> int:
        """The interface towards a backend's address; 0 while that is not known."""
        return self._heard[address].ifindex if address in self._heard else 0

    def problem(self, backend: Backend) -> str:
        """Why a backend is not resolved; "" if it is."""
        heard = [self._heard[address].problem for address in backend.addresses if address in self._heard]
        return "" if not all(heard) else "; ".join(heard)

    def vip(self, service_id: int, version: int) -> Address | None:
        """A service's VIP of a family."""
        vips = (vip for one in self.services if one.service_id == service_id for vip in one.vips)
        return next((vip for vip in vips if vip.version == version), None)

    def rtsp_address(self, service_id: int, backend_id: int) -> tuple[str, int] | None:
        """A real address of a backend, and a port on which it speaks RTSP; None if it has none in clear."""
        for service, backend in self._all():
            if (service.service_id, backend.backend_id) == (service_id, backend_id):
                clear = (port for port in service.ports if port not in service.opaque)
                return next(((str(backend.addresses[0]), port) for port in clear), None)
        return None

    def fit(self, service: Service) -> list[Backend]:
        """The backends of a service that are up."""
        return [one for one in service.backends if self.state(one) is BackendState.UP]

    def usable(self, service: Service) -> list[Backend]:
        """The backends of a service that take new clients.

        If none is fit, all that the operator has not taken out: alarms may be wrong, the operator is not.
        """
        fit = self.fit(service)
        wanted = [one for one in service.backends if self.admin_state(one) is AdminState.READY]
        return fit if fit or len(wanted) == len(service.backends) else wanted

    def is_withdrawn(self, service: Service) -> bool:
        """Whether the operator has taken out every backend of a service."""
        return all(self.admin_state(one) is not AdminState.READY for one in service.backends)

    def state(self, backend: Backend) -> BackendState:
        """Whether a backend takes new clients. What is wrong with it comes before a drain."""
        admin = self.admin_state(backend)
        if admin is AdminState.MAINT:
            return BackendState.MAINT
        if not self._is_resolved(backend):
            return BackendState.UNRESOLVED
        if backend.backend_id in self._down:
            return BackendState.DOWN
        return BackendState.DRAIN if admin is AdminState.DRAIN else BackendState.UP

    def retire(self, pinned: set[int]) -> set[int]:
        """Forget the backends that have left the configuration and are in no pin any more.

        Gives back their numbers, which others may have from now on.
        """
        unpinned = self._leaving - pinned
        retired = unpinned & self._unpinned  # twice: a pin made while pins are read may be missed
        for backend_id in retired:
            self._left.pop(backend_id, None)
            self._dataplane.remove_backend(backend_id)
            self._registry.forget_backend(backend_id)
            self._leaving.discard(backend_id)
            self._down.discard(backend_id)
            self._admin.pop(backend_id, None)
            self._closed.discard(backend_id)
        self._unpinned = unpinned
        return retired

    @property
    def leaving(self) -> bool:
        """Whether any backend waits to be retired."""
        return bool(self._leaving)

    def service(self, service_id: int) -> str | None:
        """What the log calls a service."""
        return self._names.get(("service", service_id))

    def backend(self, backend_id: int) -> str | None:
        """What the log calls a backend."""
        return self._names.get(("backend", backend_id))

    def find(self, service: str, backend: str) -> tuple[Service, Backend]:
        """A backend by the names in the configuration. Raises NotFound if there is none."""
        for one, candidate in self._all():
            if (one.name, candidate.name) == (service, backend):
                return one, candidate
        known = ", ".join(f"{one.name}/{candidate.name}" for one, candidate in self._all())
        raise NotFound(f"no backend {service}/{backend}; there are {known}")

    def _all(self) -> Iterator[tuple[Service, Backend]]:
        return ((service, backend) for service in self.services for backend in service.backends)

    def _set(self, service: Service, backend: Backend) -> None:
        out = self._leaving | self._down | self._closed
        self._dataplane.set_backend(
            service.service_id,
            backend.backend_id,
            backend.addresses,
            self._route(backend),
            up=self._is_resolved(backend) and backend.backend_id not in out,
        )

    def _take_no_clients(self, backend_id: int) -> None:
        """An earlier daemon's backend that is configured no longer: its sessions go on, no new ones come."""
        service_id, addresses = self._left[backend_id]
        if route := self._dataplane.route(backend_id):
            self._dataplane.set_backend(service_id, backend_id, addresses, route, up=False)

    def _is_resolved(self, backend: Backend) -> bool:
        """By what was heard of its addresses; before that, as an earlier daemon left it."""
        heard = [self._heard[address] for address in backend.addresses if address in self._heard]
        return any(one.mac for one in heard) if heard else self._route(backend).mac is not None

    def _route(self, backend: Backend) -> Route:
        """By the first address that is resolved, else by the last MAC address that was known.

        A backend that answers no ARP may serve its sessions all the same, and no other machine can: so they
        stay with it, and when every backend is lost, new ones go by the last table.
        """
        for address in backend.addresses:
            if (heard := self._heard.get(address)) and heard.mac:
                return Route(mac=heard.mac, source=heard.source_mac, ifindex=heard.ifindex)
        return self._dataplane.route(backend.backend_id) or Route(mac=None)

    @staticmethod
    def _event(
        service: Service, backend: Backend, change: NeighbourChange, route: Route | None, now: float
    ) -> Event:
        if route is None or route.mac is None:
            return BackendLost(
                at=now,
                service_id=service.service_id,
                backend_id=backend.backend_id,
                problem=change.problem,
            )
        return BackendResolved(
            at=now,
            service_id=service.service_id,
            backend_id=backend.backend_id,
            mac=route.mac.hex(":"),
            interface=change.interface,
        )
