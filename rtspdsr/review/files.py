"""A report as files for programs: JSON on standard output, CSV as one file a table."""

import csv
import json
from pathlib import Path

from rtspdsr.errors import ReviewError
from rtspdsr.review.report import Report, Table

#: A spreadsheet takes text that begins so for a formula; clients choose URLs and user agents.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json(report: Report) -> str:
    """One object: ``version``, ``read``, ``alarms``, and the rows of each table by its name."""
    return json.dumps(report.record(), indent=1, allow_nan=False)


def write_csv(report: Report, directory: Path) -> list[Path]:
    """A file for each table that has rows; gives back their paths."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return [_write_table(table, directory / f"{table.name}.csv") for table in report.tables if table.rows]
    except OSError as error:
        raise ReviewError(
            f"--csv {directory}: {error.strerror}; name a directory that can be written"
        ) from error


def write_text(text: str, file: Path, option: str) -> None:
    """A file of text, replaced as a whole."""
    try:
        file.write_text(text, encoding="utf-8")
    except (OSError, UnicodeEncodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.reason
        raise ReviewError(f"{option} {file}: {reason}; name a file that can be written") from error


def _write_table(table: Table, file: Path) -> Path:
    keys = list(dict.fromkeys(key for row in table.rows for key in row))
    with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as out:
        writer = csv.writer(out)
        writer.writerow(keys)
        writer.writerows([_plain(row.get(key)) for key in keys] for row in table.rows)
    return file


def _plain(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
