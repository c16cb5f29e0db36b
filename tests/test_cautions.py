"""What `rtspdsr check` warns of: choices that are no mistakes, and give something up."""

from typing import Any

import pytest

from rtspdsr.cautions import cautions
from rtspdsr.config import Config


def config(*limits: int, **service: Any) -> Config:
    backends = [
        {"name": f"cam-{number}", "addresses": [f"192.0.2.{20 + number}"], "max_sessions": limit}
        for number, limit in enumerate(limits or (0,))
    ]
    return Config.model_validate(
        {
            "dataplane": {"interfaces": ["eth0"]},
            "service": [{"name": "cams", "vips": ["192.0.2.10"], "backend": backends, **service}],
        }
    )


def test_what_gives_nothing_up_is_not_warned_of() -> None:
    assert cautions(config()) == []
    assert cautions(config(50, 50, slow_start_s=30.0)) == []


def test_connections_placed_by_themselves_give_up_what_needs_two_of_them() -> None:
    (caution,) = cautions(config(place_by="connection"))
    assert caution.startswith("service[0].place_by: 'connection' ")
    for given_up in ("opened again", "tunnel", "UDP"):
        assert given_up in caution


def test_tls_and_connections_placed_by_themselves_give_up_more() -> None:
    tls: dict[str, Any] = {"ports": [554, 322], "opaque_ports": [322]}
    assert cautions(config(**tls)) == []
    assert len(cautions(config(place_by="connection", **tls))) == 2


@pytest.mark.parametrize("schedule", ["weighted-round-robin", "least-sessions", "least-bandwidth"])
def test_what_is_not_told_by_the_address_may_be_forgotten(schedule: str) -> None:
    (caution,) = cautions(config(schedule=schedule))
    assert caution.startswith(f"service[0].schedule: where '{schedule}' ")


def test_backends_without_a_limit_get_what_others_refuse() -> None:
    (caution,) = cautions(config(50, 0))
    assert "max_sessions" in caution
