"""Numbers of services and backends: kept as long as VIP and address are known, never shared."""

from ipaddress import ip_address

import pytest

from rtspdsr.balancer.registry import Registry
from rtspdsr.config import Config
from rtspdsr.errors import ConfigError


def config(**services: dict[str, list[str]]) -> Config:
    """Services by name: VIP -> addresses of backends named a, b, c..."""
    return Config.model_validate(
        {
            "dataplane": {"interfaces": ["eth0"]},
            "service": [
                {
                    "name": name,
                    "vips": [vip],
                    "backend": [
                        {"name": "abcdef"[at], "addresses": [address]} for at, address in enumerate(addresses)
                    ],
                }
                for name, table in services.items()
                for vip, addresses in table.items()
            ],
        }
    )


CAMS = {"192.0.2.1": ["192.0.2.11", "192.0.2.12"]}
FILMS = {"192.0.2.2": ["192.0.2.11", "192.0.2.13"]}


def fresh(services_max: int = 4, backends_max: int = 8) -> Registry:
    """A registry of a first start."""
    return Registry(services_max, backends_max, {}, {})


def ids(registry: Registry, wanted: Config) -> dict[str, list[int]]:
    """Service name -> its id, then those of its backends."""
    return {
        one.name: [one.service_id, *(backend.backend_id for backend in one.backends)]
        for one in registry.services(wanted)
    }


def test_services_count_from_0_and_backends_from_1() -> None:
    assert ids(fresh(), config(cams=CAMS, films=FILMS)) == {"cams": [0, 1, 2], "films": [1, 3, 4]}


def test_a_reload_keeps_every_number() -> None:
    registry = fresh()
    ids(registry, config(cams=CAMS, films=FILMS))
    assert ids(registry, config(films=FILMS, cams=CAMS)) == {"films": [1, 3, 4], "cams": [0, 1, 2]}
    swapped = {"192.0.2.1": ["192.0.2.12", "192.0.2.14"]}
    assert ids(registry, config(cams=swapped)) == {"cams": [0, 2, 5]}


def test_a_restart_knows_a_service_by_its_vip_and_a_backend_by_its_address() -> None:
    registry = Registry(4, 8, {ip_address("192.0.2.1"): 2}, {5: (2, (ip_address("192.0.2.12"),))})
    assert ids(registry, config(films=FILMS, renamed=CAMS)) == {"films": [0, 2, 3], "renamed": [2, 1, 5]}


def test_a_number_comes_free_when_its_backend_is_forgotten() -> None:
    registry = fresh(backends_max=2)
    ids(registry, config(cams=CAMS))
    moved = config(cams={"192.0.2.1": ["192.0.2.12", "192.0.2.14"]})
    with pytest.raises(ConfigError, match=r"dataplane\.backends_max: 2 are in use"):
        registry.services(moved)
    registry.forget_backend(1)
    assert ids(registry, moved) == {"cams": [0, 2, 1]}


def test_more_services_than_the_maps_hold_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"dataplane\.services_max: 1 are in use.*raise it and restart"):
        fresh(services_max=1).services(config(cams=CAMS, films=FILMS))
