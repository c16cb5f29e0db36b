"""A scripted RTSP client at a node of the lab, over real sockets, for what no player can be told to do.

Its sockets are made in the node's namespace and are then the test's own. It says what a test tells it to
say, and hears what the server answers; it keeps nothing but the connection, its CSeq and the Session id.
"""

import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

from pyroute2.netns import setns

from rtspdsr.lab.lab import Lab
from rtspdsr.lab.topology import RTSP_PORT, VIP4, VIP6, url
from rtspdsr.model import Address

ANSWER_S = 15.0
PORTS = ((21000, 21001), (21002, 21003), (21004, 21005), (21006, 21007))  # below the ephemeral ones


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said to one request; names of headers in small letters."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def session(self) -> str:
        """The Session id, without its timeout."""
        return self.headers["session"].partition(";")[0]

    @property
    def server_ports(self) -> tuple[int, int]:
        """Where the server expects RTP and RTCP."""
        found = re.search(r"server_port=(\d+)-(\d+)", self.headers["transport"])
        assert found, self.headers
        return int(found[1]), int(found[2])


def socket_at(lab: Lab, node: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket in a node's namespace."""
    with ThreadPoolExecutor(1, initializer=setns, initargs=(lab.topology.namespace(node),)) as thread:
        made = thread.submit(socket.socket, family, kind, protocol).result()
    made.settimeout(ANSWER_S)
    return made


def vip_for(source: Address) -> Address:
    """The VIP of the same family."""
    return VIP4 if source.version == 4 else VIP6


def family(address: Address) -> int:
    """Of a socket for it."""
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


class Client:
    """One client: an address of a node, its connection, and its UDP sockets by port."""

    def __init__(self, lab: Lab, node: str, source: Address | None = None, port: int = RTSP_PORT) -> None:
        self._lab, self._node = lab, node
        self.source = source or lab.topology.node(node).address(4)
        self.vip = vip_for(self.source)
        self.udp: dict[int, socket.socket] = {}
        self._port = port
        self._open = ExitStack()
        self._cseq = 0
        self.connect()

    def connect(self) -> None:
        """Open a control connection; the former one must be closed."""
        self._control = socket_at(self._lab, self._node, family(self.source), socket.SOCK_STREAM)
        self._open.enter_context(self._control)
        self._control.bind((str(self.source), 0))
        self._control.connect((str(self.vip), self._port))
        self.port = int(self._control.getsockname()[1])
        self._heard = b""

    def disconnect(self) -> None:
        """Close the control connection (FIN)."""
        self._control.close()

    def send(self, octets: bytes) -> None:
        """Say anything."""
        self._control.sendall(octets)

    def ask(self, method: str, where: str, body: str = "", **headers: str) -> None:
        """Send a request, and do not wait. An underscore in a header's name is a hyphen."""
        self._cseq += 1
        lines = [f"{method} {where} RTSP/1.0", f"CSeq: {self._cseq}", "User-Agent: scripted"]
        lines += [f"{name.rstrip('_').replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", body]).encode())

    def request(self, method: str, where: str, body: str = "", **headers: str) -> Answer:
        """Send a request and hear its answer."""
        self.ask(method, where, body, **headers)
        return self.answer()

    def answer(self) -> Answer:
        """The next answer; interleaved frames before it are passed over."""
        self._hear_until(lambda heard: len(heard) >= 4)
        while self._heard[:1] == b"$":
            self._pass_frame()
            self._hear_until(lambda heard: len(heard) >= 4)
        self._hear_until(lambda heard: b"\r\n\r\n" in heard)
        head, _, self._heard = self._heard.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", 0))
        self._hear_until(lambda heard: len(heard) >= length)
        body, self._heard = self._heard[:length].decode(), self._heard[length:]
        return Answer(int(first.split()[1]), headers, body)

    def describe(self, path: str) -> list[str]:
        """The control URLs of a presentation's tracks: video, audio."""
        answer = self.request("DESCRIBE", url(path, self.vip), Accept="application/sdp")
        assert answer.status == 200, answer
        base = answer.headers.get("content-base", url(path, self.vip)).rstrip("/") + "/"
        media = answer.body.partition("\nm=")[2]
        return [urljoin(base, control) for control in re.findall(r"^a=control:(\S+)", media, re.MULTILINE)]

    def set_up(self, track: str, ports: tuple[int, int], session: str | None = None) -> Answer:
        """SETUP of a track over UDP; its ports are opened first."""
        for port in ports:
            self.open_udp(port)
        transport = f"RTP/AVP;unicast;client_port={ports[0]}-{ports[1]}"
        headers = {"Session": session} if session else {}
        answer = self.request("SETUP", track, Transport=transport, **headers)
        assert answer.status == 200, answer
        return answer

    def open_udp(self, port: int) -> socket.socket:
        """Open a UDP port; it stays open until it or the client is closed."""
        if port not in self.udp:
            made = self._open.enter_context(
                socket_at(self._lab, self._node, family(self.source), socket.SOCK_DGRAM)
            )
            made.bind((str(self.source), port))
            self.udp[port] = made
        return self.udp[port]

    def hear_rtp(self, port: int, packets: int = 1) -> list[bytes]:
        """So many datagrams more at a port, whatever lies in its buffer left out."""
        ear = self.udp[port]
        ear.setblocking(False)
        try:
            while True:
                ear.recv(2048)
        except BlockingIOError:
            ear.settimeout(ANSWER_S)
        return [ear.recv(2048) for _ in range(packets)]

    def hear_frames(self, frames: int) -> set[int]:
        """So many interleaved frames, and no answer between them; the channels that they came on."""
        channels = set()
        for _ in range(frames):
            self._hear_until(lambda heard: len(heard) >= 4)
            assert self._heard[:1] == b"$", self._heard[:80]
            channels.add(self._heard[1])
            self._pass_frame()
        return channels

    def _pass_frame(self) -> None:
        octets = 4 + int.from_bytes(self._heard[2:4])
        self._hear_until(lambda heard: len(heard) >= octets)
        self._heard = self._heard[octets:]

    def _hear_until(self, enough: Callable[[bytes], bool]) -> None:
        while not enough(self._heard):
            octets = self._control.recv(65536)
            assert octets, f"the connection was closed after {self._heard!r}"
            self._heard += octets

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
