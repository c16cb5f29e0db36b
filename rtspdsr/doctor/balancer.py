"""The balancer's own place in the network: VIPs, backends, the way to them, the program and the daemon.

Handed what ``examine`` gathered; gives back findings. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any

from rtspdsr.doctor.machine import Claim, Counters, Echo, Machine, Process, Way
from rtspdsr.doctor.path import judge_path
from rtspdsr.doctor.stack import losing
from rtspdsr.finding import Finding, Verdict, judged
from rtspdsr.model import Address
from rtspdsr.preparation.network import HeldAddress

PINS_ADVICE = 0.8  # as the daemon warns
STRICT = 1  # rp_filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A backend by the configuration."""

    name: str
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Balancer:
    """What there is to know of a balancer beside its machine.

    names:    of the forwarding core's interfaces
    checked:  whether backends are checked through the VIPs
    held:     every address of this machine
    ways:     where the kernel would send packets to VIPs and backends
    known:    MAC address -> what answers by it
    attached: interfaces that a program of ours is on
    status:   what the daemon says of itself; None if none answers
    silence:  why it does not answer
    backends: what the daemon says of backends
    process:  the daemon's, if it could be looked at
    """

    names: tuple[str, ...]
    vips: tuple[Address, ...]
    members: tuple[Member, ...]
    checked: bool
    held: Sequence[HeldAddress] = ()
    ways: Mapping[Address, Way | None] = field(default_factory=dict)
    echoes: Sequence[Echo] = ()
    claims: Sequence[Claim] = ()
    known: Mapping[str, Sequence[Address]] = field(default_factory=dict)
    attached: frozenset[str] = frozenset()
    status: Mapping[str, Any] | None = None
    silence: str = ""
    backends: Sequence[Mapping[str, Any]] = ()
    process: Process | None = None

    def owner(self, mac: str) -> str:
        """Whose MAC address that is, as far as known: the backend's name, or its addresses."""
        addresses = self.known.get(mac, ())
        for member in self.members:
            if set(member.addresses) & set(addresses):
                return member.name
        return ", ".join(map(str, addresses))


def judge(balancer: Balancer, machine: Machine) -> Iterator[Finding]:
    """All of it."""
    yield from _program(balancer, machine)
    yield from _daemon(balancer)
    yield from _verdicts(machine.counters)
    for vip in balancer.vips:
        yield from _placed(vip, balancer)
        yield _claimed(vip, balancer)
    yield from _reverse_path(balancer, machine)
    yield from _flux(balancer, machine)
    for member in balancer.members:
        yield _member(member, balancer)
    yield from _sizes(balancer, machine)
    for echo in balancer.echoes:
        yield judge_path(echo, _widen(echo, balancer))


def _program(balancer: Balancer, machine: Machine) -> Iterator[Finding]:
    why = "without it, nobody answers for the VIPs"
    for name in balancer.names:
        interface = machine.interfaces.get(name)
        about = f"{name}: program"
        if interface is None:
            yield judged(
                about,
                Verdict.WRONG,
                "there is no such interface",
                why,
                "ip -brief link  # and name one of these in dataplane.interfaces",
            )
        elif name in balancer.attached and interface.xdp:
            yield judged(about, Verdict.OK, "ours is attached", why, "")
        elif interface.xdp:
            yield judged(
                about,
                Verdict.WRONG,
                "another XDP program holds the interface",
                why,
                f"ip link set dev {name} xdp off  # if nobody needs it; refused: bpftool link",
            )
        elif balancer.status is not None:
            yield judged(
                about,
                Verdict.WRONG,
                "a daemon runs, and no program is attached",
                why,
                "systemctl restart rtspdsr",
            )
        else:
            yield judged(
                about, Verdict.UNKNOWN, "not attached, as no daemon has been started", why, "rtspdsr run"
            )


def _daemon(balancer: Balancer) -> Iterator[Finding]:
    about = "daemon"
    why = "while it is gone, forwarding goes on, and requests are forwarded unread"
    status = balancer.status
    if status is None:
        standing = bool(balancer.attached)
        yield judged(
            about,
            Verdict.WRONG if standing else Verdict.UNKNOWN,
            balancer.silence + ("" if standing else "; the rest is judged by the configuration alone"),
            why,
            "systemctl start rtspdsr; journalctl -u rtspdsr -n 50",
        )
        return
    yield judged(about, Verdict.OK, f"up for {status['uptime_s']:.0f} s", why, "")
    share = status["pins"] / status["pins_max"]
    refused = status["pins_refused"]
    yield judged(
        "pins",
        Verdict.WRONG if refused else Verdict.ADVICE if share >= PINS_ADVICE else Verdict.OK,
        f"{status['pins']:,} of {status['pins_max']:,}, {refused:,} refused",
        "a session without a pin goes by its client's address, and may lose its backend with it",
        f"rtspdsr check  # after dataplane.pins_max = {2 * status['pins_max']}; then restart the daemon",
    )
    for key, what, mend in (
        ("faults", "faults", "journalctl -u rtspdsr -p warning -n 50"),
        ("reinjections_failed", "requests lost on their way on", "journalctl -u rtspdsr -p warning -n 50"),
        (
            "lines_dropped",
            "log lines dropped",
            "df -h /var/log/rtspdsr  # then a faster disk, or log.queue_max",
        ),
        ("journal_failed", "journal not written", "df -h /var/lib/rtspdsr"),
    ):
        if status.get(key):
            yield judged(
                what, Verdict.ADVICE, f"{status[key]}", "the daemon counted it since its start", mend
            )


