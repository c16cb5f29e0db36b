"""Metrics: whether Prometheus can read them, and whether they are named as it wants."""

import asyncio
import re
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from rtspdsr.admin.metrics import rendered
from tests.admin.lookout import figures

#: What a name may end in after its unit, and the units that Prometheus calls base units (and counts).
UNITS = ("seconds", "bytes", "ratio", "bytes_per_second", "timestamp_units")
OTHERS = ("milliseconds", "ms", "kilobytes", "kb", "mib", "megabytes", "bits", "percent", "minutes", "hours")
#: Labels whose values the configuration or the program bounds.
LABELS = {
    "transport",
    "service",
    "backend",
    "state",
    "reason",
    "check",
    "verdict",
    "failure",
    "event",
    "interface",
    "mode",
}


def parsed(text: str) -> list[Metric]:
    """What Prometheus reads."""
    return list(text_string_to_metric_families(text))


@pytest.fixture(scope="module")
def families() -> list[Metric]:
    text, _ = rendered(figures())
    return [one for one in parsed(text.decode()) if one.name.startswith("rtspdsr_")]


def value(families: list[Metric], name: str, **labels: str) -> float:
    """The one sample of that name and those labels."""
    (found,) = (
        one.value
        for family in families
        for one in family.samples
        if one.name == name and labels.items() <= one.labels.items()
    )
    return found


def test_every_metric_has_help_a_type_and_samples(families: list[Metric]) -> None:
    assert len(families) > 30
    for family in families:
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert family.samples, family.name


def test_names_follow_the_conventions(families: list[Metric]) -> None:
    for family in families:
        assert re.fullmatch(r"rtspdsr_[a-z]+(_[a-z]+)*", family.name)
        assert not family.name.endswith(OTHERS), family.name
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
            assert sample.labels.keys() - {"le", "version"} <= LABELS, sample.name
    measured = {family.name for family in families if family.name.endswith(UNITS)}
    for word in ("seconds", "bytes", "ratio"):
        assert any(word in name for name in measured)


def test_the_manual_names_every_metric(families: list[Metric]) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "admin-api.md").read_text()
    for family in families:
        name = family.name.removeprefix("rtspdsr_") + ("_total" if family.type == "counter" else "")
        assert f"`{name}`" in manual or name.endswith("_limit"), name


def test_values_are_what_the_daemon_counts(families: list[Metric]) -> None:
    cam = {"service": "cams", "backend": "cam-0"}
    assert value(families, "rtspdsr_sessions", **cam, state="playing") == 2
    assert value(families, "rtspdsr_sessions_closed_total", **cam, reason="teardown") == 2
    assert value(families, "rtspdsr_delivered_bytes_total", **cam, transport="tcp") == 1 << 40
    assert value(families, "rtspdsr_backend_up", **cam) == 1
    assert value(families, "rtspdsr_backend_state", **cam, state="down") == 0
    assert value(families, "rtspdsr_check_media_bytes_per_second", **cam, check="play") == 1e6
    assert value(families, "rtspdsr_verdict_packets_total", verdict="ring_full") == 1
    assert value(families, "rtspdsr_failures_total", failure="log_line") == 3
    assert value(families, "rtspdsr_pins") / value(families, "rtspdsr_pins_limit") == 0.01
    assert value(families, "rtspdsr_reported_loss_ratio_bucket", **cam, le="0.5") == 3
    assert value(families, "rtspdsr_reported_loss_ratio_count", **cam) == 4
    assert value(families, "rtspdsr_loop_lag_seconds_sum") == 2.5
    assert value(families, "rtspdsr_daemon_info", version="0.1.0") == 1


def test_a_check_that_did_not_come_so_far_has_no_sample(families: list[Metric]) -> None:
    found = [one for family in families for one in family.samples if "first_rtp" in one.name]
    assert [one.labels["check"] for one in found] == ["options"]


def test_the_process_tells_of_itself() -> None:
    assert b"process_resident_memory_bytes" in rendered(figures())[0]


def test_openmetrics_is_valid_too() -> None:
    text, content_type = rendered(figures(), "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families = open_metrics(text.decode())  # type: ignore[no-untyped-call]
    assert "rtspdsr_pins" in {family.name for family in families}


@pytest.mark.parametrize(
    "accepted",
    [
        "application/openmetrics-text;version=zz",
        "text/plain;version=zz",
        "application/openmetrics-text;version=",
    ],
)
def test_a_version_that_is_none_is_answered_all_the_same(accepted: str) -> None:
    text, content_type = rendered(figures(), accepted)
    assert content_type.startswith(("text/plain", "application/openmetrics-text"))
    assert b"rtspdsr_pins " in text


async def test_they_are_answered_with_the_type_of_their_text(admin: Path) -> None:
    async with (
        ClientSession("http://rtspdsr", connector=UnixConnector(str(admin / "admin.sock"))) as session,
        session.get("/metrics") as response,
    ):
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert parsed(await response.text())


async def test_a_thousand_backends_leave_the_loop_its_turns() -> None:
    turns = 0
    rendering = asyncio.create_task(asyncio.to_thread(rendered, figures(1000)))
    while not rendering.done():
        turns += 1
        await asyncio.sleep(0)
    text, _ = await rendering
    assert text.count(b"rtspdsr_backend_up{") == 1000
    assert turns > 10
