"""Network interfaces: driver and XDP mode, offloads, rings and drops, queues and CPUs, bridges.

Handed a machine; gives back findings for each of its interfaces. Pure.
"""

from collections.abc import Iterator

from rtspdsr.doctor.machine import Counters, Interface, Machine, XdpMode
from rtspdsr.doctor.stack import losing
from rtspdsr.finding import Finding, Verdict, judged

LOST = ("rx_missed_errors", "rx_fifo_errors", "rx_over_errors")  # the ring was full
BROKEN = ("rx_crc_errors", "rx_frame_errors", "rx_length_errors")  # cable, plug or duplex
SHORT_QUEUE = 100  # packets; a burst of one key frame is longer
BUSY = 10_000  # interrupts; below, nothing can be said of how they are spread
LOPSIDED = 0.9
PLAIN_QUEUES = {"noqueue", "mq", "fq", "fq_codel", "pfifo_fast", "pfifo", "bfifo", "cake", "noop"}


def judge(interface: Interface, machine: Machine, *, forwards: bool) -> Iterator[Finding]:
    """Everything of one interface.

    forwards: XDP forwards on it; else it is a media server's
    """
    name, counters = interface.name, machine.counters
    yield judged(
        f"{name}: link",
        Verdict.OK if interface.up else Verdict.WRONG,
        "up" if interface.up else "down, or without carrier",
        "nothing passes",
        f"ip link set dev {name} up",
    )
    if interface.duplex == "half":
        yield judged(
            f"{name}: duplex",
            Verdict.WRONG,
            "half",
            "media and requests collide, and packets are lost",
            f"ethtool -s {name} duplex full autoneg on",
        )
    if forwards:
        yield _attached(interface)
        yield from _merging(interface)
        yield _tags(interface)
        yield from _unsent(interface, counters)
    else:
        yield from _segmenting(interface)
        yield from _sending(interface, counters)
    yield from _receiving(interface, counters)
    yield _spread(interface, machine, forwards=forwards)
    yield from _bridged(interface, machine)


def _attached(interface: Interface) -> Finding:
    what = f"driver {interface.driver or interface.kind or 'unknown'}"
    why = (
        "native, a packet is forwarded in the driver; generic, only after the kernel has made a buffer for it"
    )
    about = f"{interface.name}: XDP"
    match interface.xdp:
        case None:
            return judged(
                about,
                Verdict.UNKNOWN,
                f"no program is attached, so the mode that {what} can do is not known yet",
                why,
                "rtspdsr run",
            )
        case XdpMode.GENERIC:
            return judged(
                about,
                Verdict.ADVICE,
                f"generic, {what}",
                why,
                'rtspdsr run  # with dataplane.mode = "native": it says why if the driver refuses',
            )
        case mode:
            return judged(about, Verdict.OK, f"{mode}, {what}", why, "")


def _merging(interface: Interface) -> Iterator[Finding]:
    """Frames that are merged before XDP would be forwarded larger than they came.

    Attaching in generic mode turns this off, and most drivers cannot do both: it was turned on since then, or
    stands in the way of native mode.
    """
    hardware = [key for key in ("lro", "rx-gro-hw") if interface.features.get(key)]
    for key in hardware:
        yield judged(
            f"{interface.name}: {key}",
            Verdict.WRONG if interface.xdp is XdpMode.GENERIC else Verdict.ADVICE,
            "on",
            "frames merged before XDP are larger than the MTU, and dropped by the next machine; some drivers "
            "refuse native mode meanwhile",
            f"ethtool -K {interface.name} {key} off",
        )
    if hardware:
        return
    measured = "the hardware merges no frames"
    if interface.features.get("gro") and interface.xdp is XdpMode.GENERIC:
        measured += "; the kernel does (gro), and cuts them again when they leave"
    why = "frames that are merged before XDP are forwarded larger than they came"
    yield judged(f"{interface.name}: LRO and GRO", Verdict.OK, measured, why, "")


