"""The web page's files as the daemon answers them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector

from rtspdsr.admin.bundle import DIRECTORY, Bundle

OURS = [file for file in sorted(DIRECTORY.iterdir()) if file.is_file()]


@pytest.fixture
async def browser(admin: Path) -> AsyncIterator[ClientSession]:
    async with ClientSession(
        "http://localhost", connector=UnixConnector(str(admin / "admin.sock"))
    ) as session:
        yield session


async def test_the_page_forbids_whatever_it_does_not_bring(browser: ClientSession) -> None:
    async with browser.get("/") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/html"
        policy = dict(
            part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";")
        )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in " ".join(policy.values())


async def test_every_file_is_answered_with_its_type_and_not_sent_twice(browser: ClientSession) -> None:
    for file in Bundle().files.values():
        async with browser.get(file.path) as answer:
            assert answer.status == 200
            assert await answer.read() == file.content
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            tag = answer.headers["ETag"]
        async with browser.get(file.path, headers={"If-None-Match": tag}) as again:
            assert again.status == 304
            assert await again.read() == b""


@pytest.mark.parametrize(
    "path", ["/static/", "/static/none.js", "/static/../bundle.py", "/static/%2e%2e/bundle.py"]
)
async def test_nothing_else_is_answered(browser: ClientSession, path: str) -> None:
    async with browser.get(path) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_a_file_names_no_other_host_and_makes_no_markup_of_text(file: Path) -> None:
    text = file.read_text()
    assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
    )
    assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", text)


def test_what_the_page_and_its_modules_load_is_there() -> None:
    paths = Bundle().files
    index = (DIRECTORY / "index.html").read_text()
    for name in re.findall(r'(?:src|href)="(static/[^"]+)"', index):
        assert f"/{name}" in paths
    for file in OURS:
        if file.suffix == ".js":
            for name in re.findall(r'from "\./([^"]+)"', file.read_text()):
                assert f"/static/{name}" in paths, (file.name, name)
