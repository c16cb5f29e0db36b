"""``python -m rtspdsr.lab.peer PORT PIN``: attach a program that passes everything, and pin its link.

Run in the switch's namespace, where PORT is. A veth hands on what native XDP sends at its other end only if
its own end has a program too.
"""

import socket
import sys
from pathlib import Path

from rtspdsr.dataplane.libbpf.programs import Link, pass_program


def main() -> None:
    """Attach, pin, and be gone; the pin keeps it attached."""
    port, pin = sys.argv[1:]
    with pass_program() as program, Link.attach(program, socket.if_nametoindex(port), "native") as link:
        link.pin(Path(pin))


if __name__ == "__main__":
    main()
