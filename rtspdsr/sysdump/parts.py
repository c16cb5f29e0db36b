"""What a bug report needs of this machine: each part a name, a word on it, and how it is gathered.

A part that cannot be had says why instead: a report is gathered where something is broken.
"""

import json
import os
import platform
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from rtspdsr.config import Config
from rtspdsr.errors import RtspDsrError

COMMAND_TIMEOUT_S = 20.0
COMMAND_BYTES = 4 << 20  # of one command's output; `ip neigh` of a large network has a few hundred KiB
LOG_LINES = 2_000  # the last of the session log: some 500 KiB
SESSIONS = 1_000  # live ones, the first that the daemon tells
ENTRIES_COUNTED = 2_000_000  # of one map: a second or two

Ask = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the archive.

    gather: its text; an RtspDsrError or OSError becomes that text
    """

    name: str
    about: str
    gather: Callable[[], str]


def parts(config: Config, file: Path, ask: Ask) -> Iterator[Part]:
    """All parts, in the order in which they are gathered.

    file: the configuration file
    ask:  the daemon's answer to a GET; raises RtspDsrError
    """
    yield Part("versions.txt", "rtspdsr, Python, its packages, kernel, distribution", _versions)
    yield Part("config/file.toml", "the configuration file", file.read_text)
    in_force = config.daemon.run_dir / "config.json"
    yield Part(
        "config/in-force.json", "the configuration in force, as the daemon wrote it", in_force.read_text
    )
    for name, path, about in (
        ("status", "/v1/status", "services, backends, sessions, counters"),
        ("backends", "/v1/backends", "checks of each backend, and what clients tell of it"),
        ("top", "/v1/top", "busiest URLs, worst quality, newest failures"),
        ("sessions", f"/v1/sessions?limit={SESSIONS}", f"live sessions, {SESSIONS:,} at most"),
        (
            "ended",
            f"/v1/sessions?state=ended&limit={SESSIONS}",
            f"sessions that ended, the last {SESSIONS:,}",
        ),
    ):
        yield Part(f"daemon/{name}.json", f"the daemon's {about}", _asked(ask, path))
    yield Part("xdp/verdicts.json", "why packets left the XDP program", lambda: _verdicts(config))
    yield Part(
        "xdp/maps.json", "sizes and entries of the program's maps, without contents", lambda: _maps(config)
    )
    yield Part(
        "session-log.jsonl", f"the session log's last {LOG_LINES:,} lines", lambda: _tail(config.log.file)
    )
    for name, words, about in _commands(config):
        yield Part(f"system/{name}.txt", about, _command(words))


def _commands(config: Config) -> Iterator[tuple[str, tuple[str, ...], str]]:
    yield "journal", ("journalctl", "-u", "rtspdsr", "-n", "500", "--no-pager"), "what the daemon said"
    yield "links", ("ip", "-d", "-s", "-s", "link"), "interfaces and their counters"
    yield "addresses", ("ip", "address"), "addresses"
    yield "rules", ("sh", "-c", "ip -4 rule; ip -6 rule"), "routing rules"
    yield "routes", ("sh", "-c", "ip -4 route show table all; ip -6 route show table all"), "all routes"
    yield "neighbours", ("ip", "neighbour"), "ARP and ND"
    yield "sockets", ("ss", "-s"), "sockets in numbers"
    yield "nft", ("nft", "list", "ruleset"), "packet filter"
    yield "tc", ("sh", "-c", "tc -s qdisc; tc filter show"), "queueing disciplines and filters"
    yield "sysctl", ("sysctl", "-a", "-r", r"^net\.(core|ipv4|ipv6|bridge|netfilter)"), "kernel settings"
    yield "softnet", ("cat", "/proc/net/softnet_stat"), "packets that the kernel dropped, by CPU"
    yield "interrupts", ("cat", "/proc/interrupts"), "interrupts by CPU"
    yield "memory", ("cat", "/proc/meminfo"), "memory"
    yield "bpftool", ("bpftool", "net"), "BPF programs on interfaces"
    for interface in config.dataplane.interfaces:
        for option, about in (
            ("-i", "driver"),
            ("-k", "offloads"),
            ("-g", "ring sizes"),
            ("-l", "channels"),
            ("-c", "interrupt coalescing"),
            ("-S", "the driver's counters"),
        ):
            name = f"ethtool-{interface}{option}"
            yield name, ("ethtool", option, interface), f"{about} of {interface}"


def _versions() -> str:
    os_release = Path("/etc/os-release")
    installed = sorted(f"{one.name} {one.version}" for one in distributions())
    return "\n".join(
        (
            f"python {platform.python_version()}",
            " ".join(os.uname()),
            os_release.read_text() if os_release.exists() else "",
            *installed,
            "",
        )
    )


def _asked(ask: Ask, path: str) -> Callable[[], str]:
    return lambda: json.dumps(ask(path), indent=1)


def _verdicts(config: Config) -> str:
    from rtspdsr.dataplane.bpffs import Home
    from rtspdsr.dataplane.counters import verdicts

    counted = verdicts(Home(config.dataplane.bpffs, config.dataplane.interfaces))
    return json.dumps({verdict.name.lower(): packets for verdict, packets in counted.items()}, indent=1)


def _maps(config: Config) -> str:
    from rtspdsr.dataplane.bpffs import Home

    home = Home(config.dataplane.bpffs, config.dataplane.interfaces)
    if not home.path.exists():
        raise RtspDsrError(f"no forwarding core is pinned at {home.path}")
    found = {
        str(pin.relative_to(home.path)): _map(pin)
        for directory in (*home.standing(), home.next_pins)
        for pin in sorted(directory.glob("*"))
    }
    return json.dumps(found, indent=1)


def _map(pin: Path) -> Mapping[str, object]:
    """Size, and for a hash map how many entries it holds."""
    from itertools import islice

    from rtspdsr.dataplane.libbpf.maps import Map

    hashes = {"pins", "flows", "clients", "newcomers", "backend_macs", "interfaces"}
    try:
        with Map.from_pin(pin) as one:
            counted = sum(1 for _ in islice(one.entries(), ENTRIES_COUNTED)) if pin.name in hashes else None
            return {
                "type": one.type,
                "key_bytes": one.key_size,
                "value_bytes": one.value_size,
                "entries_max": one.max_entries,
                "entries": counted,
            }
    except RtspDsrError as error:
        return {"problem": str(error)}


def _tail(file: str) -> str:
    with Path(file).open(encoding="utf-8", errors="replace") as lines:
        return "".join(deque(lines, maxlen=LOG_LINES))


def _command(words: tuple[str, ...]) -> Callable[[], str]:
    return lambda: run(words)


def run(words: tuple[str, ...]) -> str:
    """What a command prints, and how it ended if that was not well."""
    shown = f"$ {' '.join(words)}\n"
    try:
        ran = subprocess.run(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        return f"{shown}{words[0]} is not installed\n"
    except subprocess.TimeoutExpired:
        return f"{shown}no answer within {COMMAND_TIMEOUT_S:.0f} s\n"
    text = ran.stdout[:COMMAND_BYTES].decode(errors="replace")
    return f"{shown}{text}" + (f"ended with {ran.returncode}\n" if ran.returncode else "")
