"""A session as a record: what a daemon writes down so that the next one can go on with it.

It is handed a session and gives back text and numbers only, ready for JSON; and the other way round. Times
are on the monotonic clock, so a record is good for one boot of the machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from sys import intern
from typing import Any

from rtspdsr.core.course import Course
from rtspdsr.core.pinbook import HeldPin
from rtspdsr.core.quality import Quality
from rtspdsr.core.session import Session, State, Track
from rtspdsr.core.story import Story
from rtspdsr.model import Address, FlowKey, Proto

#: Attributes that a record carries as they are.
_PLAIN = (
    "service_id",
    "backend_id",
    "client_port",
    "server_session",
    "url",
    "user_agent",
    "opened_at",
    "syn_at",
    "played_at",
    "closes_at",
    "asked_at",
    "client_packets",
    "client_bytes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFlow:
    """A pinned flow, and what was last read of it."""

    flow: FlowKey
    packets: int
    bytes: int
    delivered: int

    def count_on(self, held: HeldPin) -> None:
        """Go on from what was last read."""
        held.packets, held.bytes, held.delivered = self.packets, self.bytes, self.delivered


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownConnection:
    """The control connection of a recorded session."""

    control: KnownFlow
    initial: int | None
    opened_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A session that was read back, with the flows that it has to be given."""

    session: Session
    pins: tuple[KnownFlow, ...]
    connection: KnownConnection | None


def snapshot(session: Session) -> dict[str, Any]:
    """The record of a session."""
    record = {key: getattr(session, key) for key in _PLAIN}
    connection = session.connection
    record["client"] = str(session.client)
    record["state"] = session.state.value
    record["before"] = session.before.value
    record["quality"] = session.quality.snapshot()
    record["tracks"] = [
        {
            "url": track.url,
            "transport": track.transport,
            "client_ports": list(track.client_ports),
            "channels": list(track.channels),
            "live": track.live,
        }
        for track in session.tracks
    ]
    record["pins"] = [_flow(held) for held in session.pins if held.holder is session]
    record["connection"] = None
    if connection is not None and connection.pin is not None:
        record["connection"] = {
            **_flow(connection.pin),
            "service_port": connection.flow.service_port,
            "initial": connection.initial,
            "opened_at": connection.opened_at,
        }
    return record


def read(name: str, record: Mapping[str, Any], now: float) -> Record | None:
    """The session of a record; None if it is not one of this version."""
    try:
        client = ip_address(record["client"])
        session = _session(name, record, client, now)
        pins = tuple(
            _known(FlowKey(session.service_id, Proto.UDP, client, one["port"]), one) for one in record["pins"]
        )
        return Record(session=session, pins=pins, connection=_connection(record, client))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _flow(held: HeldPin) -> dict[str, int]:
    return {
        "port": held.flow.client_port,
        "packets": held.packets,
        "bytes": held.bytes,
        "delivered": held.delivered,
    }


def _known(flow: FlowKey, record: Mapping[str, Any]) -> KnownFlow:
    return KnownFlow(
        flow=flow, packets=record["packets"], bytes=record["bytes"], delivered=record["delivered"]
    )


def _connection(record: Mapping[str, Any], client: Address) -> KnownConnection | None:
    known = record["connection"]
    if known is None:
        return None
    flow = FlowKey(record["service_id"], Proto.TCP, client, known["port"], known["service_port"])
    return KnownConnection(
        control=_known(flow, known), initial=known["initial"], opened_at=known["opened_at"]
    )


def _session(name: str, record: Mapping[str, Any], client: Address, now: float) -> Session:
    session = Session(
        name,
        service_id=record["service_id"],
        backend_id=record["backend_id"],
        client=client,
        client_port=record["client_port"],
        url=record["url"],
        user_agent=record["user_agent"],
        opened_at=record["opened_at"],
        syn_at=record["syn_at"],
        state=State(record["state"]),
    )
    for key in _PLAIN:
        setattr(session, key, record[key])
    session.url, session.user_agent = intern(session.url), intern(session.user_agent)  # many share them
    session.before = State(record["before"])
    session.quality = Quality.restored(record["quality"])
    session.story = Story(Course(now, session.quality, session.client_bytes))
    for one in record["tracks"]:
        url, ports, channels = intern(one["url"]), tuple(one["client_ports"]), tuple(one["channels"])
        track = Track(url, one["transport"], ports, channels)
        track.live = one["live"]
        session.tracks.append(track)
    session.hear(now)  # whatever it was heard of meanwhile will be read
    if session.state is State.PLAYING:
        session.quality.begin(session.interleaved, now)
    return session
