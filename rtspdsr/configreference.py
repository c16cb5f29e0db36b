"""``docs/configuration.md`` from the model and the shipped file: ``python -m rtspdsr.configreference FILE``.

What a key means is told in the shipped file alone, above the key; type, limits and default come from the
model. Prints the document; ``make docs`` puts it where it belongs, and a test holds the three together.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from rtspdsr.config import NEEDS_RESTART, TABLES, Section

INTRODUCTION = """\
# Configuration

`/etc/rtspdsr/rtspdsr.toml`, or what `--config` or `RTSPDSR_CONFIG` names. The [shipped file](../rtspdsr.toml)
holds every key with its default. `rtspdsr check` names every mistake in a file by its key;
`rtspdsr check --diff` says what a reload would change. Keys marked with `*` need a restart,
which interrupts no session.

This file is generated from `rtspdsr.toml` and `rtspdsr/config.py` by `make docs`.
"""

Table = tuple[str, ...]


def document(shipped: str) -> str:
    """The whole document as Markdown, for the text of the shipped file."""
    tables, keys = _comments(shipped)
    lines = [INTRODUCTION]
    for table, model in TABLES.items():
        if not table:
            continue
        lines += [f"## {_header(table)}", ""]
        if about := tables.get(table):
            lines += [about, ""]
        lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{name}`{_restart(table, name)} | {_allowed(field)} | {_default(field)} "
            f"| {_in_table(keys[*table, name])} |"
            for name, field in _own(model)
        ]
        lines.append("")
    return "\n".join(lines)


def _comments(text: str) -> tuple[Mapping[Table, str], Mapping[Table, str]]:
    """What is said above each table and above each key, each as one paragraph; what is said first counts."""
    tables: dict[Table, str] = {}
    keys: dict[Table, str] = {}
    table: Table = ()
    said: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            said.append(line.removeprefix("#").strip())
            continue
        if header := re.fullmatch(r"\[+([a-z.]+)\]+", line):
            table = tuple(header[1].split("."))
            tables.setdefault(table, " ".join(said))
        elif key := re.match(r"([a-z_]+) = ", line):
            keys.setdefault((*table, key[1]), " ".join(said))
        said = []
    return tables, keys


def _own(model: type[Section]) -> Iterator[tuple[str, FieldInfo]]:
    """The keys of a table by their names in the file, without the tables in it."""
    for name, field in model.model_fields.items():
        inner = [field.annotation, *get_args(field.annotation)]
        if not any(isinstance(one, type) and issubclass(one, Section) for one in inner):
            yield field.alias or name, field


def _header(table: Table) -> str:
    name = ".".join(table)
    return f"`[[{name}]]`" if table[-1] in ("service", "backend") else f"`[{name}]`"


def _restart(table: Table, name: str) -> str:
    key = ".".join((*table, name))
    return " *" if any(key == one or key.startswith(f"{one}.") for one in NEEDS_RESTART) else ""


def _default(field: FieldInfo) -> str:
    return "required" if field.is_required() else f"`{_toml(field.default)}`"


def _toml(value: object) -> str:
    """A value as it is written in the file."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            return f'"{value}"'


def _allowed(field: FieldInfo) -> str:
    """What a value may be, in words."""
    annotation: Any = field.annotation
    if get_origin(annotation) is tuple:
        return "a list"
    if issubclass(annotation, StrEnum):
        return ", ".join(f'`"{one}"`' for one in annotation)
    if annotation is bool:
        return "`true`, `false`"
    if issubclass(annotation, int | float):
        kind = "a whole number" if annotation is int else "a number"
        return f"{kind}, {_limits(field)}" if _limits(field) else kind
    return "a path" if issubclass(annotation, Path) else "text"


def _limits(field: FieldInfo) -> str:
    def stated(bound: str) -> list[float]:
        return [getattr(one, bound) for one in field.metadata if hasattr(one, bound)]

    least, above, most = stated("ge"), stated("gt"), stated("le")
    low = f"{max(least)} to" if least else f"above {max(above)}, up to" if above else "up to"
    return f"{low} {min(most)}" if most else ""


def _in_table(text: str) -> str:
    return text.removeprefix("Required. ").replace("|", "\\|")


if __name__ == "__main__":
    print(document(Path(sys.argv[1]).read_text(encoding="utf-8")), end="")