def _verdicts(counters: Counters) -> Iterator[Finding]:
    """What the XDP program counted that should not be."""
    why_unread = "a session whose SETUP was not read has no pins: its UDP goes by its client's address"
    for name, what, why, mend in (
        (
            "RING_FULL",
            "requests forwarded unread: ring full",
            why_unread,
            "rtspdsr check  # after raising dataplane.segments_ring_mib; then systemctl restart rtspdsr",
        ),
        (
            "TRACKER_DEAD",
            "requests forwarded unread: no tracker",
            why_unread,
            "systemctl status rtspdsr; journalctl -u rtspdsr -n 50",
        ),
        (
            "NO_BACKEND",
            "packets dropped: no backend",
            "their clients were served by nobody",
            "rtspdsr backends",
        ),
        (
            "FROM_BACKEND",
            "packets of backends to a VIP",
            "a backend cannot be a client of its own VIP: what it sends there is dropped",
            "ss -tn dst VIP  # on the backend, to see what connects there",
        ),
    ):
        key = f"xdp.{name}"
        if counters.known(key) and counters.total(key):
            yield judged(what, losing(counters, key), counters.told(key), why, mend)


def _placed(vip: Address, balancer: Balancer) -> Iterator[Finding]:
    about = f"VIP {vip} on the balancer"
    why = "the forwarding core answers for it; as an address of this machine, checks would reach this machine"
    held = [one for one in balancer.held if one.address == vip]
    for one in held:
        yield judged(
            about,
            Verdict.WRONG,
            f"it is an address of {one.interface}",
            why,
            f"ip address del {vip}/{one.prefix_length} dev {one.interface}",
        )
    if held:
        return
    yield judged(about, Verdict.OK, "no address of this machine", why, "")
    way = balancer.ways.get(vip)
    inside = way is not None and way.gateway is None and way.interface in balancer.names
    through = f"by {way.interface}" + (f" via {way.gateway}" if way.gateway else "") if way else "nowhere"
    yield judged(
        f"way to VIP {vip}",
        Verdict.OK if inside else Verdict.ADVICE,
        f"on the link, {through}" if inside else f"{through}: not an address of the balancer's own networks",
        "answers to checks come from the VIP, and the kernel must know where it is",
        f"ip -{vip.version} route add {vip} dev {balancer.names[0]}",
    )


def _claimed(vip: Address, balancer: Balancer) -> Finding:
    about = f"who else answers for VIP {vip}"
    claims = [one for one in balancer.claims if one.vip == vip]
    why = "players that hear that answer bypass the balancer, and their sessions break"
    if not claims:
        return judged(about, Verdict.OK, "nobody", why, "")
    names = [(one, balancer.owner(one.mac)) for one in claims]
    measured = ", ".join(
        f"{one.mac}" + (f" ({name})" if name else "") + f" on {one.interface}" for one, name in names
    )
    backends = {member.name for member in balancer.members}
    culprits = [name for _, name in names if name in backends]
    if culprits:
        mend = f"on {culprits[0]}: rtspdsr backend check  # it names the setting, and how to mend it"
    else:
        take = "while read -r _ dev _ address _; do ip address del $address dev $dev; done"
        mend = f"on {names[0][1] or names[0][0].mac}: ip -o address show to {vip} | {take}"
    return judged(about, Verdict.WRONG, measured, why, mend)


def _reverse_path(balancer: Balancer, machine: Machine) -> Iterator[Finding]:
    """Answers to checks come in from a VIP; a filter that knows another way to it drops them."""
    everywhere = machine.sysctl("net/ipv4/conf/all/rp_filter") or 0
    for name in balancer.names:
        own = machine.sysctl(f"net/ipv4/conf/{name}/rp_filter")
        if own is None:
            continue
        value = max(everywhere, own)
        about = f"{name}: reverse-path filter"
        why = "answers to checks come from the VIP; dropped, every backend seems to be down"
        for vip in balancer.vips:
            way = balancer.ways.get(vip)
            if vip.version == 6 or not value or (way and way.local):
                continue
            if way is None:
                mend = f"ip route add {vip} dev {name}"
            elif value == STRICT and way.interface != name:
                mend = f"sysctl -w net.ipv4.conf.{name}.rp_filter=2"
            else:
                continue
            yield judged(
                about,
                Verdict.WRONG if balancer.checked else Verdict.ADVICE,
                f"{value} in effect, and the way to VIP {vip} is "
                + (f"by {way.interface}" if way else "unknown"),
                why,
                mend,
            )
            break
        else:
            yield judged(about, Verdict.OK, f"{value} in effect", why, "")


