"""The API on a Unix socket, over a desk that stands in for the daemon."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtspdsr.admin import Admin
from tests.admin.desk import Desk
from tests.admin.lookout import Lookout


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def lookout() -> Lookout:
    return Lookout()


@pytest.fixture
async def admin(desk: Desk, lookout: Lookout, tmp_path: Path) -> AsyncIterator[Path]:
    """A directory with a daemon's socket in it."""
    running = Admin(desk, tmp_path, watch=lookout)
    await running.start()
    yield tmp_path
    await running.stop()
