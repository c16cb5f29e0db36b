"""Background processes: known by their files, ended only if they are the ones that wrote them."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtspdsr.errors import LabError
from rtspdsr.lab import process
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.process import Processes, wait_until


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Records in a directory of the test's own."""
    made = Processes(tmp_path)
    yield made
    made.end()


@pytest.fixture
def namespace(lab: Lab) -> str:
    """Where the commands run; which namespace does not matter here."""
    return lab.topology.namespace("player")


def has_ended(pid: int | None) -> bool:
    """It is gone, or a zombie that init has not yet buried."""
    directory = Path(f"/proc/{pid}")
    return not directory.exists() or "\nState:\tZ" in (directory / "status").read_text()


def test_a_process_is_known_by_its_name_and_ended_by_it(processes: Processes, namespace: str) -> None:
    processes.start("sleeper", namespace, ["sleep", "60"])
    (known,) = processes.known()
    assert known.name == "sleeper"
    pid = known.pid
    assert Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    known.stop()
    assert has_ended(pid)
    assert processes.known() == []


def test_it_runs_in_the_namespace_and_is_nobodys_child(processes: Processes, namespace: str) -> None:
    pid = processes.start("sleeper", namespace, ["sleep", "60"]).pid
    assert Path(f"/proc/{pid}/ns/net").samefile(Path("/run/netns") / namespace)
    assert os.getsid(pid or 0) == pid
    with pytest.raises(ChildProcessError):
        os.waitpid(pid or 0, os.WNOHANG)


def test_one_that_ignores_sigterm_is_killed(
    processes: Processes, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rtspdsr.lab.process.END_WAIT_S", 0.3)
    stubborn = processes.start("stubborn", namespace, ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])
    pid = stubborn.pid
    stubborn.stop()
    assert has_ended(pid)


def test_a_pid_that_another_process_has_got_is_left_alone(processes: Processes, namespace: str) -> None:
    recorded = processes.start("first", namespace, ["sleep", "60"])
    recorded.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        fields = Path(f"/proc/{stranger.pid}/stat").read_text().split(" ")
        fields[21] = str(int(fields[21]) - 1)  # the recorded process had that pid, and began earlier
        recorded.record.write_text(" ".join(fields))
        recorded.stop()
        assert stranger.poll() is None
        stranger.kill()


def test_a_second_one_of_the_same_name_is_refused(processes: Processes, namespace: str) -> None:
    processes.start("sleeper", namespace, ["sleep", "60"])
    with pytest.raises(LabError, match=r"sleeper is already running with pid \d+; stop it first"):
        processes.start("sleeper", namespace, ["sleep", "60"])


def test_waiting_for_one_that_has_ended_tells_its_last_words(processes: Processes, namespace: str) -> None:
    failing = processes.start("failing", namespace, ["sh", "-c", "echo the port is taken; exit 1"])
    with pytest.raises(LabError, match=r"waited for it to listen: it has ended.*ends: the port is taken"):
        wait_until(lambda: False, 5.0, "it to listen", failing)


def test_a_child_gives_its_exit_code_and_is_known_too(processes: Processes, namespace: str) -> None:
    child = processes.attend("child", namespace, ["sleep", "60"])
    assert [process.pid for process in processes.known()] == [child.pid]
    assert processes.unused_name("child") == "child-1"
    child.send_signal(signal.SIGINT)
    assert child.wait(5) == -signal.SIGINT
    assert [process.pid for process in processes.known()] == [None]


def test_a_command_that_fails_tells_its_last_words(processes: Processes, namespace: str) -> None:
    processes.run("succeed", namespace, ["true"])
    with pytest.raises(LabError, match=r"cannot repair: exit 3, no such part \(all of it: .*repair.log\)"):
        processes.run("repair", namespace, ["sh", "-c", "echo no such part >&2; exit 3"])


def test_one_that_starts_while_all_are_ended_never_runs(
    processes: Processes, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The shell is held up between its start and its file, as on a busy machine.
    monkeypatch.setattr("rtspdsr.lab.process._REMEMBER", f"sleep 0.5; {process._REMEMBER}")
    monkeypatch.setattr("rtspdsr.lab.process.START_WAIT_S", 0.1)
    ran = tmp_path / "ran"
    with pytest.raises(LabError, match="waited for late to be started"):
        processes.start("late", namespace, ["touch", str(ran)])
    processes.end()
    time.sleep(1.0)
    assert not ran.exists()
