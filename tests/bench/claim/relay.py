#!/usr/bin/python3
"""``relay.py ADDRESS PORT WHAT``: a media server made with gst-rtsp-server, of a URL or of a file.

Of an RTSP URL it is a proxying media server, and Debian 12 has none that is ready to run: it takes the stream
once, interleaved, and sends it to each player in the way that one asks for. Of an MP4 file it plays to each
from its beginning. Run it with the system's Python, which owns the ``gi`` module.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

URL = "rtspsrc location={} protocols=tcp latency=0 ! application/x-rtp,media=video ! rtph264depay"
FILE = "filesrc location={} ! qtdemux ! queue ! h264parse"
PAY = "( {} ! rtph264pay name=pay0 pt=96 mtu=1412 config-interval=-1 aggregate-mode=none )"


def main() -> None:
    """Serve until SIGTERM."""
    address, port, what = sys.argv[1:]
    relays = what.startswith("rtsp:")
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PAY.format((URL if relays else FILE).format(what)))
    factory.set_shared(relays)
    server = GstRtspServer.RTSPServer()
    server.set_address(address)
    server.set_service(port)
    server.set_backlog(4096)
    server.get_mount_points().add_factory("/stream", factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on {address} port {port}")
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
