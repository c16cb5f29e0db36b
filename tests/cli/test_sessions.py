"""``rtspdsr sessions``, ``session`` and ``top``, asked of a daemon's real socket."""

import gzip
import json
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtspdsr.cli import app
from rtspdsr.cli.pastsession import find
from rtspdsr.errors import AdminError, NotFound
from tests.admin.desk import STORY, TOP, Desk, session
from tests.cli.serving import configuration, serving

#: An ended session that only the log knows.
LINES = (
    '{"time":"2026-03-01T18:02:31.402Z","event":"session_opened","service":"cams","backend":"cam-a",'
    '"client":"198.51.100.7","client_port":51000,"session":"feed01","url":"rtsp://192.0.2.10/yard",'
    '"user_agent":"Lavf"}\n'
    '{"time":"2026-03-01T18:09:12.010Z","event":"session_summary","service":"cams","backend":"cam-a",'
    '"client":"198.51.100.7","client_port":51000,"session":"feed01","server_session":null,'
    '"url":"rtsp://192.0.2.10/yard","user_agent":"Lavf","transports":["udp"],"client_ports":[5000,5001],'
    '"opened_at":"2026-03-01T18:02:31.402Z","played_at":null,"closed_at":"2026-03-01T18:09:12.010Z",'
    '"setup_s":null,"first_delivery_s":null,"client_packets":3,"client_bytes":300,"delivered_bytes":null,'
    '"delivered_packets":null,"lost_packets":null,"worst_loss":null,"last_loss":null,"jitter":null,'
    '"stalls":0,"stalled_s":0.0,"reason":"expired"}\n'
)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def config(desk: Desk, tmp_path: Path) -> Iterator[str]:
    with serving(desk, tmp_path) as file:
        yield str(file)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def run(*command: str) -> str:
    """What a command prints."""
    ran = CliRunner().invoke(app, list(command), catch_exceptions=False)
    assert ran.exit_code == 0
    return ran.stdout


def test_filters_are_asked_of_the_daemon(desk: Desk, config: str) -> None:
    asked = ["--client", "198.51.100.0/24", "--url", "live", "--state", "playing", "--limit", "5"]
    desk.living = 1

    assert "rtsp://192.0.2.10/live" in run("sessions", *asked, "--config", config)

    (got,) = desk.asked
    assert (str(got.client), got.url, got.state, got.limit) == ("198.51.100.0/24", "live", "playing", 5)


def test_sorting_takes_the_largest_of_all_of_them(
    desk: Desk, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**session(number), "last_loss": loss} for number, loss in enumerate((0.0, 0.3, None, 0.1))]
    monkeypatch.setattr(desk, "sessions", lambda _asked: iter(rows))

    told = json.loads(run("sessions", "--sort", "loss", "--limit", "2", "--json", "--config", config))

    assert [one["last_loss"] for one in told] == [0.3, 0.1]


