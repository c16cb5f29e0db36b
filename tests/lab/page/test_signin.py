"""Who may look: the token, signing out, and the Unix socket that takes none."""

import socket

from playwright.sync_api import Browser, BrowserContext, expect

from rtspdsr.lab.forwarder import forwarded
from rtspdsr.lab.lab import Lab
from tests.lab.page.browsing import opened, sign_in


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
