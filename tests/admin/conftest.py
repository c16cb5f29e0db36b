"""The API on a Unix socket, over a desk that stands in for the daemon."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rtspdsr.admin import Admin
from tests.admin.desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def admin(desk: Desk, tmp_path: Path) -> AsyncIterator[Path]:
    """A directory with a daemon's socket in it."""
    running = Admin(desk, tmp_path)
    await running.start()
    yield tmp_path
    await running.stop()
