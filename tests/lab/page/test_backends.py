"""What is done to backends: drain, maint and ready, by mouse and by keyboard."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from rtspdsr.lab.lab import Lab
from rtspdsr.lab.player import Playing, Transport
from tests.lab.helpers import wait_for, wait_for_line
from tests.lab.page.browsing import (
    NAME_OF_FOCUS,
    backend,
    keep,
    place,
    playing_still,
    press_until,
    started,
    state,
)


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


def test_maint_ends_what_plays_there_and_nothing_else(lab: Lab, player: Playing, page: Page) -> None:
    place(lab, "player4", "gst-b")
    playing = started(lab, "player4", Transport.UDP)
    try:
        line = wait_for_line(lab, "session_playing", client=str(lab.client("player4", 4)), patience_s=40.0)
        playing.wait_for_frames(5, 40.0)
        row = backend(page, "gst-b")
        expect(row.locator("td.sessions")).to_have_text("1")
        row.get_by_role("button", name="Maint gst-b").click()
        dialog = page.get_by_role("dialog", name="Take gst-b out for maintenance?")
        expect(dialog).to_contain_text("What plays there ends now (1 session)")
        keep(page, "maint-light")
        dialog.get_by_role("button", name="End 1 session").click()
        expect(row.locator("td.state")).to_contain_text("maint")
        wait_for(lambda: not playing.running, "the player to be told", 60.0)
    finally:
        playing.kill()
    closed = wait_for_line(lab, "session_closed", session=line["session"], patience_s=60.0)
    assert (closed["backend"], closed["reason"]) == ("gst-b", "drained")
    expect(row.locator("td.sessions")).to_have_text("0")
    expect(page.locator(".happenings")).to_contain_text("gst-b")
    keep(page, "maint-done-light")
    assert state(lab, "gst-b") == "maint"
    assert playing_still(player)

    row.get_by_role("button", name="Ready gst-b").click()
    page.get_by_role("dialog").get_by_role("button", name="Ready").click()
    wait_for(lambda: state(lab, "gst-b") == "up", "gst-b to take clients again")
    expect(row.locator("td.state")).to_contain_text("up")


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
