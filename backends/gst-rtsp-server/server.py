#!/usr/bin/python3
"""An RTSP server made with gst-rtsp-server: four mounts of one file, and its sessions as JSON lines.

Run it with the system's Python, which owns the ``gi`` module. It is handed a file and a port, and prints
one JSON object per event on standard output: ``listening``, ``connected``, ``request`` (each with the
client's address and, once there is one, the server's Session id), ``closed``, ``recorded``. On SIGUSR1 it
prints ``sessions``: the ids that are alive and what the record mount has received so far.

It knows nothing of the balancer: behind DSR it is an ordinary server on a prepared machine.
"""

import argparse
import json
import signal
import sys
from collections import Counter
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

DEMUX = "filesrc location={file} ! qtdemux name=demux"
PLAY = (
    "( " + DEMUX + " demux.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1"
    " demux.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"
)
# A publisher's tracks end in sinks that tell of each access unit; sync=false, because nobody watches.
RECORD = (
    "( rtph264depay name=depay0 ! h264parse ! video/x-h264,alignment=au"
    " ! fakesink name=video sync=false signal-handoffs=true"
    " rtpmp4gdepay name=depay1 ! aacparse ! fakesink name=audio sync=false signal-handoffs=true )"
)
MULTICAST_GROUPS = ("239.77.0.1", "239.77.0.16")
MULTICAST_PORTS = (5000, 5063)


def say(event: str, **fields: Any) -> None:
    """One line of JSON, whole, whatever other threads say; the lab's tests read them."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")  # print() would write the end apart
    sys.stdout.flush()


def file_factory(file: str, *, shared: bool) -> GstRtspServer.RTSPMediaFactory:
    """A mount that plays the file: a pipeline per client, or one that all clients share."""
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PLAY.format(file=file))
    factory.set_shared(shared)
    return factory


def multicast_factory(file: str) -> GstRtspServer.RTSPMediaFactory:
    """A mount that sends the shared stream to a multicast group and to nothing else."""
    factory = file_factory(file, shared=True)
    pool = GstRtspServer.RTSPAddressPool()
    pool.add_range(*MULTICAST_GROUPS, *MULTICAST_PORTS, 1)
    factory.set_address_pool(pool)
    factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP_MCAST)
    return factory


class Recordings:
    """What publishers have sent to the record mount: access units per recording and track."""

    def __init__(self) -> None:
        self.counts: list[Counter[str]] = []

    def factory(self) -> GstRtspServer.RTSPMediaFactory:
        """A mount that takes ANNOUNCE and RECORD."""
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(RECORD)
        factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        factory.connect("media-configure", self._configured)
        return factory

    def _configured(self, _: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        counts: Counter[str] = Counter()
        self.counts.append(counts)
        for track in ("video", "audio"):
            sink = media.get_element().get_by_name(track)
            # Called by one streaming thread per track, and each writes its own key.
            sink.connect("handoff", lambda *_, track=track: counts.update([track]))
        media.connect("unprepared", lambda _: say("recorded", **counts))


class Server:
    """The mounts, the sessions and the one socket, which takes both families."""

    def __init__(self, file: str, port: int) -> None:
        self._recordings = Recordings()
        self._sessions = GstRtspServer.RTSPSessionPool()
        mounts = GstRtspServer.RTSPMountPoints()
        mounts.add_factory("/clip", file_factory(file, shared=False))
        mounts.add_factory("/live", file_factory(file, shared=True))
        mounts.add_factory("/multicast", multicast_factory(file))
        mounts.add_factory("/record", self._recordings.factory())
        self._server = GstRtspServer.RTSPServer()
        self._server.set_address("::")
        self._server.set_service(str(port))
        self._server.set_mount_points(mounts)
        self._server.set_session_pool(self._sessions)
        self._server.connect("client-connected", self._connected)
        if not self._server.attach(None):
            sys.exit(f"cannot listen on port {port}: is another server running there, or are you not root?")
        say("listening", port=port)

    def report(self) -> bool:
        """Say which sessions are alive; True keeps the signal handler."""
        # filter() with no function walks all sessions; a ref in the answer keeps each alive meanwhile.
        alive = self._sessions.filter(None)
        say(
            "sessions",
            sessions=sorted(session.get_sessionid() for session in alive),
            recordings=self._recordings.counts,
        )
        return True

    def expire(self) -> bool:
        """End sessions that have timed out (about 60 s without RTSP or RTCP); True keeps the timer."""
        self._sessions.cleanup()
        return True

    def _connected(self, _: GstRtspServer.RTSPServer, client: GstRtspServer.RTSPClient) -> None:
        address = client.get_connection().get_ip()
        say("connected", client=address)
        for method in ("setup", "play", "record", "pause", "teardown"):
            client.connect(f"{method}-request", self._requested, method, address)
        client.connect("closed", lambda _: say("closed", client=address))

    @staticmethod
    def _requested(
        _: GstRtspServer.RTSPClient, context: GstRtspServer.RTSPContext, method: str, address: str
    ) -> None:
        session = context.session.get_sessionid() if context.session else None
        say("request", method=method, client=address, session=session, path=context.uri.abspath)


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve /clip, /live, /multicast and /record over RTSP.")
    parser.add_argument("file", help="an MP4 file with H.264 video and AAC sound")
    parser.add_argument("--port", type=int, default=554)
    options = parser.parse_args()

    Gst.init(None)
    loop = GLib.MainLoop()
    server = Server(options.file, options.port)
    GLib.timeout_add_seconds(2, server.expire)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, server.report)
    for number in (signal.SIGINT, signal.SIGTERM):
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, loop.quit)
    loop.run()


if __name__ == "__main__":
    main()
