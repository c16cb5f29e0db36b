"""What a driver says of itself, asked of a veth and of the loopback."""

import subprocess

import pytest

from rtspdsr.dataplane import offload
from tests.dataplane.conftest import Wire

pytestmark = pytest.mark.kernel


def test_a_driver_is_asked_for_its_name_and_its_tags(wire: Wire) -> None:
    assert offload.driver(wire.near) == "veth"
    assert offload.hides_tags(wire.near)
    subprocess.run(["ethtool", "-K", wire.near, "rxvlan", "off"], check=True)
    assert not offload.hides_tags(wire.near)


def test_what_cannot_be_asked_hides_nothing(wire: Wire) -> None:
    assert offload.driver("nosuch0") == ""
    assert not offload.hides_tags("nosuch0")
    assert not offload.hides_tags("lo")


def test_the_switch_of_a_veth_is_no_problem(wire: Wire) -> None:
    assert offload.problem(wire.near) is None


def test_hidden_tags_are_told_with_the_remedy(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "driver", lambda _interface: "ixgbe")
    said = offload.problem(wire.near)
    assert said is not None
    assert f"ethtool -K {wire.near} rxvlan off" in said
    subprocess.run(["ethtool", "-K", wire.near, "rxvlan", "off"], check=True)
    assert offload.problem(wire.near) is None
