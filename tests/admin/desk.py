"""An operator's desk that stands in for the daemon: fixed answers, and notes of what it was asked to do."""

from collections.abc import Iterator

from rtspdsr.admin.answers import (
    BackendAnswer,
    BackendDetail,
    ExplanationAnswer,
    HistoryAnswer,
    SessionAnswer,
    StatusAnswer,
    StoryAnswer,
    TopAnswer,
)
from rtspdsr.admin.asked import (
    Explain,
    Sessions,
    Top,
)
from rtspdsr.errors import NotFound, RtspDsrError
from rtspdsr.model import Address, AdminState

STATUS: StatusAnswer = {
    "uptime_s": 7.5,
    "modes": {"eth0": "native"},
    "network_namespace": 4026531840,
    "pins": 10,
    "pins_max": 1000,
    "pins_refused": 0,
    "sessions": 2,
    "faults": 0,
    "reinjections_failed": 0,
    "lines_dropped": 0,
    "journal_failed": 0,
    "services": [
        {
            "name": "cams",
            "vips": ["192.0.2.10"],
            "ports": [554],
            "schedule": "hash",
            "place_by": "client",
            "client_packets": 10,
            "client_bytes": 1000,
            "backends": [
                {
                    "name": "cam-a",
                    "addresses": ["192.0.2.21"],
                    "state": "down",
                    "admin_state": "ready",
                    "problem": "no connection",
                    "weight": 100,
                    "share": 1.0,
                    "max_sessions": 0,
                    "full": False,
                    "sessions": 2,
                    "client_packets": 10,
                    "client_bytes": 1000,
                    "delivered_bytes": 334_000,
                    "delivered_packets": 280,
                    "lost_packets": 1,
                    "jitter": 214,
                }
            ],
        }
    ],
}

BACKENDS: list[BackendAnswer] = [
    {
        "service": "cams",
        "name": "cam-a",
        "addresses": ["192.0.2.21"],
        "state": "down",
        "admin_state": "ready",
        "problem": "no connection",
        "sessions": 2,
        "standing": "good",
        "standing_problem": "",
        "checks": {
            "options": {
                "passing": False,
                "age_s": 0.5,
                "problem": "no connection",
                "response_s": None,
                "first_rtp_s": None,
                "bits_per_s": None,
                "lost": None,
                "jitter_s": None,
                "source": None,
            }
        },
    }
]


BACKEND: BackendDetail = {
    "service": "cams",
    "name": "cam-a",
    "addresses": ["192.0.2.21"],
    "state": "drain",
    "admin_state": "drain",
    "problem": "",
    "weight": 100,
    "sessions": 1,
    "drain": {
        "since_s": 60.0,
        "deadline_in_s": 1740.0,
        "closed": False,
        "connections": 0,
        "followed": 1,
        "finished": 3,
        "ended": 0,
        "empty": False,
        "empty_in_s": 200.0,
    },
    "urls": [{"url": "rtsp://192.0.2.10/live", "sessions": 1}],
    "clients": [{"client": "198.51.100.7", "sessions": 1}],
    "oldest": [
        {
            "session": "5",
            "client": "198.51.100.7",
            "url": "rtsp://192.0.2.10/live",
            "state": "playing",
            "age_s": 70.0,
        }
    ],
}


def session(number: int) -> SessionAnswer:
    """A live session."""
    return {
        "session": str(number),
        "client": "198.51.100.7",
        "service": "cams",
        "backend": "cam-a",
        "url": "rtsp://192.0.2.10/live",
        "state": "playing",
        "transports": ["udp"],
        "age_s": 4.0,
        "reason": None,
        "delivered_bytes_per_s": None,
        "delivered_packets_per_s": 250.0,
        "last_loss": 0.0,
        "worst_loss": 0.125,
        "jitter": 90,
        "stalls": 1,
        "waiting": False,
    }


