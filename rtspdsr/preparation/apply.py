"""Performs steps and reverses them: netlink through pyroute2, sysctls through /proc/sys, files.

Handed steps and the place of the record; gives back what became of each step. Decides nothing: what to do
is in ``plan.py``. Either all steps of a preparation stand or none does; where even taking back fails, the
record keeps what stands, and the error names it.
"""

import contextlib
import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from rtspdsr.errors import PreparationError
from rtspdsr.preparation.facts import PROC_SYS, RTNH_F_ONLINK, SCOPE_HOST, read_sysctl
from rtspdsr.preparation.network import LOOPBACK, Hop, Route, RouteKind, Rule
from rtspdsr.preparation.record import Record, save
from rtspdsr.preparation.steps import (
    AddAddress,
    AddRoute,
    AddRule,
    DropRoute,
    SetSysctl,
    Step,
    WriteFile,
)

IFA_F_NODAD = 0x02
SCOPE_UNIVERSE = 0
SCOPE_LINK = 253
ABSENT = (errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL)


class Outcome(StrEnum):
    """What became of a step that was to be undone."""

    UNDONE = "undone"
    GONE = "was gone already"
    CHANGED = "left: changed since by someone else"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """A step and what became of it."""

    step: Step
    outcome: Outcome


def prepare(record: Record, steps: Sequence[Step], state: Path) -> Record:
    """Perform the steps, recording each before it is done; take all back if one fails."""
    before = record
    performed: list[Step] = []
    with IPRoute() as netlink:
        try:
            for step in steps:
                record = record.with_step(step)
                save(record, state)
                performed.append(step)
                _perform(step, netlink)
        except BaseException as error:
            # What netlink refused did not happen; all else may have, even if Ctrl-C cut it short.
            refused = performed.pop() if isinstance(error, NetlinkError) else None
            standing = _take_back(performed, netlink)
            if standing:
                save(record.without(tuple(set(record.steps) - set(before.steps) - set(standing))), state)
            else:
                _restore(before, state)
            if isinstance(error, (OSError, NetlinkError)):
                failed = refused or performed[-1]
                raise PreparationError(_failure(failed, error, standing)) from error
            raise
    record = record.settled()
    save(record, state)
    return record


def undo(record: Record, state: Path) -> list[Undone]:
    """Reverse every recorded step, the latest first, and remove the record."""
    done: list[Undone] = []
    failures: list[tuple[Step, Exception]] = []
    with IPRoute() as netlink:
        for step in reversed(record.settled().steps):
            try:
                done.append(Undone(step=step, outcome=_reverse(step, netlink)))
            except (OSError, NetlinkError) as error:
                failures.append((step, error))
    if failures:
        standing = tuple(step for step, _ in failures)
        save(record.without(tuple(result.step for result in done)), state)
        reasons = "; ".join(f"{step.what} {step.new}: {error}" for step, error in failures)
        raise PreparationError(f"{len(standing)} steps could not be undone and stay recorded: {reasons}")
    state.unlink(missing_ok=True)
    return done


def _perform(step: Step, netlink: IPRoute) -> None:
    match step:
        case SetSysctl():
            (PROC_SYS / step.key).write_text(step.new)
        case AddAddress():
            netlink.addr("add", **_address(step, netlink))
        case AddRoute():
            netlink.route("add", **_route(step.route, netlink))
        case DropRoute():
            netlink.route("del", **_route(step.route, netlink))
        case AddRule():
            netlink.rule("add", **_rule(step.rule))
        case WriteFile():
            for directory in step.made:
                directory.mkdir(exist_ok=True)
            step.path.write_text(step.text)


def _reverse(step: Step, netlink: IPRoute) -> Outcome:
    try:
        match step:
            case SetSysctl():
                return _reverse_sysctl(step)
            case AddAddress():
                netlink.addr("del", **_address(step, netlink))
            case AddRoute():
                netlink.route("del", **_route(step.route, netlink))
            case DropRoute():
                netlink.route("add", **_route(step.route, netlink))
            case AddRule():
                netlink.rule("del", **_rule(step.rule))
            case WriteFile():
                return _reverse_file(step)
    except FileNotFoundError:
        return Outcome.GONE
    except NetlinkError as error:
        if error.code in ABSENT:
            return Outcome.GONE
        raise
    return Outcome.UNDONE


