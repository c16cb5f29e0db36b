"""The table of VIPs: which service each belongs to, in an array that the XDP program searches (vip.h).

Handed VIPs and services, it writes one place after another so that a search never meets half an entry: a
place is complete before its state says that it is served, and only then is it found. A VIP that leaves
keeps its place, for the searches that go past it, until it comes back or another VIP settles there.
"""

import struct
from collections.abc import Iterator

from rtspdsr.dataplane.layout import VIP, VIP_PLACES, VIP_PROBES, VipState, index, octets, pack_service
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.errors import DataplaneError
from rtspdsr.model import Address, Service

_GOLDEN = 2654435769  # 2**32 divided by the golden ratio


class Vips:
    """The map ``vips``; what an earlier daemon wrote in it stands."""

    def __init__(self, places: Map) -> None:
        self._places = places

    def serve(self, vip: Address, service: Service) -> None:
        """Serve a VIP, or change its service. Raises DataplaneError if there is no place for it."""
        packed, settled = octets(vip), pack_service(service)
        place, state = self._place(vip)
        if state != VipState.SERVED:
            self._write(place, packed, settled, VipState.LEFT)
        self._write(place, packed, settled, VipState.SERVED)

    def leave(self, vip: Address) -> None:
        """Serve a VIP no longer; no matter if it is not served."""
        for place, address, service, state in self._probes(vip):
            if address == octets(vip) and state == VipState.SERVED:
                self._write(place, address, service, VipState.LEFT)

    def service(self, vip: Address) -> bytes | None:
        """The packed service of a VIP, None if it is not served."""
        for _, address, service, state in self._probes(vip):
            if state == VipState.FREE:
                return None
            if address == octets(vip):
                return service if state == VipState.SERVED else None
        return None

    def _place(self, vip: Address) -> tuple[int, int]:
        """The place of a VIP, or one for it, and its state."""
        vacant = None
        for place, address, _, state in self._probes(vip):
            if address == octets(vip):
                return place, state
            if state != VipState.SERVED and vacant is None:
                vacant = place, state
        if vacant is None:
            raise DataplaneError(
                f"no place for VIP {vip} in the XDP program's table; serve fewer VIPs, or other ones"
            )
        return vacant

    def _probes(self, vip: Address) -> Iterator[tuple[int, bytes, bytes, int]]:
        """The places where a VIP may be, as vip.h searches them: number, address, service, state."""
        folded = 0
        for word in struct.unpack("=4I", octets(vip)):
            folded ^= word
        first = (folded * _GOLDEN & 0xFFFFFFFF) // (2**32 // VIP_PLACES)
        for place in range(first, first + VIP_PROBES):
            number = place % VIP_PLACES
            yield number, *VIP.unpack(self._places.lookup(index(number)) or bytes(VIP.size))

    def _write(self, place: int, address: bytes, service: bytes, state: VipState) -> None:
        self._places.update(index(place), VIP.pack(address, service, state))