def _tags(interface: Interface) -> Finding:
    about = f"{interface.name}: VLAN tags"
    why = "tags that the hardware takes off before XDP are missing from what is forwarded"
    mend = f"ethtool -K {interface.name} rxvlan off"
    if interface.kind == "veth":
        return judged(about, Verdict.OK, "a veth takes none off", why, "")
    if not interface.features.get("rxvlan"):
        return judged(about, Verdict.OK, "left on the frames", why, "")
    if interface.uppers:
        return judged(
            about,
            Verdict.WRONG,
            f"taken off by the hardware, and {', '.join(interface.uppers)} uses them",
            why,
            mend,
        )
    return judged(
        about,
        Verdict.ADVICE,
        "taken off by the hardware; nothing to mend where no tagged frame arrives",
        why,
        mend,
    )


def _unsent(interface: Interface, counters: Counters) -> Iterator[Finding]:
    key = f"{interface.name}.unsent"
    if counters.known(key):
        yield judged(
            f"{interface.name}: frames that XDP could not send",
            losing(counters, key),
            counters.told(key),
            "forwarded, as the verdicts have it, and lost all the same: the driver had no room, or the other "
            "end of a veth has no XDP program",
            f"ethtool -S {interface.name} | grep xdp  # more queues: ethtool -L; larger ring: ethtool -G",
        )


def _segmenting(interface: Interface) -> Iterator[Finding]:
    off = [key for key in ("tso", "gso") if interface.features.get(key) is False]
    if "tso" in interface.features or "gso" in interface.features:
        yield judged(
            f"{interface.name}: segmentation",
            Verdict.ADVICE if off else Verdict.OK,
            f"{' and '.join(off)} off" if off else "by the hardware, or as late as can be",
            "interleaved RTP is TCP: cut into segments early, it costs several times as much CPU",
            f"ethtool -K {interface.name} {' '.join(f'{key} on' for key in off)}",
        )


def _sending(interface: Interface, counters: Counters) -> Iterator[Finding]:
    name = interface.name
    why = "a key frame leaves as one burst: what the queue cannot hold is lost, and the picture breaks"
    plain = interface.queue in PLAIN_QUEUES
    # A veth or bridge has no queue of its own until one is given to it.
    short = interface.queue != "noqueue" and interface.length < SHORT_QUEUE
    measured = f"{interface.queue}, {interface.length} packets"
    if not plain:
        yield judged(
            f"{name}: queueing discipline",
            Verdict.ADVICE,
            f"{interface.queue}: it may delay, limit or drop what is sent",
            why,
            f"tc qdisc del dev {name} root",
        )
    else:
        yield judged(
            f"{name}: transmit queue",
            Verdict.ADVICE if short else Verdict.OK,
            measured,
            why,
            f"ip link set dev {name} txqueuelen 1000",
        )
    key = f"{name}.queue_drops"
    yield judged(
        f"{name}: dropped on sending",
        losing(counters, key, f"{name}.tx_dropped"),
        counters.told(key, f"{name}.tx_dropped"),
        why,
        f"ip link set dev {name} txqueuelen 10000; tc -s qdisc show dev {name}",
    )


def _receiving(interface: Interface, counters: Counters) -> Iterator[Finding]:
    name = interface.name
    lost = [f"{name}.{one}" for one in LOST]
    broken = [f"{name}.{one}" for one in BROKEN]
    why = "requests and receiver reports that find no room in the ring are lost before anything sees them"
    about = f"{name}: receive ring"
    verdict = losing(counters, *lost)
    if interface.ring is None:
        if interface.kind:
            measured = f"not applicable: a {interface.kind} has none"
        else:
            measured = f"driver {interface.driver or 'unknown'} tells of none"
            verdict = verdict if verdict is not Verdict.OK else Verdict.UNKNOWN
        yield judged(about, verdict, f"{measured}; missed {counters.told(*lost)}", why, f"ethtool -S {name}")
    else:
        used, most = interface.ring.used, interface.ring.most
        mend = f"ethtool -G {name} rx {most}"
        if used >= most:
            mend = f"ethtool -L {name} combined N  # the ring is at its largest; more queues share the load"
        yield judged(
            about, verdict, f"{used} of {most} descriptors; missed {counters.told(*lost)}", why, mend
        )
    if counters.total(*broken):
        yield judged(
            f"{name}: damaged frames",
            losing(counters, *broken),
            counters.told(*broken),
            "a cable, plug or port loses packets",
            f"ethtool -S {name} | grep -i err  # then change cable and port",
        )