def _reverse_sysctl(step: SetSysctl) -> Outcome:
    current = read_sysctl(step.key)
    if current == step.old:
        return Outcome.GONE
    if current != step.new:
        return Outcome.CHANGED
    (PROC_SYS / step.key).write_text(step.old)
    return Outcome.UNDONE


def _reverse_file(step: WriteFile) -> Outcome:
    outcome = Outcome.CHANGED
    if step.path.read_text() == step.text:
        outcome = Outcome.UNDONE
        if step.before is None:
            step.path.unlink()
        else:
            step.path.write_text(step.before)
    for directory in reversed(step.made):
        with contextlib.suppress(OSError):  # someone else's file is in it
            directory.rmdir()
    return outcome


def _take_back(performed: Sequence[Step], netlink: IPRoute) -> list[Step]:
    """Reverse the steps, the latest first; gives back those that resisted."""
    standing: list[Step] = []
    for step in reversed(performed):
        try:
            _reverse(step, netlink)
        except (OSError, NetlinkError):
            standing.append(step)
    return standing


def _restore(before: Record, state: Path) -> None:
    """The record as it was before; a preparation that never came to be has none."""
    if before.steps:
        save(before, state)
    else:
        state.unlink(missing_ok=True)


def _failure(step: Step, error: Exception, standing: Sequence[Step]) -> str:
    text = f"{step.what} {step.new}: {error}; "
    if not standing:
        return text + "all steps before it were taken back"
    left = ", ".join(f"{left.what} {left.new}" for left in standing)
    return text + f"these could not be taken back: {left}; mend the cause and run `rtspdsr backend undo`"


def _address(step: AddAddress, netlink: IPRoute) -> dict[str, Any]:
    message: dict[str, Any] = {
        "index": _index(LOOPBACK, netlink),
        "address": str(step.vip),
        "prefixlen": step.vip.max_prefixlen,
    }
    if step.vip.version == 4:
        return {**message, "scope": SCOPE_HOST}
    return {**message, "flags": IFA_F_NODAD, "preferred_lft": 0}


def _route(route: Route, netlink: IPRoute) -> dict[str, Any]:
    version = route.destination.version
    local = version == 4 and not any(hop.gateway or hop.onlink for hop in route.hops)
    message: dict[str, Any] = {
        "family": _family(version),
        "dst": str(route.destination),
        "table": route.table,
        "type": route.kind.value,
        "proto": "static",
        "scope": SCOPE_LINK if local and route.kind is RouteKind.UNICAST else SCOPE_UNIVERSE,
    }
    if route.metric:
        message["priority"] = route.metric
    if route.source:
        message["prefsrc"] = str(route.source)
    if route.mtu:
        message["metrics"] = {"mtu": route.mtu}
    if len(route.hops) == 1:
        return {**message, **_hop(route.hops[0], version, netlink)}
    if route.hops:
        message["multipath"] = [{**_hop(hop, version, netlink), "hops": hop.weight - 1} for hop in route.hops]
    return message


def _hop(hop: Hop, version: int, netlink: IPRoute) -> dict[str, Any]:
    message: dict[str, Any] = {"oif": _index(hop.interface, netlink)}
    if hop.gateway and hop.gateway.version == version:
        message["gateway"] = str(hop.gateway)
    elif hop.gateway:
        message["via"] = {"family": _family(hop.gateway.version), "addr": str(hop.gateway)}
    if hop.onlink:
        message["flags"] = RTNH_F_ONLINK
    return message


def _rule(rule: Rule) -> dict[str, Any]:
    message: dict[str, Any] = {
        "family": _family(rule.version),
        "priority": rule.priority,
        "table": rule.table,
    }
    if rule.incoming:
        message["iifname"] = rule.incoming
    if rule.protocol:
        message["ip_proto"] = rule.protocol
    if rule.ports:
        message["dport_range"] = f"{rule.ports[0]}:{rule.ports[1]}"
    return message


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _index(interface: str, netlink: IPRoute) -> int:
    found = netlink.link_lookup(ifname=interface)
    if not found:
        raise OSError(errno.ENODEV, f"there is no interface {interface!r}")
    return int(found[0])