def test_a_filter_that_is_none_is_refused_in_words(config: str) -> None:
    with pytest.raises(AdminError, match="client: "):
        CliRunner().invoke(app, ["sessions", "--client", "x", "--config", config], catch_exceptions=False)


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["tables", "json"])
def test_watching_prints_one_list_after_the_other_until_it_is_interrupted(
    desk: Desk, config: str, as_json: list[str]
) -> None:
    desk.living = 1
    heeding = ["env", "--default-signal=INT"]  # a test run in the background hands it on ignored
    command = [
        *heeding,
        sys.executable,
        "-m",
        "rtspdsr",
        "sessions",
        "--watch",
        "--interval",
        "0.1",
        *as_json,
    ]
    with subprocess.Popen(
        [*command, "--config", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        seen = 0
        while seen < 3:
            line = watching.stdout.readline()
            assert line, watching.stderr.read()
            seen += "198.51.100.7" in line
        watching.send_signal(signal.SIGINT)
        assert watching.stderr.read() == ""
    assert watching.returncode == 0


def test_a_session_is_told_from_its_beginning_to_its_end(config: str) -> None:
    told = run("session", "1918", "--config", config)

    for shown in (
        "rtsp://192.0.2.10/live",
        "198.51.100.7 port 51000 (Lavf59.27.100)",
        "cams/cam-a",
        "for 6 min 41 s; it ended: expired",
        "163,402 packets over UDP, 12 lost",
        "SETUP rtsp://192.0.2.10/live/track1",
        "session closed: reason expired",
        "400 pkt/s",
        "12.5 %",
    ):
        assert shown in told
    assert json.loads(run("session", "1918", "--json", "--config", config)) == STORY


@pytest.mark.parametrize("name", ["sessions.log", "sessions.log.1", "sessions.log.2.gz"])
def test_a_session_of_long_ago_is_found_in_the_log(config: str, tmp_path: Path, name: str) -> None:
    content = LINES.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)

    told = run("session", "feed", "--config", config)

    assert "rtsp://192.0.2.10/yard" in told
    assert "it ended: expired" in told


def test_the_log_answers_too_when_no_daemon_runs(tmp_path: Path) -> None:
    (tmp_path / "sessions.log").write_text(LINES)
    told = json.loads(run("session", "feed01", "--json", "--config", str(configuration(tmp_path))))
    assert (told["session"], told["reason"], told["entries"][0]["event"]) == (
        "feed01",
        "expired",
        "session_opened",
    )


def test_an_unknown_session_is_said_clearly(config: str) -> None:
    with pytest.raises(NotFound, match=r"no session 'beef' .* \(.*sessions.log does not know it either\)"):
        CliRunner().invoke(app, ["session", "beef", "--config", config], catch_exceptions=False)


def test_top_once_shows_what_stands_out(config: str) -> None:
    told = run("top", "--once", "--interval", "0.1", "--config", config)
    for shown in ("cams/cam-a", "rtsp://192.0.2.10/live", "4.00 Mb/s", "worst quality", "session closed"):
        assert shown in told


def test_top_is_told_to_scripts(config: str) -> None:
    told = json.loads(run("top", "--once", "--interval", "0.1", "--json", "--config", config))
    assert {key: told[key] for key in TOP if key != "delivery"} == {
        key: value for key, value in TOP.items() if key != "delivery"
    }
    (backend,) = told["backends"]
    assert (backend["client_bits_per_s"], backend["delivered_bits_per_s"], backend["waiting"]) == (
        0,
        4_000_000.0,
        1,
    )


def test_what_is_not_known_yet_is_no_zero(desk: Desk, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = {**session(0), "delivered_packets_per_s": None, "waiting": True}
    silent = {**session(1), "delivered_packets_per_s": None}
    monkeypatch.setattr(desk, "sessions", lambda _asked: iter([begun, silent]))

    *_, first, second, _, caption = run("sessions", "--config", config).splitlines()
    assert (" … " in first, " … " in second) == (True, False)
    assert caption.strip() == "2 sessions; … not told yet"

    known = run("top", "--once", "--interval", "0.1", "--config", config)
    assert "4.00 Mb/s + … past it; … not told yet" in known


@pytest.mark.parametrize(
    "command", [["sessions"], ["session", "1918"], ["top", "--once", "--interval", "0.1"]]
)
def test_a_backend_that_was_removed_is_called_so(
    desk: Desk, config: str, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    gone = {"service": None, "backend": None}
    monkeypatch.setattr(desk, "sessions", lambda _asked: iter([{**session(0), **gone}]))
    monkeypatch.setattr(desk, "session", lambda _name: {**STORY, **gone})
    top = {**TOP, "worst": [{**session(0), **gone}], "failures": [{**TOP["failures"][0], **gone}]}
    monkeypatch.setattr(desk, "top", lambda _asked: iter([top]))

    told = run(*command, "--config", config)

    assert "None" not in told
    assert "(removed)" in told


def test_a_short_beginning_of_many_names_keeps_few_lines_of_the_log(tmp_path: Path) -> None:
    with (tmp_path / "sessions.log").open("w") as log:
        for number in range(30_000):
            log.write(LINES.replace("feed01", f"feed{number:06x}"))
        log.write('{"time":"2026-03-01T18:02:31.402Z","session":"feed000001"}\n')  # no event
    tracemalloc.start()
    with pytest.raises(AdminError, match=r"several sessions .*: feed000000, .*feed000009; write more of it"):
        find(tmp_path / "sessions.log", "feed")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20

    story = find(tmp_path / "sessions.log", "feed000001")
    assert story is not None
    assert [entry["event"] for entry in story["entries"]] == ["session_opened"]
