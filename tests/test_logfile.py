"""A log file takes lines without waiting, rotates, reopens, and counts what it loses."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtspdsr.logfile import Dropped, LogFile, LogFileError, Rotation

Opener = Callable[..., LogFile]


def tell(dropped: Dropped) -> str:
    return f"dropped {dropped.queue_full} {dropped.write_failed}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.log"


@pytest.fixture
def opened(path: Path) -> Iterator[Opener]:
    """Opens log files, and closes them after the test."""
    files: list[LogFile] = []

    def opener(
        limit_bytes: int = 1 << 20, keep: int = 3, queue_max: int = 1000, to: Path | str = path
    ) -> LogFile:
        file = LogFile(str(to), rotation=Rotation(limit_bytes, keep), queue_max=queue_max, report=tell)
        files.append(file)
        return file

    yield opener
    for file in files:
        file.close(0.5)


def until(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def has(path: Path, text: str) -> bool:
    return path.exists() and text in path.read_text()


def test_lines_are_appended_in_order(path: Path, opened: Opener) -> None:
    path.write_text("from before\n")
    file = opened()

    for number in range(500):
        file.put(f"line {number}")

    assert file.close()
    assert path.read_text().splitlines() == ["from before", *(f"line {number}" for number in range(500))]
    assert file.dropped_lines == 0


def test_a_line_is_on_disk_soon_without_a_close(path: Path, opened: Opener) -> None:
    opened().put("now")

    until(lambda: has(path, "now\n"), limit_s=1.0)


def test_only_owner_and_group_can_read_it(path: Path, opened: Opener) -> None:
    opened()
    assert path.stat().st_mode & 0o007 == 0


# --- rotation ----------------------------------------------------------------------------------------


def test_files_are_renamed_at_their_size_and_no_line_is_cut(path: Path, opened: Opener) -> None:
    file = opened(limit_bytes=100, keep=3)

    for number in range(10):
        file.put(f"{number} " + "x" * 58)  # 61 bytes with the newline: one a file
        until(lambda number=number: has(path, f"{number} x"))  # type: ignore[misc]

    file.close()
    assert sorted(found.name for found in path.parent.iterdir()) == [
        "sessions.log", "sessions.log.1", "sessions.log.2", "sessions.log.3"
    ]  # fmt: skip
    assert [Path(f"{path}{suffix}").read_text()[0] for suffix in ("", ".1", ".2", ".3")] == [
        "9",
        "8",
        "7",
        "6",
    ]


def test_fewer_files_are_kept_once_that_is_asked_for(path: Path, opened: Opener) -> None:
    for number in range(1, 6):
        Path(f"{path}.{number}").write_text("old")
    path.write_text("x" * 100)
    file = opened(limit_bytes=50, keep=5)

    file.rotation = Rotation(50, 2)
    file.put("new")

    assert file.close()
    assert sorted(found.name for found in path.parent.iterdir()) == [
        "sessions.log", "sessions.log.1", "sessions.log.2"
    ]  # fmt: skip
    assert path.read_text() == "new\n"


def test_a_file_that_cannot_be_renamed_grows(
    path: Path, opened: Opener, capfd: pytest.CaptureFixture[str]
) -> None:
    Path(f"{path}.1").mkdir()
    (Path(f"{path}.1") / "in the way").touch()
    path.write_text("x" * 100 + "\n")
    file = opened(limit_bytes=50, keep=1)

    for number in range(3):
        file.put(f"line {number}")
        until(lambda number=number: has(path, f"line {number}"))  # type: ignore[misc]

    assert file.dropped_lines == 0
    assert capfd.readouterr().err.count("cannot be renamed") == 1


# --- reopening ---------------------------------------------------------------------------------------


def test_after_a_reopen_lines_go_to_a_new_file(path: Path, opened: Opener) -> None:
    file = opened()
    file.put("before")
    until(lambda: has(path, "before"))
    moved = path.rename(path.with_name("moved"))

    file.put("still old")
    file.reopen()
    file.put("new")

    assert file.close()
    assert moved.read_text() == "before\nstill old\n"
    assert path.read_text() == "new\n"


def test_a_directory_that_vanished_is_made_again(path: Path, opened: Opener) -> None:
    deeper = path.parent / "a" / "b" / "sessions.log"
    file = opened(to=deeper)
    deeper.unlink()
    deeper.parent.rmdir()

    file.reopen()
    file.put("again")

    assert file.close()
    assert deeper.read_text() == "again\n"


# --- losses ------------------------------------------------------------------------------------------


@pytest.fixture
def stuck(tmp_path: Path) -> Iterator[int]:
    """The reading end of a pipe, named ``pipe``, that nobody reads yet."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)  # of 20 kB that the queue holds
    yield reader
    os.close(reader)


