"""A lab as a whole: made, asked, played in, removed.

``Lab.up`` makes one, or brings back one that stands; ``Lab.find`` gives one that stands; ``down`` removes
whatever there is of one, however it came to be. Everything of a lab is in namespaces that bear its name and
in one directory, ``/run/rtspdsr-lab/NAME``, and ``down`` touches nothing else.
"""

import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from rtspdsr.errors import AdminError, LabError
from rtspdsr.lab import network, player, server
from rtspdsr.lab.capture import EVERYTHING, Capture, Delivery, Packet, delivery
from rtspdsr.lab.daemon import Daemon, XdpMode
from rtspdsr.lab.process import Process, Processes
from rtspdsr.lab.topology import VIP4, VIP6, Node, Role, Topology, topology
from rtspdsr.model import Address

ROOT = Path("/run/rtspdsr-lab")
SETTINGS = "lab.json"
SETTLE_S = 0.3  # after players end, for the last packets of their connections


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a lab was made with; written last, so that it says that the lab is complete.

    mode:     how XDP attaches at the balancer
    balancer: whether the lab runs the daemon
    """

    players: int = 6
    mode: XdpMode = XdpMode.NATIVE
    balancer: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A player's fortune and what the wires saw of it.

    delivery: of all that its node played meanwhile from the same host
    """

    played: player.Played
    delivery: Delivery


class Lab:
    """One lab that stands."""

    def __init__(self, plan: Topology, settings: Settings) -> None:
        self.topology, self.settings = plan, settings
        self.state = ROOT / plan.name
        self.processes = Processes(self.state)
        self.daemon = Daemon(plan, self.processes, self.state)
        self.media = self.state / "media" / "media.mp4"

    @classmethod
    def up(cls, name: str = "lab", settings: Settings | None = None) -> Self:
        """Make a lab, or give back the one that stands; a half-made one is removed first.

        Whatever ends the making, Ctrl-C included, nothing is left of it.
        """
        if os.geteuid():
            raise LabError("a lab needs root: it makes network namespaces and loads XDP; run it with sudo")
        settings = settings or Settings()
        lab = cls(topology(name, settings.players), settings)
        with _locked(name):
            if stands := _settings(name):
                if stands != settings:
                    raise LabError(
                        f"lab {name!r} is up, made with {stands}; "
                        f"remove it first: rtspdsr lab down --name {name}"
                    )
                return lab
            _remove(name)
            try:
                lab._make()
            except BaseException:
                _remove(name)
                raise
        return lab

    @classmethod
    def find(cls, name: str = "lab") -> Self:
        """The lab of that name; LabError if it is not up."""
        settings = _settings(name)
        if settings is None:
            others = ", ".join(names()) or "none"
            raise LabError(f"lab {name!r} is not up (up: {others}); start it: rtspdsr lab up --name {name}")
        return cls(topology(name, settings.players), settings)

    def _make(self) -> None:
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o755)  # VLC serves as nobody
        network.make(self.topology)
        with ThreadPoolExecutor() as pool:  # most of it is Python starting
            jobs = [pool.submit(self._prepare, node) for node in self.topology.backends]
            jobs.append(pool.submit(server.make_media, self.topology, self.processes, self.media))
            jobs.append(pool.submit(self.daemon.install, self.settings.mode))
        for job in jobs:
            job.result()
        servers = [self.start_server(node) for node in self.topology.backends]
        if self.settings.balancer:
            self.daemon.start()
        for started in servers:
            server.ready(started)
        _settings_file(self.topology.name).write_text(json.dumps(asdict(self.settings)))

    def _prepare(self, node: Node) -> None:
        state = self.state / "prepared" / f"{node.name}.json"
        server.prepare(self.topology, self.processes, node, state)

    def start_server(self, node: Node) -> Process:
        """Start a backend's media server; ``server.ready`` waits until it listens."""
        return server.start(self.topology, self.processes, node, self.media)

    def start(self, watch: player.Watch) -> player.Playing:
        """Start a player and return at once."""
        return player.start(self.topology, self.processes, watch)

    def play(self, watches: Sequence[player.Watch]) -> list[Result]:
        """Watch side by side, with the wires heard; players of one node share what its wire saw."""
        played, packets = self.watch(watches)
        return [Result(played=one, delivery=self.delivery(packets, one.watch)) for one in played]

    def watch(self, watches: Sequence[player.Watch]) -> tuple[list[player.Played], list[Packet]]:
        """Watch side by side; give back how each player fared, and all packets that the wires heard.

        LabError too if the lab is removed meanwhile.
        """
        playing: list[player.Playing] = []
        try:
            with self.capture("play") as capture:
                for watch in watches:
                    playing.append(self.start(watch))  # noqa: PERF401 (those started must be known to finally)
                with ThreadPoolExecutor(len(playing)) as pool:
                    played = list(pool.map(player.Playing.wait, playing))
                time.sleep(SETTLE_S)
            packets = capture.packets()
        except (OSError, subprocess.CalledProcessError, LabError):
            self._must_stand()
            raise
        finally:
            for one in playing:
                one.kill()
        self._must_stand()
        return played, packets

    def _must_stand(self) -> None:
        if not _settings_file(self.topology.name).exists():
            raise LabError(f"lab {self.topology.name!r} was removed while it was played in")

    def delivery(self, packets: Sequence[Packet], watch: player.Watch) -> Delivery:
        """What the wires saw between a watch's client and the host of its URL."""
        host = ip_address(str(urlsplit(watch.url).hostname))
        return delivery(packets, self.topology, self.client(watch.node, host.version), host)

    def capture(self, name: str, heard: str = EVERYTHING) -> Capture:
        """A capture of all wires, not yet begun; of everything, unless a filter of tcpdump is given."""
        directory = self.state / "captures"
        files = (directory / f"{name}-{number}.pcap" for number in count(1))
        file = next(file for file in files if not file.exists())
        return Capture(self.topology, self.processes, file, heard)

    def client(self, node: str, version: int) -> Address:
        """A player's address as the balancer sees it."""
        return self.topology.wire(node).address(version)

    def session_log(self) -> list[dict[str, Any]]:
        """The lines of the daemon's session log so far."""
        if not self.daemon.log.exists():
            return []
        text = self.daemon.log.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def status(self) -> dict[str, Any]:
        """Nodes with their addresses and processes, and what the daemon says of itself."""
        try:
            daemon = self.daemon.ask("GET", "/v1/status")
        except AdminError:
            daemon = None
        return {
            "lab": self.topology.name,
            **asdict(self.settings),
            "state": str(self.state),
            "vips": [str(VIP4), str(VIP6)],
            "nodes": [self._node_status(node) for node in self.topology.nodes],
            "daemon": daemon,
        }

    def _node_status(self, node: Node) -> dict[str, Any]:
        names = [process.name for process in self.processes.known() if process.pid]
        return {
            "node": node.name,
            "role": node.role,
            "namespace": self.topology.namespace(node.name),
            "addresses": [str(one) for one in (node.v4, node.v6) if one],
            "server": node.server,
            "nat": node.nat,
            "running": node.name in names if node.role in (Role.BACKEND, Role.BALANCER) else None,
        }


