"""Log files as lines: plain or gzipped, whole or damaged, in the order in which they were written.

Handed paths, gives back batches of lines, each with where it stands. Never holds more than a block of a
file; a line that is longer than any of ours is passed over and counted. Files are told apart by their
content, not by their names.
"""

import gzip
import io
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rtspdsr.errors import ReviewError
from rtspdsr.review.line import LineDamaged, parse

STANDARD_INPUT = Path("-")
BLOCK_BYTES = 1 << 20
LINE_MAX_BYTES = 1 << 20  # a line of ours is a few kB, bounded by tracker.header_kib
PEEK_LINES = 100  # lines in which a file's first time is looked for
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines that follow each other in a file, without their newlines.

    first: number of the first, counted from 1
    """

    file: Path
    first: int
    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class FileDamaged:
    """A part of a file that could not be read as lines; what follows it is read, where there is more."""

    file: Path
    line: int
    problem: str


def rotated(file: Path) -> list[Path]:
    """The file and what was renamed or packed beside it: ``.1``, ``.2.gz``, ``-20260301.gz`` and so on."""
    name = re.compile(re.escape(file.name) + r"([.-]\d+)?(\.gz)?")
    beside = file.parent.iterdir() if file.parent.is_dir() else ()
    found = [path for path in beside if name.fullmatch(path.name) and path.is_file()]
    if not found:
        raise ReviewError(f"{file}: no such log, and none that was rotated from it; name another file")
    return found


def in_order(files: Iterable[Path]) -> list[Path]:
    """Each file once, by the time of its first line. Raises ReviewError for one that cannot be opened."""
    return sorted(dict.fromkeys(files), key=_first_time)


def total_bytes(files: Iterable[Path]) -> int | None:
    """What there is to read, as it lies on the disk; None if one of them has no size."""
    sizes = [path.stat().st_size if path.is_file() else None for path in files]
    return None if None in sizes else sum(size or 0 for size in sizes)


def batches(file: Path, advance: Callable[[int], object]) -> Iterator[Batch | FileDamaged]:
    """The lines of a file; ``advance`` is told how many bytes of it were read each time."""
    with _opened(file) as raw:
        yield from _lines(raw, file, advance)


def _lines(raw: IO[bytes], file: Path, advance: Callable[[int], object]) -> Iterator[Batch | FileDamaged]:
    content = _unpacked(raw)
    number, rest, skipping, read = 1, b"", False, 0
    while True:
        try:
            block = content.read(BLOCK_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield FileDamaged(file, number, f"gzip data is damaged or ends early ({error})")
            break
        except OSError as error:
            yield FileDamaged(file, number, f"cannot be read further ({error.strerror})")
            break
        if raw.seekable():
            advance(raw.tell() - read)
            read = raw.tell()
        if not block:
            break
        *lines, rest = (rest + block).split(b"\n")
        if skipping and lines:
            lines, skipping, number = lines[1:], False, number + 1
        elif skipping:
            rest = b""
        if lines:
            yield Batch(file, number, lines)
            number += len(lines)
        if len(rest) > LINE_MAX_BYTES:
            yield FileDamaged(file, number, f"line longer than {LINE_MAX_BYTES >> 20} MiB")
            rest, skipping = b"", True
    if rest:
        yield Batch(file, number, [rest])


def _opened(file: Path) -> IO[bytes]:
    if file == STANDARD_INPUT:
        return sys.stdin.buffer
    try:
        return file.open("rb", buffering=BLOCK_BYTES)
    except OSError as error:
        raise ReviewError(f"{file}: cannot be read: {error.strerror}; name a session log") from error


def _unpacked(raw: IO[bytes]) -> IO[bytes]:
    buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw)  # type: ignore[type-var]
    if buffered.peek(2)[:2] == GZIP_MAGIC:
        return gzip.GzipFile(fileobj=buffered)  # type: ignore[return-value]
    return buffered


def _first_time(file: Path) -> float:
    """When a file begins; one without any time comes last, and is reported line by line."""
    if not file.is_file():  # nothing to look at without consuming it
        return float("inf")
    for batch in batches(file, lambda _read: None):
        if isinstance(batch, Batch):
            for text in batch.lines[:PEEK_LINES]:
                try:
                    return parse(text).at
                except LineDamaged:
                    continue
        break
    return float("inf")