STORY: StoryAnswer = {
    "session": "1918313625c2",
    "client": "198.51.100.7",
    "client_port": 51000,
    "service": "cams",
    "backend": "cam-a",
    "state": "ended",
    "url": "rtsp://192.0.2.10/live",
    "user_agent": "Lavf59.27.100",
    "server_session": "5E2C11A0",
    "opened_at": "2026-03-01T18:02:31.402Z",
    "played_at": "2026-03-01T18:02:31.455Z",
    "closed_at": "2026-03-01T18:09:12.010Z",
    "age_s": 400.6,
    "reason": "expired",
    "setup_s": 0.071,
    "first_delivery_s": 0.912,
    "client_packets": 611,
    "client_bytes": 52114,
    "delivered_bytes": None,
    "delivered_packets": 163402,
    "lost_packets": 12,
    "worst_loss": 0.125,
    "last_loss": 0.0,
    "jitter": 214,
    "stalls": 1,
    "stalled_s": 12.5,
    "tracks": [
        {
            "url": "rtsp://192.0.2.10/live/track1",
            "transport": "udp",
            "client_ports": [5000, 5001],
            "channels": [],
        }
    ],
    "entries": [
        {
            "time": "2026-03-01T18:02:31.402Z",
            "event": "request",
            "method": "SETUP",
            "url": "rtsp://192.0.2.10/live/track1",
            "times": 1,
            "until": "2026-03-01T18:02:31.402Z",
            "details": {},
        },
        {
            "time": "2026-03-01T18:09:12.010Z",
            "event": "session_closed",
            "method": None,
            "url": None,
            "times": 1,
            "until": "2026-03-01T18:09:12.010Z",
            "details": {"reason": "expired"},
        },
    ],
    "entries_first": 2,
    "entries_omitted": 0,
    "course": [
        {
            "begun_at": "2026-03-01T18:02:31.402Z",
            "ended_at": "2026-03-01T18:02:36.402Z",
            "client_bytes_per_s": 80.0,
            "delivered_bytes_per_s": None,
            "delivered_packets_per_s": 400.0,
            "loss": 0.125,
            "jitter": 214,
        }
    ],
}


TOP: TopAnswer = {
    "delivery": [
        {
            "service": "cams",
            "backend": "cam-a",
            "sessions": 2,
            "delivered_bits_per_s": 4_000_000.0,
            "waiting": 1,
            "untold": 0,
        }
    ],
    "urls": [
        {
            "service": "cams",
            "url": "rtsp://192.0.2.10/live",
            "sessions": 2,
            "delivered_bits_per_s": 4_000_000.0,
            "waiting": 0,
            "untold": 0,
        }
    ],
    "worst": [session(1)],
    "failures": [
        {
            "time": "2026-03-01T18:09:12.010Z",
            "event": "session_closed",
            "service": "cams",
            "backend": "cam-a",
            "client": "198.51.100.7",
            "session": "1918313625c2",
            "details": {"reason": "expired"},
        }
    ],
}


EXPLANATION: ExplanationAnswer = {
    "kind": "new connection",
    "service": "cams",
    "vip": "192.0.2.10",
    "client_port": None,
    "service_port": 554,
    "backend": "cam-b",
    "verdict": "by_client",
    "meaning": "forwarded: where its client was placed, by its sessions or by an operator",
    "steps": [
        {"tier": "pin", "backend": "cam-a", "problem": "takes no new clients", "taken": False},
        {"tier": "flow", "backend": None, "problem": "none", "taken": False},
        {"tier": "client", "backend": "cam-b", "problem": "", "taken": True},
    ],
}


class Desk:
    """What it was asked to do is in its attributes, and how many sessions it tells of.

    broken: its status raises what it never should
    """

    def __init__(self) -> None:
        self.placed: list[tuple[str, str, str]] = []
        self.asked: list[Sessions] = []
        self.administered: list[tuple[str, str, AdminState, float | None, bool]] = []
        self.living = 0
        self.broken = False
        self.faults: list[Exception] = []

    def status(self) -> StatusAnswer:
        if self.broken:
            raise ValueError("the desk is broken")
        return STATUS

    def sessions(self, asked: Sessions) -> Iterator[SessionAnswer | None]:
        self.asked.append(asked)
        return map(session, range(self.living))

    def session(self, name: str) -> StoryAnswer:
        if not STORY["session"].startswith(name):
            raise NotFound(f"no session {name!r} lives or has ended lately")
        return STORY

    def top(self, asked: Top) -> Iterator[TopAnswer | None]:
        yield None
        yield TOP

    def explain(self, asked: Explain) -> Iterator[ExplanationAnswer]:
        yield {**EXPLANATION, "client_port": asked.port}

    def history(self) -> Iterator[HistoryAnswer]:
        yield {
            "service": "cams",
            "name": "cam-a",
            "ages_s": [10.0, 0.0],
            "client_bytes": [500, 1000],
            "delivered_bytes": [167_000, 334_000],
            "delivered_packets": [140, 280],
            "lost_packets": [0, 1],
        }

    def backends(self) -> list[BackendAnswer]:
        return BACKENDS

    def place(self, service: str, client: Address, backend: str) -> None:
        if backend == "down":
            raise RtspDsrError("backend down takes no new clients: it is unresolved")
        self.placed.append((service, str(client), backend))

    async def backend(self, service: str, backend: str) -> BackendDetail:
        if backend != "cam-a":
            raise NotFound(f"no backend {service}/{backend}")
        return BACKEND

    async def administer(
        self, service: str, backend: str, state: AdminState, deadline_s: float | None, *, force: bool
    ) -> None:
        self.administered.append((service, backend, state, deadline_s, force))

    def failed(self, error: Exception) -> None:
        self.faults.append(error)
