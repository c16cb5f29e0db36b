"""``python -m rtspdsr.lab.aiortsp_player URL TRANSPORT SECONDS``: a player made with aiortsp.

It plays the video track and prints one JSON line a second, ``{"frames": N}``: pictures received whole,
which is what the marker bit of RTP says of H.264. It decodes nothing. Ends with TEARDOWN.
"""

import asyncio
import contextlib
import json
import logging
import signal
import sys
from typing import Any

from aiortsp.rtsp.reader import RTSPReader

REPORT_S = 1.0
TEARDOWN_S = 3.0


class FrameCounter(RTSPReader):  # type: ignore[misc]
    """A reader that counts pictures instead of queueing packets."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.frames = 0

    def handle_rtp(self, rtp: Any) -> None:
        """The last packet of a picture bears the marker."""
        self.frames += rtp.m


async def play(url: str, transport: str, seconds: float) -> None:
    """Watch for so long, or until SIGINT; an error of the reader's ends it too."""
    if transport == "tcp":  # aiortsp's way to ask for interleaved
        url = url.replace("rtsp://", "rtspt://", 1)
    counter = FrameCounter(url)
    streaming = asyncio.ensure_future(counter.run_stream())
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, streaming.cancel)
    end = asyncio.get_running_loop().time() + seconds
    while not streaming.done() and asyncio.get_running_loop().time() < end:
        await asyncio.wait([streaming], timeout=REPORT_S)
        print(json.dumps({"frames": counter.frames}), flush=True)
    streaming.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(streaming, TEARDOWN_S)


def main() -> None:
    """Play what the command line says."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    url, transport, seconds = sys.argv[1:]
    asyncio.run(play(url, transport, float(seconds)))


if __name__ == "__main__":
    main()
