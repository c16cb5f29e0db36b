"""The cheap checks, made every second: does a backend take connections at the VIP, and does it answer?

Handed a way and a time, each gives back an ``Outcome`` within that time, with one connection and at most one
request, and leaves nothing behind at the server.
"""

import asyncio
import socket

from rtspdsr.core.health import Outcome
from rtspdsr.probe.way import Unanswered, Way, in_time, unanswered, unconnected, why

ANSWER_MAX = 4096  # octets that are read in search of a status line
SERVER_FAULT = 500  # from here on the server says itself that it cannot...
NOT_KNOWN = (501, 551)  # ...but with these it says only that it does not know OPTIONS


async def tcp(way: Way, timeout_s: float) -> Outcome:
    """Whether it takes connections."""
    begun_at = asyncio.get_running_loop().time()
    try:
        connection = await in_time(way.connect(), timeout_s, unconnected(way, timeout_s))
    except OSError as error:
        return Outcome(problem=why(error, way))
    except Unanswered as late:
        return Outcome(problem=str(late))
    connection.close()
    return Outcome(response_s=asyncio.get_running_loop().time() - begun_at)


async def options(way: Way, timeout_s: float, url: str) -> Outcome:
    """Whether it answers a request. Any answer will do that does not speak of a fault of its own."""
    loop = asyncio.get_running_loop()
    begun_at = loop.time()
    connection: socket.socket | None = None
    try:
        connection = await in_time(way.connect(), timeout_s, unconnected(way, timeout_s))
        left_s = begun_at + timeout_s - loop.time()
        line = await in_time(_ask(connection, url), left_s, unanswered("OPTIONS", timeout_s))
    except OSError as error:
        return Outcome(problem=why(error, way))
    except Unanswered as late:
        return Outcome(problem=str(late))
    finally:
        if connection is not None:
            connection.close()
    return Outcome(problem=_judged(line), response_s=loop.time() - begun_at)


async def _ask(connection: socket.socket, url: str) -> bytes:
    """The first line that comes back; what came until the end of the connection, if it ends before."""
    loop = asyncio.get_running_loop()
    request = f"OPTIONS {url} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: rtspdsr\r\n\r\n"
    await loop.sock_sendall(connection, request.encode())
    heard = b""
    while b"\n" not in heard and len(heard) < ANSWER_MAX:
        piece = await loop.sock_recv(connection, ANSWER_MAX)
        if not piece:
            break
        heard += piece
    return heard.partition(b"\n")[0].strip()


def _judged(line: bytes) -> str:
    """What is wrong with a status line; "" if nothing is."""
    if not line:
        return "closes the connection without an answer to OPTIONS"
    version, _, rest = line.decode("ascii", "replace").partition(" ")
    code = rest[:3]
    if not version.startswith("RTSP/") or not code.isdecimal():
        return f"answers OPTIONS with {line[:60].decode('ascii', 'replace')!a}, which is not RTSP"
    return f"answers OPTIONS with {ascii(rest)[1:-1]}" if _is_fault(int(code)) else ""


def _is_fault(code: int) -> bool:
    return code >= SERVER_FAULT and code not in NOT_KNOWN
