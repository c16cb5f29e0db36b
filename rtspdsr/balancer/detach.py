"""Removes everything that outlives the daemon: program, maps and pins, the VIPs' group
memberships, and the rules and routes of checks."""

import os

from rtspdsr.balancer import journal, settings
from rtspdsr.config import Config
from rtspdsr.dataplane import loader
from rtspdsr.dataplane.bpffs import Home
from rtspdsr.network.announcer import Announcer
from rtspdsr.network.neighbours import LinkChange, Neighbours
from rtspdsr.network.probepath import ProbePath


async def detach(config: Config) -> bool:
    """Detach from the interfaces of a configuration; False if nothing was there.

    Raises AlreadyRunning while a daemon serves them.
    """
    home = Home(config.dataplane.bpffs, config.dataplane.interfaces)
    if not home.path.exists():
        return False
    lock = home.lock()
    vips = {vip for service in config.services for vip in service.vips}
    async with Neighbours(config.dataplane.interfaces) as neighbours, Announcer() as announcer:
        unseen = set(config.dataplane.interfaces)
        async for change in neighbours.changes():
            if isinstance(change, LinkChange):
                unseen.discard(change.interface)
                await announcer.link(change)
            if not unseen:
                break
        await announcer.leave(vips)
    async with ProbePath(settings.numbers(config)) as path:
        await path.lay(())
    loader.detach(home)
    journal.remove(settings.journal_directory(config))
    os.close(lock)
    return True
