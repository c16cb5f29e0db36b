"""What the maps may hold before a frame is run, in words; each gives back a step that furnishes a runner."""

from rtspdsr.dataplane.layout import ScheduleFlag
from rtspdsr.model import FlowKey, PinFlag
from tests.packets.case import Given
from tests.packets.runner import XdpRunner


def pinned(key: FlowKey, backend_id: int, flags: PinFlag = PinFlag.NONE, place: int = 0) -> Given:
    """A pin."""
    return lambda xdp: xdp.pin(key, backend_id, flags, place)


def opened(key: FlowKey, backend_id: int, initial: int = 999) -> Given:
    """A connection whose SYN was seen."""
    return lambda xdp: xdp.flow(key, backend_id, initial=initial)


def placed(address: str, backend_id: int) -> Given:
    """A client with sessions."""
    return lambda xdp: xdp.client(address, backend_id)


def newcomer(address: str, backend_id: int, age_s: float = 1) -> Given:
    """A client placed at a SYN."""
    return lambda xdp: xdp.newcomer(address, backend_id, age_s)


def turns(*backend_ids: int, flags: ScheduleFlag = ScheduleFlag.BY_TURN) -> Given:
    """A schedule by turns."""
    return lambda xdp: xdp.turns(*backend_ids, flags=flags)


def full(*backend_ids: int) -> Given:
    """Backends without room for a new client."""

    def furnish(xdp: XdpRunner) -> None:
        for one in backend_ids:
            xdp.room(one, 0)

    return furnish


def state(backend_id: int, flags: int) -> Given:
    """A backend's state."""
    return lambda xdp: xdp.backend(backend_id, flags)


def slots(backend_id: int) -> Given:
    """All slots on one backend."""
    return lambda xdp: xdp.all_slots(backend_id)


def tracker_dead(xdp: XdpRunner) -> None:
    """The tracker's deadline has passed."""
    xdp.deadline(1)


def ring_full(xdp: XdpRunner) -> None:
    """Fill the ring of segments; nobody reads."""
    xdp.fill_segments()
