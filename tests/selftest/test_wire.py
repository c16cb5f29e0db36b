"""What is chosen for a client's way; that packets take it is tested in the lab."""

import pytest

from rtspdsr.selftest.wire import PORTS, free_ports


@pytest.mark.parametrize(
    ("given", "ports"),
    [
        ("32768\t60999\n", (61000, 61000 + PORTS - 1)),
        ("1024\t65535\n", (1024 - PORTS, 1023)),
        ("10000\t65100\n", (10000 - PORTS, 9999)),
    ],
)
def test_ports_are_taken_that_nobody_is_given(given: str, ports: tuple[int, int]) -> None:
    assert free_ports(given) == ports
