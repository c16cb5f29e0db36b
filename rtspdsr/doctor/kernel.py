"""The kernel and what it offers to the forwarding core: tried, then judged.

``trial`` loads the XDP program as the daemon would, attaches it to nothing and forgets it: no list of
features tells as much as the verifier's own answer.
"""

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rtspdsr.doctor.machine import Machine
from rtspdsr.errors import DataplaneError
from rtspdsr.finding import Finding, Verdict, judged

OLDEST = (5, 18)  # bpf_loop and what else the program needs


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it.

    refusal:   why the kernel refuses the program; empty if it takes it
    permitted: whether we may load programs at all
    """

    refusal: str = ""
    permitted: bool = True


def trial() -> Trial:
    """Load the XDP program."""
    from rtspdsr.dataplane.libbpf.binding import refused_with
    from rtspdsr.dataplane.libbpf.objects import Object
    from rtspdsr.dataplane.loader import OBJECT

    try:
        opened = Object(OBJECT)
    except DataplaneError as error:
        return Trial(str(error))
    try:
        opened.load()
    except DataplaneError as error:
        return Trial(str(error), permitted=refused_with(error) != errno.EPERM)
    finally:
        opened.close()
    return Trial()


def judge(machine: Machine, tried: Trial) -> Iterator[Finding]:
    """Its version, whether it takes the program, and whether that runs compiled."""
    why = "the forwarding core is an XDP program, and uses what older kernels lack"
    numbers = re.match(r"(\d+)\.(\d+)", machine.release)
    old = numbers is not None and (int(numbers[1]), int(numbers[2])) < OLDEST
    yield judged(
        "kernel",
        Verdict.WRONG if old else Verdict.OK,
        machine.release,
        why,
        "apt-get install -y linux-image-amd64  # Debian 12 has 6.1; then reboot",
    )
    verdict = Verdict.WRONG if tried.permitted else Verdict.UNKNOWN
    yield judged(
        "XDP program",
        verdict if tried.refusal else Verdict.OK,
        tried.refusal.partition("\n")[0] or "the kernel takes it (loaded for a trial, attached to nothing)",
        why,
        "rtspdsr run  # as root, on the host itself; it prints the whole of the kernel's answer",
    )
    compiled = machine.sysctl("net/core/bpf_jit_enable")
    if compiled is None:
        yield judged(
            "BPF compiler",
            Verdict.UNKNOWN,
            "not shown in this network namespace, or always on",
            "interpreted, the program takes several times as long for each packet",
            "sysctl net.core.bpf_jit_enable  # in the host's own network namespace",
        )
        return
    yield judged(
        "BPF compiler",
        Verdict.OK if compiled else Verdict.ADVICE,
        "on" if compiled else "off",
        "interpreted, the program takes several times as long for each packet",
        "sysctl -w net.core.bpf_jit_enable=1",
    )
