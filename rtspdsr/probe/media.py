"""aiortsp's connection and transports, on sockets that bear a check's mark, of either family.

aiortsp opens its own sockets and its UDP knows IPv4 alone, so what opens them is replaced here; RTP is
received through asyncio-dgram, whose queue has no bound and is therefore always drained. What a server can
make us keep is bounded too: aiortsp's parser would take a header without end.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import asyncio_dgram
from aiortsp.rtsp.connection import RTSPConnection
from aiortsp.rtsp.errors import RTSPConnectionError
from aiortsp.transport.tcp import TCPTransport
from aiortsp.transport.udp import UDPTransport

from rtspdsr.model import Address
from rtspdsr.probe.way import Way

TEXT_MAX = 256 << 10  # octets of a server's answers in one check
PUNCH = bytes([0x80, 0x60]) + bytes(10)  # an RTP header alone: opens the way through firewalls

Take = Callable[[bytes, Address, float], None]

# Whatever is worth telling is in a check's outcome: a server that is down must not fill the daemon's stderr.
_SILENT = logging.getLogger("rtspdsr.probe")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class MarkedConnection(RTSPConnection):  # type: ignore[misc]
    """A control connection.

    answered_at: when the first response came, on the loop's clock
    """

    def __init__(self, way: Way, timeout_s: float, username: str | None, password: str | None) -> None:
        super().__init__(
            str(way.vip), way.port, username=username, password=password, logger=_SILENT, timeout=timeout_s
        )
        self._way = way
        self._text = 0
        self.answered_at: float | None = None
        self.result.add_done_callback(lambda done: done.exception())  # looked at, so never complained of

    async def prepare(self) -> None:
        """Connect. Raises OSError."""
        connected = await self._way.connect()
        await asyncio.get_running_loop().create_connection(lambda: self, sock=connected)

    def send_message(self, msg: str, cseq: int, headers: dict[str, Any], body: bytes | None = None) -> None:
        """Send, or say at once that nobody is there to answer."""
        if not self.running:
            raise RTSPConnectionError("connection closed")
        super().send_message(msg, cseq, headers, body)

    def data_received(self, data: bytes) -> None:
        """Read what the server sends; too much or nonsense ends the connection."""
        if not self.binary_handlers:
            self._text += len(data)
        try:
            if self._text > TEXT_MAX:
                raise RTSPConnectionError(f"sends more than {TEXT_MAX >> 10} KiB of answers")
            for message in self.parser.parse(data):
                self._distribute(message)
        except Exception as error:  # noqa: BLE001 - the parser raises whatever its input makes it raise
            self._fail(error)

    def _distribute(self, message: Any) -> None:
        if message.type == "response":
            if self.answered_at is None:
                self.answered_at = asyncio.get_running_loop().time()
            asked = self.active_requests.get(message.cseq)
            if asked is None and message.cseq < 0:  # VLC's refusals bear no CSeq, and we ask one at a time
                asked = next(iter(self.active_requests.values()), None)
            if asked is not None and not asked.done():
                asked.set_result(message)
        elif message.type == "binary" and message.id in self.binary_handlers:
            self.binary_handlers[message.id](message)

    def _fail(self, error: Exception) -> None:
        told = error if isinstance(error, RTSPConnectionError) else None
        failure = told or RTSPConnectionError(f"sends what is not RTSP ({type(error).__name__})")
        for asked in self.active_requests.values():
            if not asked.done():
                asked.set_exception(failure)
        if self._transport is not None:
            self._transport.abort()


class DatagramMedia(UDPTransport):  # type: ignore[misc]
    """RTP and RTCP over two UDP sockets. Every datagram of the first goes to ``take``."""

    def __init__(self, connection: MarkedConnection, way: Way, take: Take) -> None:
        super().__init__(connection, logger=_SILENT, timeout=0)
        self._way, self._take = way, take
        self._streams: list[Any] = []
        self._drains: list[asyncio.Task[None]] = []

    async def prepare(self) -> None:
        """Open both sockets. Raises OSError."""
        opened = list(self._way.media_pair())
        try:
            for receive in (self._take, _pass_over):
                stream = await asyncio_dgram.from_socket(opened[0])
                opened.pop(0)  # the stream's to close from here on
                self._streams.append(stream)
                self._drains.append(asyncio.create_task(_drain(stream, receive)))
        finally:
            for one in opened:
                one.close()

    def on_transport_request(self, headers: dict[str, str]) -> None:
        """Say what is asked for."""
        first, second = (stream.sockname[1] for stream in self._streams)
        headers["Transport"] = f"RTP/AVP;unicast;client_port={first}-{second}"

    def on_transport_response(self, headers: dict[str, Any]) -> None:
        """Learn the server's ports; a server may keep them to itself."""
        fields = self.parse_transport_fields(str(headers.get("transport", "")))
        ports = (fields.get("server_port") or "").split("-")
        self._server_ports = [int(port) for port in ports if port.isdecimal()]

    async def warmup(self) -> None:
        """Send a packet each way before PLAY, as players do."""
        for stream, port in zip(self._streams, self._server_ports, strict=False):
            with suppress(OSError, asyncio_dgram.TransportClosed):
                await stream.send(PUNCH, (str(self._way.vip), port))

    @property
    def running(self) -> bool:
        """Whether its sockets are open."""
        return bool(self._streams)

    def close(self, error: Exception | None = None) -> None:
        """Close both sockets, and stop draining them."""
        for drain in self._drains:
            drain.cancel()
        for stream in self._streams:
            stream.close()
        self._streams.clear()


class InterleavedMedia(TCPTransport):  # type: ignore[misc]
    """RTP in the control connection, for servers that refuse UDP."""

    def __init__(self, connection: MarkedConnection, way: Way, take: Take) -> None:
        super().__init__(connection, logger=_SILENT, timeout=0)
        self._way, self._take = way, take

    def handle_rtp_bin(self, binary: Any) -> None:
        """One RTP packet."""
        self._take(binary.data, self._way.vip, asyncio.get_running_loop().time())

    def handle_rtcp_bin(self, binary: Any) -> None:
        """Not needed."""

    def close(self, error: Exception | None = None) -> None:
        """Nothing of its own is open."""


async def _drain(stream: Any, receive: Take) -> None:
    """Empty a socket's queue for as long as it is open."""
    loop = asyncio.get_running_loop()
    with suppress(asyncio_dgram.TransportClosed):
        while True:
            with suppress(OSError):  # an ICMP error of a datagram sent before
                data, sender = await stream.recv()
                source = ip_address(sender[0].partition("%")[0])
                receive(data, getattr(source, "ipv4_mapped", None) or source, loop.time())


def _pass_over(_data: bytes, _source: Address, _at: float) -> None:
    """RTCP: to be taken from the socket, and not needed."""
