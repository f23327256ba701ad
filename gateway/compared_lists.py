"""What differs between two list versions, in words; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from gateway.list_version import ListVersion

_HIDDEN = frozenset({"order", "source"})  # made from the others


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that was added, taken out or changed.

    Attributes:
        part: `entry`, `ground`, `holding`, `agency`, `member`, `document`, `procedure`, `legal basis` or `coverage`.
        name: its id.
        kind: `added`, `removed` or `changed`.
        changes: for `changed`, what it was and what it is, by field.
    """

    part: str
    name: str
    kind: str
    changes: Mapping[str, tuple[str, str]]

    def __str__(self) -> str:
        if self.kind != "changed":
            return f"{self.part} {self.name}: {self.kind}"
        told = "; ".join(f"{name}: {before} -> {after}" for name, (before, after) in self.changes.items())
        return f"{self.part} {self.name}: {told}"


def differences(before: ListVersion, after: ListVersion) -> list[Difference]:
    """What was added, taken out and changed, part by part, in the order of names."""
    return [difference for part, read in _PARTS.items() for difference in _of_part(part, read(before), read(after))]


def _members(lists: ListVersion) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for membership in lists.memberships:
        since = f" from {membership.member_from}" if membership.member_from else ""
        named[f"{membership.agency} of {membership.group}{since}"] = membership
    return named


_PARTS: Mapping[str, Any] = {
    "entry": lambda lists: lists.prohibited,
    "ground": lambda lists: lists.grounds,
    "holding": lambda lists: {" ".join(place): entry for place, entry in lists.directory.items()},
    "agency": lambda lists: lists.agencies,
    "member": _members,
    "document": lambda lists: lists.documents,
    "procedure": lambda lists: lists.procedures,
    "legal basis": lambda lists: lists.legal_bases,
    "coverage": lambda lists: lists.coverages,
}


def _of_part(part: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted({*before, *after}):
        if name not in before:
            yield Difference(part, name, "added", {})
        elif name not in after:
            yield Difference(part, name, "removed", {})
        elif before[name] != after[name]:
            yield Difference(part, name, "changed", dict(_changed(before[name], after[name])))


def _changed(before: Any, after: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    assert is_dataclass(before)
    for one in fields(before):
        was, now = getattr(before, one.name), getattr(after, one.name)
        if was != now and one.name not in _HIDDEN:
            yield one.name.replace("_", " "), (_text(was), _text(now))


def _text(value: Any) -> str:
    if value is None or value == "" or value == () or value == frozenset():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, timedelta):
        return f"{int(value.total_seconds() // 3600)} h"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_text(part)}" for name, part in sorted(value.items()))
    if isinstance(value, frozenset):
        return ", ".join(sorted(_text(part) for part in value))
    if isinstance(value, tuple):
        return ", ".join(_text(part) for part in value)
    return str(value)
