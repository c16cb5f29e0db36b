"""``rtspdsr selftest``: what it refuses before it touches anything; tests/lab plays with it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtspdsr.cli import app
from tests.cli.serving import configuration


@pytest.mark.parametrize(
    "url", ["lobby", "http://192.0.2.10/x", "rtsp://192.0.2.10:70000/x", "rtsp://[::1/x"]
)
def test_what_is_no_rtsp_url_is_refused_in_words(tmp_path: Path, url: str) -> None:
    command = ["selftest", "--url", url, "--config", str(configuration(tmp_path))]
    ran = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    assert ran.exit_code == 2
    assert "write rtsp://VIP/PATH" in ran.output
