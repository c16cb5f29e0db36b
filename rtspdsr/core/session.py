"""One RTSP session: what its client has asked for so far. The answers are never seen (design rule 13).

It is handed the requests that name it and what was read of its pins, and keeps its state, its tracks and
the account that its summary is made of. It claims no pins and finds no requests; it only knows which are its.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from rtspdsr.core.connection import Connection
from rtspdsr.core.course import Course
from rtspdsr.core.events import (
    CloseReason,
    Event,
    RequestOutOfTurn,
    SessionEnding,
    SessionPaused,
    SessionPlaying,
    SessionRecording,
    SessionResumed,
    SessionRevived,
    SessionStalled,
    SessionSummary,
)
from rtspdsr.core.heard import Heard
from rtspdsr.core.pinbook import HeldPin
from rtspdsr.core.placement import Placement
from rtspdsr.core.quality import Quality
from rtspdsr.core.story import Story
from rtspdsr.model import Address, FlowKey, PinReading

#: A first delivery is looked for so long after PLAY.
FIRST_DELIVERY_WAIT_S = 10.0


class State(StrEnum):
    """What the client has asked for."""

    INIT = "init"
    READY = "ready"
    PLAYING = "playing"
    RECORDING = "recording"
    ENDING = "ending"  #: TEARDOWN; it may be refused, so the session stands for a linger


class Method(StrEnum):
    """Methods that change the state of a session."""

    SETUP = "SETUP"
    PLAY = "PLAY"
    RECORD = "RECORD"
    PAUSE = "PAUSE"
    TEARDOWN = "TEARDOWN"


#: RFC 2326 appendix A.1; PAUSE in READY and PLAY in PLAYING are RFC 7826's (appendix B.2).
TRANSITIONS: Mapping[tuple[State, str], State] = {
    (State.INIT, Method.SETUP): State.READY,
    (State.READY, Method.SETUP): State.READY,
    (State.READY, Method.PLAY): State.PLAYING,
    (State.READY, Method.RECORD): State.RECORDING,
    (State.READY, Method.PAUSE): State.READY,
    (State.READY, Method.TEARDOWN): State.ENDING,
    (State.PLAYING, Method.SETUP): State.PLAYING,
    (State.PLAYING, Method.PLAY): State.PLAYING,
    (State.PLAYING, Method.PAUSE): State.READY,
    (State.PLAYING, Method.TEARDOWN): State.ENDING,
    (State.RECORDING, Method.SETUP): State.RECORDING,
    (State.RECORDING, Method.RECORD): State.RECORDING,
    (State.RECORDING, Method.PAUSE): State.READY,
    (State.RECORDING, Method.TEARDOWN): State.ENDING,
    (State.ENDING, Method.TEARDOWN): State.ENDING,
}

_METHODS = frozenset[str](Method)


class Track:
    """One stream of a session, as its last SETUP asked for it.

    transport:    ``udp``, ``tcp`` (interleaved) or ``multicast``: the first alternative offered
    client_ports: UDP ports of every alternative, RTP first
    channels:     interleaved channels, RTP first
    live:         not torn down by itself
    """

    __slots__ = ("channels", "client_ports", "live", "transport", "url")

    def __init__(
        self, url: str, transport: str, client_ports: tuple[int, ...] = (), channels: tuple[int, ...] = ()
    ) -> None:
        self.url = url
        self.transport = transport
        self.client_ports = client_ports
        self.channels = channels
        self.live = True


class Session(Heard):
    """What one client asked of one backend under one Session id.

    name:           ours, unique in the log
    client_port:    of the control connection it was last heard on
    server_session: the server's id, once the client has used it
    url:            of the presentation as far as known, without credentials
    tracks:         in the order of SETUP
    pins:           its UDP pins, and when they go; None for those in use
    connection:     its control connection, None while it has none
    proven:         its client has acknowledged what its backend sent, so it is no forgery
    syn_at:         when the connection that it began on was opened; None if that was not seen
    before:         the state that TEARDOWN ended
    closes_at:      end of the linger after TEARDOWN
    asked_at:       when TEARDOWN was asked for
    story:          what happened to it
    """

    __slots__ = (
        "asked_at",
        "before",
        "client",
        "client_bytes",
        "client_packets",
        "client_port",
        "closes_at",
        "connection",
        "name",
        "opened_at",
        "pins",
        "placement",
        "played_at",
        "proven",
        "quality",
        "server_session",
        "service_id",
        "state",
        "story",
        "syn_at",
        "tracks",
        "url",
        "user_agent",
    )

    placement: Placement  # given to it when its client is placed

    def __init__(
        self,
        name: str,
        *,
        service_id: int,
        backend_id: int,
        client: Address,
        client_port: int,
        url: str,
        user_agent: str,
        opened_at: float,
        syn_at: float | None,
        state: State = State.INIT,
    ) -> None:
        super().__init__(backend_id, opened_at)
        self.name = name
        self.service_id = service_id
        self.client = client
        self.client_port = client_port
        self.url = url
        self.user_agent = user_agent
        self.opened_at = opened_at
        self.syn_at = syn_at
        self.played_at: float | None = None
        self.state = state
        self.before = state
        self.server_session: str | None = None
        self.tracks: list[Track] = []
        self.pins: dict[HeldPin, float | None] = {}
        self.connection: Connection | None = None
        self.proven = True
        self.closes_at: float | None = None
        self.asked_at: float | None = None
        self.client_packets = self.client_bytes = 0
        self.quality = Quality()
        self.story = Story(Course(opened_at))

    def flows(self) -> list[FlowKey]:
        """Those of its UDP pins, and its control connection's."""
        flows = [held.flow for held in self.pins]
        if self.connection is not None:
            flows.append(self.connection.flow)
        return flows

    def where(self) -> dict[str, Any]:
        """The keys that every event about it carries."""
        return {
            "service_id": self.service_id,
            "backend_id": self.backend_id,
            "client": self.client,
            "client_port": self.client_port,
            "session": self.name,
        }

    # --- requests ----------------------------------------------------------------------------------

    def receive(self, method: str, now: float) -> list[Event]:
        """Take in a request that names it. A surprising one is told, and changes nothing."""
        self.hear(now)
        revived = self.state is State.ENDING and method != Method.TEARDOWN
        facts = self._revive(now) if revived else []
        if method not in _METHODS:
            return facts
        new = TRANSITIONS.get((self.state, method))
        if new is None:
            return [*facts, RequestOutOfTurn(at=now, method=method, state=self.state.value, **self.where())]
        old, self.state = self.state, new
        return facts if old is new else [*facts, *self._changed(old, new, now)]

    def _changed(self, old: State, new: State, now: float) -> list[Event]:
        if old is State.PLAYING:
            self.quality.halt(now)
        if new in (State.PLAYING, State.RECORDING) and self.played_at is None:
            self.played_at = now
        if new is State.PLAYING:
            self.quality.begin(self.interleaved, now)
            return [SessionPlaying(at=now, **self.where())]
        if new is State.RECORDING:
            return [SessionRecording(at=now, **self.where())]
        if new is State.ENDING:
            self.before, self.asked_at = old, now
            return [SessionEnding(at=now, **self.where())]
        return [SessionPaused(at=now, **self.where())] if old is not State.INIT else []

    def _revive(self, now: float) -> list[Event]:
        """The server has refused the TEARDOWN, or the client would not go on."""
        self.state = self.before
        self.closes_at = self.asked_at = None
        if self.state is State.PLAYING:
            self.quality.begin(self.interleaved, now)
        return [SessionRevived(at=now, **self.where())]

    # --- tracks ------------------------------------------------------------------------------------

    @property
    def interleaved(self) -> bool:
        """Some media comes in the control connection."""
        return any(track.live and track.transport == "tcp" for track in self.tracks)

    @property
    def sending(self) -> bool:
        """Its client sends media in the control connection."""
        return self.state is State.RECORDING and self.interleaved

    @property
    def needs_connection(self) -> bool:
        """All media comes in the control connection, so that the session ends with it."""
        live = [track for track in self.tracks if track.live]
        return bool(live) and all(track.transport == "tcp" and not track.client_ports for track in live)

    def track(self, url: str) -> Track | None:
        """The track with this control URL."""
        return next((track for track in self.tracks if track.url == url), None)

    def covers(self, url: str) -> bool:
        """Whether a URL names one of its tracks, or all of them."""
        return any(is_within(track.url, url) for track in self.tracks)

    def is_beside(self, url: str) -> bool:
        """Whether a URL names a track next to one of its own."""
        parent = _place(url).rpartition("/")[0]
        return any(_place(track.url).rpartition("/")[0] == parent for track in self.tracks)

    def has_channel(self, channel: int) -> bool:
        """Whether frames on an interleaved channel are its own, as far as the client's half tells."""
        return any(
            track.live and track.transport == "tcp" and (not track.channels or channel in track.channels)
            for track in self.tracks
        )

    def unused(self) -> list[HeldPin]:
        """Pins in force that no track uses any more."""
        used = {port for track in self.tracks if track.live for port in track.client_ports}
        return [
            held
            for held, goes_at in self.pins.items()
            if goes_at is None and held.flow.client_port not in used
        ]

    def unpinned(self) -> list[int]:
        """Ports of its tracks that have no pin, in their order."""
        pinned = {held.flow.client_port for held in self.pins}
        wanted = {port for track in self.tracks if track.live for port in track.client_ports}
        return sorted(wanted - pinned)

    # --- readings ----------------------------------------------------------------------------------

    def is_read_soon(self, now: float) -> bool:
        """Its first delivery is expected any moment."""
        return (
            self.state is State.PLAYING
            and self.quality.first_delivery_at is None
            and self.played_at is not None
            and now - self.played_at < FIRST_DELIVERY_WAIT_S
        )

    def read(self, held: HeldPin, reading: PinReading) -> None:
        """Take in what was counted for one of its UDP pins."""
        if reading.packets == held.packets or held.holder is not self:
            return  # nothing came, or another session has the port now, and this is what it hears
        packets, size, _ = held.progress(reading)
        self.client_packets += packets
        self.client_bytes += size
        self.hear(reading.heard_at)
        if reading.report is not None and reading.reported_at >= self.opened_at:
            self.quality.report(held.flow.client_port, reading.report, reading.reported_at)

    def read_control(self, grown: tuple[int, int, int], answers: int, heard_at: float) -> None:
        """Take in what was counted for its control connection, shared by all sessions on it."""
        packets, size, delivered = grown
        self.client_packets += packets
        self.client_bytes += size
        self.hear(heard_at)
        if self.interleaved:
            playing = self.state is State.PLAYING
            self.quality.acknowledged(delivered, answers if playing else delivered, heard_at)

    def judge(self, now: float, stall_s: float) -> list[Event]:
        """Whether delivery has stopped or gone on, by what was read."""
        self.story.course.measure(self.quality, self.client_bytes, now)
        said: list[Event] = []
        if (lasted := self.quality.resumed()) is not None:
            said.append(SessionResumed(at=now, stalled_s=lasted, **self.where()))
        if self.state is State.PLAYING and (silent := self.quality.stalled(now, stall_s)) is not None:
            said.append(SessionStalled(at=now, silent_s=silent, **self.where()))
        return said

    # --- the account -------------------------------------------------------------------------------

    def summary(self, reason: CloseReason, closed_at: float, now: float) -> SessionSummary:
        """The one record that reviews are made from: its account, closed."""
        self.quality.halt(closed_at)
        return self.account(reason, closed_at, now)

    def account(self, reason: CloseReason, closed_at: float, now: float) -> SessionSummary:
        """What its summary would be if it ended now."""
        quality = self.quality
        ports = dict.fromkeys(port for track in self.tracks for port in track.client_ports)
        return SessionSummary(
            at=now,
            **self.where(),
            server_session=self.server_session,
            url=self.url,
            user_agent=self.user_agent,
            transports=tuple(track.transport for track in self.tracks),
            client_ports=tuple(ports),
            opened_at=self.opened_at,
            played_at=self.played_at,
            closed_at=closed_at,
            setup_s=_since(self.syn_at, self.played_at),
            first_delivery_s=_since(self.syn_at, quality.first_delivery_at),
            client_packets=self.client_packets,
            client_bytes=self.client_bytes,
            delivered_bytes=quality.delivered_bytes,
            delivered_packets=quality.delivered_packets,
            lost_packets=quality.lost_packets,
            worst_loss=quality.worst_loss,
            last_loss=quality.last_loss,
            jitter=quality.jitter,
            stalls=quality.stalls,
            stalled_s=quality.stalled_s,
            reason=reason,
        )


def _since(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else end - begin


def is_within(url: str, presentation: str) -> bool:
    """Whether a control URL belongs to a presentation. A query may stand behind either of them."""
    part, whole = _place(url), _place(presentation)
    if part.startswith(whole):
        return True
    path, _, query = whole.partition("?")
    return bool(query) and part.startswith(path.rstrip("/")) and part.endswith(f"?{query}")


def _place(url: str) -> str:
    """A URL without its host, which servers spell as they like."""
    return url.partition("://")[2].partition("/")[2].rstrip("/")
