"""The way of a check to one backend through the VIP: a packet mark, a rule for it, and a table of its own.

Handed which backend is reached where, it makes the kernel's rules and routes agree: packets with a backend's
mark go to ``VIP via the backend's real address``, and packets with a mark that leads nowhere are refused, so
that no check ever reaches another backend by the main table. What an earlier daemon left is taken over, what
is not wanted any more is removed. It bears a routing protocol number of ours, and nothing else is touched.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from types import TracebackType
from typing import Any, Self

from pyroute2 import AsyncIPRoute
from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST, rtnl
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from rtspdsr.model import Address
from rtspdsr.network.netlink import refused

PROTOCOL = 82  # ours, of rules and routes; not in /etc/iproute2/rt_protos
MARK_MASK = 0xFFFFFFFF
RANGE_MASK = 0xFFFF0000  # marks of one daemon share their upper half
UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Marks, tables and the place among the rules that are ours.

    mark_base:  a multiple of 65,536; backend 5 has mark_base + 5
    table_base: backend 5 has table_base + 5
    priority:   of the rules; the next one is that of the refusal
    """

    mark_base: int
    table_base: int
    priority: int

    def mark(self, backend_id: int) -> int:
        """The packet mark of a backend."""
        return self.mark_base + backend_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One VIP through one backend.

    gateway: the backend's real address, of the VIP's family
    """

    backend_id: int
    vip: Address
    gateway: Address
    ifindex: int


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule as it stands; ``table`` 0 is the refusal."""

    family: int
    mark: int
    table: int


@dataclass(frozen=True, slots=True)
class _Route:
    """A route as it stands."""

    table: int
    vip: Address
    gateway: Address
    ifindex: int


class ProbePath:
    """The rules and routes of one daemon, in the namespace in which it is entered."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    async def __aenter__(self) -> Self:
        try:
            self._netlink = AsyncIPRoute()
            self._dumps = AsyncIPRoute(strict_check=True)  # the kernel filters, not the loop
        except OSError as error:
            raise refused("open a netlink socket", error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._netlink.close()
        self._dumps.close()

    async def lay(self, legs: Iterable[Leg]) -> list[str]:
        """Have these ways and no others. Gives back what the kernel refused, in words.

        Another daemon on this machine has other numbers, and its ways are left alone.
        """
        legs = list(legs)
        routes = {
            _Route(self._numbers.table_base + leg.backend_id, leg.vip, leg.gateway, leg.ifindex)
            for leg in legs
        }
        rules = {
            _Rule(
                _family(leg.vip),
                self._numbers.mark(leg.backend_id),
                self._numbers.table_base + leg.backend_id,
            )
            for leg in legs
        }
        rules |= {_Rule(_family(leg.vip), self._numbers.mark_base, 0) for leg in legs}
        problems: list[str] = []
        standing_rules, standing_routes = await self._rules(), await self._routes()
        # The refusal first and last: a mark never falls through to the main table.
        for rule in sorted(rules - standing_rules, key=lambda one: one.table):
            await self._ask("add", rule, problems)
        for route in standing_routes - routes:
            await self._ask_route("del", route, problems)
        for route in sorted(routes - standing_routes, key=lambda one: one.table):
            await self._ask_route("add", route, problems)
        for rule in sorted(standing_rules - rules, key=lambda one: -one.table):
            await self._ask("del", rule, problems)
        return problems

    # --- what stands ---------------------------------------------------------------------------------

    async def _rules(self) -> set[_Rule]:
        found = set()
        for family in (AF_INET, AF_INET6):
            async for raw in await self._dumps.rule("dump", family=family):
                mark, table = raw.get_attr("FRA_FWMARK"), raw.get_attr("FRA_TABLE") or 0
                if raw.get_attr("FRA_PROTOCOL") != PROTOCOL or mark is None:
                    continue
                if mark & RANGE_MASK == self._numbers.mark_base:
                    refusal = mark == self._numbers.mark_base
                    found.add(_Rule(family, mark, 0 if refusal else table))
        return found

    async def _routes(self) -> set[_Route]:
        found = set()
        tables = range(self._numbers.table_base + 1, self._numbers.table_base + 0x10000)
        for family in (AF_INET, AF_INET6):
            request = rtmsg()
            request["family"], request["proto"] = family, PROTOCOL
            answers = await self._dumps.nlm_request(request, rtnl.RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP)
            async for raw in answers:
                table = raw.get_attr("RTA_TABLE")
                gateway, vip = raw.get_attr("RTA_GATEWAY"), raw.get_attr("RTA_DST")
                if raw["proto"] == PROTOCOL and table in tables and gateway and vip:
                    ifindex = raw.get_attr("RTA_OIF") or 0
                    found.add(_Route(table, ip_address(vip), ip_address(gateway), ifindex))
        return found

    # --- what changes --------------------------------------------------------------------------------

    async def _ask(self, command: str, rule: _Rule, problems: list[str]) -> None:
        wanted: dict[str, Any] = {"family": rule.family, "fwmark": rule.mark, "protocol": PROTOCOL}
        if rule.table:
            wanted |= {"fwmask": MARK_MASK, "table": rule.table, "priority": self._numbers.priority}
        else:
            wanted |= {"fwmask": RANGE_MASK, "action": UNREACHABLE, "priority": self._numbers.priority + 1}
        try:
            await self._netlink.rule(command, **wanted)
        except (NetlinkError, OSError) as error:
            problems.append(str(refused(f"{command} the rule for mark {rule.mark:#x}", error)))

    async def _ask_route(self, command: str, route: _Route, problems: list[str]) -> None:
        try:
            await self._netlink.route(
                command,
                family=_family(route.vip),
                dst=f"{route.vip}/{route.vip.max_prefixlen}",
                gateway=str(route.gateway),
                oif=route.ifindex,
                table=route.table,
                proto=PROTOCOL,
            )
        except (NetlinkError, OSError) as error:
            what = f"{command} the route to {route.vip} via {route.gateway}"
            problems.append(str(refused(what, error)))


def _family(address: Address) -> int:
    return AF_INET if address.version == 4 else AF_INET6
