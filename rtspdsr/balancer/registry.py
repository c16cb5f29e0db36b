"""Which number a service and a backend have: given once, kept over reloads and restarts.

Handed configurations, and what an earlier daemon's maps knew, it gives back ``Service`` values. A
service is known again by one of its VIPs, a backend by one of its real addresses; so pins made long ago
still name the right machine. Nothing here touches the maps.
"""

from collections.abc import Iterable, Mapping

from rtspdsr.config import Config, ServiceSection
from rtspdsr.errors import ConfigError
from rtspdsr.model import Address, Backend, Service


class Registry:
    """Gives out service ids from 0 and backend ids from 1, up to what the maps hold."""

    def __init__(
        self,
        services_max: int,
        backends_max: int,
        vips: Mapping[Address, int],
        backends: Mapping[int, tuple[int, tuple[Address, ...]]],
    ) -> None:
        """Start from what an earlier daemon's maps knew.

        vips:     service id by VIP
        backends: service id and real addresses by backend id
        """
        self._services_max, self._backends_max = services_max, backends_max
        self._service_of_vip = dict(vips)
        self._service_of_name: dict[str, int] = {}
        self._backend_of: dict[tuple[int, Address], int] = {
            (service_id, address): backend_id
            for backend_id, (service_id, addresses) in backends.items()
            for address in addresses
        }

    def services(self, config: Config) -> tuple[Service, ...]:
        """The configured services with their ids. Raises ConfigError when ids run out."""
        # Those known from before first: a new one must not take a number that one of them has.
        known = sorted(config.services, key=lambda one: self._known(one) is None)
        numbered = {one.name: self._service(one) for one in known}
        return tuple(numbered[one.name] for one in config.services)

    def forget_backend(self, backend_id: int) -> None:
        """Free the id of a backend that no pin leads to any more."""
        self._backend_of = {key: known for key, known in self._backend_of.items() if known != backend_id}

    def _known(self, section: ServiceSection) -> int | None:
        if section.name in self._service_of_name:
            return self._service_of_name[section.name]
        return next((self._service_of_vip[vip] for vip in section.vips if vip in self._service_of_vip), None)

    def _service(self, section: ServiceSection) -> Service:
        service_id = self._known(section)
        if service_id is None:
            taken = {*self._service_of_vip.values(), *self._service_of_name.values()}
            service_id = _lowest_free(taken, 0, self._services_max, "dataplane.services_max")
        self._service_of_name[section.name] = service_id
        self._service_of_vip.update(dict.fromkeys(section.vips, service_id))
        return Service(
            service_id=service_id,
            name=section.name,
            vips=section.vips,
            ports=section.ports,
            opaque=section.opaque_ports,
            backends=tuple(
                Backend(
                    backend_id=self._backend(service_id, one.addresses),
                    name=one.name,
                    addresses=one.addresses,
                    weight=one.weight,
                    max_sessions=one.max_sessions,
                )
                for one in section.backends
            ),
            schedule=section.schedule,
            place_by=section.place_by,
            slow_start_s=section.slow_start_s,
        )

    def _backend(self, service_id: int, addresses: tuple[Address, ...]) -> int:
        keys = [(service_id, address) for address in addresses]
        backend_id = next((self._backend_of[key] for key in keys if key in self._backend_of), None)
        if backend_id is None:
            taken = set(self._backend_of.values())
            backend_id = _lowest_free(taken, 1, self._backends_max, "dataplane.backends_max")
        self._backend_of.update(dict.fromkeys(keys, backend_id))
        return backend_id


def _lowest_free(taken: Iterable[int], first: int, count: int, key: str) -> int:
    free = set(range(first, first + count)) - set(taken)
    if not free:
        raise ConfigError(f"{key}: {count} are in use and the configuration needs more; raise it and restart")
    return min(free)
