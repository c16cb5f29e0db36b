"""Files are read whole, whatever their form; what is damaged in them is named and passed over."""

import gzip
from pathlib import Path

import pytest

from rtspdsr.errors import ReviewError
from rtspdsr.review import source
from rtspdsr.review.source import Batch, FileDamaged, batches, in_order, rotated


def read(file: Path) -> tuple[list[tuple[int, bytes]], list[FileDamaged]]:
    """All lines with their numbers, and all damage."""
    lines: list[tuple[int, bytes]] = []
    damage = []
    for one in batches(file, lambda _read: None):
        if isinstance(one, Batch):
            lines += enumerate(one.lines, one.first)
        else:
            damage.append(one)
    return lines, damage


@pytest.mark.parametrize("block", [2, 7, 1 << 20])
@pytest.mark.parametrize("packed", [False, True])
def test_lines_and_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, packed: bool
) -> None:
    monkeypatch.setattr(source, "BLOCK_BYTES", block)
    text = b"one\n\nthree\nlast without an end"
    file = tmp_path / "log"
    file.write_bytes(gzip.compress(text) if packed else text)

    assert read(file) == ([(1, b"one"), (2, b""), (3, b"three"), (4, b"last without an end")], [])


def test_what_was_read_of_a_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x\n" * 2_000_000)
    told: list[int] = []
    list(batches(file, told.append))
    assert sum(told) == 4_000_000
    assert len(told) > 3


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK_BYTES", 16)
    monkeypatch.setattr(source, "LINE_MAX_BYTES", 64)
    file = tmp_path / "log"
    file.write_bytes(b"one\n" + b"x" * 1000 + b"\nthree\n")

    lines, damage = read(file)
    assert lines == [(1, b"one"), (3, b"three")]
    assert [(one.line, "line longer" in one.problem) for one in damage] == [(2, True)]


def test_gzip_that_ends_early_gives_what_there_is(tmp_path: Path) -> None:
    file = tmp_path / "log.gz"
    whole = gzip.compress(b"".join(b"%d\n" % (n * n * 7919) for n in range(5000)))
    file.write_bytes(whole[: len(whole) // 2])

    _, damage = read(file)
    assert ["gzip data is damaged or ends early" in one.problem for one in damage] == [True]


def test_files_come_in_the_order_of_their_lines_each_once(tmp_path: Path) -> None:
    def log(name: str, minute: str) -> Path:
        file = tmp_path / name
        file.write_text(f'garbage\n{{"time":"2026-03-01T18:{minute}:00Z","event":"x"}}\n')
        return file

    late, early, empty = log("log", "30"), log("log.1", "10"), tmp_path / "empty"
    empty.touch()
    assert in_order([empty, late, early, late]) == [early, late, empty]


def test_rotated_files_are_found_beside_the_log(tmp_path: Path) -> None:
    ours = {"log", "log.1", "log.2.gz", "log.10", "log-20260301.gz", "log.gz"}
    for name in ours | {"logs", "log.bak", "other.log"}:
        (tmp_path / name).touch()
    assert {file.name for file in rotated(tmp_path / "log")} == ours
    with pytest.raises(ReviewError, match="no such log"):
        rotated(tmp_path / "missing")


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match=r"missing: cannot be read: No such file"):
        list(batches(tmp_path / "missing", lambda _read: None))
