"""The journal as a restarted daemon reads it, after a clean end, a kill, a full disk and a reboot."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from rtspdsr.balancer.journal import Journal, remove
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
    journal.flush()
    journal.write("a", {"state": "ready"})
    journal.rotate()
    journal.write("a", {"state": "ready"})
    journal.drop_old()
    assert [one.name for one in tmp_path.iterdir()] == ["journal"]
    assert (tmp_path / "journal").stat().st_size < 200
    assert set(Journal(tmp_path).sessions()) == {"a"}


def test_what_is_noted_while_a_flush_runs_is_not_lost(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    names = [str(number) for number in range(2000)]
    with ThreadPoolExecutor(1) as thread:
        for name in names:
            journal.write(name, {"state": "ready"})
            thread.submit(journal.flush)
    journal.flush()
    assert set(Journal(tmp_path).sessions()) == set(names)


def test_a_removed_journal_knows_no_session(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("a", {"state": "ready"})
    journal.flush()
    remove(tmp_path)
    assert Journal(tmp_path).sessions() == {}


def test_a_restarted_daemon_begins_with_what_it_took_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("gone", {"state": "ready"})
    journal.flush()
    journal.write("a", {"state": "playing"})
    journal.rewrite()
    journal.write("b", {"state": "ready"})
    journal.flush()
    assert set(Journal(tmp_path).sessions()) == {"a", "b"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "rtspdsr-test", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(512))
    return ballast


def test_what_a_full_disk_refuses_is_counted_and_what_comes_later_is_kept(small_disk: Path) -> None:
    journal = Journal(small_disk)
    journal.write("a", {"state": "ready"})
    assert journal.flush()
    ballast = fill(small_disk)
    journal.write("b", {"url": "x" * 9000})
    assert not journal.flush()
    assert journal.failed == 1
    ballast.unlink()
    journal.write("c", {"state": "ready"})
    assert journal.flush()
    assert set(Journal(small_disk).sessions()) == {"a", "c"}


def test_a_rotation_on_a_full_disk_loses_nothing(small_disk: Path) -> None:
    journal = Journal(small_disk)
    journal.write("a", {"url": "x" * 9000})
    journal.flush()
    fill(small_disk)
    if journal.rotate():
        journal.write("a", {"url": "x" * 9000})
        journal.drop_old()
    assert set(Journal(small_disk).sessions()) == {"a"}


def test_a_restart_on_a_full_disk_leaves_the_journal_as_it_was(small_disk: Path) -> None:
    journal = Journal(small_disk)
    journal.write("a", {"state": "ready"})
    journal.flush()
    fill(small_disk)
    journal.write("a", {"url": "x" * 9000})
    journal.rewrite()
    assert journal.failed == 1
    assert Journal(small_disk).sessions() == {"a": {"state": "ready"}}


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RtspDsrError, match=r"cannot write the journal in .*file/x.*daemon\.state_dir"):
        Journal(tmp_path / "file" / "x")
