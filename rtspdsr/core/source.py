"""Who stands behind an address, for limits that one client must not reach for all the others."""

from rtspdsr.model import Address


def source_of(client: Address) -> int:
    """One number for all addresses that a client can have: of IPv6 those of its /64 network (RFC 6177)."""
    return int(client) if client.version == 4 else int(client) >> 64
