"""Brings the XDP program and its maps into force, in two steps: ``load``, then ``attach``.

Three ways in: nothing stands, and everything is made; maps of this layout and size stand, and are
adopted as they are; others stand, and the caller carries their contents into new ones. Between the two
steps the caller fills the maps, while an earlier program goes on forwarding; ``attach`` then swaps the
program atomically, so that packets never meet a gap. Both block for some 10 ms: not for the event loop.
"""

import errno
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rtspdsr.dataplane import offload
from rtspdsr.dataplane.adoption import Left, describe, export, identities, is_todays
from rtspdsr.dataplane.bpffs import Home, remove_pins
from rtspdsr.dataplane.libbpf.binding import refused_with
from rtspdsr.dataplane.libbpf.maps import Map
from rtspdsr.dataplane.libbpf.objects import Object
from rtspdsr.dataplane.libbpf.programs import Link, Program
from rtspdsr.dataplane.ticks import Ticks
from rtspdsr.errors import AlreadyRunning, DataplaneError, InterfaceGone

OBJECT = Path(__file__).with_name("forward.bpf.o")
PROGRAM = "rtspdsr_ingress"
CLOCK = "rtspdsr_ticks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """How the program runs on an interface.

    mode:    ``native`` or ``generic``
    notices: what is not as it should be there, in words
    """

    interface: str
    ifindex: int
    mode: str
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A program and its maps, ready to be attached.

    maps:    by name
    left:    what an earlier daemon left; its pins are listed only if they were carried into new maps
    adopted: whether the maps are that daemon's own
    ticks:   how the ticks in the statistics stand to our clock
    lock:    descriptor that holds the home
    """

    home: Home
    maps: dict[str, Map]
    program: Program
    left: Left
    adopted: bool
    ticks: Ticks
    lock: int

    def release(self) -> None:
        """Let go of the program and of the home; what is pinned stays."""
        self.program.close()
        os.close(self.lock)


def load(home: Home, sizes: Mapping[str, int]) -> Loaded:
    """Hold the home, and load the program with maps adopted or new.

    sizes: entries of each map that has not one fixed size

    Raises AlreadyRunning when another daemon serves an interface, DataplaneError for the rest.
    """
    missing = [name for name in home.interfaces if not _ifindex(name)]
    if missing:
        raise InterfaceGone(missing)
    home.make()
    lock = home.lock()
    try:
        return _load(home, sizes, lock)
    except BaseException:
        os.close(lock)
        raise


def _load(home: Home, sizes: Mapping[str, int], lock: int) -> Loaded:
    remove_pins(home.next_pins)
    standing = home.standing()
    adopted = home.pins in standing and is_todays(home.pins) and _fits(home.pins, sizes)
    directory = home.pins if adopted else home.next_pins
    directory.mkdir(exist_ok=True)
    program, ticks, maps = _open(directory, sizes)
    if adopted:
        left = identities(directory)
    else:
        describe(directory)
        left = export(standing[-1]) if standing else Left()
    return Loaded(home=home, maps=maps, program=program, left=left, adopted=adopted, ticks=ticks, lock=lock)


def attach(loaded: Loaded, mode: str) -> list[Attachment]:
    """Put the program in force on every interface of its home, and the maps that it came with.

    mode: ``native``, ``generic``, or ``auto``: native where the driver can

    Raises AlreadyRunning when another program has an interface, InterfaceGone, DataplaneError for the rest.
    """
    home = loaded.home
    attached = [attach_interface(loaded, mode, name) for name in home.interfaces]
    if home.next_pins.exists():
        for old in home.standing():
            remove_pins(old)
        home.next_pins.rename(home.pins)
    return attached


def attach_interface(loaded: Loaded, mode: str, interface: str) -> Attachment:
    """The same on one interface: that was removed and made again, say."""
    ifindex = _ifindex(interface)
    if not ifindex:
        raise InterfaceGone([interface])
    notices = [found] if (found := offload.problem(interface)) else []
    kind = _replace(loaded, interface, ifindex, mode) or _attach(loaded, interface, ifindex, mode, notices)
    return Attachment(interface=interface, ifindex=ifindex, mode=kind, notices=tuple(notices))


def _open(directory: Path, sizes: Mapping[str, int]) -> tuple[Program, Ticks, dict[str, Map]]:
    opened = Object(OBJECT)
    try:
        opened.resize(dict(sizes))
        opened.pin_maps(directory)
        opened.load()
        with opened.program(CLOCK) as clock:
            ticks = Ticks.read(clock)
        return opened.program(PROGRAM), ticks, opened.maps()
    finally:
        opened.close()


def _fits(directory: Path, sizes: Mapping[str, int]) -> bool:
    for name, size in sizes.items():
        if not (directory / name).exists():
            return False
        with Map.from_pin(directory / name) as standing:
            if standing.max_entries != size:
                return False
    return True


def detach(home: Home) -> None:
    """Take the program off every interface of a home, at once, and remove its pins."""
    for path in home.links.iterdir():
        with Link.from_pin(path) as link:
            link.detach()
    home.remove()


def _replace(loaded: Loaded, interface: str, ifindex: int, mode: str) -> str | None:
    """Swap the program of a link that stands; the mode it runs in, None if there is none."""
    for kind in ("native", "generic"):
        path = _link(loaded.home, interface, kind)
        if not path.exists():
            continue
        with Link.from_pin(path) as link:
            if link.ifindex == ifindex and mode in ("auto", kind):
                link.replace(loaded.program)
                return kind
            link.detach()  # from an interface that has gone, or in a mode no longer wanted
        path.unlink()
    return None


def _attach(loaded: Loaded, interface: str, ifindex: int, mode: str, notices: list[str]) -> str:
    """Make a link, and pin it; the mode it runs in. Says why, if that is not native."""
    for kind in ("native", "generic") if mode == "auto" else (mode,):
        try:
            with Link.attach(loaded.program, ifindex, kind) as link:
                link.pin(_link(loaded.home, interface, kind))
            return kind
        except DataplaneError as error:
            if refused_with(error) in (errno.EBUSY, errno.EEXIST):
                raise AlreadyRunning(
                    f"an XDP program is already attached to {interface}; see it with "
                    f"`ip link show {interface}`, detach it (`rtspdsr detach` if it is ours), "
                    "or choose another interface"
                ) from error
            if kind == "generic" or mode == "native":
                raise
            notices.append(f"native mode is refused, so generic mode is used: {error}")
    raise AssertionError("unreachable: generic mode either attached or raised")


def _link(home: Home, interface: str, kind: str) -> Path:
    """Where an attachment is pinned; bpffs allows no dots in a name."""
    return home.links / f"{interface.replace('.', '_')}-{kind}"


def _ifindex(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0
