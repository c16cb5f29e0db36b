"""Packs parts into one ``.tar.gz``, each scrubbed, with a list of what is in it."""

import io
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rtspdsr.errors import RtspDsrError
from rtspdsr.sysdump.parts import Part
from rtspdsr.sysdump.scrubbing import Scrubber

MODE = 0o600


def write(
    file: Path, parts: Iterable[Part], scrubber: Scrubber, note: str, gathering: Callable[[Part], object]
) -> dict[str, str]:
    """Write the archive; give back what is in it: names, and a word on each.

    note:      what was done about addresses, for the list
    gathering: is told of each part before it is gathered

    Raises RtspDsrError if the file cannot be written. A half written one is removed.
    """
    contents: dict[str, str] = {}
    root = file.name.removesuffix(".gz").removesuffix(".tar")
    try:
        with _whole(file) as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
            for part in parts:
                gathering(part)
                _add(archive, f"{root}/{part.name}", scrubber.scrub(_gathered(part)))
                contents[part.name] = part.about
            _add(archive, f"{root}/README.txt", _readme(contents, note))
    except OSError as error:
        raise RtspDsrError(f"cannot write {file}: {error.strerror}; name another file") from error
    return contents


@contextmanager
def _whole(file: Path) -> Iterator[IO[bytes]]:
    """A new file, which is removed again unless all of it is written. OSError if it cannot be."""
    raw = file.open("xb")
    try:
        with raw:
            file.chmod(MODE)
            yield raw
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _gathered(part: Part) -> str:
    try:
        return part.gather()
    except (RtspDsrError, OSError, ValueError) as error:
        return f"not to be had: {error}\n"


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    packed = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(packed), int(time.time()), MODE
    archive.addfile(entry, io.BytesIO(packed))


def _readme(contents: dict[str, str], note: str) -> str:
    width = max(map(len, contents))
    lines = [f"{name:<{width}}  {about}" for name, about in contents.items()]
    return "\n".join(
        (
            "What `rtspdsr sysdump` found. Users, passwords and queries in URLs, and tokens, were removed.",
            note,
            "",
            *lines,
            "",
        )
    )
