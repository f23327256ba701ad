"""Which fields of an evidence record an access ground lets through: cut at the holder, checked again at the asker.

Works on decoded Avro data, so it knows no evidence type. A field is named by its name; `debts.amount_tiyin` names one
field of a record, or of each record in a list: two levels, no more (whoever loads a list refuses deeper ones). Where a
name has two levels and the datum holds no record there, nothing is let through. What `ALWAYS` names comes along with
every answer: without the reach of a register, its name and the day, or with a number that is no longer the person's and
nothing to say so, what is let through would be misread.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

ALWAYS = frozenset({"source_register", "register_coverage", "linked_by", "as_of", "fields_given"})


def tree(fields: Iterable[str]) -> dict[str, set[str]]:
    """Top-level name to the names below it; empty: all of it."""
    found: dict[str, set[str]] = {}
    whole: set[str] = set()
    for field in fields:
        name, dot, below = field.partition(".")
        found.setdefault(name, set())
        if dot:
            found[name].add(below)
        else:
            whole.add(name)
    return {name: set() if name in whole else below for name, below in found.items()}


def _records(value: Any) -> list[Mapping[str, Any]] | None:
    """The records that a value is or lists; None if it is anything else, so has no fields to name."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    return list(parts) if all(isinstance(part, Mapping) for part in parts) else None


def _cut_below(value: Any, allowed: set[str]) -> Any:
    records = _records(value)
    if records is None:
        return None
    kept = [{name: part if name in allowed else None for name, part in record.items()} for record in records]
    return kept[0] if isinstance(value, Mapping) else kept


def cut(datum: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """A copy of an evidence datum in which every field that is not let through is null.

    `fields_given` of the copy names what was let through, sorted.
    """
    names = sorted(set(fields))
    allowed = tree(names)
    kept: dict[str, Any] = {}
    for name, value in datum.items():
        if name in ALWAYS:
            kept[name] = value
        elif name in allowed:
            kept[name] = _cut_below(value, allowed[name]) if allowed[name] else value
        else:
            kept[name] = None
    kept["fields_given"] = names
    return kept


def _beyond_below(value: Any, allowed: set[str], prefix: str) -> set[str]:
    records = _records(value)
    if records is None:
        return {prefix}
    return {
        f"{prefix}.{name}"
        for record in records
        for name, part in record.items()
        if part is not None and name not in allowed
    }


def beyond(datum: Mapping[str, Any], fields: Iterable[str]) -> list[str]:
    """The names of fields that a datum holds although they were not let through; sorted, empty if all is well."""
    names, allowed = _allowed(tuple(fields))
    found: set[str] = set(datum.get("fields_given") or ()) - names
    for name, value in datum.items():
        if value is None or name in ALWAYS:
            continue
        below = allowed.get(name)
        if below is None:
            found.add(name)
        elif below:
            found |= _beyond_below(value, below, name)
    return sorted(found) if found else []


@lru_cache(maxsize=1024)  # of the list's access grounds; some hundreds
def _allowed(fields: tuple[str, ...]) -> tuple[frozenset[str], Mapping[str, set[str]]]:
    names = frozenset(fields)
    return names, tree(names)
