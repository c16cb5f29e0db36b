"""One player's session, as the player, the wires and the session log tell of it, and what has to hold of it.

``watch_at`` plays at chosen backends, side by side and with all wires heard. Each ``assert_`` function states
one claim about a ``Watched``, comparing what one of the three tells with what another does. Nothing is taken
from the balancer's own counters but what its log says.
"""

import re
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from rtspdsr.lab.capture import Delivery, Packet
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import Played, PlayerKind, Transport, Watch
from rtspdsr.lab.topology import RTSP_PORT
from rtspdsr.model import Address, Proto, ReceiverReport
from tests.lab.helpers import Line, wait_for

RECEIVER_REPORT = 201
#: Delivered bytes for each byte that crosses the balancer, at least. Measured in 10 s: 90 to 330 and 10 to
#: 26; over TCP what crosses is acknowledgements, at worst one for each segment.
RATIO_MIN = {Transport.UDP: 40.0, Transport.TCP: 5.0}
#: Of what was sent over TCP, bytes that the log may not tell: the answer to the first request, which came
#: before the pin counted, and what nobody acknowledged because the player was gone.
UNACKNOWLEDGED_MAX = 8192
CLOCKS_S = 0.02  # the wall clock of the log and that of a capture: milliseconds, and the coarse clock of XDP
TEARS_DOWN_NOT = PlayerKind.FFPLAY
SUMMARY_WAIT_S = 75.0  # idle or linger, and a reading


@dataclass(frozen=True)
class Watched:
    """What there is to know of one session.

    backend: where it was placed
    packets: all TCP and UDP from and to its client, at every port of the switch, in order of time
    """

    lab: Lab
    played: Played
    backend: str
    client: Address
    vip: Address
    packets: tuple[Packet, ...] = field(repr=False)

    @property
    def watch(self) -> Watch:
        """What was asked of the player."""
        return self.played.watch

    @property
    def over_udp(self) -> bool:
        """Whether its media comes in datagrams."""
        return self.watch.transport is Transport.UDP

    @cached_property
    def sent(self) -> tuple[Packet, ...]:
        """What the client sent, at its own port of the switch."""
        node = self.watch.node
        return tuple(p for p in self.packets if p.source == self.client and p.node == node and not p.to_node)

    @cached_property
    def received(self) -> tuple[Packet, ...]:
        """What came to the client, at its own port of the switch."""
        node = self.watch.node
        return tuple(p for p in self.packets if p.destination == self.client and p.node == node and p.to_node)

    @cached_property
    def crossed(self) -> tuple[Packet, ...]:
        """What of the client's left the balancer."""
        return tuple(p for p in self.packets if self._at_balancer(p) and not p.to_node)

    @cached_property
    def delivery(self) -> Delivery:
        """The wires in numbers."""
        return self.lab.delivery(self.packets, self.watch)

    @cached_property
    def control_port(self) -> int:
        """The client's port of its one control connection."""
        (port,) = {packet.source_port for packet in self.sent if packet.proto == Proto.TCP}
        assert port is not None
        return port

    @cached_property
    def rtp_ports(self) -> list[int]:
        """The client's ports that RTP came to."""
        return sorted({p.destination_port for p in self.received if p.is_rtp and p.destination_port})

    @cached_property
    def reports(self) -> dict[int, list[ReceiverReport]]:
        """The client's receiver reports on its first source, by its port."""
        heard: dict[int, list[ReceiverReport]] = {}
        for packet in self.sent:
            if packet.proto == Proto.UDP and packet.source_port and (report := _report(packet)):
                heard.setdefault(packet.source_port, []).append(report)
        return heard

    def requests(self, method: str) -> list[Packet]:
        """Segments that begin with a request, as they left the client."""
        return [packet for packet in self.sent if packet.payload.startswith(f"{method} ".encode())]

    def span_at_balancer(self, chosen: Callable[[Packet], bool]) -> tuple[float, float]:
        """When the first such packet of the client came to the balancer, and when it left it."""
        first = [packet for packet in self.packets if self._at_balancer(packet) and chosen(packet)][:2]
        assert [packet.to_node for packet in first] == [True, False]
        return first[0].at, first[1].at

    def lines(self) -> list[Line]:
        """What the session log says of its control connection."""
        whose = {"client": str(self.client), "client_port": self.control_port}
        return [line for line in self.lab.session_log() if whose.items() <= line.items()]

    def summary(self) -> dict[str, Any]:
        """The one summary of its one session, once it is there."""
        events = Counter[str]()

        def closed() -> bool:
            events.clear()
            events.update(line["event"] for line in self.lines())
            return bool(events["session_summary"])

        wait_for(closed, f"the summary of {self.watch}, of which there is {dict(events)}", SUMMARY_WAIT_S)
        (summary,) = (line for line in self.lines() if line["event"] == "session_summary")
        return summary

    def _at_balancer(self, packet: Packet) -> bool:
        return packet.source == self.client and packet.node == self.lab.topology.balancer.name


