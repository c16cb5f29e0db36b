"""What the forwarding core costs a packet, in nanoseconds, without an interface (BPF_PROG_TEST_RUN).

Each kind of packet, from one client and from many drawn at random, against three programs that do less:
nothing, a swap of MAC addresses (the floor), and one hash lookup with a rewrite (the reference). The ratio
to what the reference took in the same round is the figure to judge by: it holds where nanoseconds swing.
What drawing a client costs is measured in the same rounds, before the empty program, and taken off.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from itertools import islice
from operator import truediv
from statistics import median

from scapy.packet import Packet

from rtspdsr.dataplane import layout
from rtspdsr.dataplane.layout import CHUNK_PINS, Verdict, index
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.dataplane.libbpf.programs import Program
from rtspdsr.model import FlowKey, Proto
from tests.bench import plots as drawing
from tests.bench.part import Tell
from tests.bench.plots import Plot
from tests.bench.programs import Drawn, Loaded
from tests.bench.rounds import Spread, interleave
from tests.bench.table import Table
from tests.packets.frames import BACKEND_B, CLIENT_PORT, ELSEWHERE, RTSP_PORT, built, ip, media, rtsp
from tests.packets.runner import LOOPBACK, SERVICE, UP, B, XdpRunner, mac

TITLE = "Forwarding core"
ROUNDS = 31
FLOWS = (1, 10_000, 100_000, 1_000_000)
RUNS = 50_000  # of a side in a round: some 3 to 30 ms
CLIENTS = {4: "10.0.0.0", 6: "2001:db8:c::a00:0"}  # the first of each family; draw.bpf.c counts up from it
SOURCE_ENDS = {4: 26, 6: 34}  # octets of the frame before the last four of its source address
SEQUENCE = 38  # octets before the sequence number of TCP in IPv4
BATCH = 65_536  # entries written to a map at once
PUNCH = bytes(40)
REPORT = bytes.fromhex("81c90007") + bytes(28)  # RTCP: a receiver report with one block


def key(version: int, proto: Proto) -> bytes:
    """The flow of the first client."""
    client = ip_address(CLIENTS[version])
    port = RTSP_PORT if proto is Proto.TCP else 0
    return layout.pack_flow(FlowKey(SERVICE.service_id, proto, client, CLIENT_PORT, port))


def counted_up(first: bytes, flows: int) -> Iterator[bytes]:
    """A key that begins with the first client's address, for so many clients."""
    head, number, tail = first[:12], int.from_bytes(first[12:16]), first[16:]
    return (head + (number + at).to_bytes(4) + tail for at in range(flows))


def fill(target: Map, keys: Iterable[bytes], values: Iterable[bytes]) -> None:
    """Write entries in batches."""
    entries = zip(keys, values, strict=False)
    while batch := list(islice(entries, BATCH)):
        target.update_batch(*map(b"".join, zip(*batch, strict=True)))


def pinned(version: int, proto: Proto, xdp: XdpRunner, flows: int) -> None:
    """Pins with statistics, each at a place of its own."""
    values = (layout.PIN.pack(1 + number, B, 0) for number in range(flows))
    fill(xdp.maps["pins"], counted_up(key(version, proto), flows), values)


def placed(xdp: XdpRunner, flows: int) -> None:
    """Clients with sessions."""
    client = layout.pack_client(SERVICE.service_id, ip_address(CLIENTS[4]))
    fill(xdp.maps["clients"], counted_up(client, flows), iter(partial(index, B), None))


def nothing(xdp: XdpRunner, flows: int) -> None:
    """Only the service, its backends and its slots."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kind of packet, what the maps hold for it, and the verdict that proves it to be of that kind.

    renewed: whether every packet has another sequence number
    """

    name: str
    sent: Packet
    verdict: Verdict
    furnish: Callable[[XdpRunner, int], None]
    version: int = 4
    renewed: bool = False


def network(version: int, vip: str | None = None) -> Packet:
    """The network layer, first client to VIP."""
    return ip(version, CLIENTS[version], vip)


