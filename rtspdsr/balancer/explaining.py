"""What the XDP program would do with a client's packets, in the operator's names."""

from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic_ns

from rtspdsr.admin.answers import ExplanationAnswer
from rtspdsr.config import Config
from rtspdsr.dataplane.bpffs import Home
from rtspdsr.dataplane.explanation import Explanation, explain
from rtspdsr.dataplane.layout import BACKEND, MEANINGS, index, unpack_addresses
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.errors import DataplaneError
from rtspdsr.model import Address
from rtspdsr.sessionlog import Names

#: The maps that are read.
MAPS = (
    "vips",
    "pins",
    "flows",
    "clients",
    "newcomers",
    "backends",
    "slot_tables",
    "slots",
    "schedules",
    "turns",
    "turns_taken",
    "rooms",
    "admissions",
    "control",
)


def explanation(one: Explanation, names: Names) -> ExplanationAnswer:
    """As the API tells it."""
    return {
        "kind": one.kind.value,
        "service": names.service(one.service_id),
        "vip": str(one.vip),
        "client_port": one.client_port or None,
        "service_port": one.service_port or None,
        "backend": None if one.backend_id is None else names.backend(one.backend_id),
        "verdict": one.verdict.name.lower(),
        "meaning": MEANINGS[one.verdict],
        "steps": [
            {
                "tier": step.tier,
                "backend": None if step.backend_id is None else names.backend(step.backend_id),
                "problem": step.problem,
                "taken": step.taken,
            }
            for step in one.steps
        ],
    }


def explain_without_daemon(config: Config, client: Address, port: int | None) -> list[ExplanationAnswer]:
    """The same from the maps that a daemon has left, as root. Raises DataplaneError if none stand."""
    home = Home(config.dataplane.bpffs, config.dataplane.interfaces)
    if not home.in_force.exists():
        raise DataplaneError(
            f"no daemon answers, and no forwarding core of this version stands for "
            f"{', '.join(home.interfaces)}; start the daemon (rtspdsr run)"
        )
    with ExitStack() as opened:
        maps = {name: opened.enter_context(Map.from_pin(home.in_force / name)) for name in MAPS}
        vips = [vip for section in config.services for vip in section.vips]
        found = list(explain(maps, vips, client, port, monotonic_ns()))
        names = _Configured(config, maps["backends"], found)
        return [explanation(one, names) for one in found]


class _Configured:
    """The names that the configuration has for the numbers in the maps."""

    def __init__(self, config: Config, backends: Map, found: list[Explanation]) -> None:
        self._config, self._backends = config, backends
        self._vip = {one.service_id: one.vip for one in found}

    def service(self, service_id: int) -> str | None:
        """By its VIP."""
        vip = self._vip.get(service_id)
        return next((one.name for one in self._config.services if vip in one.vips), None)

    def backend(self, backend_id: int) -> str | None:
        """By its addresses, which stand beside it."""
        packed = self._backends.lookup(index(backend_id)) or bytes(BACKEND.size)
        known = BACKEND.named(packed)
        addresses = set(unpack_addresses(known["addresses"]))
        return next(self._named(self.service(known["service"]), addresses), None)

    def _named(self, service: str | None, addresses: set[Address]) -> Iterator[str]:
        for section in self._config.services:
            for one in section.backends:
                if section.name == service and addresses & set(one.addresses):
                    yield one.name
