"""The web page in Chromium, over a daemon with real players: what an operator sees, types and presses.

The browser reaches the daemon's TCP listener, with its token, through a forwarder. Screenshots are kept in
``lab-out/page``, to be looked at.
"""

import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from rtspdsr.lab.forwarder import forwarded
from rtspdsr.lab.lab import Lab, Settings
from rtspdsr.lab.player import PlayerKind, Playing, Transport, Watch
from rtspdsr.lab.topology import url
from tests.lab.client import socket_at
from tests.lab.helpers import wait_for, wait_for_line
from tests.lab.labs import lab_of_run

TOKEN = "0123456789abcdef0123456789abcdef"
PORT = 8554
PATIENCE_MS = 30_000
PLAY_S = 300.0
PHONE, DESK = (360, 780), (1440, 900)
SHOTS = Path(__file__).parents[2] / "lab-out" / "page"
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


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab whose daemon listens on TCP too: others' backends must not be drained."""
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    admin = f'[admin]\nlisten = "127.0.0.1:{PORT}"\ntoken_file = "{token}"'
    with lab_of_run("w", Settings(players=4), admin) as made:
        yield made


@pytest.fixture(scope="module")
def browser(lab: Lab) -> Iterator[Browser]:
    """Debian's Chromium; as root it runs without its sandbox."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(lab: Lab) -> Iterator[str]:
    """Where the browser finds the daemon."""

    def connect() -> socket.socket:
        made = socket_at(lab, "balancer", socket.AF_INET, socket.SOCK_STREAM)
        made.settimeout(None)
        made.connect(("127.0.0.1", PORT))
        return made

    with forwarded(connect) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
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


# --- who may look


def test_nothing_is_shown_without_the_token_and_no_more_once_signed_out(
    context: BrowserContext, address: str
) -> None:
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Token").fill("f" * 32)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")
    page.get_by_label("Token").fill("")
    sign_in(page)

    page.reload()
    expect(page.get_by_role("heading", name="lab", exact=True)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.get_by_role("heading", name="lab", exact=True)).to_have_count(0)


def test_through_the_unix_socket_nobody_is_asked(browser: Browser, lab: Lab) -> None:
    def connect() -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.connect(str(lab.daemon.run_dir / "admin.sock"))
        return made

    with forwarded(connect) as port:
        address = f"http://127.0.0.1:{port}/"
        with opened(browser, address) as context:
            page = context.new_page()
            page.goto(address)
            expect(page.get_by_role("heading", name="lab", exact=True)).to_be_visible()


# --- what is seen


def test_a_player_appears_without_a_reload_and_its_media_passes_the_balancer_by(lab: Lab, page: Page) -> None:
    place(lab, "player3", "gst-b")
    row = backend(page, "gst-b")
    expect(row.locator("td.sessions")).to_have_text("0")
    playing = started(lab, "player3", Transport.TCP)
    try:
        expect(row.locator("td.sessions")).to_have_text("1")
        expect(row.locator("td.past")).to_contain_text(re.compile(r"[1-9][\d.]* [kM]b/s"))
        expect(page.locator(".figure", has_text="through : past")).to_contain_text(re.compile(r"1 : \d+"))
        keep(page, "overview-light")
        wait_for(lambda: remembered(lab, "gst-b"), "the daemon to remember that, for who looks later", 40.0)
    finally:
        playing.kill()
    expect(row.locator("td.sessions")).to_have_text("0", timeout=2 * PATIENCE_MS)


def test_sessions_are_searched_by_the_daemon(lab: Lab, player: Playing, page: Page) -> None:
    client = str(lab.client("player", 4))
    page.get_by_role("link", name="Sessions", exact=True).click()
    rows = page.locator("table.sessions tbody tr")
    search = page.get_by_label("Search")
    told = page.locator(".told")
    for words, there in (
        (client, True),
        ("10.77.1", True),
        ("10.99", False),
        ("/CLIP".lower(), True),
        ("nothing", False),
    ):
        search.fill(words)
        if there:
            expect(rows.filter(has_text=client)).to_have_count(1)
        else:
            expect(told).to_have_text("No session is like that.")
            expect(rows).to_have_count(0)
    with page.expect_request(lambda one: "client=10.77.1.1" in one.url and "limit=" in one.url):
        search.fill(client)
    page.get_by_label("Backend").select_option("vlc")
    expect(rows).to_have_count(0)
    page.get_by_label("Backend").select_option("gst-a")
    expect(rows).to_have_count(1)
    keep(page, "sessions-light")
    page.reload()  # what was asked is in the address
    expect(search).to_have_value(client)
    expect(rows).to_have_count(1)


def test_a_session_tells_its_story(lab: Lab, page: Page) -> None:
    playing = started(lab, "player2", Transport.UDP)
    try:
        client = str(lab.client("player2", 4))
        line = wait_for_line(lab, "session_playing", client=client, patience_s=40.0)
        page.goto(f"{page.url.partition('#')[0]}#/sessions/{line['session']}")
        entries = page.locator(".entries li")
        for method in ("DESCRIBE", "SETUP", "PLAY"):
            expect(entries.filter(has_text=method).first).to_be_visible()
        expect(page.locator(".tracks tbody tr")).to_have_count(2)
        expect(page.locator(".tracks")).to_contain_text("udp")
        expect(page.locator(".facts")).to_contain_text("Lavf")
        expect(
            page.get_by_role("img", name=re.compile(r"Loss and jitter: loss [\d.]+ %, jitter"))
        ).to_be_visible()
        expect(page.locator(".plot canvas").first).to_be_visible()
        page.get_by_text("The same as a table").click()
        expect(page.locator(".measures tbody tr").first).to_be_visible()
        keep(page, "session-light")
    finally:
        playing.stop()
    expect(page.locator(".end")).to_contain_text("its client", timeout=2 * PATIENCE_MS)
    expect(page.locator(".headline")).to_contain_text("ended")


# --- what is done


def test_a_backend_is_drained_and_made_ready_after_a_question(lab: Lab, player: Playing, page: Page) -> None:
    row = backend(page, "gst-a")
    row.get_by_role("button", name="Drain gst-a").click()
    dialog = page.get_by_role("dialog", name="Drain gst-a?")
    expect(dialog).to_contain_text(re.compile(r"[1-9] sessions? there may go on"))
    keep(page, "drain-light")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert state(lab, "gst-a") == "up"

    row.get_by_role("button", name="Drain gst-a").click()
    dialog.get_by_label("End what is left after").fill("45")
    dialog.get_by_role("button", name="Drain").click()
    expect(row.locator("td.state")).to_contain_text("drain")
    expect(row.locator("td.state")).to_contain_text(re.compile(r"the rest ends in 4[45] min"))
    expect(page.locator(".happenings")).to_contain_text("drain begun")
    assert state(lab, "gst-a") == "drain"
    assert playing_still(player)
    row.get_by_role("button", name="Ready gst-a").click()
    page.get_by_role("dialog").get_by_role("button", name="Ready").click()
    expect(row.locator("td.state")).to_contain_text("up")
    wait_for(lambda: state(lab, "gst-a") == "up", "gst-a to take clients again")


def test_what_the_daemon_refuses_is_said_in_the_dialog(page: Page) -> None:
    page.route(
        "**/v1/services/**", lambda route: route.fulfill(status=400, json={"error": "not now: ask later"})
    )
    backend(page, "vlc").get_by_role("button", name="Maint vlc").click()
    page.get_by_role("dialog").get_by_role("button", name="Take it out").click()
    expect(page.get_by_role("alert")).to_have_text("not now: ask later")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_everything_is_done_by_keyboard(lab: Lab, player: Playing, page: Page) -> None:
    """From the top: skip link, search, a session, back, drain asked and denied; the focus is always seen."""

    def focused(name: str) -> Callable[[], bool]:
        return lambda: name == page.evaluate(NAME_OF_FOCUS)

    page.reload()
    expect(page.get_by_role("button", name="Drain vlc")).to_be_visible()
    page.keyboard.press("Tab")
    assert focused("Skip to the content")()
    press_until(page, "Tab", focused("Drain vlc"))
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_label("End what is left after")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Drain vlc")).to_be_focused()

    press_until(page, "Shift+Tab", focused("Sessions"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
    press_until(page, "Tab", lambda: page.evaluate("document.activeElement.id") == "search")
    page.keyboard.type(str(lab.client("player", 4)))
    link = page.locator("table.sessions tbody a")
    expect(link).to_have_count(1)
    press_until(page, "Tab", focused(link.inner_text()))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Session")).to_be_visible()
    expect(page.locator("#main")).to_be_focused()


def test_it_fits_a_phone_and_follows_the_system_s_colours(
    lab: Lab, player: Playing, browser: Browser, address: str
) -> None:
    with opened(browser, address, dark=True) as context:
        page = context.new_page()
        page.goto(address)
        sign_in(page)
        session = next(one["session"] for one in told(lab, "/v1/sessions"))
        views = {
            "overview": (f"{address}#/", ".backends tbody tr"),
            "sessions": (f"{address}#/sessions", ".sessions tbody tr"),
            "session": (f"{address}#/sessions/{session}", ".entries li"),
        }
        for name, (where, part) in views.items():
            for kind, (width, height) in (("desk", DESK), ("phone", PHONE)):
                page.set_viewport_size({"width": width, "height": height})
                page.goto(where)
                expect(page.locator(part).first).to_be_visible()
                expect(page.locator("#pulse")).to_have_text("live")
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, kind)
                keep(page, f"{name}-{kind}-dark")
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = page.evaluate(ground)
        page.get_by_text("Light", exact=True).click()
        light = page.evaluate(ground)
        assert brightness(light) > 200 > 60 > brightness(dark)
        page.reload()
        assert page.evaluate(ground) == light
        keep(page, "session-phone-light")


def test_nothing_jumps_while_it_fills_and_goes_on(player: Playing, page: Page) -> None:
    page.add_init_script(WATCH_SHIFTS)
    for width, height in (DESK, PHONE):
        page.set_viewport_size({"width": width, "height": height})
        page.reload()
        expect(page.locator("#pulse")).to_have_text("live")
        for _ in range(2):
            page.wait_for_event("requestfinished", lambda request: request.url.endswith("/v1/backends"))
        assert sum(page.evaluate("shifts")) < 0.01, (width, page.evaluate("shifts"))


def test_a_page_that_nobody_sees_asks_nothing(page: Page) -> None:
    expect(page.locator("#pulse")).to_have_text("live")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(HIDE, True)
    page.wait_for_timeout(500)  # what is under way comes to its end
    asked.clear()
    page.wait_for_timeout(5000)
    assert asked == []
    with page.expect_request("**/v1/status"):
        page.evaluate(HIDE, False)


def test_what_players_call_themselves_stays_text(page: Page) -> None:
    """Their URLs are markup here, and nothing comes of it."""
    hostile = "rtsp://192.0.2.10/<img src=x onerror=alert(1)><script>alert(2)</script>"
    told = {
        **dict.fromkeys(("session", "client", "backend", "state"), "<i>gst</i>"),
        "url": hostile,
        "transports": ["<u>"],
        "age_s": 1.0,
        "last_loss": None,
    }
    page.route("**/v1/sessions?*", lambda route: route.fulfill(json=[told]))
    page.get_by_role("link", name="Sessions", exact=True).click()
    expect(page.locator("td.url")).to_have_text(hostile)
    assert page.locator("main img, main script, main u").count() == 0


# --- inside


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
