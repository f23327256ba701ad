"""Writes the lists as TOML: the same facts give the same bytes.

Only what the lists need: arrays of tables with texts, days, numbers, flags, lists of texts and one level of flags.
Empty values are left out, so that an absent key always means "not known" or "not so".
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TypeAlias

Value: TypeAlias = str | bool | int | date | Sequence[str] | Mapping[str, bool] | None
Table: TypeAlias = Mapping[str, Value]


def document(heading: str, arrays: Mapping[str, Sequence[Table]]) -> str:
    """A TOML document.

    Args:
        heading: lines of comment to begin with.
        arrays: tables by the name of their array, in the order in which they are to stand.
    """
    parts = [f"# {line}\n" for line in heading.splitlines()]
    for name, tables in arrays.items():
        for table in tables:
            parts.append(f"\n[[{name}]]\n")
            parts.extend(f"{key} = {one_value(value)}\n" for key, value in table.items() if not _absent(value))
    return "".join(parts)


def _absent(value: Value) -> bool:
    return value is None or value is False or (not isinstance(value, int) and not value)


def one_value(value: Value) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for DEL, which no fact holds.
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        inside = ", ".join(f"{json.dumps(key)} = {'true' if flag else 'false'}" for key, flag in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(json.dumps(item, ensure_ascii=False) for item in value) + "]"
    return str(value)
