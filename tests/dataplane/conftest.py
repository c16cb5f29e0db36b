"""For tests that load and attach, a network namespace with one veth pair and a bpffs of its own; for packet
tests, the XDP program loaded with no interface at all."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyroute2 import netns

from rtspdsr.dataplane.bpffs import Home
from tests.packets.runner import XdpRunner

NAMESPACE = f"rdc-{os.getpid()}"  # several may be tested at once on one machine


@dataclass(frozen=True)
class Wire:
    """Where the test stands: ``near`` is the balancer's end of a veth pair, ``far`` the other."""

    near: str
    far: str
    bpffs: Path

    @property
    def home(self) -> Home:
        """The home of the near end."""
        return Home(self.bpffs, (self.near,))


def ip(*words: str) -> None:
    """Run ``ip`` in the test's namespace."""
    subprocess.run(["ip", "-n", NAMESPACE, *words], check=True, capture_output=True)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """Enter a fresh namespace for one test, and leave nothing behind."""
    found = Wire("rdc0", "rdc1", tmp_path / "bpffs")
    netns.create(NAMESPACE)
    try:
        ip("link", "add", found.near, "type", "veth", "peer", "name", found.far)
        for name in ("lo", found.near, found.far):
            ip("link", "set", name, "up")
        netns.pushns(NAMESPACE)
        try:
            yield found
        finally:
            netns.popns()
    finally:
        subprocess.run(["umount", str(found.bpffs)], check=False, capture_output=True)
        netns.remove(NAMESPACE)


@pytest.fixture(scope="session")
def loaded_xdp() -> Iterator[XdpRunner]:
    """The program, loaded once."""
    with XdpRunner() as runner:
        yield runner


@pytest.fixture
def xdp(loaded_xdp: XdpRunner) -> XdpRunner:
    """The program, its maps as no other test has touched them."""
    loaded_xdp.reset()
    return loaded_xdp
