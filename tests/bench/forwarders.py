"""What forwards UDP of clients to a server on the same link, by different means.

Each stands for as long as it is entered, at the far end of a wire, and gives the pids of its processes.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

from rtspdsr.dataplane import layout
from rtspdsr.dataplane.layout import index
from rtspdsr.dataplane.libbpf.programs import Link, Program
from rtspdsr.errors import LabError
from rtspdsr.lab.process import wait_until
from rtspdsr.model import FlowKey, Proto
from tests.bench.generator import FIRST_PORT, PORT
from tests.bench.programs import Loaded
from tests.bench.wire import FAR_MAC, NEAR_MAC, End
from tests.packets.frames import CLIENT, VIP
from tests.packets.runner import SERVICE, UP, B, XdpRunner, mac

SERVER = "192.0.2.20"  # at the near end, where nobody answers
STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
LISTENING_S = 10.0
#: Packets under way: less than the ring of a veth or the buffer of a socket holds.
IN_KERNEL, IN_PROCESS = 192, 64

Standing = AbstractContextManager[list[int]]


@dataclass(frozen=True, slots=True)
class Forwarder:
    """One way to forward.

    window: packets under way, of which it loses none
    stand:  entered, it forwards; gives the pids of its processes
    """

    name: str
    window: int
    stand: Callable[[], Standing]


@contextmanager
def forwarders(far: End, clients: int) -> Iterator[list[Forwarder]]:
    """All of them, ready to be stood up one at a time."""
    with ExitStack() as held:
        floor = held.enter_context(closing(Loaded("floor.bpf.c")))
        swap = held.enter_context(floor.program("swap"))
        ours = held.enter_context(_core(far, clients)).program
        directory = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="rtspdsr-bench-")))
        _address(far)
        yield [
            Forwarder("swap of MAC addresses, XDP native", IN_KERNEL, partial(_xdp, far, swap, "native")),
            Forwarder("rtspdsr, XDP native", IN_KERNEL, partial(_xdp, far, ours, "native")),
            Forwarder("rtspdsr, XDP generic", IN_KERNEL, partial(_xdp, far, ours, "generic")),
            Forwarder("nft netdev, map and fwd", IN_KERNEL, partial(_nft, far, clients)),
            Forwarder("nginx stream", IN_PROCESS, partial(_nginx, far, directory)),
            Forwarder("asyncio proxy", IN_PROCESS, partial(_asyncio, far)),
        ]


def _core(far: End, clients: int) -> XdpRunner:
    """The product's program, every client pinned, with statistics."""
    xdp = XdpRunner()
    with far.entered() as ifindex:
        backend = layout.BACKEND.pack(mac(NEAR_MAC), mac(FAR_MAC), ifindex, UP, SERVICE.service_id, bytes(32))
    xdp.maps["backends"].update(index(B), backend)
    for number in range(clients):
        flow = FlowKey(SERVICE.service_id, Proto.UDP, IPv4Address(CLIENT), FIRST_PORT + number, 0)
        xdp.maps["pins"].update(layout.pack_flow(flow), layout.PIN.pack(1 + number, B, 0))
    return xdp


def _address(far: End) -> None:
    """What a proxy needs of its machine; the others do not notice."""
    far.run("ip", "address", "add", f"{VIP}/24", "dev", far.interface)
    far.run("ip", "neighbour", "add", SERVER, "lladdr", NEAR_MAC, "dev", far.interface)
    far.run("ip", "route", "add", "default", "via", SERVER)


@contextmanager
def _xdp(far: End, program: Program, mode: str) -> Iterator[list[int]]:
    with far.entered() as ifindex:
        link = Link.attach(program, ifindex, mode)
    try:
        yield []
    finally:
        link.detach()
        link.close()


@contextmanager
def _nft(far: End, clients: int) -> Iterator[list[int]]:
    pins = ", ".join(f"{CLIENT} . {FIRST_PORT + number} : {NEAR_MAC}" for number in range(clients))
    far.run("nft", "-f", "-", text=f"""
        table netdev bench {{
            map pins {{ type ipv4_addr . inet_service : ether_addr; elements = {{ {pins} }}; }}
            chain forward {{
                type filter hook ingress device "{far.interface}" priority 0;
                ip daddr {VIP} ether saddr set {FAR_MAC} \\
                    ether daddr set ip saddr . udp sport map @pins fwd to "{far.interface}"
            }}
        }}
    """)  # fmt: skip
    try:
        yield []
    finally:
        far.run("nft", "delete", "table", "netdev", "bench")


@contextmanager
def _nginx(far: End, directory: Path) -> Iterator[list[int]]:
    if not shutil.which("nginx") or not STREAM.exists():
        raise LabError("nginx with its stream module is not there; install it: apt/install-missing bench.txt")
    config = directory / "nginx.conf"
    config.write_text(f"""
        load_module {STREAM};
        user root;
        daemon off;
        master_process off;
        pid {directory}/nginx.pid;
        error_log {directory}/error.log;
        events {{ worker_connections 4096; }}
        stream {{ server {{ listen {VIP}:{PORT} udp rcvbuf=4m; proxy_pass {SERVER}:{PORT}; }} }}
    """)
    with _listening(far, ["nginx", "-p", str(directory), "-c", str(config)]) as pids:
        yield pids


def _asyncio(far: End) -> Standing:
    return _listening(far, [sys.executable, "-m", "tests.bench.udp_proxy", VIP, str(PORT), SERVER])


@contextmanager
def _listening(far: End, command: list[str]) -> Iterator[list[int]]:
    bound = f"{int.from_bytes(IPv4Address(VIP).packed, 'little'):08X}:{PORT:04X}"
    with far.running(command) as pid:
        sockets = Path(f"/proc/{pid}/net/udp")
        wait_until(lambda: bound in sockets.read_text(), LISTENING_S, f"{command[0]} to listen")
        yield [pid]
