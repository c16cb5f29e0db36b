"""One backend over the API: what holds it, and what the operator wants of it."""

from pathlib import Path

import pytest

from rtspdsr.admin import ask
from rtspdsr.errors import AdminError, NotFound
from rtspdsr.model import AdminState
from tests.admin.desk import BACKEND, Desk

PATH = "/v1/services/cams/backends/cam-a"


async def test_a_backend_is_told_with_what_holds_it(admin: Path) -> None:
    assert await ask(admin, "GET", PATH) == BACKEND


async def test_an_unknown_backend_is_not_found(admin: Path) -> None:
    with pytest.raises(NotFound, match="no backend cams/cam-x"):
        await ask(admin, "GET", "/v1/services/cams/backends/cam-x")


async def test_what_is_wanted_of_it_is_passed_on_and_how_it_stands_comes_back(
    admin: Path, desk: Desk
) -> None:
    answer = await ask(admin, "PUT", f"{PATH}/state", {"state": "drain", "deadline_s": 1800})
    assert answer == BACKEND
    await ask(admin, "PUT", f"{PATH}/state", {"state": "maint", "force": True})
    await ask(admin, "PUT", f"{PATH}/state", {"state": "ready", "deadline_s": None})
    assert desk.administered == [
        ("cams", "cam-a", AdminState.DRAIN, 1800.0, False),
        ("cams", "cam-a", AdminState.MAINT, None, True),
        ("cams", "cam-a", AdminState.READY, None, False),
    ]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "state"),
        ({"state": "gone"}, "'ready', 'drain' or 'maint'"),
        ({"state": "drain", "deadline_s": -1}, "deadline_s"),
        ({"state": "drain", "deadline_s": "soon"}, "deadline_s"),
        ({"state": "drain", "when": 3}, "when"),
    ],
)
async def test_what_makes_no_sense_is_named(
    admin: Path, desk: Desk, body: dict[str, object], named: str
) -> None:
    with pytest.raises(AdminError, match=named):
        await ask(admin, "PUT", f"{PATH}/state", body)
    assert desk.administered == []
