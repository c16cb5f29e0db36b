"""What is broken in the lab is named by the doctor, and what it says mends it.

Several things are broken at once, none of which hides another: one look takes seconds.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rtspdsr.dataplane.libbpf.programs import Link
from rtspdsr.lab.daemon import NO_CHECKS
from rtspdsr.lab.lab import Lab
from rtspdsr.lab.topology import UPLINK, VIP4, VIP6
from tests.lab.helpers import command_at, home, run_at

Finding = dict[str, Any]
LOOKS = 4

SERVER_BROKEN = {
    f"sysctl net/ipv4/conf/{UPLINK}/arp_announce": f"sysctl -qw net.ipv4.conf.{UPLINK}.arp_announce=0",
    "packet filter": "nft add table inet test;"
    "nft 'add chain inet test in { type filter hook input priority 0; }';"
    "nft add rule inet test in ct state invalid drop; sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0",
    "source translation": "nft add table inet test;"
    "nft 'add chain inet test post { type nat hook postrouting priority srcnat; }';"
    "nft add rule inet test post masquerade",
    "TCP send buffer against": "sysctl -qw net.ipv4.tcp_wmem='4096 16384 65536'",
    "TCP after a pause": "sysctl -qw net.ipv4.tcp_slow_start_after_idle=1",
    f"{UPLINK}: queueing discipline": f"tc qdisc add dev {UPLINK} root tbf rate 1gbit burst 1mb latency 50ms",
    f"{UPLINK}: segmentation": f"ethtool -K {UPLINK} tso off gso off",
}
SERVER_RESTORED = f"""
nft delete table inet test
tc qdisc del dev {UPLINK} root
ethtool -K {UPLINK} tso off gso off
sysctl -qw net.ipv4.tcp_slow_start_after_idle=1 net.netfilter.nf_conntrack_tcp_loose=1
sysctl -qw net.ipv4.tcp_wmem='4096 16384 4194304' net.ipv4.conf.{UPLINK}.arp_announce=2
"""


def look(lab: Lab, node: str, *command: str) -> list[Finding]:
    """What a command finds at a node; its exit code agrees with it."""
    ran = subprocess.run(
        [*command_at(lab, node, sys.executable, "-m", "rtspdsr"), *command, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.stderr == ""
    findings: list[Finding] = json.loads(ran.stdout)["findings"]
    assert ran.returncode == (4 if wrong(findings) else 0)
    return findings


def doctor(lab: Lab, config: Path | None = None) -> list[Finding]:
    return look(lab, "balancer", "doctor", "--config", str(config or lab.daemon.config))


def check(lab: Lab, node: str) -> list[Finding]:
    state = lab.state / "prepared" / f"{node}.json"
    return look(lab, node, "backend", "check", "--state", str(state), "--bitrate", "2M")


def wrong(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding["verdict"] == "wrong"]


def lasting(look_again: Callable[[], list[Finding]]) -> list[Finding]:
    """What is wrong at each of some looks: a busy machine drops some for a moment."""
    found = wrong(look_again())
    for _ in range(LOOKS - 1):
        if found:
            still = {one["about"] for one in wrong(look_again())}
            found = [one for one in found if one["about"] in still]
    return found


def named(findings: list[Finding], about: str) -> Finding:
    """The finding that begins so."""
    (one,) = [finding for finding in findings if finding["about"].startswith(about)]
    return one


def do(lab: Lab, node: str, mend: str) -> None:
    """What a finding says, at the node it says or else at the given one."""
    run_at(lab, node, "sh", "-ec", re.sub(r"^on \S+(, \S+)*: ", "", mend))


@contextmanager
def restored(lab: Lab, node: str, script: str) -> Iterator[None]:
    """Whatever happens, undo at a node what the test did; what was mended is no fault."""
    try:
        yield
    finally:
        subprocess.run(
            command_at(lab, node, "sh", "-c", script), capture_output=True, check=False, timeout=30
        )


def test_nothing_is_wrong_at_the_balancer_of_the_lab(lab: Lab) -> None:
    assert lasting(lambda: doctor(lab)) == []
    findings = doctor(lab)
    assert named(findings, f"{UPLINK}: XDP")["measured"] == "native, driver veth"
    assert named(findings, f"MTU to lab/gst-a ({lab.topology.node('gst-a').v4.ip})")["verdict"] == "ok"
    unknown = [one for one in findings if one["verdict"] == "unknown"]
    assert all(one["measured"] and one["mend"] for one in unknown)


@pytest.mark.parametrize("node", ["gst-b", "vlc"])
def test_nothing_is_wrong_at_the_media_servers_of_the_lab(lab: Lab, node: str) -> None:
    assert lasting(lambda: check(lab, node)) == []
    findings = check(lab, node)
    assert named(findings, f"who answers for VIP {VIP4}")["measured"] == lab.topology.balancer.mac
    assert named(findings, f"who answers for VIP {VIP6}")["measured"] == lab.topology.balancer.mac
    assert "room for" in named(findings, "file descriptors of media server")["measured"]


def test_what_is_broken_on_a_media_server_is_named_and_mended(lab: Lab) -> None:
    with restored(lab, "gst-a", SERVER_RESTORED):
        for command in SERVER_BROKEN.values():
            run_at(lab, "gst-a", "sh", "-ec", command)
        assert {one["about"].partition(":")[0] for one in lasting(lambda: check(lab, "gst-a"))} == {
            f"sysctl net/ipv4/conf/{UPLINK}/arp_announce",
            "packet filter",
            "source translation",
        }
        findings = check(lab, "gst-a")
        for about in SERVER_BROKEN:
            finding = named(findings, about)
            assert finding["verdict"] in ("wrong", "advice"), finding
            do(lab, "gst-a", finding["mend"])
        mended = {one["about"]: one["verdict"] for one in check(lab, "gst-a")}
        for about in SERVER_BROKEN:
            assert {verdict for key, verdict in mended.items() if key.startswith(about)} <= {"ok"}


def test_a_bridge_that_asks_the_packet_filter_is_named_and_mended(lab: Lab) -> None:
    command = ("backend", "check", "--vip", str(VIP4), "--interface", "br9")
    with restored(lab, "player5", "ip link del br9"):
        run_at(lab, "player5", "sh", "-ec", "ip link add br9 type bridge; ip link set br9 up")
        run_at(lab, "player5", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
        finding = named(look(lab, "player5", *command), "br9: bridge netfilter")
        assert finding["verdict"] == "wrong"
        do(lab, "player5", finding["mend"])
        assert named(look(lab, "player5", *command), "br9: bridge netfilter")["verdict"] == "ok"


def test_what_is_broken_around_the_balancer_is_named_and_mended(lab: Lab, tmp_path: Path) -> None:
    checking = tmp_path / "checking.toml"
    checking.write_text(lab.daemon.config.read_text().replace(NO_CHECKS, ""))
    flux = f"sysctl -qw net.ipv4.conf.all.arp_ignore={{0}} net.ipv4.conf.{UPLINK}.arp_ignore={{0}}"
    filtering = f"net.ipv4.conf.{UPLINK}.rp_filter"
    broken = [
        ("balancer", "ip link add away type bridge; ip link set away up", "ip link del away"),
        ("balancer", f"ip route add {VIP4} dev away; sysctl -qw {filtering}=1", f"sysctl -qw {filtering}=0"),
        ("balancer", f"ip address add {VIP6}/128 dev lo nodad", f"ip address del {VIP6}/128 dev lo"),
        ("gst-a", flux.format(0), flux.format(1)),
        ("gst-b", f"ip link set {UPLINK} mtu 1400", f"ip link set {UPLINK} mtu 1500"),
        (
            "player4",
            f"ip address add {VIP6}/128 dev {UPLINK} nodad",
            f"ip address del {VIP6}/128 dev {UPLINK}",
        ),
    ]
    gst_b = lab.topology.node("gst-b")
    places = {  # what is named -> where its remedy is to be run
        f"{UPLINK}: reverse-path filter": "balancer",
        f"VIP {VIP6} on the balancer": "balancer",
        f"who else answers for VIP {VIP6}": "player4",
        f"MTU to lab/gst-b ({gst_b.v4.ip})": "gst-b",
    }
    with ExitStack() as undone:
        for node, command, back in broken:
            undone.enter_context(restored(lab, node, back))
            run_at(lab, node, "sh", "-ec", command)
        findings = doctor(lab, checking)
        for about, node in places.items():
            finding = named(findings, about)
            assert finding["verdict"] == "wrong", finding
            do(lab, node, finding["mend"])
        assert "1400 were seen" in named(findings, f"MTU to lab/gst-b ({gst_b.v4.ip})")["measured"]
        claimed = named(findings, f"who else answers for VIP {VIP4}")
        assert "lab/gst-a" in claimed["measured"]
        assert claimed["mend"].startswith("on lab/gst-a: rtspdsr backend check")
        for finding in lasting(lambda: check(lab, "gst-a")):
            do(lab, "gst-a", finding["mend"])
        assert lasting(lambda: doctor(lab, checking)) == []


def test_it_works_by_the_configuration_alone(lab: Lab, tmp_path: Path) -> None:
    """A backend is not there; the program is attached, since it is that of the lab."""
    config = tmp_path / "rtspdsr.toml"
    vlc, gone = lab.topology.node("vlc"), lab.topology.balancer.v4.network[99]
    text = lab.daemon.config.read_text().replace(str(lab.daemon.run_dir), str(tmp_path))
    config.write_text(text.replace(f'"{vlc.v4.ip}"', f'"{gone}"').replace(str(vlc.address(6)), "fd77::99"))
    findings = doctor(lab, config)
    assert named(findings, "daemon")["verdict"] == "wrong"
    assert "no daemon answers" in named(findings, "daemon")["measured"]
    backend = named(findings, "backend lab/vlc")
    assert (backend["verdict"], str(gone) in backend["measured"]) == ("wrong", True)
    assert named(findings, f"MTU to lab/vlc ({gone})")["verdict"] == "unknown"
    assert named(findings, "backend lab/gst-a")["verdict"] == "ok"


def test_a_program_that_was_taken_off_is_named(lab: Lab) -> None:
    (pinned,) = home(lab).links.iterdir()
    with Link.from_pin(pinned) as link:
        link.detach()
    try:
        finding = named(doctor(lab), f"{UPLINK}: program")
    finally:
        lab.daemon.process.stop()
        lab.daemon.start()
    assert finding["verdict"] == "wrong"
    assert finding["mend"] == "systemctl restart rtspdsr"
    assert named(doctor(lab), f"{UPLINK}: program")["measured"] == "ours is attached"


def test_it_is_told_in_plain_text(lab: Lab) -> None:
    words = [sys.executable, "-m", "rtspdsr", "doctor", "--config", str(lab.daemon.config)]
    ran = subprocess.run(
        command_at(lab, "balancer", *words), capture_output=True, text=True, check=False, timeout=60
    )
    shown = ran.stdout
    lines = shown.splitlines()
    assert f"ok      VIP {VIP4} on the balancer: no address of this machine" in lines
    assert re.fullmatch(
        r"\d+ things looked at: \d+ ok(, \d+ advice)?(, \d+ wrong)?(, \d+ unknown)?", lines[-1]
    )
    assert "\x1b" not in shown
