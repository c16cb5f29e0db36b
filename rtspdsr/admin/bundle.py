"""The web page's files, as they stand beside this module: read once, then answered from memory.

The page may load nothing but them and the API: its policy forbids other hosts, inline scripts and styles, and
frames around it. Whatever it shows of clients' URLs and names it shows as text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from aiohttp import web

PATHS = ("/", "/static/{file:.+}")
DIRECTORY = Path(__file__).with_name("page")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Bundle:
    """All files, by the path at which the page finds them."""

    def __init__(self) -> None:
        self.files = {file.path: file for file in _files()}

    async def answer(self, request: web.Request) -> web.Response:
        """A file, or that it is the one the browser has."""
        file = self.files.get(request.path)
        if file is None:
            raise web.HTTPNotFound
        headers = {**HEADERS, "ETag": f'"{file.tag}"'}
        if any(known.value == file.tag for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.content, headers={**headers, "Content-Type": file.media})


@dataclass(frozen=True, slots=True)
class File:
    """One file, and where the page finds it."""

    path: str
    content: bytes
    media: str
    tag: str


def _files() -> Iterator[File]:
    for file in sorted(DIRECTORY.rglob("*")):
        if file.suffix in TYPES:
            name = file.relative_to(DIRECTORY).as_posix()
            content = file.read_bytes()
            yield File(
                path="/" if name == "index.html" else f"/static/{name}",
                content=content,
                media=TYPES[file.suffix],
                tag=sha256(content).hexdigest()[:16],
            )
