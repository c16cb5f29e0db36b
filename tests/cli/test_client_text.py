"""What clients write, in the log and on a terminal: no escape sequence gets there, no markup is obeyed."""

import json
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtspdsr.balancer.chronicle import Chronicle
from rtspdsr.cli import app
from rtspdsr.core.events import Effect
from rtspdsr.sessionlog import Lines
from tests.cli.serving import serving
from tests.core.builders import Control, World, transport

#: A title, a colour, a cleared screen, an overwritten line, C1 controls, text turned around, markup.
HOSTILE = "\x1b]0;owned\x07\x1b[31m\x1b[2J\r\x00\x9b1m\u2028\u202e[red][/nothing][link=x]y\\"
URLS = (f"rtsp://192.0.2.1/{HOSTILE}", "rtsp://[fd77::100]/clip", "rtsp://192.0.2.1/[/]\\[b]:camera:")


@pytest.fixture(scope="module")
def world() -> World:
    """One session for each URL; the client's name for itself is as hostile."""
    world = World()
    for number, url in enumerate(URLS):
        control = Control(client=ip_address(f"198.51.100.{number}"))
        world.feed(
            control.ask("DESCRIBE", url, User_Agent=HOSTILE),
            control.ask("SETUP", f"{url}/track1", Transport=transport(5000), User_Agent=HOSTILE),
            control.ask("PLAY", url, Session=f"id{HOSTILE}", User_Agent=HOSTILE),
            control.ask("TEARDOWN", url, Session=f"id{HOSTILE}"),
            control.segment(f"{HOSTILE}\r\n\r\n".encode()),
        )
    return world


class Names:
    def service(self, service_id: int) -> str:
        return "cams"

    def backend(self, backend_id: int) -> str:
        return "cam-a"


class Desk:
    """A daemon that only knows of sessions."""

    def __init__(self, world: World) -> None:
        chronicle = Chronicle(world.tracker, Names())
        self.sessions, self.session = chronicle.sessions, chronicle.session

    def failed(self, error: Exception) -> None:
        raise error


@pytest.fixture
def config(world: World, tmp_path: Path) -> Iterator[Path]:
    with serving(Desk(world), tmp_path) as file:
        yield file


def test_the_table_of_sessions_shows_what_was_asked_for_and_obeys_none_of_it(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    ran = CliRunner().invoke(app, ["sessions", "--config", str(config)], catch_exceptions=False)
    assert ran.exit_code == 0
    assert all(line.isprintable() for line in ran.stdout.splitlines())
    for shown in ("\\x1b]0;owned\\x07\\x1b[31m", "[red][/nothing][link=x]y\\", *URLS[1:]):
        assert shown in ran.stdout


def test_the_story_of_a_session_obeys_nothing_either(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    ran = CliRunner().invoke(app, ["session", "s1", "--config", str(config)], catch_exceptions=False)
    assert ran.exit_code == 0
    assert all(line.isprintable() for line in ran.stdout.splitlines())
    assert "\\x1b]0;owned\\x07\\x1b[31m" in ran.stdout


def test_every_event_is_one_line_of_json_without_a_control_character(world: World) -> None:
    lines = [Lines(Names()).line(event) for event in world.log if not isinstance(event, Effect)]
    assert {json.loads(line)["event"] for line in lines} >= {"session_opened", "request_malformed"}
    for line in lines:
        assert line.isascii()
        assert line.isprintable()
        assert all(str(value).isprintable() for value in json.loads(line).values())
