"""What must not leave the installation does not; what a report is about stays."""

from ipaddress import ip_address

import pytest

from rtspdsr.clientnames import hashed, truncated
from rtspdsr.sysdump.scrubbing import Scrubber

OWN = [ip_address("192.0.2.10"), ip_address("2001:db8::10")]


@pytest.mark.parametrize(
    "text",
    [
        'probe_url = "rtsp://probe:hunter2@192.0.2.10/clip"',
        'probe_url = "rtsp://probe:p@hunter2@192.0.2.10/clip"',
        '"probe_url": "rtsp://192.0.2.10/clip?key=hunter2&more=1"',
        '"url":"rtsp://[2001:db8::10]/clip?hunter2"',
        'token = "hunter2"',
        "token = 'hunter2'",
        '"admin_token": "hunter2",',
        "Authorization: Basic hunter2",
        "password=hunter2",
        "API-Key: hunter2",
    ],
)
def test_secrets_are_always_taken_out(text: str) -> None:
    scrubbed = Scrubber(OWN, None).scrub(text)
    assert "hunter2" not in scrubbed
    assert "REMOVED" in scrubbed


def test_what_stands_around_a_secret_stays() -> None:
    scrub = Scrubber(OWN, None).scrub
    assert scrub('url = "rtsp://u:p@192.0.2.10/clip?k=v" # x') == (
        'url = "rtsp://REMOVED@192.0.2.10/clip?REMOVED" # x'
    )
    assert scrub('{"token": "t", "sessions": 3}') == '{"token": "REMOVED", "sessions": 3}'
    assert scrub("token_file = /etc/rtspdsr/token") == "token_file = /etc/rtspdsr/token"


def test_addresses_stay_where_that_was_chosen() -> None:
    assert Scrubber(OWN, None).scrub("198.51.100.7 to 192.0.2.10") == "198.51.100.7 to 192.0.2.10"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ('"client":"198.51.100.7",', '"client":"198.51.100.0/24",'),
        ("198.51.100.7:51000 -> 192.0.2.10:554", "198.51.100.0/24:51000 -> 192.0.2.10:554"),
        ("rtsp://198.51.100.7/clip", "rtsp://198.51.100.0/24/clip"),
        ("2001:db8:c::7 dev eth0", "2001:db8:c::/48 dev eth0"),
        ("[2001:db8:c::7]:554", "[2001:db8:c::/48]:554"),
        ("via 2001:db8::10 dev eth0", "via 2001:db8::10 dev eth0"),
        ("lladdr 02:00:00:00:00:01 at 12:30:45", "lladdr 02:00:00:00:00:01 at 12:30:45"),
        ("127.0.0.1 ::1 :: 0.0.0.0 255.255.255.0 fe80::1", "127.0.0.1 ::1 :: 0.0.0.0 255.255.255.0 fe80::1"),
        ("rtspdsr 0.1.0, kernel 6.1.0-30", "rtspdsr 0.1.0, kernel 6.1.0-30"),
        ("2026-03-01T18:02:31.402Z", "2026-03-01T18:02:31.402Z"),
    ],
)
def test_other_addresses_are_renamed_and_nothing_else(text: str, scrubbed: str) -> None:
    assert Scrubber(OWN, truncated).scrub(text) == scrubbed


def test_one_client_keeps_one_name() -> None:
    scrub = Scrubber(OWN, hashed(b"k" * 32)).scrub
    first, second, other = scrub("198.51.100.7 198.51.100.7 198.51.100.8").split()
    assert first == second != other
    assert first.startswith("#")
