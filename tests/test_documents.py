"""What docs/ tells its reader to type and expect is what there is; the README has a test of its own."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rtspdsr.config import TABLES
from rtspdsr.logreference import event_classes
from rtspdsr.sessionlog import event_name, keys_of
from tests.test_readme import assert_exists, blocks, lines

ROOT = Path(__file__).parent.parent
DOCUMENTS = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}
UNIT = (ROOT / "deploy/systemd/rtspdsr.service").read_text(encoding="utf-8")
CONTAINERFILE = (ROOT / "deploy/container/Containerfile").read_text(encoding="utf-8")
PACKAGES = (ROOT / "apt/packages.txt").read_text(encoding="utf-8").split()

COMMANDS = {
    " ".join(line): line
    for text in DOCUMENTS.values()
    for line in lines("rtspdsr", text)
    if not line[1].isupper()  # any command
}
TEXTS = {"README.md": (ROOT / "README.md").read_text(encoding="utf-8")} | {
    f"docs/{name}": text for name, text in DOCUMENTS.items()
}
ANCHORS = [
    (name, link)
    for name, text in TEXTS.items()
    for link in re.findall(r"\]\(((?!https:)[^)#]*#[^)]+)\)", text)
]
LINKS = [(name, link) for name, text in DOCUMENTS.items() for link in re.findall(r"\]\(([^)#]+)\)", text)]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_exists(line: str) -> None:
    assert_exists(COMMANDS[line])


@pytest.mark.parametrize(("name", "link"), LINKS)
def test_every_link_leads_somewhere(name: str, link: str) -> None:
    assert link.startswith("https://") or (ROOT / "docs" / link).exists()


@pytest.mark.parametrize(("name", "link"), ANCHORS)
def test_every_link_to_a_heading_leads_there(name: str, link: str) -> None:
    path, _, heading = link.partition("#")
    target = (ROOT / name).parent / path if path else ROOT / name
    headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    assert heading in [re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings]


def test_every_document_is_named_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in DOCUMENTS if f"](docs/{name})" not in readme] == []


def test_the_lines_that_call_for_somebody_are_events_of_the_log() -> None:
    (section,) = re.findall(
        r"## Lines that call for somebody\n(.*?)\n## ", DOCUMENTS["operations.md"], re.DOTALL
    )
    named = {
        name for row in section.splitlines()[3:] for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])
    }
    assert len(named) > 10
    assert named - {event_name(event) for event in event_classes()} <= {"poor"}


@pytest.mark.parametrize("name", ["operations.md", "security.md", "deploying.md"])
def test_configuration_keys_that_are_named_exist(name: str) -> None:
    keys = {
        f"{table[-1]}.{field.alias or key}"
        for table, model in TABLES.items()
        if table
        for key, field in model.model_fields.items()
    }
    sections = "|".join(table[-1] for table in TABLES if table)
    assert set(re.findall(rf"`((?:{sections})\.[a-z_]+)`", DOCUMENTS[name])) <= keys


def test_the_log_lines_shown_have_the_keys_of_their_events() -> None:
    (text,) = blocks("json", DOCUMENTS["reading-log.md"])
    classes = {event_name(event_class): event_class for event_class in event_classes()}
    shown: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    assert len(shown) >= 3
    for record in shown:
        assert list(record) == keys_of(classes[record["event"]]), f"{record['event']} has other keys now"


# --- the container, which no test runs


def test_a_container_is_given_the_capabilities_of_the_unit() -> None:
    (unit,) = re.findall(r"^CapabilityBoundingSet=(.*)$", UNIT, re.MULTILINE)
    shown = re.findall(r"--cap-add ([A-Z_]+)", DOCUMENTS["deploying.md"])
    assert {f"CAP_{name}" for name in shown} == set(unit.split())


def test_the_container_is_built_of_what_there_is() -> None:
    instructions = re.findall(r"^([A-Z]+) ", CONTAINERFILE, re.MULTILINE)
    assert set(instructions) == {"ARG", "FROM", "RUN", "COPY", "WORKDIR", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert re.findall(r"^(?:ARG|FROM) (.*)", CONTAINERFILE, re.MULTILINE) == [
        "BASE=debian:12",  # from wherever its builder takes images
        "${BASE} AS build",
        "${BASE}",
    ]
    assert (ROOT / "deploy/deb/build").stat().st_mode & 0o111
    (wanted,) = re.findall(r"ca-certificates (.*)", CONTAINERFILE)
    assert set(wanted.split()) <= set(PACKAGES)
    assert re.findall(r"^COPY (?:--from=build )?(\S+)", CONTAINERFILE, re.MULTILINE) == [
        ".",
        "/src/dist/*.deb",
    ]
