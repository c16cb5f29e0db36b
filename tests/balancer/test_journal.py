"""The journal as a restarted daemon reads it, after a clean end, a kill, a full disk and a reboot."""

import os
from pathlib import Path

import pytest

from rtspdsr.balancer.journal import Journal
from rtspdsr.errors import RtspDsrError


def test_the_last_snapshot_of_a_living_session_comes_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("a", {"state": "ready"})
    journal.write("b", {"state": "ready"})
    journal.write("a", {"state": "playing"})
    journal.end("b")
    journal.flush()
    assert Journal(tmp_path).sessions() == {"a": {"state": "playing"}}


def test_what_was_flushed_survives_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("a", {"state": "ready"})
    journal.flush()
    with (tmp_path / "journal").open("a") as file:
        file.write('{"name":"b","sta')
    again = Journal(tmp_path)
    assert again.sessions() == {"a": {"state": "ready"}}
    again.write("c", {"state": "ready"})
    again.flush()
    assert set(Journal(tmp_path).sessions()) == {"a", "c"}


def test_sessions_of_another_boot_are_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path, boot_id="monday")
    journal.write("a", {"state": "ready"})
    journal.close()
    tuesday = Journal(tmp_path, boot_id="tuesday")
    assert tuesday.sessions() == {}
    tuesday.write("b", {"state": "ready"})
    tuesday.flush()
    assert set(tuesday.sessions()) == {"b"}


def test_a_rotation_that_is_cut_short_loses_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("a", {"state": "ready"})
    journal.write("b", {"state": "ready"})
    journal.rotate()
    journal.write("a", {"state": "playing"})
    journal.flush()
    assert Journal(tmp_path).sessions() == {"a": {"state": "playing"}, "b": {"state": "ready"}}


def test_a_rotation_leaves_one_file_of_living_sessions(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(100):
        journal.write(str(number), {"state": "ready"})
        journal.end(str(number))
    journal.write("a", {"state": "ready"})
    journal.rotate()
    journal.write("a", {"state": "ready"})
    journal.drop_old()
    assert [one.name for one in tmp_path.iterdir()] == ["journal"]
    assert (tmp_path / "journal").stat().st_size < 200
    assert set(Journal(tmp_path).sessions()) == {"a"}


def test_a_restarted_daemon_begins_with_what_it_took_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("gone", {"state": "ready"})
    journal.flush()
    journal.rewrite({"a": {"state": "playing"}})
    journal.write("b", {"state": "ready"})
    journal.flush()
    assert set(Journal(tmp_path).sessions()) == {"a", "b"}


def test_a_write_that_fails_is_counted_and_forwarding_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._file)
    journal.write("a", {"state": "ready"})
    journal.flush()
    assert journal.failed == 1


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RtspDsrError, match=r"cannot write the journal in .*file/x.*daemon\.state_dir"):
        Journal(tmp_path / "file" / "x")
