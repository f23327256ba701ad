"""Reads the collected facts: six CSV files and two TOML files of ours, with what they lack.

Splitting and checking of cells only; what the lists make of them is `convert`'s.
"""

import csv
import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias

from chopar.errors import ConfigurationError

Row: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True)
class Facts:
    """The rows of the six files, in their order, and ours."""

    prohibited: list[Row]
    groups: list[Row]
    agencies: list[Row]
    services: list[Row]
    procedures: list[Row]
    evidence: dict[str, Row]
    ours: dict[str, Any]


def read_facts(folder: Path) -> Facts:
    """Read the facts of a folder.

    Raises:
        ConfigurationError: a file is missing or cannot be read.
    """
    try:
        return Facts(
            prohibited=_rows(folder / "prohibited-documents.csv"),
            groups=_rows(folder / "groups.csv"),
            agencies=_rows(folder / "agencies.csv"),
            services=_rows(folder / "services.csv"),
            procedures=_rows(folder / "procedures.csv"),
            evidence={row["id"]: row for row in _rows(folder / "evidence.csv")},
            ours={
                key: value
                for name in ("ours.toml", "names.toml")
                for key, value in tomllib.loads((folder / name).read_text("utf-8")).items()
            },
        )
    except (OSError, UnicodeDecodeError, csv.Error, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{folder}: the facts cannot be read: {error}") from error


def _rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ConfigurationError(f"{path.name}, record {number}: it has more or fewer cells than the header")
    return rows


def several(cell: str) -> list[str]:
    """The values of a cell that holds several; `; ` separates, a comma is part of a value."""
    return [value.strip() for value in cell.split(";") if value.strip()]


def addresses(cell: str) -> list[str]:
    """The sources of a cell; ` | ` separates."""
    return [value.strip() for value in cell.split(" | ") if value.strip()]


def day(cell: str, where: str) -> date | None:
    """The day of a cell, or None if it is empty.

    Raises:
        ConfigurationError: it holds something else.
    """
    try:
        return date.fromisoformat(cell) if cell else None
    except ValueError:
        raise ConfigurationError(f"{where}: '{cell}' is no day (2022-07-01)") from None
