"""A packet test as one value: what the maps hold, what is sent, and the whole of what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass

from scapy.packet import Packet

from rtspdsr.dataplane.layout import Verdict
from tests.packets.frames import built, layers
from tests.packets.runner import Ran, XdpRunner

Given = Callable[[XdpRunner], None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One frame and its fate. ``expected`` None: not an octet may have changed."""

    name: str
    sent: Packet
    action: int
    verdict: Verdict
    expected: Packet | None = None
    given: tuple[Given, ...] = ()

    def check(self, xdp: XdpRunner) -> Ran:
        """Run it, and hold everything against what is expected."""
        for furnish in self.given:
            furnish(xdp)
        sent = built(self.sent)
        expected = sent if self.expected is None else built(self.expected)
        ran = xdp.run(sent)
        assert (ran.action, ran.verdict) == (self.action, self.verdict)
        assert layers(ran.packet) == layers(expected)
        assert ran.packet == expected
        return ran
