"""Connecting a holder: a directory file of an agency's own, put into a bundle of lists; pure.

The file holds `[[holding]]` tables as `directory.toml` has them, and `[[agency]]` tables as `agencies.toml` has them
where the agency is a new one. What is named there already takes the place of what was said; nothing else changes. That
a holder is connected opens no data: access grounds do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chopar.errors import ConfigurationError
from chopar.near import near_miss
from gateway.evidence_directory import DirectoryEntry
from gateway.list_version import AGENCIES, DIRECTORY, ListVersion
from gateway.lists.reading import given_tables, read_file, tables_of
from gateway.lists.toml_text import document

_HEADING = "Merged by `chopar directory apply`."


def connect(files: Mapping[str, bytes], text: str) -> dict[str, bytes]:
    """The bundle with the holdings of a directory file.

    Args:
        files: a bundle of lists, by file name.
        text: of the directory file.

    Returns:
        The files of the changed bundle; whether they can be understood is for `ListVersion.from_files` to say.

    Raises:
        ConfigurationError: the file is no TOML, holds something else, or nothing.
        LawUnreadableError: what it is put into cannot be understood.
    """
    given = given_tables(text, ("holding", "agency"))
    if not given.get("holding"):
        raise ConfigurationError("a directory file holds [[holding]] tables, and [[agency]] tables of new agencies")
    merged = dict(files)
    holdings = [{"basis": "inferred", **table} for table in given["holding"]]
    if not all(isinstance(table.get("connected"), bool) for table in holdings):
        # In the lists an absent key means no, and here it would be taken for yes.
        raise ConfigurationError("[[holding]]: connected = true, or false, is due in each")
    merged[DIRECTORY] = _merged(DIRECTORY, files[DIRECTORY], "holding", holdings, ("provider", "evidence_type"))
    if "agency" in given:
        merged[AGENCIES] = _merged(AGENCIES, files[AGENCIES], "agency", given["agency"], ("id",))
    return merged


def doubts(before: ListVersion, changed: Iterable[DirectoryEntry]) -> list[str]:
    """Sentences on what is connected and may have been meant otherwise: nobody is asked for what no ground names.

    Args:
        before: the lists that the holdings were put into.
        changed: the holdings that are new or other than before.
    """
    named = {ground.evidence_type for ground in before.grounds.values()}
    known = named | {evidence_type for _, evidence_type in before.directory}
    holders: dict[str, set[str]] = {}
    for ground in before.grounds.values():
        holders.setdefault(ground.evidence_type, set()).add(ground.holder)
    said = []
    for entry in changed:
        name = entry.evidence_type
        if not entry.connected:
            continue
        if name not in named:
            what = "the lists know no" if name not in known else "no ground names the"
            near = near_miss(name, known - {name})
            said.append(f"{what} evidence type {name}: nobody may ask for it until a ground does.{near}")
        elif entry.provider not in holders[name]:
            theirs = ", ".join(sorted(holders[name]))
            said.append(f"the grounds for {name} name another holder than {entry.provider}: {theirs}")
    return said


@dataclass(frozen=True, slots=True)
class Held:
    """A holding as it stands: `entry` as it is or comes to be, `connected` now, and when that becomes otherwise."""

    entry: DirectoryEntry
    connected: bool
    changes_at: datetime | None


def holdings(now: ListVersion, to_come: Sequence[tuple[datetime, ListVersion]] = ()) -> list[Held]:
    """The holdings of a directory of which other versions may be planned.

    Args:
        now: the lists that hold.
        to_come: those that are planned, and from when they hold, in that order.
    """
    places = dict.fromkeys(place for lists in (now, *(one for _, one in to_come)) for place in lists.directory)
    found = []
    for place in places:
        held = now.directory.get(place)
        connected = held is not None and held.connected
        entry, changes_at = held, None
        for at, lists in to_come:
            planned = lists.directory.get(place)
            if (planned is not None and planned.connected) is not connected:
                entry, changes_at = planned or (held and replace(held, connected=False)), at
                break
            entry = entry or planned
        if entry is not None:
            found.append(Held(entry, connected, changes_at))
    return found


def _merged(file: str, content: bytes, name: str, tables: list[dict[str, Any]], key: tuple[str, ...]) -> bytes:
    """A list file with these tables in the place of those with the same key, sorted as it was: new ones at the end."""
    whole = read_file(file, content)
    others = {array: found for array, found in whole.items() if array != name}
    by_key: dict[tuple[Any, ...], dict[str, Any]] = {
        tuple(table.get(part) for part in key): table for table in tables_of(file, name, whole.get(name, []))
    }
    for table in tables:
        place = tuple(table.get(part) for part in key)
        by_key[place] = {**by_key.get(place, {}), **table}
    return document(_HEADING, {name: list(by_key.values()), **others}).encode()
