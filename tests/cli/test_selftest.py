"""``rtspdsr selftest``: what it refuses before it touches anything; tests/lab plays with it."""

import os
from ipaddress import ip_address
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rtspdsr.selftest.trial
from rtspdsr.cli import app
from rtspdsr.errors import RtspDsrError
from rtspdsr.selftest.trial import Trial
from tests.admin.desk import STATUS, Desk
from tests.cli.serving import configuration, serving


@pytest.mark.parametrize(
    "url", ["lobby", "http://192.0.2.10/x", "rtsp://192.0.2.10:70000/x", "rtsp://[::1/x"]
)
def test_what_is_no_rtsp_url_is_refused_in_words(tmp_path: Path, url: str) -> None:
    command = ["selftest", "--url", url, "--config", str(configuration(tmp_path))]
    ran = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert ran.exit_code == 2
    assert "write rtsp://VIP/PATH" in ran.output


def test_where_nothing_was_played_nothing_is_said_to_be_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_over = Trial(
        service="cams",
        backend="cam-a",
        vip=ip_address("192.0.2.10"),
        skipped="takes no new clients: it is down",
    )
    monkeypatch.setattr(rtspdsr.selftest.trial, "trials", lambda *_asked: iter([passed_over]))
    with pytest.raises(RtspDsrError, match="nothing was played"):
        CliRunner().invoke(
            app, ["selftest", "--config", str(configuration(tmp_path))], catch_exceptions=False
        )


@pytest.mark.parametrize("command", ["selftest", "doctor"])
def test_in_another_network_namespace_than_the_daemons_they_say_how_to_enter_it(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STATUS, "network_namespace", 1)
    with (
        serving(Desk(), tmp_path) as config,
        pytest.raises(RtspDsrError, match=rf"another network namespace.*nsenter -t {os.getpid()} -n"),
    ):
        CliRunner().invoke(app, [command, "--config", str(config)], catch_exceptions=False)
