"""What the maps may hold while hostile frames come: all that can be, now and then, made up with dice."""

from array import array
from random import Random

from rtspdsr.dataplane import layout
from rtspdsr.dataplane.layout import ScheduleFlag, index
from rtspdsr.model import PinFlag, Proto
from tests.fuzz.frames import CLIENT_PORTS, SERVICE_PORTS
from tests.packets.frames import CLIENT, CLIENT6
from tests.packets.runner import DOWN, LOOPBACK, LOST, MACHINES, UP, XdpRunner, flow

PLACES = (0, 5, layout.CHUNK_PINS, 2 * layout.CHUNK_PINS + 9, (1 << 32) - 1)  # the last two do not exist


def furnish(xdp: XdpRunner, dice: Random) -> None:
    """Make the maps as new, and fill them: some scenes have all that there is, some next to nothing."""
    xdp.reset()
    for backend_id in MACHINES:
        xdp.backend(backend_id, dice.choice((UP,) * 8 + (DOWN, DOWN, LOST)))
    xdp.slot_table(
        array("I", (dice.choice((*MACHINES, *MACHINES, 0)) for _ in range(64))) * 1024 + array("I", [0])
    )
    if dice.random() < 0.5:
        taken = [_backend(dice) for _ in range(dice.randrange(40))]
        xdp.turns(*taken, flags=ScheduleFlag(dice.randrange(4)))
    if dice.random() < 0.3:
        for backend_id in dice.choice((tuple(MACHINES), tuple(MACHINES)[:1])):
            xdp.room(backend_id, dice.choice((0, 0, 5)))
    for client in (CLIENT, CLIENT6):
        for _ in range(dice.choice((0, 4, 12))):
            _pin(xdp, dice, client)
        if dice.random() < 0.3:
            xdp.client(client, _backend(dice))
        if dice.random() < 0.2:
            xdp.newcomer(client, _backend(dice))
    if dice.random() < 0.1:
        xdp.deadline(1)
    if dice.random() < 0.05:
        xdp.maps["interfaces"].delete(index(LOOPBACK))


def _backend(dice: Random) -> int:
    return dice.choice((*MACHINES, *MACHINES, 9, 65535))  # the last two have no machine


def _pin(xdp: XdpRunner, dice: Random, client: str) -> None:
    port, place = dice.choice(CLIENT_PORTS), dice.choice(PLACES)
    if dice.random() < 0.5:
        xdp.pin(flow(client=client, port=port), _backend(dice), place=place)
        return
    key = flow(Proto.TCP, client=client, port=port, service_port=dice.choice(SERVICE_PORTS))
    xdp.pin(key, _backend(dice), dice.choice((PinFlag.NONE, PinFlag.NONE, *PinFlag)), place)
