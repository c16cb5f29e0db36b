"""Reads the counters of a forwarding core that stands, with or without a daemon."""

from rtspdsr.dataplane.bpffs import Home
from rtspdsr.dataplane.layout import Verdict, index
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.errors import DataplaneError


def verdicts(home: Home) -> dict[Verdict, int]:
    """Packets by verdict, all CPUs. Raises DataplaneError if nothing is attached."""
    if not home.pins.exists():
        raise DataplaneError(
            f"no forwarding core stands for {', '.join(home.interfaces)}; start the daemon (rtspdsr run)"
        )
    with Map.from_pin(home.pins / "verdicts") as counted:
        return count(counted)


def count(counted: Map) -> dict[Verdict, int]:
    """Packets by verdict in an open map."""
    return {
        one: sum(int.from_bytes(value, "little") for value in counted.lookup_percpu(index(one)))
        for one in Verdict
    }
