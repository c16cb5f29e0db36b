"""What the operator wants of backends, kept on disk."""

from pathlib import Path

import pytest

from rtspdsr.balancer.administration import Administration, Wish
from rtspdsr.errors import RtspDsrError
from rtspdsr.model import AdminState

WISHES = {
    ("cams", "cam-a"): Wish(state=AdminState.DRAIN, began_at=1000.5, deadline_at=2000.25),
    ("cams", "cam-b"): Wish(state=AdminState.MAINT, began_at=1001.0),
}


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    Administration(tmp_path / "deep").save(WISHES)
    assert Administration(tmp_path / "deep").load() == WISHES
    Administration(tmp_path / "deep").save({})
    assert Administration(tmp_path / "deep").load() == {}


def test_without_a_file_every_backend_is_ready(tmp_path: Path) -> None:
    assert Administration(tmp_path).load() == {}


@pytest.mark.parametrize(
    "text", ["{", "[]", "7", '{"a/b": {"state": "gone"}}', '{"a/b": {"state": "maint"}}']
)
def test_a_file_that_makes_no_sense_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "backends.json").write_text(text)
    with pytest.raises(RtspDsrError, match=r"backends\.json.*mend it, or remove it"):
        Administration(tmp_path).load()


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RtspDsrError, match=r"cannot write .*set daemon\.state_dir"):
        Administration(tmp_path / "file").save(WISHES)
