"""What an operator does in a browser, and what the daemon says meanwhile: shared by the tests of the page."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import PlayerKind, Playing, Transport, Watch
from rtspdsr.lab.topology import url

TOKEN = "0123456789abcdef0123456789abcdef"
PORT = 8554
PATIENCE_MS = 30_000
PLAY_S = 300.0
PHONE, DESK = (360, 780), (1440, 900)
SHOTS = Path(__file__).parents[3] / "lab-out" / "page"
CHROMIUM = "/usr/bin/chromium"
REFUSED = re.compile(r"status of 40[01] ")
NAME_OF_FOCUS = """() => {
  const at = document.activeElement;
  return at.getAttribute("aria-label") ?? at.textContent.trim();
}"""
WATCH_SHIFTS = """
window.shifts = [];
const note = (list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) shifts.push(one.value);
};
new PerformanceObserver(note).observe({ type: "layout-shift", buffered: true });
"""
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@contextmanager
def opened(browser: Browser, address: str, *, dark: bool = False) -> Iterator[BrowserContext]:
    """A window, whose pages may complain of nothing and ask no other host."""
    width, height = DESK
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    context.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    hosts: set[str] = set()
    context.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    context.on(
        "console",
        lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None,
    )
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield context
    context.close()
    # what the daemon refuses, with good reason, the browser tells as an error too
    assert [one for one in complaints if not REFUSED.search(one)] == []
    assert hosts == {urlsplit(address).netloc}


def sign_in(page: Page) -> None:
    """By the keyboard, as the form takes the focus."""
    expect(page.get_by_label("Token")).to_be_focused()
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="lab", exact=True)).to_be_visible()


def started(lab: Lab, node: str, transport: Transport) -> Playing:
    """A player of the clip."""
    watch = Watch(player=PlayerKind.FFMPEG, node=node, url=url("clip"), transport=transport, seconds=PLAY_S)
    return lab.start(watch)


def keep(page: Page, name: str) -> None:
    """A screenshot to be looked at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def backend(page: Page, name: str) -> Locator:
    """The row of a backend."""
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def press_until(page: Page, key: str, done: Callable[[], bool], most: int = 60) -> None:
    """A key, again and again; it must come to that."""
    for _ in range(most):
        if done():
            return
        page.keyboard.press(key)
    raise AssertionError(f"{most} times {key} did not lead there")


def told(lab: Lab, path: str) -> Any:
    """What the daemon answers; in a thread of its own, for the browser's event loop runs in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lab.daemon.ask, "GET", path).result()


def place(lab: Lab, node: str, name: str) -> None:
    """Let a player's next session be of a backend."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lab.daemon.place, str(lab.client(node, 4)), name).result()


def state(lab: Lab, name: str) -> str:
    """What the daemon says of a backend."""
    return next(str(one["state"]) for one in told(lab, "/v1/backends") if one["name"] == name)


def remembered(lab: Lab, name: str) -> bool:
    """Whether a delivery of a backend is in the daemon's history."""
    history = next(one for one in told(lab, "/v1/history") if one["name"] == name)
    return bool(history["delivered_bytes"][-1] > history["delivered_bytes"][0])


def playing_still(player: Playing) -> bool:
    """It gets pictures."""
    player.wait_for_frames(player.frames + 25, 40.0)
    return True


def brightness(colour: str) -> float:
    """Of an rgb() colour, 0 to 255."""
    values = [float(one) for one in re.findall(r"[\d.]+", colour)[:3]]
    return sum(values) / 3
