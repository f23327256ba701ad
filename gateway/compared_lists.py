"""What differs between two list versions, in words; pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from gateway.access_ground import AccessGround
from gateway.evidence_directory import Place
from gateway.list_version import ListVersion
from gateway.lists.reading import Verification
from gateway.prohibited_list import ProhibitedEntry

_HIDDEN = frozenset({"order", "source"})  # made from the others


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that was added, taken out or changed.

    Attributes:
        part: `entry`, `ground`, `holding`, `alternatives`, `agency`, `member`, `document`, `procedure`, `legal basis`,
            `coverage` or `name`.
        name: its id.
        kind: `added`, `removed` or `changed`.
        changes: for `changed`, what it was and what it is, by field.
        said: in words what changed, or what was added or taken out.
    """

    part: str
    name: str
    kind: str
    changes: Mapping[str, tuple[str, str]]
    said: str

    def __str__(self) -> str:
        return f"{self.part} {self.name}: {self.said}"


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
    "alternatives": lambda lists: lists.alternatives,
    "agency": lambda lists: lists.agencies,
    "member": _members,
    "document": lambda lists: lists.documents,
    "procedure": lambda lists: lists.procedures,
    "legal basis": lambda lists: lists.legal_bases,
    "coverage": lambda lists: lists.coverages,
    "name": lambda lists: {
        f"of {key.what.value.replace('_', ' ')} {key.id}": one for key, one in lists.namings.items()
    },
}


def _of_part(part: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for name in sorted({*before, *after}):
        if name not in before:
            yield Difference(part, name, "added", {}, f"added{_summary(after[name])}")
        elif name not in after:
            yield Difference(part, name, "removed", {}, f"removed{_summary(before[name])}")
        elif before[name] != after[name]:
            pairs = {label: (was, now) for label, was, now in _changed(before[name], after[name])}
            said = "; ".join(f"{label}: {_told(was, now)}" for label, (was, now) in pairs.items())
            texts = {label: (_text(was), _text(now)) for label, (was, now) in pairs.items()}
            yield Difference(part, name, "changed", texts, said)


def _changed(before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    assert is_dataclass(before)
    for one in fields(before):
        was, now = getattr(before, one.name), getattr(after, one.name)
        if was != now and one.name not in _HIDDEN:
            yield one.name.replace("_", " "), was, now


def _told(was: Any, now: Any) -> str:
    """What a field was and is; of several values those that came and went."""
    if isinstance(was, frozenset | tuple) and isinstance(now, frozenset | tuple) and was and now:
        came, went = [one for one in now if one not in was], [one for one in was if one not in now]
        parts = [f"with {_text(frozenset(came))}"] * bool(came) + [f"without {_text(frozenset(went))}"] * bool(went)
        return " and ".join(parts) or f"{_text(was)} -> {_text(now)}"
    return f"{_text(was)} -> {_text(now)}"


def _summary(one: Any) -> str:
    """What an entry or a ground says, in a line; nothing of other parts, whose names say it."""
    if isinstance(one, ProhibitedEntry):
        who = ", ".join(sorted([*one.barred_groups, *one.barred_agencies]))
        since = f"from {one.in_force_from} ({one.in_force_basis})" if one.in_force_from else "with no date found"
        where = one.scope or "any public service"
        return f": {one.document_type} may not be asked by {who} in {where}, {since}; instead: {one.disposition}"
    if isinstance(one, AccessGround):
        who = ", ".join(sorted([*one.requester_groups, *one.requester_agencies]))
        act = one.act or "no act is named"
        return f": {who} may know {one.evidence_type} of {one.holder} for {one.document_type} ({act}; {one.basis})"
    return ""


def _text(value: Any) -> str:
    if value is None or value == "" or value == () or value == frozenset():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, timedelta):
        return f"{int(value.total_seconds() // 3600)} h"
    if isinstance(value, Verification):
        return f"by {value.by} on {value.on} ({value.text_ref})"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_text(part)}" for name, part in sorted(value.items()))
    if isinstance(value, frozenset):
        return ", ".join(sorted(_text(part) for part in value))
    if isinstance(value, Place):
        return str(value)
    if isinstance(value, tuple):
        return ", ".join(_text(part) for part in value)
    return str(value)
