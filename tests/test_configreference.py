"""The configuration reference tells every key of the model, in the words of the shipped file."""

import re
from pathlib import Path

from rtspdsr.config import TABLES, TrackerSection
from rtspdsr.configreference import document

ROOT = Path(__file__).parent.parent
SHIPPED = (ROOT / "rtspdsr.toml").read_text(encoding="utf-8")


def rows(table: str) -> dict[str, list[str]]:
    """The rows of one table of the document, by key."""
    (section,) = (one for one in document(SHIPPED).split("\n## ") if one.startswith(f"`{table}`"))
    cells = (re.split(r" \| ", line.strip("| ")) for line in section.splitlines() if line.startswith("| `"))
    return {key.strip("`* "): rest for key, *rest in cells}


def test_the_document_in_the_tree_is_what_the_model_and_the_shipped_file_say() -> None:
    written = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert written == document(SHIPPED), "run make docs"


def test_every_table_and_every_key_is_told() -> None:
    assert document(SHIPPED).count("\n## ") == len(TABLES) - 1
    assert set(rows("[tracker]")) == set(TrackerSection.model_fields)


def test_a_row_says_what_a_value_may_be_what_it_is_else_and_whether_a_reload_suffices() -> None:
    assert rows("[tracker]")["idle_s"][:2] == ["a number, above 0, up to 86400", "`90.0`"]
    assert rows("[[service.backend]]")["weight"][:2] == ["a whole number, 1 to 10000", "`100`"]
    assert rows("[[service.backend]]")["name"][1] == "required"
    assert rows("[dataplane]")["mode"][0] == '`"auto"`, `"native"`, `"generic"`'
    text = document(SHIPPED)
    assert "`pins_max` * |" in text
    assert "`idle_s` |" in text


def test_the_words_are_those_of_the_shipped_file() -> None:
    changed = SHIPPED.replace("# Renamed files that are kept.", "# How many | of them are kept.")
    assert "How many \\| of them are kept." in document(changed)
