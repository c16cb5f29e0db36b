"""An operator's desk that stands in for the daemon: fixed answers, and notes of what it was asked to do."""

from collections.abc import Iterator

from rtspdsr.admin.answers import BackendAnswer, SessionAnswer, StatusAnswer
from rtspdsr.errors import RtspDsrError
from rtspdsr.model import Address

STATUS: StatusAnswer = {
    "uptime_s": 7.5,
    "modes": {"eth0": "native"},
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
            "client_packets": 10,
            "client_bytes": 1000,
            "backends": [
                {
                    "name": "cam-a",
                    "addresses": ["192.0.2.21"],
                    "state": "down",
                    "problem": "no connection",
                    "weight": 100,
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
    }


class Desk:
    """What it was asked to do is in its attributes, and how many sessions it tells of.

    broken: its status raises what it never should
    """

    def __init__(self) -> None:
        self.placed: list[tuple[str, str, str]] = []
        self.living = 0
        self.broken = False
        self.faults: list[Exception] = []

    def status(self) -> StatusAnswer:
        if self.broken:
            raise ValueError("the desk is broken")
        return STATUS

    def sessions(self) -> Iterator[SessionAnswer]:
        return map(session, range(self.living))

    def backends(self) -> list[BackendAnswer]:
        return BACKENDS

    def place(self, service: str, client: Address, backend: str) -> None:
        if backend == "down":
            raise RtspDsrError("backend down takes no new clients: it is unresolved")
        self.placed.append((service, str(client), backend))

    def failed(self, error: Exception) -> None:
        self.faults.append(error)
