"""One lab for all tests of the page, with a player that plays all the while, and a browser."""

import socket
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from rtspdsr.lab.forwarder import forwarded
from rtspdsr.lab.lab import Lab, Settings
from rtspdsr.lab.player import Playing, Transport
from tests.lab.client import socket_at
from tests.lab.labs import lab_of_run
from tests.lab.page.browsing import CHROMIUM, PATIENCE_MS, PORT, TOKEN, opened, place, sign_in, started


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab whose daemon listens on TCP too: others' backends must not be drained."""
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    admin = f'[admin]\nlisten = "127.0.0.1:{PORT}"\ntoken_file = "{token}"'
    with lab_of_run("w", Settings(players=4), admin) as made:
        yield made


@pytest.fixture(scope="package")
def browser(lab: Lab) -> Iterator[Browser]:
    """Debian's Chromium; as root it runs without its sandbox."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def address(lab: Lab) -> Iterator[str]:
    """Where the browser finds the daemon."""

    def connect() -> socket.socket:
        made = socket_at(lab, "balancer", socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(None)
        made.connect(("127.0.0.1", PORT))
        return made

    with forwarded(connect) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="package")
def player(lab: Lab) -> Iterator[Playing]:
    """One that plays over UDP from gst-a all the while."""
    place(lab, "player", "gst-a")
    playing = started(lab, "player", Transport.UDP)
    playing.wait_for_frames(25, 40.0)
    yield playing
    playing.kill()


@pytest.fixture
def context(browser: Browser, address: str) -> Iterator[BrowserContext]:
    """A window, whose pages may complain of nothing and ask no other host."""
    with opened(browser, address) as made:
        yield made


@pytest.fixture
def page(context: BrowserContext, address: str) -> Page:
    """Signed in, at the overview."""
    made = context.new_page()
    made.goto(address)
    sign_in(made)
    return made
