"""``python -m tests.bench.udp_proxy ADDRESS PORT TO``: a proxy of UDP as one writes it with asyncio.

It receives at ADDRESS and PORT, and sends on to that port at TO, for each client from a socket of its own.
"""

import asyncio
import socket
import sys

RECEIVE_BUFFER = 4 << 20  # octets

Peer = tuple[str, int]


class Upstream(asyncio.DatagramProtocol):
    """The way to the server for one client, and back."""

    def __init__(self, proxy: "Proxy", client: Peer) -> None:
        self._proxy, self._client = proxy, client

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        self._proxy.transport.sendto(data, self._client)


class Proxy(asyncio.DatagramProtocol):
    """What clients send to."""

    transport: asyncio.DatagramTransport

    def __init__(self, server: Peer) -> None:
        self._server = server
        self._ways: dict[Peer, asyncio.DatagramTransport] = {}
        self._opening: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        if way := self._ways.get(addr):
            way.sendto(data)
        else:
            task = asyncio.create_task(self._open(addr, data))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, client: Peer, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        way, _ = await loop.create_datagram_endpoint(lambda: Upstream(self, client), remote_addr=self._server)
        way.sendto(data)
        if self._ways.setdefault(client, way) is not way:
            way.close()


async def serve(address: str, port: int, server: str) -> None:
    """Until it is killed."""
    receiving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    receiving.bind((address, port))
    receiving.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: Proxy((server, port)), sock=receiving)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
