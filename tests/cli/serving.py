"""A daemon for the command line to ask: the real API at a real socket, in a thread."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rtspdsr.admin import Admin


@contextmanager
def serving(operator: Any, directory: Path) -> Iterator[Path]:
    """The configuration file of a daemon that answers as this operator, as long as it is needed."""
    loop = asyncio.new_event_loop()
    admin = Admin(operator, directory)
    loop.run_until_complete(admin.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield configuration(directory)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(admin.stop())
        loop.close()


def configuration(directory: Path) -> Path:
    """A configuration whose daemon has its socket and its log in this directory."""
    file = directory / "rtspdsr.toml"
    file.write_text(
        f'[daemon]\nrun_dir = "{directory}"\n[dataplane]\ninterfaces = ["lo"]\n'
        f'[log]\nfile = "{directory}/sessions.log"\n'
        '[[service]]\nname = "cams"\nvips = ["192.0.2.10"]\n'
        '[[service.backend]]\nname = "cam-a"\naddresses = ["192.0.2.21"]\n'
    )
    return file
