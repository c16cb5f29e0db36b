"""Sockets: buffers against the bit rate of the streams, TCP's habits, file descriptors.

``judge_`` functions are pure; ``listeners`` reads which processes listen on a port, in /proc.
"""

from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from pathlib import Path

from rtspdsr.doctor.machine import Machine, Process, Share
from rtspdsr.finding import Finding, Verdict, judged

CHARGED = 2304 / 1400  # what the kernel counts for an octet of RTP in packets of 1,400 (measured)
FRAME_S = 0.04  # of a stream: one picture; without room for it nothing plays
BURST_S = 0.25  # of a stream: a key frame, which servers send at once
STALL_S = 0.5  # of a stream: what an interleaved connection holds while a lost segment is sent again
SESSION_SOCKETS = 5  # of a session with sound and picture over UDP
FEW = 4096  # descriptors: some 800 sessions
NEARLY = 0.8
LISTEN = "0A"
PROC = Path("/proc")


def judge_sending(machine: Machine, bits_per_s: int | None) -> Iterator[Finding]:
    """A media server's send buffers."""
    about = "UDP send buffer against the bit rate"
    why = "a key frame leaves as one burst: what the buffer cannot hold is lost on the server itself"
    yield _against_rate(machine, about, "wmem", bits_per_s, why)
    text = machine.sysctls.get("net/ipv4/tcp_wmem", "").split()
    if bits_per_s and len(text) == 3:
        needed = int(STALL_S * bits_per_s / 8 * CHARGED)
        yield judged(
            "TCP send buffer against the bit rate",
            Verdict.OK if int(text[2]) >= needed else Verdict.ADVICE,
            f"{int(text[2]):,} octets; half a second of {_rate(bits_per_s)} takes {needed:,}",
            "interleaved media waits there while a lost segment is sent again; then servers drop pictures",
            f"sysctl -w net.ipv4.tcp_wmem='{text[0]} {text[1]} {2 * needed}'",
        )
    yield from _slow_start(machine)


def judge_receiving(machine: Machine, bits_per_s: int | None) -> Finding:
    """The balancer's receive buffers, for checks that play."""
    about = "UDP receive buffer against the bit rate"
    why = "a check that plays a stream tells of losses that no player has if a burst does not fit"
    return _against_rate(machine, about, "rmem", bits_per_s, why)


def judge_descriptors(processes: Sequence[Process], what: str, needed: int) -> Iterator[Finding]:
    """File descriptors of running processes.

    what:   each of them is: "media server", "daemon"
    needed: descriptors that a healthy one may come to use
    """
    why = "a process out of file descriptors takes no new connection"
    for one in processes:
        used, most = one.descriptors.used, one.descriptors.most
        verdict = Verdict.OK
        if used > NEARLY * most:
            verdict = Verdict.WRONG
        elif most < needed:
            verdict = Verdict.ADVICE
        yield judged(
            f"file descriptors of {what} {one.name}",
            verdict,
            f"{used:,} in use, {most:,} allowed{_sessions(most - used, what)} (pid {one.pid})",
            why,
            f"prlimit --pid {one.pid} --nofile=65536:65536  # and for good: LimitNOFILE=65536 in its unit",
        )


def listeners(ports: Sequence[int]) -> list[Process]:
    """The processes of this network namespace that listen on these TCP ports."""
    inodes = {
        f"socket:[{inode}]"
        for file in ("tcp", "tcp6")
        if (table := PROC / "thread-self/net" / file).exists()
        for inode in parse_listeners(table.read_text(), ports)
    }
    own = (PROC / "thread-self/ns/net").readlink()
    found = []
    for directory in PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is not ours to see
            if (directory / "ns/net").readlink() == own and _holds(directory, inodes):
                found.append(read_process(int(directory.name)))
    return sorted(found, key=lambda one: one.pid)


def _holds(directory: Path, inodes: Set[str]) -> bool:
    for descriptor in directory.glob("fd/*"):
        with suppress(OSError):  # closed meanwhile
            if str(descriptor.readlink()) in inodes:
                return True
    return False


def parse_listeners(table: str, ports: Sequence[int]) -> Iterator[str]:
    """The inodes of sockets that listen on these ports, from the text of /proc/net/tcp or tcp6."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) in ports:
            yield fields[9]


def read_process(pid: int) -> Process:
    """A process as /proc tells of it. OSError if it is gone, or not ours to see."""
    directory = PROC / str(pid)
    limit = next(
        line.split()[3]
        for line in (directory / "limits").read_text().splitlines()
        if line.startswith("Max open files")
    )
    most = 1 << 30 if limit == "unlimited" else int(limit)
    used = sum(1 for _ in (directory / "fd").iterdir())
    return Process(
        pid=pid, name=(directory / "comm").read_text().strip(), descriptors=Share(used=used, most=most)
    )


def _sessions(free: int, what: str) -> str:
    return f", room for {free // SESSION_SOCKETS:,} sessions over UDP" if what == "media server" else ""


def _against_rate(machine: Machine, about: str, kind: str, bits_per_s: int | None, why: str) -> Finding:
    room = machine.sysctl(f"net/core/{kind}_default")
    if room is None:
        return judged(
            about,
            Verdict.UNKNOWN,
            f"net.core.{kind}_default is not shown in this network namespace",
            why,
            f"sysctl net.core.{kind}_default  # in the host's own network namespace",
        )
    holds = room / CHARGED
    if not bits_per_s:
        rate = _rate(int(8 * holds / BURST_S))
        measured = f"{room:,} octets: enough up to {rate}; the bit rate of the streams is not known here"
        return judged(about, Verdict.UNKNOWN, measured, why, "the same command with --bitrate 8M")
    verdict = Verdict.OK
    if holds < FRAME_S * bits_per_s / 8:
        verdict = Verdict.WRONG
    elif holds < BURST_S * bits_per_s / 8:
        verdict = Verdict.ADVICE
    needed = int(2 * BURST_S * bits_per_s / 8 * CHARGED)
    return judged(
        about,
        verdict,
        f"{room:,} octets: {1000 * 8 * holds / bits_per_s:.0f} ms of {_rate(bits_per_s)}",
        why,
        f"sysctl -w net.core.{kind}_default={needed} net.core.{kind}_max={2 * needed}",
    )


def _slow_start(machine: Machine) -> Iterator[Finding]:
    slow = machine.sysctl("net/ipv4/tcp_slow_start_after_idle")
    if slow is not None:
        yield judged(
            "TCP after a pause",
            Verdict.ADVICE if slow else Verdict.OK,
            "begins slowly again" if slow else "goes on at its speed",
            "an interleaved stream that was paused, or rests between pictures, stutters after each rest",
            "sysctl -w net.ipv4.tcp_slow_start_after_idle=0",
        )


def _rate(bits_per_s: int) -> str:
    return f"{bits_per_s / 1e6:.3g} Mb/s"
