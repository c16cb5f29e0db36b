"""Which backend is meant by a bare name."""

from pathlib import Path

import pytest

from rtspdsr.cli.naming import full_name
from rtspdsr.errors import AdminError, NotFound
from tests.admin.desk import BACKENDS, Desk
from tests.cli.serving import serving


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Two services have a cam-a, one of them a cam-b."""
    made = Desk()
    told = [
        {**BACKENDS[0], "service": service, "name": name}
        for service, name in (("cams", "cam-a"), ("cams", "cam-b"), ("doors", "cam-a"))
    ]
    monkeypatch.setattr(made, "backends", lambda: told)
    return made


def test_one_that_is_the_only_one_of_its_name_needs_no_service(desk: Desk, tmp_path: Path) -> None:
    with serving(desk, tmp_path) as config:
        assert full_name(config, "cam-b") == ("cams", "cam-b")
        assert full_name(config, "doors/cam-a") == ("doors", "cam-a")
        with pytest.raises(
            AdminError, match="several backends are called cam-a; say cams/cam-a or doors/cam-a"
        ):
            full_name(config, "cam-a")
        with pytest.raises(NotFound, match="no backend cam-z; there are cams/cam-a, cams/cam-b, doors/cam-a"):
            full_name(config, "cam-z")