def watch_at(lab: Lab, places: Mapping[Watch, str]) -> list[Watched]:
    """Play side by side, each at the backend that is named."""
    for watch, backend in places.items():
        lab.daemon.place(str(lab.client(watch.node, _vip(watch).version)), backend)
    played, packets = lab.watch(list(places))
    by_client = _by_client(packets)
    watched = []
    for one in played:
        vip = _vip(one.watch)
        client = lab.client(one.watch.node, vip.version)
        watched.append(Watched(lab, one, places[one.watch], client, vip, tuple(by_client.get(client, ()))))
    return watched


def _by_client(packets: Iterable[Packet]) -> dict[Address, list[Packet]]:
    found: dict[Address, list[Packet]] = {}
    for packet in packets:
        if packet.proto in (Proto.TCP, Proto.UDP):
            found.setdefault(packet.source, []).append(packet)
            found.setdefault(packet.destination, []).append(packet)
    return found


def _vip(watch: Watch) -> Address:
    return ip_address(str(urlsplit(watch.url).hostname))


def _report(packet: Packet) -> ReceiverReport | None:
    """The first block of a receiver report. Punches of random bytes may look like the beginning of one."""
    if len(packet.payload) < 32:
        return None
    first, kind, words, _, ssrc, lost, highest, jitter = struct.unpack_from("!BBHIIIII", packet.payload)
    if first >> 6 != 2 or not first & 31 or kind != RECEIVER_REPORT or 4 + 4 * words > packet.carried:
        return None
    cumulative = (lost & 0xFFFFFF) - (lost >> 23 & 1) * (1 << 24)
    return ReceiverReport(
        ssrc=ssrc,
        fraction_lost=(lost >> 24) / 256,
        cumulative_lost=cumulative,
        highest=highest,
        jitter=jitter,
    )


def assert_session(one: Watched, *, rtcp: bool, share: float = 0.6) -> None:
    """All that has to hold of a session.

    rtcp:  its client is to send reports, so that what holds of every packet holds of RTCP
    share: of the time watched in which pictures came at the least; players begin late on a busy machine
    """
    assert_played(one, share)
    assert_one_backend(one)
    if rtcp:
        assert set(one.reports) & {port + 1 for port in one.rtp_ports}
    assert_direct_return(one)
    assert_logged(one)
    assert_summed_up(one)


# --- what the player tells


def clock_s(played: Played) -> float:
    """How far the player's own clock ran: time stamps of the pictures that it decoded."""
    log = played.log.read_text(errors="replace")
    match played.watch.player:
        case PlayerKind.FFMPEG:
            reports = played.log.with_suffix(".progress").read_text()
            return int(re.findall(r"out_time_us=(\d+)", reports)[-1]) / 1e6
        case PlayerKind.FFPLAY:
            stamps = [float(stamp) for stamp in re.findall(r"pts_time:([\d.]+)", log)]
        case PlayerKind.GSTREAMER:
            told = re.findall(r"GstFakeSink:video: .* pts: (\d+):(\d\d):(\d\d\.\d+)", log)
            stamps = [int(h) * 3600 + int(m) * 60 + float(s) for h, m, s in told]
        case _:  # aiortsp decodes nothing: the seconds in which pictures came
            counts = [int(count) for count in re.findall(r'"frames": (\d+)', log)]
            return float(len(set(counts) - {0}))
    return stamps[-1] - stamps[0]


