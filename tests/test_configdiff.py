"""What a reload would change, in words."""

from pathlib import Path

from rtspdsr.configdiff import diff
from tests.test_config import SMALLEST, file, read

__all__ = ["file"]


def test_nothing_differs_from_itself(file: Path) -> None:
    assert diff(read(file, SMALLEST), read(file, SMALLEST)) == []


def test_changes_are_told_in_words_with_what_waits_for_a_restart(file: Path) -> None:
    old = read(file, SMALLEST)
    new = read(
        file,
        "[tracker]\nidle_s = 120\n[log]\nfile = '-'\nrotate_keep = 3\n"
        + SMALLEST.replace("[dataplane]", "[dataplane]\npins_max = 5000")
        .replace('"cam-b"', '"cam-c"')
        .replace('name = "cam-a"', 'name = "cam-a"\nweight = 50')
        .replace('name = "cams"', 'name = "cams"\nports = [554, 8554]')
        + SMALLEST[SMALLEST.index("[[service]]") :]
        .replace("::10", "::11").replace("2.10", "2.11").replace("cams", "doors"),
    )  # fmt: skip

    assert diff(old, new) == [
        "dataplane.pins_max: 1000000 -> 5000 (needs a restart)",
        "tracker.idle_s: 90 -> 120",
        "log.file: /var/log/rtspdsr/sessions.log -> - (needs a restart)",
        "log.rotate_keep: 10 -> 3",
        "service 'cams': ports: 554 -> 554, 8554",
        "service 'cams': backend 'cam-b' removed",
        "service 'cams': backend 'cam-a': weight: 100 -> 50",
        "service 'cams': backend 'cam-c' added, 192.0.2.22, weight 100",
        "service 'doors': added, VIP 192.0.2.11, 2001:db8::11, backends cam-a, cam-b",
    ]
    assert "service 'doors': removed" in diff(new, old)


def test_changes_of_a_schedule_are_told(file: Path) -> None:
    keys = 'schedule = "least-sessions"\nplace_by = "connection"\nslow_start_s = 30'
    old = read(file, SMALLEST)
    new = read(
        file,
        SMALLEST.replace('name = "cams"', f'name = "cams"\n{keys}').replace(
            'name = "cam-b"', 'name = "cam-b"\nmax_sessions = 200'
        ),
    )
    assert diff(old, new) == [
        "service 'cams': schedule: hash -> least-sessions",
        "service 'cams': place_by: client -> connection",
        "service 'cams': slow_start_s: 0 -> 30",
        "service 'cams': backend 'cam-b': max_sessions: 0 -> 200",
    ]


def test_changes_of_health_are_told_without_passwords(file: Path) -> None:
    old = read(file, SMALLEST)
    new = read(
        file,
        "[probe]\nrule_priority = 99\n"
        + SMALLEST.replace(
            'name = "cams"',
            'name = "cams"\nhealth = {check = "tcp", probe_url = "rtsp://a:secret@192.0.2.10/x"}',
        ),
    )

    assert diff(old, new) == [
        "probe.rule_priority: 5000 -> 99 (needs a restart)",
        "service 'cams': health.check: options -> tcp",
        "service 'cams': health.probe_url changed",
    ]


def test_a_reload_applies_all_but_what_needs_a_restart(file: Path) -> None:
    old = read(file, SMALLEST)
    new = read(
        file,
        "[daemon]\nrun_dir = '/run/other'\n[tracker]\nidle_s = 120\n"
        "[log]\nfile = '-'\nqueue_max = 9\nclient_addresses = 'hash'\nrotate_mib = 1\nrotate_keep = 3\n"
        + SMALLEST.replace("[dataplane]", "[dataplane]\nmode = 'generic'").replace("cam-b", "cam-c"),
    )

    in_force = old.reloaded(new)

    assert diff(old, in_force) == [change for change in diff(old, new) if "needs a restart" not in change]
    assert diff(in_force, new) == [change for change in diff(old, new) if "needs a restart" in change]
    assert len(diff(in_force, new)) == 5
