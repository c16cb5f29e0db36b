"""A media server of a few lines that misbehaves as it is told to, on the loopback interface."""

import asyncio
import socket
import struct
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

VIP = "127.0.0.1"
CLOCK_RATE = 90_000
SDP = "v=0\r\ns=x\r\nm={kind} 0 RTP/AVP 96\r\na=rtpmap:96 X/90000\r\na=control:track1\r\n"


@dataclass
class Server:
    """What it is told, and what it saw.

    answers:   status lines by method, in place of 200
    silent:    methods that it does not answer
    late_s:    before it answers SETUP
    rtp_from:  address that RTP leaves from; None for no RTP
    skip:      sequence numbers that it leaves out
    kind:      of the media it describes
    interleaved: takes SETUP for the control connection alone
    raw:       sent in place of any answer
    """

    answers: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    late_s: float = 0.0
    rtp_from: str | None = VIP
    skip: frozenset[int] = frozenset()
    kind: str = "video"
    interleaved: bool = False
    raw: bytes = b""
    asked: list[str] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)
    connections: int = 0
    port: int = 0
    heard: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        senders: list[asyncio.Task[None]] = []
        try:
            with suppress(asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
                while True:
                    text = (await reader.readuntil(b"\r\n\r\n")).decode()
                    await self._answer(text, writer, senders)
        finally:
            for sender in senders:
                sender.cancel()
            writer.close()
            self.connections -= 1

    async def _answer(
        self, text: str, writer: asyncio.StreamWriter, senders: list[asyncio.Task[None]]
    ) -> None:
        first, *lines = text.strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        method, *_ = first.split(" ")
        self.asked.append(method)
        self.heard[method].set()
        if self.raw:
            writer.write(self.raw)
            return
        if method in self.silent:
            return
        status, more, body = self.answers.get(method, "200 OK"), dict(self.headers), ""
        if "Authorization" in headers:
            status = "200 OK"
        if method == "DESCRIBE":
            body = SDP.format(kind=self.kind)
        transport = headers.get("Transport", "")
        if method == "SETUP":
            await asyncio.sleep(self.late_s)
            if self.interleaved and "TCP" not in transport:
                status = "461 Unsupported Transport"
            elif status.startswith("200"):
                self.sessions.add("5E2C")
                more |= {"Session": "5E2C;timeout=60", "Transport": f"{transport};server_port=6970-6971"}
        if method == "TEARDOWN":
            self.sessions.discard(headers["Session"])
        answer = [f"RTSP/1.0 {status}", f"CSeq: {headers['CSeq']}", *(f"{k}: {v}" for k, v in more.items())]
        writer.write(("\r\n".join([*answer, f"Content-Length: {len(body)}", "", body])).encode())
        if method == "SETUP" and status.startswith("200"):
            self._transport = transport
        if method == "PLAY" and self.rtp_from:
            senders.append(asyncio.create_task(self._send(writer)))

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        """RTP of 100 packets a second, 1,000 octets each."""
        out = None
        if not self.interleaved:
            out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            out.bind((str(self.rtp_from), 0))
            client = (VIP, int(self._transport.partition("client_port=")[2].partition("-")[0]))
        number = 65_500
        while True:
            number += 1
            packet = struct.pack("!BBHII", 0x80, 96, number % 65_536, number * 900 % 2**32, 7) + bytes(988)
            if number not in self.skip:
                if out is not None:
                    out.sendto(packet, client)
                else:
                    writer.write(b"$\0" + len(packet).to_bytes(2) + packet)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    """The server, listening."""
    listening = await asyncio.start_server(server.serve, VIP, 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
