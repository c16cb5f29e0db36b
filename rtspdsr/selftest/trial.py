"""Plays from each backend in turn, as a client whose packets pass the XDP program.

Handed a configuration and the daemon's answers, it yields a ``Trial`` for each backend and family. The daemon
is asked to place the client at that backend, and afterwards whether its tracker has read the session.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from rtspdsr.admin.beside import require_same_network
from rtspdsr.config import BackendSection, Config, ServiceSection
from rtspdsr.core.health import Outcome
from rtspdsr.dataplane.bpffs import Home
from rtspdsr.errors import RtspDsrError
from rtspdsr.model import Address
from rtspdsr.probe import quick
from rtspdsr.probe.way import Way
from rtspdsr.selftest.wire import Hop, Wire, hop_to

OPTIONS_S = 3.0
ROUNDED_S = 0.1  # of ages, as the daemon tells them

Ask = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of one play.

    skipped: why it was not tried; empty if it was
    problem: what failed; empty if nothing did
    outcome: what the client saw; None if it saw nothing
    session: what the daemon calls the session; None if its tracker has not read it
    """

    service: str
    backend: str
    vip: Address
    skipped: str = ""
    problem: str = ""
    outcome: Outcome | None = None
    session: str | None = None

    @property
    def failed(self) -> bool:
        """Whether something is wrong."""
        return bool(self.problem)


def trials(config: Config, ask: Ask, url: str | None, wanted: str | None) -> Iterator[Trial]:
    """One for each backend and each family that it and the VIP have.

    ask:    asks the daemon: method, path, body; query by name
    url:    what to play; None: each service's probe_url
    wanted: one backend, as BACKEND or SERVICE/BACKEND; None for all

    Raises RtspDsrError if the way cannot be made, or if this is not where the daemon runs.
    """
    require_same_network(ask("GET", "/v1/status"), config.daemon.run_dir)
    states = {(one["service"], one["name"]): one for one in ask("GET", "/v1/backends")}
    wire = Wire(Home(config.dataplane.bpffs, config.dataplane.interfaces))
    with wire.laid():
        for service in config.services:
            for backend in service.backends:
                if wanted in (None, backend.name, f"{service.name}/{backend.name}"):
                    state = states.get(
                        (service.name, backend.name), {"state": "not configured in the daemon"}
                    )
                    yield from _backend(wire, ask, service, backend, state, url)


def _backend(
    wire: Wire,
    ask: Ask,
    service: ServiceSection,
    backend: BackendSection,
    state: Mapping[str, Any],
    url: str | None,
) -> Iterator[Trial]:
    for vip in service.vips:
        address = next((one for one in backend.addresses if one.version == vip.version), None)
        if address is None:
            continue
        trial = Trial(service=service.name, backend=backend.name, vip=vip)
        if state["state"] != "up":
            yield replace(trial, skipped=f"takes no new clients: it is {state['state']}")
            continue
        try:
            hop = hop_to(address)
            wire.lead(vip, hop, backend.addresses)
            ask("PUT", f"/v1/services/{service.name}/clients/{hop.source}", {"backend": backend.name})
            begun_at = time.monotonic()
            outcome = _played(wire, service, vip, url or service.health.probe_url)
            session = _session(ask, service.name, hop, time.monotonic() - begun_at)
        except RtspDsrError as error:
            yield replace(trial, problem=str(error))
            continue
        yield _judged(trial, outcome, session)


def _played(wire: Wire, service: ServiceSection, vip: Address, url: str) -> Outcome:
    clear = [port for port in service.ports if port not in service.opaque_ports] or list(service.ports)
    with wire.entered():
        if not url:
            way = Way(vip=vip, port=clear[0])
            return asyncio.run(quick.options(way, OPTIONS_S, f"rtsp://{way}/"))
        from rtspdsr.probe.play import play

        parts = urlsplit(url)
        way = Way(vip=vip, port=parts.port or clear[0])
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return asyncio.run(play(way, parts._replace(netloc=f"{user}{way}").geturl()))


def _session(ask: Ask, service: str, hop: Hop, within_s: float) -> Mapping[str, Any] | None:
    """The session of the client that the tracker has read in that time; those before it linger."""
    found: list[dict[str, Any]] = ask("GET", "/v1/sessions", client=hop.source, service=service)
    latest = min(found, key=lambda one: float(one["age_s"]), default=None)
    return latest if latest is not None and latest["age_s"] <= within_s + ROUNDED_S else None


def _judged(trial: Trial, outcome: Outcome, session: Mapping[str, Any] | None) -> Trial:
    problem = outcome.problem
    played = outcome.first_rtp_s is not None
    if played and not problem:
        if session is None:
            problem = "it plays, but the daemon's tracker has read no session: see `rtspdsr verdicts`"
        elif session["backend"] != trial.backend:
            problem = f"its packets went to {session['backend']}, where the client was not placed"
    name = session["session"] if session is not None and played else None
    return replace(trial, problem=problem, outcome=outcome, session=name)
