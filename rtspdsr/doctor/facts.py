"""Reads what a machine is and does: netlink, ethtool, /proc and /sys.

Handed the names of interfaces; gives back ``Machine``. It changes nothing. Interfaces, counters of the
network and most settings are those of the calling process's network namespace; /sys shows the one it was
mounted in, and is believed only where it agrees with netlink.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from rtspdsr.doctor import clock, ethtool, firewall
from rtspdsr.doctor.machine import Counters, Interface, Interrupt, Machine, XdpMode
from rtspdsr.errors import RtspDsrError

PROC = Path("/proc")
SYS = Path("/sys")
IFF_UP = 0x1
SETTINGS = (
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/bridge/bridge-nf-call-arptables",
    "net/core/bpf_jit_enable",
    "net/core/netdev_max_backlog",
    "net/core/rmem_default",
    "net/core/rmem_max",
    "net/core/wmem_default",
    "net/core/wmem_max",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/all/arp_ignore",
    "net/ipv4/conf/all/arp_filter",
    "net/ipv4/tcp_slow_start_after_idle",
    "net/ipv4/tcp_wmem",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_loose",
)
XDP_MODES = {  # as pyroute2 names XDP_ATTACHED_*
    "xdp": XdpMode.NATIVE,
    "xdpgeneric": XdpMode.GENERIC,
    "xdpoffload": XdpMode.OFFLOADED,
    "xdpmulti": XdpMode.SEVERAL,
}
SOFTNET = {0: "processed", 1: "dropped", 2: "squeezed"}  # columns of softnet_stat
NOT_QUEUES = ("config", "async", "output")  # interrupts that tell of no frames received
Read = Callable[[], Mapping[str, int]]


class Watch:
    """Reads the counters twice, and everything else the second time.

    Whoever holds it may do other things between ``begin`` and ``end``, such as asking the network.

    further: more counters to read along with the machine's own
    """

    def __init__(self, interfaces: Iterable[str], further: Read = dict) -> None:
        self._names = tuple(interfaces)
        self._further = further
        self._began = time.monotonic()
        self._first = self._counted()

    def end(self) -> Machine:
        """All facts. ``RtspDsrError`` if the kernel does not let us read them."""
        last = self._counted()
        seconds = time.monotonic() - self._began
        sysctls = _sysctls([*SETTINGS, *(f"net/ipv4/conf/{name}/rp_filter" for name in self._names)])
        return Machine(
            release=os.uname().release,
            cpus=os.cpu_count() or 1,
            interfaces={one.name: one for one in read_interfaces(self._names)},
            sysctls=sysctls,
            counters=Counters(first=self._first, last=last, seconds=seconds),
            clock=clock.read(),
            firewall=firewall.read(),
        )

    def _counted(self) -> dict[str, int]:
        return {**read_counters(self._names), **self._further()}


def read_interfaces(names: Iterable[str]) -> Iterator[Interface]:
    """Those of these interfaces that are there."""
    links = _links()
    by_index = {link["index"]: link for link in links}
    interrupts = (PROC / "interrupts").read_text()
    for link in links:
        if (name := _name(link)) not in names:
            continue
        master = by_index.get(link.get_attr("IFLA_MASTER"))
        told = ethtool.ask(name)
        parent = link.get_attr("IFLA_PARENT_DEV_NAME") or ""
        yield Interface(
            name=name,
            mac=link.get_attr("IFLA_ADDRESS") or "",
            up=bool(link["flags"] & IFF_UP) and link.get_attr("IFLA_CARRIER") == 1,
            mtu=link.get_attr("IFLA_MTU"),
            kind=_kind(link),
            driver=_driver(name),
            master=_name(master) if master else "",
            uppers=tuple(
                _name(upper)
                for upper in links
                if _kind(upper) == "vlan" and upper.get_attr("IFLA_LINK") == link["index"]
            ),
            queue=link.get_attr("IFLA_QDISC") or "",
            length=link.get_attr("IFLA_TXQLEN") or 0,
            xdp=_xdp(link),
            features=told.features,
            ring=told.ring,
            queues=told.queues,
            duplex=told.duplex,
            steering=read_steering(SYS / "class/net" / name, link["index"], link.get_attr("IFLA_ADDRESS")),
            interrupts=tuple(parse_interrupts(interrupts, name, parent)) if parent else (),
        )


def read_counters(names: Iterable[str]) -> dict[str, int]:
    """Everything that is counted, by ``what.name``."""
    counted = {f"softnet.{key}": value for key, value in _softnet().items()}
    for file in ("snmp", "snmp6", "netstat"):
        with suppress(FileNotFoundError):
            counted |= parse_snmp((PROC / "thread-self/net" / file).read_text())
    with suppress(FileNotFoundError):
        counted |= parse_conntrack((PROC / "thread-self/net/stat/nf_conntrack").read_text())
    with _netlink() as netlink:
        for link in netlink.get_links():
            if (name := _name(link)) in names:
                statistics = link.get_attr("IFLA_STATS64")
                counted |= {f"{name}.{key}": value for key, value in statistics.items()}
                if (unsent := ethtool.unsent(name)) is not None:
                    counted[f"{name}.unsent"] = unsent
                for queue in netlink.get_qdiscs(index=link["index"]):
                    statistics = queue.get_attr("TCA_STATS2")
                    inner = statistics.get_attr("TCA_STATS_QUEUE") if statistics else None
                    if queue["index"] == link["index"] and inner:
                        key = f"{name}.queue_drops"
                        counted[key] = counted.get(key, 0) + inner["drops"]
    return counted


def parse_snmp(text: str) -> dict[str, int]:
    """/proc/net/snmp and netstat: a line of names, then one of values; snmp6: a name and a value a line."""
    counted: dict[str, int] = {}
    lines = [line.split() for line in text.splitlines()]
    if lines and not lines[0][0].endswith(":"):
        return {f"ip6.{name}": int(value) for name, value in lines}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        group = names[0].rstrip(":").lower()
        counted |= {f"{group}.{name}": int(value) for name, value in zip(names[1:], values[1:], strict=True)}
    return counted


def parse_conntrack(text: str) -> dict[str, int]:
    """/proc/net/stat/nf_conntrack: a line of names, and one of hexadecimal values for each CPU."""
    names, *rows = (line.split() for line in text.splitlines())
    columns = {name: sum(int(row[at], 16) for row in rows) for at, name in enumerate(names)}
    return {f"conntrack.{name}": columns[name] for name in ("invalid", "drop", "insert_failed")}


def parse_softnet(text: str) -> dict[str, int]:
    """/proc/net/softnet_stat: hexadecimal values, a line for each CPU."""
    rows = [line.split() for line in text.splitlines()]
    return {name: sum(int(row[at], 16) for row in rows) for at, name in SOFTNET.items()}


def parse_interrupts(text: str, interface: str, parent: str) -> Iterator[Interrupt]:
    """The lines of /proc/interrupts that are an interface's queues'.

    parent: the device that the interface belongs to; virtio names its interrupts after it, some drivers
            write its PCI address into them
    """
    heads, *lines = text.splitlines()
    cpus = len(heads.split())
    for line in lines:
        number, _, rest = line.partition(":")
        words = rest.split()
        if not number.strip().isdigit() or len(words) <= cpus:
            continue
        name = words[-1]
        begins = name == interface or name.startswith((f"{interface}-", f"{interface}:", f"{parent}-"))
        if (begins or name.endswith(f"pci:{parent}")) and not any(part in name for part in NOT_QUEUES):
            yield Interrupt(number=int(number), name=name, by_cpu=tuple(map(int, words[:cpus])))


def read_steering(directory: Path, index: int, mac: str | None) -> tuple[str, ...] | None:
    """The CPU mask of each receive queue, if the directory is that interface's."""
    try:
        if (directory / "ifindex").read_text().strip() != str(index):
            return None
        if (directory / "address").read_text().strip() != mac:
            return None
        return tuple(file.read_text().strip() for file in sorted(directory.glob("queues/rx-*/rps_cpus")))
    except OSError:
        return None


def _links() -> list[Any]:
    with _netlink() as netlink:
        return list(netlink.get_links())


def _netlink() -> IPRoute:
    try:
        return IPRoute()
    except (NetlinkError, OSError) as error:
        raise RtspDsrError(f"the kernel's network state is not readable: {error}; run as root") from error


def _name(link: Any) -> str:
    return str(link.get_attr("IFLA_IFNAME"))


def _kind(link: Any) -> str:
    info = link.get_attr("IFLA_LINKINFO")
    return (info and info.get_attr("IFLA_INFO_KIND")) or ""


def _driver(name: str) -> str:
    from rtspdsr.dataplane.offload import driver

    return driver(name)


def _xdp(link: Any) -> XdpMode | None:
    told = link.get_attr("IFLA_XDP")
    return XDP_MODES.get(told.get_attr("IFLA_XDP_ATTACHED")) if told else None


def _softnet() -> dict[str, int]:
    return parse_softnet((PROC / "net/softnet_stat").read_text())


def _sysctls(keys: Iterable[str]) -> dict[str, str]:
    found = {}
    for key in keys:
        with suppress(OSError):
            found[key] = (PROC / "sys" / key).read_text().strip()
    return found
