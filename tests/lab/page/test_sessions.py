"""Sessions: searching them, the story of one, and clients' words that stay text."""

import re

from playwright.sync_api import Page, expect

from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import Playing, Transport
from tests.lab.helpers import wait_for_line
from tests.lab.page.browsing import PATIENCE_MS, keep, started


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