def assert_played(one: Watched, share: float) -> None:
    """Pictures were decoded, 25 a second, and the clock ran; both for that share of the time."""
    told = one.played.log.read_text(errors="replace")[-2000:]
    assert one.played.frames >= share * 25 * one.watch.seconds, told
    assert clock_s(one.played) >= share * one.watch.seconds, told


# --- what the wires tell


def assert_one_backend(one: Watched) -> None:
    """Every packet of the client, RTCP too, reached the session's backend once, unchanged, and no other."""
    assert {packet.destination for packet in one.sent} == {one.vip}
    arrived = {
        node.name: Counter(
            _identity(p) for p in one.packets if p.source == one.client and p.node == node.name and p.to_node
        )
        for node in one.lab.topology.backends
    }
    assert {name for name, packets in arrived.items() if packets} == {one.backend}
    assert arrived[one.backend] == Counter(map(_identity, one.sent))


def _identity(packet: Packet) -> tuple[int, int | None, int | None, int, bytes]:
    return packet.proto, packet.source_port, packet.destination_port, packet.carried, packet.payload


def assert_direct_return(one: Watched) -> None:
    """What the client gets comes from the VIP, sent by the session's backend, and never by the balancer."""
    assert {packet.source for packet in one.received} == {one.vip}
    senders = {p.node for p in one.packets if p.destination == one.client and not p.to_node}
    assert senders == {one.backend}
    assert one.delivery.returned_packets == 0
    assert one.delivery.media_sources == (one.vip,)
    assert bool(one.delivery.rtp_packets) is one.over_udp
    protos = {Proto.TCP, Proto.UDP} if one.over_udp else {Proto.TCP}
    assert {packet.proto for packet in one.received} == protos
    assert one.delivery.balancer_bytes > 0
    assert one.delivery.ratio >= RATIO_MIN[one.watch.transport], one.delivery


# --- what the log tells


def assert_logged(one: Watched) -> None:
    """The log has the session's events in their order, all of one session, at the end its one summary."""
    summary = one.summary()
    lines = one.lines()
    transport, ports, channels = _tracks(one)
    asked = {"PAUSE": "session_paused", "TEARDOWN": "session_ending"}
    ended = [event for method, event in asked.items() if one.requests(method)]
    assert [line["event"] for line in lines] == [
        "session_opened",
        *["track_pinned"] * len(transport),
        *["session_playing", *ended, "session_closed", "session_summary"],
    ]
    assert {(line["session"], line["service"], line["backend"]) for line in lines} == {
        (summary["session"], "lab", one.backend)
    }
    pinned = [line for line in lines if line["event"] == "track_pinned"]
    assert [line["transport"] for line in pinned] == transport
    assert sorted(port for line in pinned for port in line["client_ports"]) == ports
    assert [channel for line in pinned for channel in line["channels"]] == channels
    assert summary["transports"] == transport
    assert sorted(summary["client_ports"]) == ports


def _tracks(one: Watched) -> tuple[list[str], list[int], list[int]]:
    """What was set up, as the wires tell: transport of each track, all UDP ports, all channels."""
    count = 1 if one.watch.player is PlayerKind.AIORTSP else 2
    ports = [port for rtp in one.rtp_ports for port in (rtp, rtp + 1)]
    if one.over_udp:
        assert len(one.rtp_ports) == count
        assert {packet.source_port for packet in one.sent if packet.proto == Proto.UDP} <= set(ports)
    return [one.watch.transport.value] * count, ports, [] if one.over_udp else list(range(2 * count))


