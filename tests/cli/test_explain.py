"""``rtspdsr explain``, asked of a daemon's real socket."""

import json
from ipaddress import ip_address
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtspdsr.cli import app
from rtspdsr.cli.explain import parse
from rtspdsr.errors import DataplaneError, RtspDsrError
from tests.admin.desk import EXPLANATION, Desk
from tests.cli.serving import configuration, serving


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("198.51.100.7", "198.51.100.7", None),
        ("198.51.100.7:51000", "198.51.100.7", 51000),
        ("2001:db8::7", "2001:db8::7", None),
        ("[2001:db8::7]", "2001:db8::7", None),
        ("[2001:db8::7]:51000", "2001:db8::7", 51000),
    ],
)
def test_clients_are_written_in_the_usual_ways(text: str, address: str, port: int | None) -> None:
    assert parse(text) == (ip_address(address), port)


@pytest.mark.parametrize("text", ["", "nobody", "198.51.100.7:0", "198.51.100.7:70000", "[::1]x", "1.2.3.4:"])
def test_anything_else_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(RtspDsrError, match="is no client; write"):
        parse(text)


def test_the_way_is_told_tier_by_tier(tmp_path: Path) -> None:
    with serving(Desk(), tmp_path) as config:
        command = ["explain", "198.51.100.7:51000", "--config", str(config)]
        told = CliRunner().invoke(app, command, catch_exceptions=False).stdout
        scripted = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False).stdout

    assert told.splitlines() == [
        "a new connection to 192.0.2.10 port 554 (cams) goes to cam-b: "
        "forwarded: where its client was placed, by its sessions or by an operator",
        "    pin       cam-a: takes no new clients",
        "    flow      none",
        "    client    cam-b: decides",
    ]
    assert json.loads(scripted) == [{**EXPLANATION, "client_port": 51000}]


def test_without_a_port_what_is_told_holds_for_those_that_are_not_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXPLANATION, "kind", "fragment")
    monkeypatch.setitem(EXPLANATION, "service_port", None)
    with serving(Desk(), tmp_path) as config:
        command = ["explain", "198.51.100.7", "--config", str(config)]
        told = CliRunner().invoke(app, command, catch_exceptions=False).stdout.splitlines()

    assert told[0].startswith("UDP to 192.0.2.10 (cams), from a port without a pin, goes to cam-b: ")
    assert "ask for it as CLIENT:PORT" in told[-1]


def test_without_a_daemon_and_without_maps_it_says_so(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    config.write_text(config.read_text().replace('["lo"]', f'["lo"]\nbpffs = "{tmp_path}"'))
    with pytest.raises(DataplaneError, match="no daemon answers, and no forwarding core"):
        CliRunner().invoke(app, ["explain", "198.51.100.7", "--config", str(config)], catch_exceptions=False)
