"""Asking a network whose interfaces come and go."""

import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from rtspdsr.doctor.machine import Interface
from rtspdsr.doctor.reach import Target, claims, ping
from tests.network.wire import NEAR_MAC, Wire, wire

VIPS = [ip_address("10.9.0.9"), ip_address("fd09::9")]


@pytest.fixture(name="wire")
def laid() -> Iterator[Wire]:
    with wire() as made:
        yield made


def interface(name: str) -> Interface:
    return Interface(name=name, mac=NEAR_MAC.hex(":"), up=True, mtu=1500)


def test_an_interface_that_has_gone_has_nobody_who_answers(wire: Wire) -> None:
    assert claims(VIPS, [interface("gone")]) == []


def test_an_interface_that_goes_down_meanwhile_is_no_error(wire: Wire) -> None:
    def down() -> None:
        time.sleep(0.2)
        wire.near("link set near down")

    going = threading.Thread(target=down)
    going.start()
    assert claims(VIPS, [interface("near")]) == []
    going.join()
    (echo,) = ping([Target(name="x", address=VIPS[0], interface=interface("near"))])
    assert not echo.answered
