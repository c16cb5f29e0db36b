"""One lab for all tests of this directory, made at the first that asks and always removed.

Its name bears the pid of the test run. SIGTERM ends a run as Ctrl-C does; what a run that was killed left
is removed by the next one.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtspdsr.lab.lab import Lab, Settings
from tests.lab.labs import lab_of_run

pytest.register_assert_rewrite("tests.lab.page.browsing", "tests.lab.steady", "tests.lab.watched")

PLAYERS = 12
PREFIX = "t"  # the lab's name: this and the pid


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this directory are lab tests."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab with the daemon, twelve players, native XDP."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with lab_of_run(PREFIX, Settings(players=PLAYERS)) as made:
            yield made
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
