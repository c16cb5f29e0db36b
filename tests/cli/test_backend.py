"""`rtspdsr backend` as an operator runs it: in the server's namespace, by nsenter."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.preparation.conftest import SERVER4, VIP4, VIP6, Wire, wire

__all__ = ["wire"]  # the fixture

pytestmark = pytest.mark.kernel
VIPS = ("--vip", str(VIP4), "--vip", str(VIP6))


def backend(wire: Wire, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        *("nsenter", f"--net=/run/netns/{wire.server.name}"),
        *(sys.executable, "-m", "rtspdsr", "backend", *arguments),
        *("--state", str(wire.state)),
    ]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_prepare_check_and_undo(wire: Wire) -> None:
    before = wire.snapshot()
    assert backend(wire, "check", *VIPS).returncode == 4
    done = backend(wire, "prepare", *VIPS)
    assert done.returncode == 0, done.stderr
    assert "sysctl net/ipv4/conf/all/arp_ignore: 0 -> 1\n    ARP is answered only" in done.stdout
    assert answer(backend(wire, "prepare", *VIPS, "--json"))["steps"] == []
    findings = answer(backend(wire, "check", "--json"))["findings"]
    assert not [finding for finding in findings if finding["verdict"] == "wrong"]
    (served,) = [one for one in findings if one["about"] == f"who answers for VIP {VIP4}"]
    assert served["verdict"] == "unknown"  # there is no balancer on this wire
    undone = answer(backend(wire, "undo", "--json"))["steps"]
    assert {step["outcome"] for step in undone} == {"undone"}
    assert wire.snapshot() == before
    again = backend(wire, "undo")
    assert (again.returncode, again.stdout) == (0, f"Nothing to undo: there is no record {wire.state}.\n")


def test_a_dry_run_tells_all_and_changes_nothing(wire: Wire) -> None:
    before = wire.snapshot()
    told = answer(backend(wire, "prepare", *VIPS, "--dry-run", "--json"))
    assert (wire.snapshot(), wire.state.exists()) == (before, False)
    done = answer(backend(wire, "prepare", *VIPS, "--json"))
    assert told["steps"] == done["steps"] != []


def test_what_persists_is_written_and_removed_again(wire: Wire, tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    (etc / "sysctl.d").mkdir(parents=True)
    persist = ("--persist", "ifupdown", "--etc", str(etc))
    assert backend(wire, "prepare", *VIPS, *persist).returncode == 0
    files = sorted(path.relative_to(etc).as_posix() for path in etc.rglob("*") if path.is_file())
    assert files == ["network/interfaces.d/rtspdsr", "sysctl.d/60-rtspdsr.conf"]
    assert answer(backend(wire, "prepare", *VIPS, *persist, "--json"))["steps"] == []
    assert backend(wire, "undo").returncode == 0
    assert sorted(path.relative_to(etc).as_posix() for path in etc.rglob("*")) == ["sysctl.d"]


def test_another_request_than_the_recorded_one_is_refused(wire: Wire) -> None:
    assert backend(wire, "prepare", *VIPS).returncode == 0
    done = backend(wire, "prepare", "--vip", str(VIP4))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: this server was prepared otherwise")


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("prepare", "--vip", "10.77.0.100/32"), "give one address, without a prefix length", 2),
        (("prepare", *VIPS, "--clients", "10.77.0.1/24"), "give a network such as", 2),
        (("prepare", "--vip", str(SERVER4)), f"ip address del {SERVER4}/24 dev rdp-eth0", 4),
        (("prepare", *VIPS, "--persist", "netplan"), "give systemd-networkd or ifupdown", 2),
        (("prepare", *VIPS, "--persist", "systemd-networkd"), "no .network file in force for rdp-eth0", 4),
        (("check",), "say what to check with --vip", 4),
    ],
    ids=[
        "a prefix",
        "host bits",
        "the real address",
        "another manager",
        "networkd is not there",
        "no record",
    ],
)
def test_a_mistake_is_told_in_one_line(
    wire: Wire, arguments: tuple[str, ...], message: str, code: int
) -> None:
    before = wire.snapshot()
    done = backend(wire, *arguments)
    assert done.returncode == code
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert (wire.snapshot(), wire.state.exists()) == (before, False)
