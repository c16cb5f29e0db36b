"""What an earlier daemon left in its pinned maps, read with the layout that it wrote beside them.

Every directory of pins holds a map ``layout``: the members of that version's structs as JSON. So a
daemon of another layout version can still read pins, clients and identities by the names of members,
ignore those it does not know, and carry the sessions over. A name stands for a unit as well: a member whose
unit changes is named anew. What lacks a member that is needed is refused, and nothing in it is guessed.
"""

import errno
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rtspdsr.dataplane.bpffs import chunk_pin
from rtspdsr.dataplane.layout import (
    LAYOUTS,
    PIN_STATISTICS,
    Layout,
    VipState,
    address,
    index,
    unpack_addresses,
)
from rtspdsr.dataplane.libbpf.binding import refused_with
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.errors import DataplaneError
from rtspdsr.model import Address, FlowKey, Pin, PinFlag, Proto

_DESCRIPTION_SIZE = 8192  # octets of JSON; today's structs take 2,000


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What was left by an earlier daemon.

    services: id of the service that each VIP belonged to
    backends: service id and real addresses of each backend id
    clients:  (service id, client) -> backend id
    pins:     each with its packed ``struct pin_statistics`` of today's layout
    """

    services: dict[Address, int] = field(default_factory=dict)
    backends: dict[int, tuple[int, tuple[Address, ...]]] = field(default_factory=dict)
    clients: dict[tuple[int, Address], int] = field(default_factory=dict)
    pins: list[tuple[Pin, bytes]] = field(default_factory=list)


def describe(directory: Path) -> None:
    """Write today's layout beside the maps in ``directory``."""
    members = {one.name: one.members for one in LAYOUTS}
    with Map.create_array("layout", _DESCRIPTION_SIZE, 1) as description:
        description.update(index(0), json.dumps(members).encode().ljust(_DESCRIPTION_SIZE, b"\0"))
        description.pin(directory / "layout")


def is_todays(directory: Path) -> bool:
    """Whether the maps in ``directory`` are laid out as ours are."""
    with _reading(directory):
        standing = _described(directory)
    return {name: one.members for name, one in standing.items()} == {one.name: one.members for one in LAYOUTS}


def identities(directory: Path) -> Left:
    """The services and backends that the maps in ``directory`` know, without clients and pins.

    Raises DataplaneError if they do not say what is needed.
    """
    with _reading(directory):
        return _identities(directory, _described(directory))


def export(directory: Path) -> Left:
    """Everything that the maps in ``directory`` know, to be written into others.

    Raises DataplaneError if they do not say what is needed.
    """
    with _reading(directory):
        layouts = _described(directory)
        left = _identities(directory, layouts)
        with Map.from_pin(directory / "clients") as clients:
            for key, value in clients.entries():
                client = layouts["client_key"].named(key)
                left.clients[client["service"], address(client["client"])] = int.from_bytes(value, "little")
        with Map.from_pin(directory / "pins") as pins:
            statistics = _statistics(directory, layouts["pin_statistics"])
            left.pins.extend(_pins(layouts, pins.entries(), statistics))
        return left


@contextmanager
def _reading(directory: Path) -> Iterator[None]:
    """Turn whatever does not fit into one refusal."""
    try:
        yield
    except (LookupError, TypeError, ValueError, struct.error, DataplaneError) as error:
        if isinstance(error, DataplaneError) and refused_with(error) != errno.ENOENT:
            raise
        raise DataplaneError(
            f"the maps in {directory} are of another version, and lack what this one needs; "
            "sessions in them cannot be kept: run rtspdsr detach, then start again"
        ) from error


def _described(directory: Path) -> dict[str, Layout]:
    """The layout that ``directory`` was written in."""
    with Map.from_pin(directory / "layout") as description:
        text = (description.lookup(index(0)) or b"").rstrip(b"\0")
    return {
        name: Layout(name, *((of, code) for of, code in members))
        for name, members in json.loads(text).items()
    }


def _identities(directory: Path, layouts: Mapping[str, Layout]) -> Left:
    left = Left()
    with Map.from_pin(directory / "vips") as vips:
        for _, value in vips.entries():
            vip = layouts["vip"].named(value)
            if vip["state"] == VipState.SERVED:
                left.services[address(vip["address"])] = layouts["service"].named(vip["service"])["id"]
    with Map.from_pin(directory / "backends") as backends:
        for backend_id in range(1, backends.max_entries):
            one = layouts["backend"].named(backends.lookup(index(backend_id)) or b"")
            if addresses := unpack_addresses(one["addresses"]):
                left.backends[backend_id] = (one["service"], addresses)
    return left


def _pins(
    layouts: Mapping[str, Layout], entries: Iterable[tuple[bytes, bytes]], statistics: bytes
) -> Iterator[tuple[Pin, bytes]]:
    counting = layouts["pin_statistics"]
    for key, value in entries:
        flow, pin = layouts["flow_key"].named(key), layouts["pin"].named(value)
        at = pin["statistics"] * counting.size
        counted = counting.named(statistics[at : at + counting.size])
        yield (
            Pin(
                flow=FlowKey(
                    flow["service"],
                    Proto(flow["proto"]),
                    address(flow["client"]),
                    int.from_bytes(flow["client_port"]),
                    int.from_bytes(flow["service_port"]),
                ),
                backend_id=pin["backend"],
                flags=PinFlag(pin["flags"]),
            ),
            PIN_STATISTICS.pack(*(counted.get(name, 0) for name, _ in PIN_STATISTICS.members)),
        )


def _statistics(directory: Path, layout: Layout) -> bytes:
    """The places of all chunks, one behind the other."""
    found = []
    with Map.from_pin(directory / "statistics") as chunks:
        for number in range(chunks.max_entries):
            if chunks.lookup(index(number)) is None:
                break
            with Map.from_pin(chunk_pin(directory, number)) as standing:
                if standing.value_size != layout.size:
                    raise ValueError("chunks hold another struct than is described")
                memory = standing.memory()
                found.append(memory[: layout.size * standing.max_entries])
                memory.close()
    return b"".join(found)
