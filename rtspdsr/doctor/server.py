"""A media server's own place in the network: who answers for its VIP, and its way to players. Pure."""

from collections.abc import Iterator, Sequence

from rtspdsr.doctor import clock, firewall, nic, sockets, stack
from rtspdsr.doctor.machine import Claim, Echo, Machine, Process
from rtspdsr.doctor.path import judge_path
from rtspdsr.finding import Finding, Verdict, judged
from rtspdsr.model import Address


def judge(
    machine: Machine,
    vips: Sequence[Address],
    claims: Sequence[Claim],
    echoes: Sequence[Echo],
    servers: Sequence[Process],
    bits_per_s: int | None,
) -> Iterator[Finding]:
    """All that matters to media and is not part of the preparation.

    claims:  who answered for the VIPs, which should be the balancer alone
    echoes:  pings of the routers towards players
    servers: processes that listen for RTSP
    """
    for vip in vips:
        yield _served(vip, claims)
    for interface in machine.interfaces.values():
        yield from nic.judge(interface, machine, forwards=False)
    for echo in echoes:
        yield judge_path(echo)
    if not echoes:
        yield Finding(
            about="MTU to players",
            verdict=Verdict.UNKNOWN,
            measured="no router is between, as far as the routes tell, so there is nobody to ping",
            why="a larger packet is lost without a word",
            mend="ping -M do -s 1472 PLAYER",
        )
    yield from stack.judge_backlog(machine)
    yield from stack.judge_media(machine.counters)
    yield from sockets.judge_sending(machine, bits_per_s)
    if servers:
        yield from sockets.judge_descriptors(servers, "media server", sockets.FEW)
    else:
        yield Finding(
            about="media server",
            verdict=Verdict.UNKNOWN,
            measured="nothing listens on the RTSP port",
            why="its limit of file descriptors says how many sessions it can have",
            mend="ss -tlnp  # then the same command with --port PORT",
        )
    yield from firewall.judge(machine)
    yield from firewall.judge_conntrack(machine)
    yield clock.judge(machine.clock)


def _served(vip: Address, claims: Sequence[Claim]) -> Finding:
    about = f"who answers for VIP {vip}"
    why = "the balancer alone should: players that hear another answer bypass it"
    macs = sorted({claim.mac for claim in claims if claim.vip == vip})
    if not macs:
        return judged(
            about,
            Verdict.UNKNOWN,
            "nobody: the balancer is in another network, or does not serve",
            why,
            "on the balancer: rtspdsr doctor",
        )
    several = len(macs) > 1
    mend = "on the balancer: rtspdsr doctor  # it names the machine that should not answer"
    return judged(about, Verdict.WRONG if several else Verdict.OK, ", ".join(macs), why, mend)
