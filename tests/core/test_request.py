"""Requests by themselves: their headers, where one begins, and how they are shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtspdsr.core.request import (
    TEXT_MAX,
    Headers,
    Request,
    begins_request,
    find_request,
    printable,
    without_credentials,
)

OPTIONS = b"OPTIONS rtsp://192.0.2.10/clip RTSP/1.0\r\nCSeq: 1\r\n\r\n"


def request(method: str, url: str = "rtsp://192.0.2.10/clip", **headers: str) -> Request:
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request(method=method, url=url, version="RTSP/1.0", headers=Headers(fields), body_length=0)


@pytest.mark.parametrize(
    ("value", "session"),
    [
        ("k4fsMY5DivUHi1m.", "k4fsMY5DivUHi1m."),
        ("Lf8d0-D6gSe1+Ap3;timeout=60", "Lf8d0-D6gSe1+Ap3"),
        (" 1234 ; timeout=60", "1234"),
        (";timeout=60", None),
        ("", None),
    ],
)
def test_session(value: str, session: str | None) -> None:
    assert request("PLAY", Session=value).session == session


def test_what_a_client_names_itself_is_printable_and_bounded() -> None:
    assert request("PLAY", User_Agent="a\x1b[31m\n").user_agent == "a\\x1b[31m\\n"
    assert request("PLAY").user_agent == ""
    assert len(request("PLAY", User_Agent="\x1b" * 60000).user_agent) == TEXT_MAX


def test_headers_are_found_in_any_case_and_kept_in_order() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    assert (headers.get("a"), headers.all("A"), headers.get("c"), headers.all("c")) == (
        "1",
        ("1", "3"),
        None,
        (),
    )
    assert list(headers) == [("A", "1"), ("B", "2"), ("a", "3")]


@pytest.mark.parametrize(
    ("data", "begins"),
    [
        (b"PLAY rtsp://h/", True),
        (b"\r\n\r\nPLAY RTSPU://h/ RT", True),
        (b"OPTIONS * RTSP/1.0\r\n", True),
        (b"SETUP /clip/1 RTSP/2.0\r\n", True),
        (b"PLAY", False),
        (b"PLAY rtsp:/", False),
        (b"GET / HTTP/1.1\r\n", False),
        (b"RTSP/1.0 200 OK\r\n", False),
        (b"$\x00\x00\x04PLAY rtsp://h/ RTSP/1.0", False),
        (b" rtsp://h/ RTSP/1.0", False),
        (b"", False),
    ],
)
def test_begins_request(data: bytes, begins: bool) -> None:
    assert begins_request(data) is begins


def test_a_request_behind_the_end_of_a_frame_is_found() -> None:
    assert find_request(b"\x00\xff rtsp:// " + OPTIONS) == 11
    assert find_request(OPTIONS) == 0
    assert find_request(b"OPTIONS rtsp://h/ RTSP/1.0") == -1
    assert find_request(b"\x00" * 1400) == -1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://h/clip", "rtsp://h/clip"),
        ("rtsp://user:secret@h:554/clip", "rtsp://h:554/clip"),
        ("rtsp://user@h", "rtsp://h"),
        ("rtsp://us@er:sec@ret@h/a@b", "rtsp://h/a@b"),
        ("rtsp://user:sec/ret@h/clip", "rtsp://h/clip"),
        ("rtsp://[2001:db8::1]:554/a@b", "rtsp://[2001:db8::1]:554/a@b"),
        ("rtsp://[2001:db8::1]/a@b", "rtsp://[2001:db8::1]/a@b"),
        ("rtsp://h:554/a@b", "rtsp://h:554/a@b"),
        ("rtsp://h/c?user=u&password=secret&x=1", "rtsp://h/c?user=u&password=***&x=1"),
        ("rtsp://h/user=admin_password=secret_channel=1.sdp", "rtsp://h/user=admin_password=***"),
        ("rtsp://h/c?TOKEN=secret", "rtsp://h/c?TOKEN=***"),
        ("*", "*"),
        ("", ""),
    ],
)
def test_credentials_are_removed(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
    assert "sec" not in without_credentials(url)


def test_a_requests_shown_url_is_safe() -> None:
    assert request("PLAY", "rtsp://u:p@h/\x1b]0;owned\x07").shown_url == "rtsp://h/\\x1b]0;owned\\x07"


@given(st.text(max_size=3000))
def test_printable_text_is_printable_and_bounded(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= TEXT_MAX
    if text.isprintable() and len(text) <= TEXT_MAX:
        assert shown == text
