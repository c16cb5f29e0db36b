"""Gathers the facts of a balancer or a media server, and has them judged.

The one place where reading and judging meet. Takes one to three seconds: counters are read twice, and the
network is asked in between.
"""

import asyncio
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtspdsr.doctor import balancer as place
from rtspdsr.doctor import clock, firewall, kernel, nic, reach, server, sockets, stack
from rtspdsr.doctor.facts import Watch, read_interfaces
from rtspdsr.doctor.machine import Interface, Process
from rtspdsr.doctor.path import ROUTER
from rtspdsr.errors import AdminError, RtspDsrError
from rtspdsr.finding import Finding
from rtspdsr.preparation import facts as network
from rtspdsr.preparation.check import judge as judge_preparation
from rtspdsr.preparation.check import samples
from rtspdsr.preparation.network import MAIN_TABLE, Route
from rtspdsr.preparation.plan import Request, outward, plan

if TYPE_CHECKING:
    from rtspdsr.config import Config

DAEMON_DESCRIPTORS = 1024  # checks, maps, questions of operators; and four for each backend
ROUTERS_MAX = 16  # to ping; a machine that speaks BGP may have more


def examine_balancer(config: "Config", bits_per_s: int | None) -> list[Finding]:
    """Everything about the balancer, whether the daemon runs or not.

    bits_per_s: of the largest stream; None means as the checks that play have seen it

    Raises RtspDsrError if the machine cannot be read, or is not the daemon's.
    """
    names = config.dataplane.interfaces
    status, silence, backends = _ask(config)
    if status is not None:
        from rtspdsr.admin.beside import require_same_network

        require_same_network(status, config.daemon.run_dir)
    watch = Watch(names, lambda: _verdicts(config))
    found = replace(
        _gather(config),
        status=status,
        silence=silence,
        backends=backends,
        process=_daemon(config.daemon.run_dir) if status else None,
    )
    machine = watch.end()
    findings = list(kernel.judge(machine, kernel.trial()))
    for interface in machine.interfaces.values():
        findings += nic.judge(interface, machine, forwards=True)
    findings += place.judge(found, machine)
    findings += stack.judge_backlog(machine)
    findings.append(sockets.judge_receiving(machine, bits_per_s or _seen(found)))
    findings.append(stack.judge_checks(machine.counters))
    findings.append(firewall.judge_checks(machine.firewall))
    findings += firewall.judge_conntrack(machine)
    if found.process:
        needed = DAEMON_DESCRIPTORS + 4 * len(found.members)
        findings += sockets.judge_descriptors([found.process], "daemon", needed)
    findings.append(clock.judge(machine.clock))
    return findings


def examine_server(request: Request, ports: tuple[int, ...], bits_per_s: int | None) -> list[Finding]:
    """Everything about a media server: its preparation, and what else real-time media needs.

    ports: that media servers listen on for RTSP

    Raises RtspDsrError if the machine cannot be read.
    """
    found = network.read_facts()
    prepared = plan(request, found)
    names = (request.interface,) if request.interface else outward(prepared.routes)
    watch = Watch(names)
    interfaces = {one.name: one for one in read_interfaces(names)}
    echoes = reach.ping(_routers(prepared.routes, interfaces))
    claims = reach.claims(request.vips, interfaces.values())
    findings = judge_preparation(
        request, found, [network.look_up(address) for address in samples(request, found)]
    )
    servers = sockets.listeners(ports)
    findings += server.judge(watch.end(), request.vips, claims, echoes, servers, bits_per_s)
    return findings


def _routers(routes: Iterable[Route], interfaces: Mapping[str, Interface]) -> list[reach.Target]:
    """The routers behind which players are."""
    gateways = {
        hop.gateway: interfaces[hop.interface]
        for route in routes
        for hop in route.hops
        if hop.gateway and hop.interface in interfaces
    }
    return [
        reach.Target(name=ROUTER, address=gateway, interface=interface)
        for gateway, interface in islice(gateways.items(), ROUTERS_MAX)
    ]


def _gather(config: "Config") -> place.Balancer:
    """What there is to know beside the machine and the daemon; asks the network."""
    names = config.dataplane.interfaces
    vips = tuple(vip for service in config.services for vip in service.vips)
    members = tuple(
        place.Member(name=f"{service.name}/{one.name}", addresses=one.addresses)
        for service in config.services
        for one in service.backends
    )
    held = network.read_facts()
    ways = reach.ways([*vips, *(address for member in members for address in member.addresses)])
    interfaces = {one.name: one for one in read_interfaces(names)}
    targets = [
        reach.Target(name=member.name, address=address, interface=interfaces[way.interface])
        for member in members
        for address in member.addresses
        if (way := ways[address]) and not way.local and way.interface in interfaces
    ]
    main = [route for route in held.routes if route.table == MAIN_TABLE]  # ours lead by backends
    echoes = reach.ping([*targets, *_routers(main, interfaces)])
    return place.Balancer(
        names=names,
        vips=vips,
        members=members,
        checked=any(service.health.check != "none" for service in config.services),
        held=held.addresses,
        ways=ways,
        echoes=echoes,
        claims=reach.claims(vips, interfaces.values()),
        known=reach.neighbours(),
        attached=frozenset(_attached(config)),
    )


def _ask(config: "Config") -> tuple[Mapping[str, Any] | None, str, list[Mapping[str, Any]]]:
    """What the daemon says of itself and its backends, or why it says nothing."""
    from rtspdsr.admin import ask

    async def answers() -> tuple[Any, Any]:
        run_dir = config.daemon.run_dir
        return await ask(run_dir, "GET", "/v1/status"), await ask(run_dir, "GET", "/v1/backends")

    try:
        status, backends = asyncio.run(answers())
    except AdminError as error:
        return None, str(error).partition(" (")[0], []
    return status, "", backends


def _seen(found: place.Balancer) -> int | None:
    """The bit rate of the largest stream that the checks have played."""
    rates = [
        check["bits_per_s"]
        for backend in found.backends
        for check in backend["checks"].values()
        if check.get("bits_per_s")
    ]
    return int(max(rates)) if rates else None


def _daemon(run_dir: Path) -> Process | None:
    """The process that listens at the admin socket, if it is ours to see."""
    from rtspdsr.admin.beside import daemon_pid

    with suppress(OSError):
        return sockets.read_process(pid) if (pid := daemon_pid(run_dir)) else None
    return None


def _home(config: "Config") -> Any:
    from rtspdsr.dataplane.bpffs import Home

    return Home(config.dataplane.bpffs, config.dataplane.interfaces)


def _verdicts(config: "Config") -> dict[str, int]:
    """What the XDP program has counted; nothing if none stands."""
    from rtspdsr.dataplane.counters import verdicts

    with suppress(RtspDsrError):
        return {f"xdp.{verdict.name}": packets for verdict, packets in verdicts(_home(config)).items()}
    return {}


def _attached(config: "Config") -> Iterator[str]:
    """The interfaces that a pinned program of ours is on."""
    from rtspdsr.dataplane.libbpf.programs import Link

    with suppress(OSError, RtspDsrError):
        for path in _home(config).links.iterdir():
            with Link.from_pin(path) as link:
                if link.ifindex:
                    yield socket.if_indextoname(link.ifindex)
