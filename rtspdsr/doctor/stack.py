"""The kernel's network stack: packets that it dropped, cut up, or had to send again.

Handed counters; gives back findings. Pure. A loss that goes on now is wrong, one of the past is told.
"""

from collections.abc import Iterator

from rtspdsr.doctor.machine import Counters, Machine
from rtspdsr.finding import Finding, Verdict, judged

SHARE_WRONG = 0.001  # of the packets of these seconds; one in a thousand shows in a picture
RESENT_ADVICE = 0.02
SEGMENTS_MIN = 10_000  # below, a share says nothing


def losing(counters: Counters, *names: str) -> Verdict:
    """How these counters of losses stand: growing is wrong, having grown once is worth knowing."""
    if counters.lately(*names):
        return Verdict.WRONG
    return Verdict.ADVICE if counters.total(*names) else Verdict.OK


def judge_backlog(machine: Machine) -> Iterator[Finding]:
    """The queue of each CPU (softnet)."""
    counters = machine.counters
    backlog = machine.sysctl("net/core/netdev_max_backlog")
    dropped = counters.lately("softnet.dropped")
    verdict = Verdict.ADVICE if counters.total("softnet.dropped") else Verdict.OK
    if dropped > SHARE_WRONG * max(counters.lately("softnet.processed"), 1):
        verdict = Verdict.WRONG
    yield judged(
        "CPU backlog",
        verdict,
        f"dropped {counters.told('softnet.dropped')}",
        "packets that find a CPU's queue full are dropped, whosever they are",
        f"sysctl -w net.core.netdev_max_backlog={4 * (backlog or 1000)}",
    )
    squeezed = counters.lately("softnet.squeezed")
    yield judged(
        "CPU time for packets",
        Verdict.ADVICE if squeezed > machine.cpus * counters.seconds * 10 else Verdict.OK,
        f"ran out {counters.told('softnet.squeezed')} times",
        "when a CPU's turn is over before its packets are, the rest wait",
        "sysctl -w net.core.netdev_budget=600 net.core.netdev_budget_usecs=4000",
    )


def judge_media(counters: Counters) -> Iterator[Finding]:
    """What a media server's own traffic met."""
    full = ("udp.SndbufErrors", "ip6.Udp6SndbufErrors")
    yield judged(
        "UDP send buffers",
        losing(counters, *full),
        f"full {counters.told(*full)} times",
        "RTP that a media server could not hand over is lost on the server itself",
        "sysctl -w net.core.wmem_default=1048576 net.core.wmem_max=4194304  # then restart the media server",
    )
    pieces = ("ip.FragCreates", "ip6.Ip6FragCreates")
    yield judged(
        "fragments sent",
        Verdict.ADVICE if counters.total(*pieces) else Verdict.OK,
        counters.told(*pieces),
        "RTP packets larger than the MTU are cut: one lost piece loses the packet, and many NATs drop pieces",
        "ip -s link  # compare MTUs; then have the media server make smaller packets (1,400 octets or less)",
    )
    sent, again = counters.total("tcp.OutSegs"), counters.total("tcp.RetransSegs")
    enough = sent > SEGMENTS_MIN
    yield judged(
        "TCP segments sent again",
        Verdict.ADVICE if enough and again > RESENT_ADVICE * sent else Verdict.OK,
        f"{again:,} of {sent:,}",
        "interleaved media stands still until a lost segment is there",
        "nstat -a TcpRetransSegs TcpOutSegs TcpExtTCPTimeouts; ss -ti '( sport = :554 )'",
    )


def judge_checks(counters: Counters) -> Finding:
    """What the balancer's own checks receive."""
    full = ("udp.RcvbufErrors", "ip6.Udp6RcvbufErrors")
    return judged(
        "UDP receive buffers",
        losing(counters, *full),
        f"full {counters.told(*full)} times",
        "checks that play a stream then tell of losses that no player has",
        "sysctl -w net.core.rmem_default=1048576 net.core.rmem_max=4194304",
    )
