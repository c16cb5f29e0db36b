"""The shipped dashboard and alert rules: whether all that they name exists, and whether the rules fire."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from rtspdsr.admin.metrics import rendered
from rtspdsr.dataplane.layout import Verdict
from rtspdsr.logreference import event_classes
from rtspdsr.model import BackendState
from rtspdsr.sessionlog import event_name
from tests.admin.lookout import figures

MONITORING = Path(__file__).parent.parent / "monitoring"
PROMTOOL = Path(sys.executable).with_name("promtool")  # make puts it there
RULES = MONITORING / "rtspdsr.rules.yml"
DASHBOARD = MONITORING / "grafana-dashboard.json"

#: The values that a label can have, where the program bounds them.
VALUES: dict[str, set[str]] = {
    "verdict": {one.name.lower() for one in Verdict},
    "state": {one.value for one in BackendState},
    "event": {event_name(one) for one in event_classes()},
    "failure": set(figures().failures),
}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, and what it is of."""
    yield from ((one["alert"], one["expr"]) for one in rules())
    for panel in panels():
        yield from ((panel["title"], target["expr"]) for target in panel.get("targets", []))


@pytest.fixture(scope="module")
def samples() -> dict[str, set[str]]:
    """Names of the samples that the daemon tells, with the labels of each."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(rendered(figures())[0].decode()):
        for one in family.samples:
            found.setdefault(one.name, set()).update(one.labels)
    return found


@pytest.mark.parametrize(("of", "expression"), list(expressions()))
def test_every_metric_label_and_value_that_is_named_exists(
    of: str, expression: str, samples: dict[str, set[str]]
) -> None:
    named = re.findall(r"\b((?:rtspdsr|process)_\w+|up\b)(?:\{([^}]*)\})?", expression)
    assert named, of
    for name, selector in named:
        assert name == "up" or name in samples, f"{of}: {name}"
        for label, _, values in re.findall(r'(\w+)\s*(=~|!=|=)\s*"([^"]*)"', selector):
            assert label in {*samples.get(name, ()), "instance", "job"}, f"{of}: {name} has no label {label}"
            if label in VALUES and "rtspdsr" in name and not values.startswith("$"):
                assert set(values.split("|")) <= VALUES[label], f"{of}: {label} {values}"


def test_every_alert_says_how_bad_it_is_and_what_of() -> None:
    names = [one["alert"] for one in rules()]
    assert len(set(names)) == len(names)
    for one in rules():
        assert one["labels"]["severity"] in ("critical", "warning"), one["alert"]
        assert one["annotations"]["summary"], one["alert"]


def test_what_the_operator_is_promised_is_watched() -> None:
    """Backends, pins at 80 %, quality, ring and log drops, and the daemon itself."""
    watched = {
        "RtspdsrAbsent": "up{",
        "RtspdsrBackendDown": "rtspdsr_backend_state",
        "RtspdsrPinsFilling": "> 0.8",
        "RtspdsrLoss": "rtspdsr_reported_loss_ratio",
        "RtspdsrRingDrops": '"ring_full"',
        "RtspdsrLogLinesDropped": '"log_line"',
    }
    by_name = {one["alert"]: one["expr"] for one in rules()}
    for name, part in watched.items():
        assert part in by_name[name]


def test_panels_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        places = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not places & taken, panel["title"]
        assert max(x for x, _ in places) < 24, panel["title"]
        taken |= places
    assert len({panel["id"] for panel in panels()}) == len(panels())


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_expression_is_promql(where: str, expression: str) -> None:
    parsed = promql_parser.parse(expression.replace("$__rate_interval", "5m"))
    assert str(parsed), where


def test_the_rules_fire_as_they_should() -> None:
    """By the series of rtspdsr.rules.test.yml."""
    assert PROMTOOL.exists(), "make test fetches promtool; by hand: apt/promtool .venv/bin/promtool"
    command = [str(PROMTOOL), "test", "rules", "rtspdsr.rules.test.yml"]
    ran = subprocess.run(command, cwd=MONITORING, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
