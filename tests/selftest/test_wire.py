"""What is chosen for a client's way; that packets take it is tested in the lab."""

import pytest

from rtspdsr.errors import RtspDsrError
from rtspdsr.selftest.wire import PORTS, free_ports


@pytest.mark.parametrize(
    ("given", "ports"),
    [
        ("32768\t60999\n", (61000, 61000 + PORTS - 1)),
        ("1024\t65035\n", (65036, 65535)),
        ("1524\t65535\n", (1024, 1523)),
        ("10000\t65100\n", (10000 - PORTS, 9999)),
    ],
)
def test_ports_are_taken_that_nobody_is_given(given: str, ports: tuple[int, int]) -> None:
    assert free_ports(given) == ports


def test_ports_of_services_are_never_taken() -> None:
    with pytest.raises(RtspDsrError, match=r"leaves no 500 ports.*ip_local_port_range=\"1024 65035\""):
        free_ports("1024\t65535\n")
