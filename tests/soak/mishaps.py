"""What befalls the lab while it soaks: one a minute, picked by dice, each undone when it is over."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random

from rtspdsr.lab.lab import Lab
from rtspdsr.lab.topology import SWITCH
from tests.lab.faults import (
    WallClock,
    another_release,
    configured,
    dying,
    flapping,
    kill_in_a_row,
    last_shares,
    reload,
    restart,
    stopped,
    weigh,
    without,
)
from tests.lab.helpers import run_at, wait_for
from tests.lab.synflood import SynFlood

VICTIM = "gst-b"  #: the backend that things befall; those that are watched for loss play elsewhere
ATTACKER = "player11"
SOME_S = 10.0
PATIENCE_S = 60.0
FLOOD_PER_S = 50_000
KILLS = RELOADS = 10
MAC = "02:77:00:00:00:98"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """One kind.

    ends_daemon: the daemon is another afterwards, its memory begins anew
    harms:       players of one backend may be harmed, and those that come meanwhile
    """

    name: str
    happen: Callable[[Lab], None]
    ends_daemon: bool = False
    harms: bool = False


def wait_until_well(lab: Lab) -> None:
    """Every backend is in the table again."""
    names = {one.name for one in lab.topology.backends}
    wait_for(lambda: set(last_shares(lab)) == names, "a table with all backends", PATIENCE_S)


def stand_still(lab: Lab) -> None:
    """The daemon gets no turn."""
    with stopped(lab):
        time.sleep(SOME_S)


def upgrade(lab: Lab) -> None:
    """To another program of the same layout, and back."""
    restart(lab, under=another_release(lab))
    restart(lab)


def step_clock(lab: Lab) -> None:
    """The daemon's wall clock jumps."""
    clock = WallClock(lab)
    restart(lab, under=clock.under)
    for ahead_s in (3600, -86_400, 0):
        clock.ahead_s = ahead_s
        time.sleep(3.0)


def reload_again(lab: Lab) -> None:
    """The configuration is read again and again, each time with another weight, and a table of its own."""
    for number in range(RELOADS):
        with configured(lab, partial(weigh, weight=60 + number)):
            before = last_shares(lab)
            reload(lab)
            wait_for(lambda before=before: last_shares(lab) != before, "another table", PATIENCE_S)  # type: ignore[misc]
    reload(lab)


def take_out(lab: Lab) -> None:
    """A backend leaves the configuration and comes back."""
    with configured(lab, lambda text: without(text, VICTIM)):
        reload(lab)
        wait_for(lambda: VICTIM not in last_shares(lab), "a table without it", PATIENCE_S)
        time.sleep(SOME_S / 2)
    reload(lab)
    wait_until_well(lab)


def die(lab: Lab, how: str) -> None:
    """A backend dies and comes back."""
    with dying(lab, VICTIM, how):
        wait_for(lambda: VICTIM not in last_shares(lab), "a table without it", PATIENCE_S)
        time.sleep(SOME_S / 2)
    wait_until_well(lab)


def flap(lab: Lab) -> None:
    """A backend passes its checks half of the time."""
    with flapping(lab, VICTIM):
        time.sleep(2 * SOME_S)


def change_mac(lab: Lab) -> None:
    """A backend gets another network card, and the old one again."""
    node = lab.topology.node(VICTIM)
    for mac in (MAC, str(node.mac)):
        run_at(lab, SWITCH, "bridge", "fdb", "replace", mac, "dev", VICTIM, "master", "static")
        run_at(lab, VICTIM, "ip", "link", "set", "eth0", "address", mac)
        time.sleep(SOME_S)


def cut_balancer_off(lab: Lab) -> None:
    """The balancer's link goes down, and up again."""
    run_at(lab, "balancer", "sh", "-ec", "ip link set eth0 down; ip link set eth0 up")
    time.sleep(SOME_S / 2)
    wait_until_well(lab)


def flood(lab: Lab) -> None:
    """SYNs from clients that there are not."""
    with SynFlood(lab, ATTACKER, FLOOD_PER_S):
        time.sleep(SOME_S)
    wait_until_well(lab)


MISHAPS = (
    Mishap(
        name=f"the daemon is killed {KILLS} times",
        happen=lambda lab: kill_in_a_row(lab, KILLS, Random(KILLS)),
        ends_daemon=True,
    ),
    Mishap(name="the daemon is upgraded and rolled back", happen=upgrade, ends_daemon=True),
    Mishap(name="the wall clock steps", happen=step_clock, ends_daemon=True),
    Mishap(name=f"the daemon stands still for {SOME_S:g} s", happen=stand_still),
    Mishap(name=f"{RELOADS} reloads", happen=reload_again),
    Mishap(name="a backend leaves and comes back", happen=take_out),
    Mishap(name="a backend's process dies", happen=partial(die, how="killed"), harms=True),
    Mishap(name="a backend hangs", happen=partial(die, how="stopped"), harms=True),
    Mishap(name="a backend is cut off", happen=partial(die, how="cut off"), harms=True),
    Mishap(name="a backend flaps", happen=flap),
    Mishap(name="a backend's MAC address changes", happen=change_mac, harms=True),
    Mishap(name="the balancer's link goes down and up", happen=cut_balancer_off, harms=True),
    Mishap(name=f"a flood of {FLOOD_PER_S:,} SYNs/s", happen=flood),
)


def picked(dice: Random, count: int, lives: int) -> Iterator[Mishap]:
    """So many, each kind as often as any other; those that end the daemon only among the first ``lives``."""
    stock: list[Mishap] = []
    for number in range(count):
        allowed = [one for one in stock if number < lives or not one.ends_daemon]
        if not allowed:
            stock = list(MISHAPS)
            dice.shuffle(stock)
            allowed = [one for one in stock if number < lives or not one.ends_daemon]
        stock.remove(allowed[0])
        yield allowed[0]
