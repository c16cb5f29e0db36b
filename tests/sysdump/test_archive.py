"""``rtspdsr sysdump``: what is in the archive, what is not, and that it comes whatever is broken."""

import errno
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtspdsr.cli import app
from rtspdsr.errors import RtspDsrError
from rtspdsr.sysdump.archive import write
from rtspdsr.sysdump.parts import Part
from rtspdsr.sysdump.scrubbing import Scrubber
from tests.admin.desk import STATUS, Desk
from tests.cli.serving import configuration, serving

CLIENT = "198.51.100.7"


def unpacked(file: Path) -> dict[str, str]:
    """The files of an archive, by their names below its directory."""
    with tarfile.open(file) as archive:
        contents = {one.name.partition("/")[2]: archive.extractfile(one) for one in archive.getmembers()}
        return {name: content.read().decode() for name, content in contents.items() if content is not None}


def dump(config: Path, file: Path, *options: str) -> str:
    """Run it; give back what it prints."""
    command = ["sysdump", "--config", str(config), "--output", str(file), *options]
    ran = CliRunner().invoke(app, command, catch_exceptions=False)
    assert ran.exit_code == 0
    return ran.stdout


def test_a_report_holds_what_the_daemon_tells_and_the_log_says(tmp_path: Path) -> None:
    desk, file = Desk(), tmp_path / "report.tar.gz"
    desk.living = 1
    with serving(desk, tmp_path) as config:
        (tmp_path / "sessions.log").write_text(f'{{"event":"session_opened","client":"{CLIENT}"}}\n')
        told = dump(config, file)

    found = unpacked(file)
    assert json.loads(found["daemon/status.json"]) == STATUS
    assert CLIENT in found["daemon/sessions.json"]
    assert CLIENT in found["session-log.jsonl"]
    assert "$ ip -d -s -s link" in found["system/links.txt"]
    assert found["versions.txt"].startswith("python 3.")
    assert "Clients' addresses are in it" in told
    for name in found:
        assert name == "README.txt" or (name in found["README.txt"] and name in told)
    assert file.stat().st_mode & 0o777 == 0o600


def test_secrets_and_with_anonymize_clients_are_in_no_file(tmp_path: Path) -> None:
    desk, file = Desk(), tmp_path / "report.tar.gz"
    desk.living = 3
    with serving(desk, tmp_path) as config:
        url = "rtsp://probe:hunter2@192.0.2.10/clip"
        config.write_text(f'{config.read_text()}[service.health]\nprobe_url = "{url}"\n')
        (tmp_path / "config.json").write_text(json.dumps({"probe_url": url}))
        (tmp_path / "sessions.log").write_text(
            f'{{"client":"{CLIENT}","url":"rtsp://192.0.2.10/a?key=hunter2"}}\n'
        )
        dump(config, file, "--anonymize")

    for name, content in unpacked(file).items():
        assert "hunter2" not in content, name
        assert CLIENT not in content, name
    assert "192.0.2.10" in unpacked(file)["config/file.toml"]


@pytest.mark.parametrize("choice", ["truncate", "hash"])
def test_the_log_s_choice_holds_for_the_whole_report(tmp_path: Path, choice: str) -> None:
    desk, file = Desk(), tmp_path / "report.tar.gz"
    desk.living = 1
    with serving(desk, tmp_path) as config:
        text = config.read_text().replace("[log]", f'[log]\nclient_addresses = "{choice}"')
        config.write_text(text.replace("[daemon]", f'[daemon]\nstate_dir = "{tmp_path}"'))
        assert f"as in the log: {choice}" in dump(config, file)

    assert CLIENT not in "".join(unpacked(file).values())


def test_without_a_daemon_it_says_in_the_report_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "report.tar.gz"
    told = json.loads(dump(configuration(tmp_path), file, "--json"))

    assert told["file"] == str(file)
    found = unpacked(file)
    assert found["daemon/status.json"].startswith("not to be had: no daemon answers")
    assert found["session-log.jsonl"].startswith("not to be had:")


def test_half_an_archive_is_not_left_where_there_is_no_room(tmp_path: Path) -> None:
    def filling() -> Iterator[Part]:
        yield Part("first.txt", "it fits", lambda: "x")
        raise OSError(errno.ENOSPC, "No space left on device")

    file = tmp_path / "report.tar.gz"
    with pytest.raises(RtspDsrError, match=r"cannot write .*: No space left on device"):
        write(file, filling(), Scrubber((), None), "", lambda _part: None)
    assert not file.exists()


def test_a_file_that_stands_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "report.tar.gz"
    file.write_text("precious")
    with pytest.raises(RtspDsrError, match=r"cannot write .*report\.tar\.gz: File exists"):
        dump(configuration(tmp_path), file)
    assert file.read_text() == "precious"