CASES = (
    Case(name="pinned UDP, IPv4", sent=media(network=network(4), payload=PUNCH), verdict=Verdict.PINNED,
         furnish=partial(pinned, 4, Proto.UDP)),
    Case(name="pinned UDP, IPv6", sent=media(network=network(6), payload=PUNCH), verdict=Verdict.PINNED,
         furnish=partial(pinned, 6, Proto.UDP), version=6),
    Case(name="pinned TCP ACK", sent=rtsp(network=network(4)), verdict=Verdict.PINNED,
         furnish=partial(pinned, 4, Proto.TCP)),
    Case(name="pinned RTCP RR", sent=media(network=network(4), payload=REPORT), verdict=Verdict.PINNED,
         furnish=partial(pinned, 4, Proto.UDP)),
    Case(name="unpinned UDP, by client", sent=media(network=network(4), payload=PUNCH),
         verdict=Verdict.BY_CLIENT, furnish=placed),
    Case(name="new flow (SYN)", sent=rtsp(network=network(4), flags="S"), verdict=Verdict.BY_SLOT,
         furnish=nothing, renewed=True),
    Case(name="not ours", sent=media(network=network(4, ELSEWHERE), payload=PUNCH),
         verdict=Verdict.NOT_A_VIP, furnish=nothing),
)  # fmt: skip
FLOOR = ("empty", "swap", "reference")
DRAW = "draw"
DRAWN = ("empty", "reference", "pinned UDP, IPv4", "unpinned UDP, by client", "new flow (SYN)", "not ours")
COMPARED = ("reference", *(case.name for case in CASES if case.verdict is Verdict.PINNED), "not ours")


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of the table.

    nanoseconds: of a packet, without the draw
    ratio:       to what the reference took in the same round, with as many flows
    """

    case: str
    flows: int
    nanoseconds: Spread
    ratio: Spread


def core(case: Case, flows: int) -> XdpRunner:
    """The forwarding core, sized and furnished for a case."""
    chunks = flows // CHUNK_PINS + 1
    xdp = XdpRunner(
        {"pins": 1_000_000, "clients": 1_000_000, "flows": 262_144, "newcomers": 65_536, "statistics": chunks}
    )
    case.furnish(xdp, flows)
    ran = xdp.run(built(case.sent))
    if ran.verdict is not case.verdict:
        raise AssertionError(f"{case.name}: left as {ran.verdict.name}, not as {case.verdict.name}")
    return xdp


def least(flows: int) -> Loaded:
    """The programs to be measured against, the reference's map filled."""
    programs = Loaded("floor.bpf.c")
    backend = layout.BACKEND.pack(mac(BACKEND_B.mac), mac(BACKEND_B.source), LOOPBACK, UP, 3, bytes(32))
    fill(programs.maps["flows"], counted_up(key(4, Proto.UDP), flows), iter(lambda: backend, None))
    return programs


def run(program: Program, frame: bytes) -> float:
    """One measurement."""
    return program.test_run(frame, ifindex=LOOPBACK, repeat=RUNS).nanoseconds


def measure(flows: int, rounds: int, tell: Tell) -> list[Cell]:
    """Every case and what it is measured against, with so many flows."""
    sides: dict[str, Callable[[], float]] = {}
    drawn: set[str] = set()
    with ExitStack() as stack:

        def side(name: str, program: Program, case: Case) -> None:
            if flows > 1 or case.renewed or name == DRAW:
                sequence = SEQUENCE if case.renewed else 0
                drawing = Drawn(program, flows, SOURCE_ENDS[case.version], sequence)
                program = stack.enter_context(closing(drawing)).drawing
                drawn.add(name)
            sides[name] = partial(run, program, built(case.sent))

        floor = stack.enter_context(closing(least(flows)))
        sides["empty"] = partial(run, floor.program("empty"), built(CASES[0].sent))
        side(DRAW, floor.program("empty"), CASES[0])
        for name in ("swap", "reference"):
            side(name, floor.program(name), CASES[0])
        for case in CASES:
            side(case.name, stack.enter_context(core(case, flows)).program, case)
        measured = interleave(sides, rounds, lambda words: tell(f"{flows:,} flows, {words}"))
    draw = median(measured.pop(DRAW)) - median(measured["empty"])
    net = {name: [one - draw * (name in drawn) for one in values] for name, values in measured.items()}
    return [
        Cell(name, flows, Spread.of(values), Spread.of(list(map(truediv, values, net["reference"]))))
        for name, values in net.items()
    ]


def bench(rounds: int, tell: Tell) -> list[Cell]:
    """The whole part."""
    return [cell for flows in FLOWS for cell in measure(flows, rounds, tell)]


def tables(cells: list[Cell]) -> list[Table]:
    """Median (first to ninth tenth), median of the ratios."""
    counts = sorted({cell.flows for cell in cells})
    shown = {(cell.case, cell.flows): f"{cell.nanoseconds:.0f}, {cell.ratio.median:.2f}x" for cell in cells}
    head = ["ns a packet", *(f"{count:,} flow{'s' * (count > 1)}" for count in counts)]
    cases = dict.fromkeys(cell.case for cell in cells)
    return [Table(head, [[case, *(shown[case, count] for count in counts)] for case in cases])]


def plots(cells: list[Cell]) -> list[Plot]:
    """What flows cost, and how that compares with the reference."""
    return [
        drawing.lines(
            "flows",
            "Nanoseconds a packet, by flows drawn at random",
            {case: points for case, points in _by_case(cells, "nanoseconds").items() if case in DRAWN},
            x="flows",
            y="ns",
            log_x=True,
            log_y=True,
        ),
        drawing.lines(
            "ratio",
            "What a pinned packet takes, in what the reference takes",
            {case: points for case, points in _by_case(cells, "ratio").items() if case in COMPARED},
            x="flows",
            y="times the reference",
            log_x=True,
        ),
    ]


def _by_case(cells: list[Cell], figure: str) -> dict[str, list[tuple[float, Spread]]]:
    series: dict[str, list[tuple[float, Spread]]] = {}
    for cell in cells:
        series.setdefault(cell.case, []).append((cell.flows, getattr(cell, figure)))
    return series
