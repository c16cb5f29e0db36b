"""Wrong tokens: how many an address may give."""

import pytest

from rtspdsr.admin.attempts import ADDRESSES_MAX, WHILE_S, WRONG_MAX, Attempts


def spent(address: str, at: float = 0.0) -> Attempts:
    """Attempts in which this address has given as many as it may."""
    attempts = Attempts()
    for _ in range(WRONG_MAX):
        assert not attempts.too_many(address, at)
        attempts.wrong(address, at)
    return attempts


def test_it_is_listened_to_again_after_a_while() -> None:
    attempts = spent("192.0.2.1", 100.0)
    assert attempts.too_many("192.0.2.1", 100.0 + WHILE_S - 1)
    assert not attempts.too_many("192.0.2.1", 100.0 + WHILE_S)
    attempts.wrong("192.0.2.1", 100.0 + WHILE_S)
    assert not attempts.too_many("192.0.2.1", 100.0 + WHILE_S)


def test_others_are_listened_to_meanwhile() -> None:
    assert not spent("192.0.2.1").too_many("192.0.2.2", 0.0)


@pytest.mark.parametrize(("other", "same"), [("2001:db8::2", True), ("2001:db8:0:1::1", False)])
def test_a_host_of_ipv6_is_its_network(other: str, same: bool) -> None:
    assert spent("2001:db8::1").too_many(other, 0.0) == same


def test_addresses_without_end_take_no_memory_without_end() -> None:
    attempts = spent("fe80::1%eth0")
    for number in range(ADDRESSES_MAX):
        attempts.wrong(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert not attempts.too_many("fe80::1%eth0", 0.0)
    assert len(attempts._wrong) == ADDRESSES_MAX
