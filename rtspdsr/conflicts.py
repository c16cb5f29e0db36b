"""Mistakes of a configuration that show only between two keys: one VIP twice, a VIP that is a backend.

Handed the raw tables as TOML gives them, so that a wrong value elsewhere hides nothing: what cannot be
read here is passed over, because the model of that key reports it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from rtspdsr.model import Address


def usable(address: Address) -> str | None:
    """Why no VIP and no backend can have this address, or None."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return "has a zone; a VIP and its backends have routable addresses"
        if address.ipv4_mapped is not None:
            return f"should be written as IPv4: {address.ipv4_mapped}"
    unusable = {
        "multicast": address.is_multicast,
        "loopback": address.is_loopback,
        "unspecified": address.is_unspecified,
        "link-local": address.is_link_local,
        "broadcast": address == IPv4Address("255.255.255.255"),
    }
    for kind, applies in unusable.items():
        if applies:
            return f"is {kind}, not the address of one machine"
    return None


@dataclass
class Seen:
    """Where each value stood first."""

    places: dict[Any, str] = field(default_factory=dict)

    def again(self, value: Any, key: str) -> str | None:
        """Where this value stood before; None if this is the first time."""
        first = self.places.setdefault(value, key)
        return None if first == key else first


def conflicts(raw: object) -> list[str]:
    """Every conflict as ``key: what is wrong``, in the order of the file."""
    return [*_of_dataplane(raw), *_of_admin(raw), *_of_services(raw), *_of_capacity(raw)]


def _of_dataplane(raw: object) -> Iterator[str]:
    interfaces = Seen()
    for key, interface in _texts(_get(_get(raw, "dataplane"), "interfaces"), "dataplane.interfaces"):
        if first := interfaces.again(interface, key):
            yield f"{key}: {interface!r} is already {first}"


def _of_admin(raw: object) -> Iterator[str]:
    admin = _get(raw, "admin")
    if _get(admin, "listen") and not _get(admin, "token_file"):
        yield (
            "admin.token_file: is required with admin.listen, or anybody could change things; "
            "make one: openssl rand -hex 32"
        )


def _of_services(raw: object) -> Iterator[str]:
    names, vips = Seen(), Seen()
    backend_addresses = {
        address: key
        for service_key, service in _tables(raw, "service")
        for backend_key, backend in _tables(service, "backend", service_key)
        for key, address in _addresses(backend, "addresses", backend_key)
    }
    for service_key, service in _tables(raw, "service"):
        yield from _repeated_name(names, service, service_key, "a service")
        families = Seen()
        for key, vip in _addresses(service, "vips", service_key):
            if first := vips.again(vip, key):
                yield f"{key}: {vip} is already {first}; one VIP belongs to one service"
            elif first := families.again(vip.version, key):
                yield f"{key}: a second IPv{vip.version} VIP, after {first}; give it a service of its own"
            if vip in backend_addresses:
                yield f"{key}: {vip} is also {backend_addresses[vip]}; a backend needs an address of its own"
        yield from _of_ports(service, service_key)
        yield from _of_health(service, service_key)
        yield from _of_backends(service, service_key)


def _of_ports(service: object, service_key: str) -> Iterator[str]:
    listed = _get(service, "ports")
    ports = [port for port in listed if isinstance(port, int)] if isinstance(listed, list) else [554]
    for name in ("ports", "opaque_ports"):
        seen = Seen()
        for key, port in _items(_get(service, name), f"{service_key}.{name}"):
            if first := seen.again(port, key):
                yield f"{key}: {port!r} is already {first}"
            elif name == "opaque_ports" and isinstance(port, int) and port not in ports:
                yield f"{key}: {port} is not in {service_key}.ports; name it there too"


def _of_health(service: object, service_key: str) -> Iterator[str]:
    health, key = _get(service, "health"), f"{service_key}.health"
    url = _get(health, "probe_url") or ""
    if _get(health, "check") == "describe" and not url:
        yield f"{key}.check: 'describe' needs {key}.probe_url: what is to be described?"
    interval_s, timeout_s = _get(health, "interval_s") or 1.0, _get(health, "timeout_s") or 0.8
    if isinstance(interval_s, float | int) and isinstance(timeout_s, float | int) and timeout_s > interval_s:
        yield f"{key}.timeout_s: {timeout_s:g} is longer than {key}.interval_s, {interval_s:g}"
    if not isinstance(url, str) or not url.startswith("rtsp://"):
        return
    try:
        host, port = ip_address(urlsplit(url).hostname or ""), urlsplit(url).port or 554
    except ValueError:
        yield f"{key}.probe_url: should name a VIP of the service by its address, as clients may"
        return
    if host not in [vip for _, vip in _addresses(service, "vips", service_key)]:
        yield f"{key}.probe_url: {host} is not in {service_key}.vips; checks go through a VIP of the service"
    opaque, ports = _get(service, "opaque_ports") or [], _get(service, "ports") or [554]
    if isinstance(ports, list) and isinstance(opaque, list) and (port not in ports or port in opaque):
        yield f"{key}.probe_url: port {port} is none on which {service_key} speaks RTSP in the clear"


def _of_backends(service: object, service_key: str) -> Iterator[str]:
    names, addresses = Seen(), Seen()
    for backend_key, backend in _tables(service, "backend", service_key):
        yield from _repeated_name(names, backend, backend_key, "a backend of this service")
        families = Seen()
        for key, address in _addresses(backend, "addresses", backend_key):
            if first := addresses.again(address, key):
                yield f"{key}: {address} is already {first}"
            elif first := families.again(address.version, key):
                yield f"{key}: a second IPv{address.version} address, after {first}; one a family is enough"


def _of_capacity(raw: object) -> Iterator[str]:
    services = list(_tables(raw, "service"))
    backends = [backend for key, service in services for backend in _tables(service, "backend", key)]
    for name, there_are in (("services", len(services)), ("backends", len(backends))):
        limit = _get(_get(raw, "dataplane"), f"{name}_max")
        if isinstance(limit, int) and there_are > limit > 0:
            yield f"dataplane.{name}_max: {limit} is too small for the {there_are} {name} configured"


def _repeated_name(names: Seen, table: object, table_key: str, what: str) -> Iterator[str]:
    name = _get(table, "name")
    if isinstance(name, str) and (first := names.again(name, f"{table_key}.name")):
        yield f"{table_key}.name: {name!r} is already the name of {what}: {first}"


# --- reading what may be anything ------------------------------------------------------------------


def _get(table: object, key: str) -> object:
    return table.get(key) if isinstance(table, dict) else None


def _items(values: object, key: str) -> Iterator[tuple[str, object]]:
    if isinstance(values, list):
        for index, value in enumerate(values):
            yield f"{key}[{index}]", value if not isinstance(value, list | dict) else repr(value)


def _texts(values: object, key: str) -> Iterator[tuple[str, str]]:
    yield from ((place, value) for place, value in _items(values, key) if isinstance(value, str))


def _addresses(table: object, name: str, table_key: str) -> Iterator[tuple[str, Address]]:
    for key, text in _texts(_get(table, name), f"{table_key}.{name}"):
        try:
            yield key, ip_address(text)
        except ValueError:
            continue


def _tables(parent: object, name: str, parent_key: str = "") -> Sequence[tuple[str, object]]:
    listed = _get(parent, name)
    key = f"{parent_key}.{name}" if parent_key else name
    if not isinstance(listed, list):
        return []
    return [(f"{key}[{index}]", table) for index, table in enumerate(listed) if isinstance(table, dict)]