def assert_summed_up(one: Watched) -> None:
    """The summary agrees with what the wires saw."""
    summary = one.summary()
    assert_ended(one, summary)
    assert_named(one, summary)
    assert_timed(one, summary)
    assert_counted(one, summary)
    assert_quality(one, summary)


def assert_ended(one: Watched, summary: Line) -> None:
    """Why it ended: ffplay goes without a word, and over UDP that may mean that it comes back."""
    torn_down = bool(one.requests("TEARDOWN"))
    assert torn_down is (one.watch.player is not TEARS_DOWN_NOT)
    silent = "expired" if one.over_udp else "connection_closed"
    assert summary["reason"] == ("teardown" if torn_down else silent)


def assert_named(one: Watched, summary: Line) -> None:
    """Who it was and what was asked for."""
    (play,) = one.requests("PLAY")
    asked = play.payload.decode()
    assert summary["url"].startswith(("rtsp://[" if one.vip.version == 6 else "rtsp://") + str(one.vip))
    assert urlsplit(summary["url"]).path.rstrip("/") == urlsplit(one.watch.url).path
    assert summary["user_agent"]
    assert f"\r\nUser-Agent: {summary['user_agent']}\r\n" in asked
    assert f"\r\nSession: {summary['server_session']}" in asked


def assert_timed(one: Watched, summary: Line) -> None:
    """Each time lies between the arrival of what it tells of at the balancer and its leaving."""
    begun = one.span_at_balancer(lambda packet: packet.proto == Proto.TCP)
    set_up = one.span_at_balancer(lambda packet: packet.payload.startswith(b"SETUP "))
    play = one.span_at_balancer(lambda packet: packet.payload.startswith(b"PLAY "))
    for key, (came, left) in {"opened_at": set_up, "played_at": play}.items():
        assert came - CLOCKS_S <= datetime.fromisoformat(summary[key]).timestamp() <= left + CLOCKS_S
    assert play[0] - begun[1] - CLOCKS_S <= summary["setup_s"] <= play[1] - begun[0] + CLOCKS_S
    assert summary["played_at"] < summary["closed_at"] <= summary["time"]


def assert_counted(one: Watched, summary: Line) -> None:
    """Packets and bytes from the client, as they left the balancer; what was delivered."""
    first = next(number for number, packet in enumerate(one.crossed) if packet.carried)
    counted = one.crossed[first:]
    assert summary["client_packets"] == len(counted)
    assert summary["client_bytes"] == sum(packet.length for packet in counted)
    if one.over_udp:
        assert summary["delivered_bytes"] is None
    else:
        came = sum(packet.carried for packet in one.received if packet.source_port == RTSP_PORT)
        assert came - UNACKNOWLEDGED_MAX <= summary["delivered_bytes"] <= came
        assert summary["first_delivery_s"] is not None


def assert_quality(one: Watched, summary: Line) -> None:
    """The log knows what the client has reported; the last reports exactly, of the others some."""
    assert (summary["stalls"], summary["stalled_s"]) == (0, 0.0)
    if not one.over_udp:
        return
    if not one.reports:
        unknown = [
            "first_delivery_s",
            "delivered_packets",
            "lost_packets",
            "worst_loss",
            "last_loss",
            "jitter",
        ]
        assert {key: summary[key] for key in unknown} == dict.fromkeys(unknown)
        return
    last = [reports[-1] for reports in one.reports.values()]
    losses = [round(report.fraction_lost, 4) for report in last]
    worst = max(report.fraction_lost for reports in one.reports.values() for report in reports)
    assert summary["first_delivery_s"] >= summary["setup_s"]
    assert summary["lost_packets"] == sum(report.cumulative_lost for report in last)
    assert summary["jitter"] == max(report.jitter for report in last)
    assert summary["last_loss"] in losses
    assert max(losses) <= summary["worst_loss"] <= round(worst, 4)
    told = sum(reports[-1].highest - reports[0].highest for reports in one.reports.values())
    assert (summary["delivered_packets"] or 0) <= told
