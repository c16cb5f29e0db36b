"""Two network namespaces joined by a cable: ours, which the test runs in, and a neighbour's.

For the tests of netlink code, which needs the real kernel. Entering ``Wire`` moves the calling thread into
our namespace; leaving it moves back and removes both.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import AF_PACKET, SOCK_RAW, htons, socket

from pyroute2 import netns

OURS, THEIRS = "rdn-near", "rdn-far"
ETH_P_ALL = 3
NEAR_MAC = bytes.fromhex("020000000001")
FAR_MAC = bytes.fromhex("020000000002")


class Wire:
    """A ``near`` interface in our namespace, a ``far`` one in the neighbour's, both families configured."""

    def __init__(self) -> None:
        suffix = os.getpid()
        self.ours, self.theirs = f"{OURS}-{suffix}", f"{THEIRS}-{suffix}"

    def near(self, *commands: str) -> str:
        """Run ``ip`` commands in our namespace."""
        return _ip(self.ours, commands)

    def near_batch(self, lines: list[str]) -> None:
        """Run many ``ip`` commands in our namespace at once."""
        command = ["ip", "-n", self.ours, "-batch", "-"]
        subprocess.run(command, input="\n".join(lines), check=True, capture_output=True, text=True)

    def without_ipv6(self) -> None:
        """Switch IPv6 off on the near interface."""
        Path("/proc/sys/net/ipv6/conf/near/disable_ipv6").write_text("1")

    def far(self, *commands: str) -> str:
        """Run ``ip`` commands in the neighbour's namespace."""
        return _ip(self.theirs, commands)

    def far_bridge(self, command: str) -> str:
        """Run a ``bridge`` command in the neighbour's namespace."""
        arguments = ["bridge", "-n", self.theirs, *command.split()]
        return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout

    def sniffer(self) -> socket:
        """Open a packet socket on the neighbour's end; it never blocks."""
        with _inside(self.theirs):
            return _packet_socket("far")

    def near_sniffer(self) -> socket:
        """Open a packet socket on our end; it never blocks."""
        return _packet_socket("near")

    def connect(self) -> None:
        """Lay the cable; also anew, after the near interface was removed."""
        self.near(f"link add near address {NEAR_MAC.hex(':')} type veth peer name far netns {self.theirs}")
        self.far(
            f"link set far address {FAR_MAC.hex(':')} up",
            "addr add 10.9.0.2/24 dev far",
            "addr add fd09::2/64 dev far nodad",
        )
        self.near(
            "link set near up",
            "addr add 10.9.0.1/24 dev near",
            "addr add fd09::1/64 dev near nodad",
        )


@contextmanager
def wire() -> Iterator[Wire]:
    """Make both namespaces, and enter ours."""
    made = Wire()
    with ExitStack() as undo:
        for name in (made.ours, made.theirs):
            netns.create(name)
            undo.callback(netns.remove, name)
            with _inside(name):
                # A link-local address waits for duplicate detection, and resolution waits for the address.
                Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
        undo.enter_context(_inside(made.ours))
        made.connect()
        yield made


@contextmanager
def _inside(name: str) -> Iterator[None]:
    netns.pushns(name)
    try:
        yield
    finally:
        netns.popns()


def _packet_socket(interface: str) -> socket:
    made = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL))
    made.bind((interface, ETH_P_ALL))
    made.setblocking(False)
    return made


def _ip(namespace: str, commands: tuple[str, ...]) -> str:
    done = [
        subprocess.run(["ip", "-n", namespace, *one.split()], check=True, capture_output=True, text=True)
        for one in commands
    ]
    return "".join(one.stdout for one in done)
