"""What is said in our own name: a request to a server that may answer anything."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rtspdsr.balancer.impersonator import Impersonator
from rtspdsr.core.events import LoneTeardownOrdered

ORDER = LoneTeardownOrdered(at=1.0, service_id=0, backend_id=1, request=b"TEARDOWN rtsp://x RTSP/1.0\r\n\r\n")


@pytest.mark.parametrize(
    "answer", [b"RTSP/1.0 200 OK\r\n\r\n", b"x" * (1 << 18), b""], ids=["ok", "long", "none"]
)
async def test_whatever_a_server_answers_it_has_read_the_request_and_nothing_is_left(answer: bytes) -> None:
    asked = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asyncio.timeout(20):
        address = server.sockets[0].getsockname()[:2]
        fleet = SimpleNamespace(rtsp_address=lambda *_: address)
        impersonator = Impersonator(cast(Any, fleet), cast(Any, None))
        impersonator.perform(ORDER)
        (task,) = impersonator._alone
        await task
        assert await asked == ORDER.request
        impersonator.close()
