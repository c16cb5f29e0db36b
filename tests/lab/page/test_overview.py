"""The overview as it lives: players that come, a phone, colours, nothing that jumps or asks in vain."""

import re

from playwright.sync_api import Browser, Page, expect

from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import Playing, Transport
from tests.lab.helpers import wait_for
from tests.lab.page.browsing import (
    DESK,
    HIDE,
    PATIENCE_MS,
    PHONE,
    WATCH_SHIFTS,
    backend,
    brightness,
    keep,
    opened,
    place,
    remembered,
    sign_in,
    started,
    told,
)


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
