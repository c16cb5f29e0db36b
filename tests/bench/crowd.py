"""A crowd of clients that say again what a real player once said, each from an address of its own.

Handed a stand, it runs their frames through the XDP program in force (BPF_PROG_TEST_RUN), with the maps of
the daemon, and hears at the backend what the daemon sends on. A client goes on when its last request has
arrived there, and sends its datagrams the moment its SETUP has: verdicts show a pin that comes late.
"""

import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from ipaddress import ip_address
from select import select
from socket import MSG_DONTWAIT

from rtspdsr.core.parser import RequestParser
from rtspdsr.core.request import Request
from rtspdsr.core.transport import parse_transport
from rtspdsr.dataplane.layout import Verdict
from rtspdsr.errors import LabError
from rtspdsr.model import TcpFlag
from tests.bench.programs import Drawn
from tests.bench.stand import NEAR, NEAR_MAC, PORT, VIP, Stand
from tests.dialogs import load

FIRST = int(ip_address("10.0.0.0"))  # draw.bpf.c counts up from it as well
CLIENT_MAC = bytes.fromhex("0200000000c1")
AT_ONCE = 200  # clients that are in the midst of their dialogs
AGAIN_S, TRIES = 0.5, 20  # a request that does not arrive is sent again
KEEPALIVE_S, REPORT_S = 30.0, 5.0  # each player's periods
PACKETS_PER_S, BYTES_PER_S = 380, 500_000  # of media to each client: 4 Mb/s
STEP_S = 0.02
SOURCE_END, TCP_AT = 26, 34  # in a frame: where the source address begins, and TCP
_LINK = bytes.fromhex(NEAR_MAC.replace(":", "")) + CLIENT_MAC + b"\x08\x00"
_IP = struct.Struct(">BBHHHBBH4s4s")
_TCP = struct.Struct(">HHIIBBHHH")
_UDP = struct.Struct(">HHHH")
_VIP = ip_address(VIP).packed
_ACK, _PUSH, _FIN, _SYN = TcpFlag.ACK, TcpFlag.ACK | TcpFlag.PSH, TcpFlag.ACK | TcpFlag.FIN, TcpFlag.SYN
PUNCH = bytes(12)
_KEEPALIVE = (
    b"GET_PARAMETER rtsp://192.0.2.10:554/clip RTSP/1.0\r\n"
    b"CSeq: 7\r\nUser-Agent: Lavf59.27.100\r\nSession: %s\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Step:
    """A request, and the UDP ports that it asks for."""

    sequence: int
    acknowledgement: int
    payload: bytes
    ports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """What each client says.

    server_session: the id in it, in whose place each client says one of its own
    """

    port: int
    initial: int
    steps: tuple[Step, ...]
    server_session: bytes

    @classmethod
    def of(cls, name: str) -> "Script":
        """A recorded dialog of one connection, by its name."""
        dialog = load(name)
        parser = RequestParser()
        steps = tuple(
            Step(one.sequence, one.acknowledgement, one.payload, _ports(parser, one.payload))
            for one in dialog.segments
            if one.payload
        )
        first = dialog.segments[0]
        assert first.initial is not None
        (server_session,) = dialog.expected.sessions
        return cls(first.flow.client_port, first.initial, steps, server_session.encode())

    @property
    def playing(self) -> "Script":
        """Up to PLAY."""
        (end,) = (at for at, one in enumerate(self.steps) if one.payload.startswith(b"PLAY"))
        return Script(self.port, self.initial, self.steps[: end + 1], self.server_session)

    @property
    def rtcp_ports(self) -> list[int]:
        """Where receiver reports come from."""
        return [port for step in self.steps for port in step.ports[1::2]]

    def said(self, step: Step, client: int) -> bytes:
        """A request as a client says it."""
        return step.payload.replace(self.server_session, self.id_of(client))

    def keepalive(self, client: int) -> bytes:
        """What a client that plays asks now and then."""
        return _KEEPALIVE % self.id_of(client)

    def id_of(self, client: int) -> bytes:
        """The server's id for a client's session, as long as the recorded one."""
        return b"%0*x" % (len(self.server_session), client)


def _ports(parser: RequestParser, payload: bytes) -> tuple[int, ...]:
    specs = [
        spec
        for one in parser.feed(payload)
        if isinstance(one, Request) and one.method == "SETUP"
        for spec in parse_transport(one.headers.all("transport"))[0]
    ]
    return specs[0].client_ports if specs else ()


# --- frames ----------------------------------------------------------------------------------------------


def tcp(client: int, port: int, sequence: int, acknowledgement: int, flags: int, payload: bytes) -> bytes:
    """A segment to the VIP, its checksums right."""
    length = 20 + len(payload)
    source = (FIRST + client).to_bytes(4)
    head = _TCP.pack(port, PORT, sequence, acknowledgement, 0x50, flags, 502, 0, 0)
    pseudo = source + _VIP + struct.pack(">HH", 6, length)
    checksum = _checksum(pseudo + head + payload)
    return b"".join((_LINK, _network(source, 6, length), head[:16], checksum.to_bytes(2), head[18:], payload))


def udp(client: int, port: int, server_port: int, payload: bytes) -> bytes:
    """A datagram to the VIP; IPv4 lets its checksum be 0 (RFC 768)."""
    length = 8 + len(payload)
    source = (FIRST + client).to_bytes(4)
    return _LINK + _network(source, 17, length) + _UDP.pack(port, server_port, length, 0) + payload


def report(highest: int) -> bytes:
    """A receiver report with one block and a name (RFC 3550 section 6.4.2, 6.5), as players send it."""
    block = struct.pack(">IIIIII", 0x1234, 0, highest, 45, 0, 0)
    return bytes.fromhex("81c90007") + bytes(4) + block + bytes.fromhex("81ca0002") + bytes(8)


def _network(source: bytes, protocol: int, length: int) -> bytes:
    head = _IP.pack(0x45, 0, 20 + length, 0, 0x4000, 63, protocol, 0, source, _VIP)
    return head[:10] + _checksum(head).to_bytes(2) + head[12:]


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    return 0xFFFF - int.from_bytes(data) % 0xFFFF


# --- the crowd -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Played:
    """What came of sessions.

    requests: segments with text that were read
    datagrams: sent right behind a SETUP
    late:     requests that were not read in time, and datagrams that found no pin
    """

    sessions: int
    requests: int
    datagrams: int
    late: int


class Crowd:
    """All clients of one stand that speak by one script."""

    def __init__(self, stand: Stand, script: Script) -> None:
        self._stand, self.script = stand, script
        self._program = stand.program()
        self._ifindex = socket.if_nametoindex(NEAR)
        self._asked: Counter[int] = Counter()
        self._begun_at = time.monotonic()

    def close(self) -> None:
        """Let go of the program."""
        self._program.close()

    def _send(self, frame: bytes) -> None:
        self._program.test_run(frame, ifindex=self._ifindex)

    def play(self, clients: Iterable[int], *, whole: bool) -> Played:
        """Have clients play, so many at a time; to the end of the dialog, or only until they play."""
        script = self.script if whole else self.script.playing
        before = self._stand.verdicts()
        self._drain()
        waiting, at, count = iter(clients), dict[int, int](), 0
        more = True
        while more or at:
            while more and len(at) < AT_ONCE:
                client = next(waiting, None)
                if client is None:
                    more = False
                    break
                self._send(tcp(client, script.port, script.initial, 0, _SYN, b""))
                self._ask(script, client, 0)
                at[client] = 0
                count += 1
            if at:
                self._hear(script, at, whole)
        after = self._stand.verdicts()
        grown = {one: after[one] - before[one] for one in Verdict}
        requests = count * len(script.steps)
        datagrams = count * sum(len(one.ports) for one in script.steps)
        farewells = count if whole else 0
        unread = grown[Verdict.RING_FULL] + grown[Verdict.TRACKER_DEAD]
        unpinned = datagrams + farewells - grown[Verdict.PINNED]
        return Played(count, requests, datagrams, unread + unpinned)

    def _ask(self, script: Script, client: int, number: int) -> None:
        step = script.steps[number]
        said = script.said(step, client)
        self._send(tcp(client, script.port, step.sequence, step.acknowledgement, _PUSH, said))

    def _drain(self) -> None:
        """Forget what has come to the backend until now."""
        while select([self._stand.backend], [], [], 0)[0]:
            self._stand.backend.recv(2048)

    def _hear(self, script: Script, at: dict[int, int], whole: bool) -> None:
        """Have those clients go on whose requests have reached the backend."""
        backend = self._stand.backend
        tries = 0
        while not select([backend], [], [], AGAIN_S)[0]:
            tries += 1
            if tries == TRIES:
                raise LabError(f"{len(at)} requests do not reach the backend")
            for client, waits_for in at.items():
                self._ask(script, client, waits_for)
        for _ in range(AT_ONCE):
            try:
                frame = backend.recv(2048, MSG_DONTWAIT)
            except BlockingIOError:
                return
            client = int.from_bytes(frame[SOURCE_END : SOURCE_END + 4]) - FIRST
            number = at.get(client)
            if number is None:
                continue
            step = script.steps[number]
            if frame[TCP_AT + 4 : TCP_AT + 8] != step.sequence.to_bytes(4):
                continue
            for port in step.ports:
                self._send(udp(client, port, 6970, PUNCH))
            if number + 1 < len(script.steps):
                at[client] = number + 1
                self._ask(script, client, number + 1)
                continue
            del at[client]
            if whole:
                end = step.sequence + len(script.said(step, client))
                self._send(tcp(client, script.port, end, step.acknowledgement + 100, _FIN, b""))

    # --- those that live

    def live(self, clients: int, seconds: float, *, keepalives: bool) -> int:
        """Have the first so many clients, which play, do what players do; how many keepalives they sent."""
        script = self.script.playing
        sent, told = 0, 0
        with ExitStack() as stack:
            turns = [
                stack.enter_context(closing(Drawn(self._program, clients, SOURCE_END, in_turn=True))).drawing
                for _ in self._signs(script)
            ]
            begun = time.monotonic()
            while (elapsed := time.monotonic() - begun) < seconds:
                while keepalives and sent < clients * elapsed / KEEPALIVE_S:
                    self._keep_alive(script, self._asked.total() % clients)
                    sent += 1
                if due := int(clients * elapsed / REPORT_S) - told:
                    told += due
                    for turn, frame in zip(turns, self._signs(script), strict=True):
                        turn.test_run(frame, ifindex=self._ifindex, repeat=due)
                time.sleep(STEP_S)
        return sent

    def sign(self, clients: int) -> None:
        """Have each of the first so many clients show that it is there."""
        for frame in self._signs(self.script.playing):
            with closing(Drawn(self._program, clients, SOURCE_END, in_turn=True)) as turn:
                turn.drawing.test_run(frame, ifindex=self._ifindex, repeat=clients)

    def _signs(self, script: Script) -> list[bytes]:
        """What tells of media: receiver reports of each track, or an acknowledgement."""
        if script.rtcp_ports:
            highest = int((time.monotonic() - self._begun_at) * PACKETS_PER_S)
            return [udp(0, port, 6971, report(highest)) for port in script.rtcp_ports]
        return [tcp(0, script.port, script.steps[-1].sequence, self._received(script), _ACK, b"")]

    def _received(self, script: Script) -> int:
        """What each client has received of an interleaved stream by now, as a TCP acknowledgement."""
        delivered = int((time.monotonic() - self._begun_at) * BYTES_PER_S)
        return (script.steps[-1].acknowledgement + delivered) & 0xFFFFFFFF

    def _keep_alive(self, script: Script, client: int) -> None:
        last = script.steps[-1]
        asked = self._asked[client]
        self._asked[client] += 1
        text = script.keepalive(client)
        sequence = last.sequence + len(script.said(last, client)) + asked * len(text)
        acknowledgement = last.acknowledgement + 400 + asked * 150
        if not script.rtcp_ports:
            acknowledgement = self._received(script)
        self._send(tcp(client, script.port, sequence & 0xFFFFFFFF, acknowledgement, _PUSH, text))