def down(name: str) -> bool:
    """Remove all there is of a lab; False if there was nothing. Ends only processes that the lab started."""
    with _locked(name):
        return _remove(name)


def names() -> list[str]:
    """The labs that are up."""
    return sorted(file.parent.name for file in ROOT.glob(f"*/{SETTINGS}"))


def _remove(name: str) -> bool:
    # Removing by name alone: nothing that was half made, or made by another version, is missed.
    state = ROOT / name
    if not state.exists() and not network.standing(name):
        return False
    _settings_file(name).unlink(missing_ok=True)
    processes = Processes(state)
    processes.end()
    Daemon(topology(name), processes, state).remove()
    network.remove(name)
    shutil.rmtree(state, ignore_errors=True)
    return True


def _settings_file(name: str) -> Path:
    return ROOT / name / SETTINGS


def _settings(name: str) -> Settings | None:
    """What a complete lab was made with."""
    file = _settings_file(name)
    if not file.exists():
        return None
    written = json.loads(file.read_text())
    return Settings(**{**written, "mode": XdpMode(written["mode"])})


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """One maker or remover of labs at a time; the others wait."""
    topology(name)  # refuses names that are none, before they become paths
    try:
        ROOT.mkdir(parents=True, exist_ok=True)
        lock = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError as error:
        raise LabError(f"{ROOT} is not ours to change; run with sudo") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
