"""The sides: how players reach the stream, and what balances on the way.

Peers run in the balancer's namespace of a lab without rtspdsr, at its own address. Each is told to use what
it has for the job, and one worker.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rtspdsr.errors import LabError
from rtspdsr.lab.daemon import NAME as DAEMON
from rtspdsr.lab.player import Transport
from rtspdsr.lab.process import wait_until
from rtspdsr.lab.topology import RTSP_PORT, VIP4
from tests.bench.claim.ground import BACKEND, Ground

DIRECT = "direct"
LISTEN_WAIT_S = 15.0
BOTH = (Transport.UDP, Transport.TCP)
TCP = (Transport.TCP,)

HAPROXY = f"""\
global
  nbthread 1
  maxconn 4096
defaults
  mode tcp
  option splice-auto
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen rtsp
  bind {{here}}:{{port}} backlog 4096
  server source {{backend}}:{RTSP_PORT}
"""

NGINX = f"""\
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {{file}}.pid;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
events {{{{ worker_connections 8192; }}}}
stream {{{{
  server {{{{
    listen {{here}}:{{port}} backlog=4096;
    proxy_pass {{backend}}:{RTSP_PORT};
    proxy_timeout 1h;
  }}}}
}}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One way to the stream.

    host, port: what players connect to
    process:    of the lab that balances; none for direct play
    """

    name: str
    ground: Ground
    host: str
    port: int
    transports: Sequence[Transport] = BOTH
    process: str | None = None

    @property
    def pids(self) -> list[int]:
        """Of what balances."""
        if self.process is None:
            return []
        process = self.ground.lab.processes[self.process]
        if process.pid is None:
            raise LabError(f"{self.name} has ended; see {process.log}")
        return [process.pid]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What users would take instead. The words of its command, and what its file holds, are filled in.

    file: its configuration, "" if the command says it all
    """

    name: str
    port: int
    transports: Sequence[Transport]
    command: Sequence[str]
    file: str = ""

    @property
    def installed(self) -> bool:
        """Whether its program is there."""
        return Path(self.command[0]).exists()


PEERS = (
    Peer(
        name="HAProxy",
        port=5541,
        transports=TCP,
        command=("/usr/sbin/haproxy", "-db", "-f", "{file}"),
        file=HAPROXY,
    ),
    Peer(
        name="nginx stream",
        port=5542,
        transports=TCP,
        command=("/usr/sbin/nginx", "-e", "stderr", "-c", "{file}"),
        file=NGINX,
    ),
    Peer(
        name="gst-rtsp-server relay",
        port=5543,
        transports=BOTH,
        command=(
            *("/usr/bin/python3", str(Path(__file__).with_name("relay.py"))),
            *("{here}", "{port}", "rtsp://{backend}/stream"),
        ),
    ),
)


def own(ground: Ground) -> Side:
    """Rtspdsr, in a lab that runs its daemon."""
    return Side(name="rtspdsr", ground=ground, host=str(VIP4), port=RTSP_PORT, process=DAEMON)


def direct(ground: Ground) -> Side:
    """Nothing on the way."""
    return Side(name=DIRECT, ground=ground, host=_address(ground, BACKEND), port=RTSP_PORT)


@contextmanager
def running(ground: Ground, wanted: Sequence[Peer]) -> Iterator[list[Side]]:
    """Peers that wait for players."""
    if missing := [peer.name for peer in wanted if not peer.installed]:
        raise LabError(
            f"{', '.join(missing)}: not installed; make bench does that, or: apt/install-missing bench.txt"
        )
    with ExitStack() as stack:
        for peer in wanted:
            file = ground.lab.state / f"{peer.port}.conf"
            filled = {
                "here": _address(ground, ground.balancer),
                "backend": _address(ground, BACKEND),
                "port": peer.port,
                "file": file,
            }
            file.write_text(peer.file.format(**filled))
            command = [word.format(**filled) for word in peer.command]
            process = stack.enter_context(ground.running(_process(peer), ground.balancer, command))
            wait_until(lambda: _listens(process.pid, peer.port), LISTEN_WAIT_S, peer.name, process)  # noqa: B023
        yield [
            Side(
                name=peer.name,
                ground=ground,
                host=_address(ground, ground.balancer),
                port=peer.port,
                transports=peer.transports,
                process=_process(peer),
            )
            for peer in wanted
        ]


def _process(peer: Peer) -> str:
    return f"peer-{peer.port}"


def _address(ground: Ground, node: str) -> str:
    return str(ground.lab.topology.node(node).address(4))


def _listens(pid: int | None, port: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return False
    return any(line.split()[1].endswith(f":{port:04X}") for line in lines)