def _spread(interface: Interface, machine: Machine, *, forwards: bool) -> Finding:
    """Whether more than one CPU takes part in receiving."""
    name, cpus = interface.name, machine.cpus
    about = f"{name}: queues and CPUs"
    why = "one CPU that takes all packets delays every one of them once it is busy"
    if cpus == 1:
        return judged(about, Verdict.OK, "one CPU: nothing to spread", why, "")
    if interface.kind:
        return judged(
            about, Verdict.OK, f"not applicable: a {interface.kind} has no interrupts of its own", why, ""
        )
    queues = interface.queues
    steered = any(set(mask) - set("0,") for mask in interface.steering or ())
    if queues and queues.used < min(queues.most, cpus):
        return judged(
            about,
            Verdict.ADVICE,
            f"{queues.used} of {queues.most} queues in use, for {cpus} CPUs",
            why,
            f"ethtool -L {name} combined {min(queues.most, cpus)}",
        )
    by_cpu = [sum(counts) for counts in zip(*(one.by_cpu for one in interface.interrupts), strict=True)]
    if len(interface.interrupts) > 1 and sum(by_cpu) > BUSY and max(by_cpu) > LOPSIDED * sum(by_cpu):
        busiest = by_cpu.index(max(by_cpu))
        numbers = [one.number for one in interface.interrupts]
        places = "; ".join(
            f"echo {at % cpus} > /proc/irq/{number}/smp_affinity_list" for at, number in enumerate(numbers)
        )
        return judged(
            about,
            Verdict.ADVICE,
            f"CPU {busiest} takes {max(by_cpu) / sum(by_cpu):.0%} of the interrupts of {len(numbers)} queues",
            why,
            places,
        )
    if queues and queues.used == 1 and not steered:
        if forwards and interface.xdp is XdpMode.NATIVE:
            return judged(
                about, Verdict.ADVICE, "one queue, and XDP runs on its CPU alone", why, f"ethtool -l {name}"
            )
        if interface.steering is None:
            measured = "one queue; /sys shows another network namespace, so not whether RPS spreads it"
            return judged(
                about, Verdict.UNKNOWN, measured, why, f"cat /sys/class/net/{name}/queues/rx-*/rps_cpus"
            )
        mask = f"{(1 << cpus) - 1:x}"
        return judged(
            about,
            Verdict.ADVICE,
            "one queue, and no packet steering (RPS)",
            why,
            f"echo {mask} > /sys/class/net/{name}/queues/rx-0/rps_cpus",
        )
    if queues is None and not interface.interrupts:
        return judged(
            about, Verdict.UNKNOWN, "the driver tells of no queues", why, f"grep {name} /proc/interrupts"
        )
    told = f"{queues.used} queues" if queues else f"{len(interface.interrupts)} interrupts"
    return judged(about, Verdict.OK, f"{told} for {cpus} CPUs" + (", steered" if steered else ""), why, "")


def _bridged(interface: Interface, machine: Machine) -> Iterator[Finding]:
    """A bridge between the wire and us may hand what crosses it to the packet filter."""
    bridge = interface.name if interface.kind == "bridge" else interface.master
    about = f"{interface.name}: bridge netfilter"
    why = "the packet filter, and connection tracking, see frames that only cross the bridge, and drop some"
    if not bridge:
        yield judged(about, Verdict.OK, "no bridge in the way", why, "")
        return
    on = [key for key in machine.sysctls if key.startswith("net/bridge/") and machine.sysctl(key)]
    yield judged(
        about,
        Verdict.WRONG if on else Verdict.OK,
        f"on for {bridge}: {', '.join(key.rpartition('/')[2] for key in on)}" if on else f"off for {bridge}",
        why,
        "sysctl -w " + " ".join(f"{key.replace('/', '.')}=0" for key in on),
    )