def _flux(balancer: Balancer, machine: Machine) -> Iterator[Finding]:
    """Two interfaces in one network answer ARP for each other's addresses."""
    mine = [one for one in balancer.held if one.interface in balancer.names and one.address.version == 4]
    networks: dict[Any, set[str]] = {}
    for one in mine:
        networks.setdefault(ip_interface((one.address, one.prefix_length)).network, set()).add(one.interface)
    for network, names in networks.items():
        if len(names) > 1:
            quiet = machine.sysctl("net/ipv4/conf/all/arp_ignore") or machine.sysctl(
                "net/ipv4/conf/all/arp_filter"
            )
            yield judged(
                "ARP of several interfaces",
                Verdict.OK if quiet else Verdict.ADVICE,
                f"{' and '.join(sorted(names))} are in {network}"
                + ("" if quiet else ", and each answers for the other"),
                "answers to checks come in by the wrong interface",
                "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2",
            )


def _member(member: Member, balancer: Balancer) -> Finding:
    """Whether a backend is in a network of the balancer's, and what the daemon says of it."""
    about = f"backend {member.name}"
    why = "only the destination MAC of a packet changes, so a backend must be a neighbour"
    for address in member.addresses:
        way = balancer.ways.get(address)
        place = f"ip -{address.version} route get {address}"
        if way is None:
            problem = f"no way leads to {address}"
            mend = f"ip address add ADDRESS/PREFIX dev {balancer.names[0]}  # one in the network of {address}"
        elif way.local:
            problem, mend = f"{address} is an address of this machine", f"ip address show to {address}"
        elif way.gateway:
            problem = f"{address} is behind the router {way.gateway}"
            mend = f"{place}  # the balancer needs an interface in that network"
        elif way.interface not in balancer.names:
            problem = f"{address} is reached by {way.interface}, where nothing is forwarded"
            mend = f"{place}  # then name {way.interface} in dataplane.interfaces"
        else:
            continue
        return judged(about, Verdict.WRONG, problem, why, mend)
    told = next((one for one in balancer.backends if _name(one) == member.name), None)
    if told is not None and told["state"] in ("unresolved", "down"):
        measured = f"{told['state']}: {told['problem'] or 'for no reason that the daemon knows'}"
        mend = f"ping -c 3 {member.addresses[0]}; on {member.name}: rtspdsr backend check"
        return judged(about, Verdict.WRONG, measured, "it gets no new clients", mend)
    if told is None and not _resolved(member, balancer):
        measured = f"nobody answers ARP or ND for {' or '.join(map(str, member.addresses))}"
        mend = f"ping -c 3 {member.addresses[0]}  # is it on, in this network, and is that its address?"
        return judged(about, Verdict.WRONG, measured, "it gets no clients", mend)
    return judged(about, Verdict.OK, told["state"] if told else "a neighbour", why, "")


def _resolved(member: Member, balancer: Balancer) -> bool:
    return any(set(member.addresses) & set(addresses) for addresses in balancer.known.values())


def _sizes(balancer: Balancer, machine: Machine) -> Iterator[Finding]:
    interfaces = [machine.interfaces[name] for name in balancer.names if name in machine.interfaces]
    sizes = sorted({one.mtu for one in interfaces})
    if len(sizes) > 1:
        small = [one.name for one in interfaces if one.mtu < sizes[-1]]
        yield judged(
            "MTU of the interfaces",
            Verdict.WRONG,
            ", ".join(f"{one.name} {one.mtu}" for one in interfaces),
            "a frame that came in by one interface does not fit through the other, and is dropped",
            "; ".join(f"ip link set dev {name} mtu {sizes[-1]}" for name in small),
        )


def _widen(echo: Echo, balancer: Balancer) -> str:
    """The command that widens a backend's interface; it finds the interface by its way to us."""
    own = next(
        (
            one.address
            for one in balancer.held
            if one.interface == echo.interface and one.address.version == echo.address.version
        ),
        None,
    )
    find = f"ip -o route get {own} | sed 's/.* dev \\([^ ]*\\).*/\\1/'"
    return f"on {echo.name}: ip link set dev $({find}) mtu {echo.mtu}"


def _name(told: Mapping[str, Any]) -> str:
    return f"{told['service']}/{told['name']}"