def drain(reader: int) -> str:
    os.set_blocking(reader, False)
    read = b""
    try:
        while chunk := os.read(reader, 1 << 20):
            read += chunk
    except BlockingIOError:
        pass
    return read.decode()


def test_a_disk_that_hangs_never_holds_up_the_caller(tmp_path: Path, stuck: int, opened: Opener) -> None:
    file = opened(to=tmp_path / "pipe", queue_max=100)

    for number in range(5000):  # the pipe takes some 300: a caller that waited for it would wait for ever
        file.put(f"{number} " + "x" * 200)

    assert file.dropped_lines > 0
    assert not file.close(0.2)

    read = ""
    deadline = time.monotonic() + 30
    while "dropped" not in read and time.monotonic() < deadline:
        read += drain(stuck)
    told = sum(int(line.split()[1]) for line in read.splitlines() if line.startswith("dropped"))
    assert told == file.dropped_lines
    assert told + sum(not line.startswith("dropped") for line in read.splitlines()) == 5000


def test_losses_are_told_once_a_second_at_most(path: Path, opened: Opener) -> None:
    file = opened(queue_max=0)

    for _ in range(25):
        file.put("lost")
        time.sleep(0.1)

    assert file.close()
    told = path.read_text().splitlines()
    assert 1 <= len(told) <= 4  # in 2.5 s, and at the close
    assert sum(int(line.split()[1]) for line in told) == 25


def test_a_full_disk_is_told_once_and_counted(opened: Opener, capfd: pytest.CaptureFixture[str]) -> None:
    file = opened(to="/dev/full")

    for number in range(3):
        file.put(f"line {number}")
        until(lambda number=number: file.dropped_lines == number + 1)  # type: ignore[misc]

    err = capfd.readouterr().err
    assert err.count("session log: /dev/full cannot be written: No space left on device") == 1


def test_writing_goes_on_when_the_disk_has_room_again(tmp_path: Path) -> None:
    """Three lines fit below the limit of a file's size, and not a piece of the next one stays."""
    program = f"""
import resource, signal, time
from rtspdsr.logfile import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (35, 1000))
file = LogFile({str(tmp_path / "log")!r}, rotation=Rotation(1000, 1), queue_max=10,
    report=lambda dropped: f"dropped {{dropped.queue_full}} {{dropped.write_failed}}")
for number in range(5):
    file.put(f"line {{number}} xx")
time.sleep(0.2)
assert file.dropped_lines == 2, file.dropped_lines
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
file.put("and on")
assert file.close()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20, capture_output=True)

    assert (tmp_path / "log").read_text().splitlines() == [
        "line 0 xx", "line 1 xx", "line 2 xx", "and on", "dropped 0 2"
    ]  # fmt: skip


def test_standard_output_is_neither_renamed_nor_closed(tmp_path: Path) -> None:
    program = """
from rtspdsr.logfile import *
file = LogFile("-", rotation=Rotation(1, 1), queue_max=10, report=str)
file.put("one")
file.reopen()
file.put("two")
file.close()
print("still open", flush=True)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        timeout=20,
        capture_output=True,
        text=True,
        cwd=Path.cwd(),
    )
    assert ran.stdout.splitlines() == ["one", "two", "still open"]


def test_a_file_that_cannot_be_opened_is_refused_at_the_start(tmp_path: Path, opened: Opener) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogFileError, match=r"log\.file: .*/file/sessions\.log cannot be opened"):
        opened(to=tmp_path / "file" / "sessions.log")
