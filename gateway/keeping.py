"""How those who keep the lists change them: an entry is added, the act of a ground or of an entry is said to be read.

Works on the files of a folder of lists and gives changed files; nothing is written here, and what comes out is whole or
an error. What else stands in a file, remarks and order, stays as it is wherever the file is written plainly. Whether it
is sound is `lint`'s, whether it comes into force `activation`'s.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from chopar.errors import ConfigurationError, NotFoundError
from gateway.list_version import DIRECTORY, DOCUMENTS, GROUNDS, PROHIBITED, ListVersion
from gateway.lists.reading import given_tables, loads, read_file, tables_of
from gateway.lists.toml_text import document
from gateway.lists.vocabulary import TextRead

_HEADING = "Kept by `chopar prohibited`."
_PLACES = {"entry": PROHIBITED, "ground": GROUNDS, "document": DOCUMENTS, "alternatives": DIRECTORY}
_KEYS = {"alternatives": "document_type"}
"""By what a table is named, where that is not its id."""


def add(files: Mapping[str, bytes], text: str) -> tuple[dict[str, bytes], list[str]]:
    """Add the `[[entry]]`, `[[ground]]`, `[[document]]` and `[[alternatives]]` tables of a text to lists.

    Returns:
        The changed files, and the ids of what was added.

    Raises:
        ConfigurationError: the text is no TOML, holds something else or nothing, or an id is taken.
        LawUnreadableError: the lists, before or with it, cannot be understood.
    """
    given = given_tables(text, tuple(_PLACES))
    changed, names = dict(files), []
    for array, name in _PLACES.items():
        if array not in given:
            continue
        whole, key = read_file(name, changed[name]), _KEYS.get(array, "id")
        tables = tables_of(name, array, whole.setdefault(array, []))
        taken = {table.get(key) for table in tables}
        for table in given[array]:
            one = table.get(key)
            if not isinstance(one, str):
                raise ConfigurationError(f"[[{array}]]: {key}: a text is due")
            if one in taken:
                raise ConfigurationError(f"{array} {one}: the lists have it already")
            taken.add(one)
            tables.append(table)
            names.append(f"{array} {one}")
        changed[name] = _with(changed[name], whole, document("", {array: given[array]}))
    ListVersion.from_files(changed)
    return changed, names


def verify(files: Mapping[str, bytes], name: str, *, by: str, text_ref: str, on: date) -> dict[str, bytes]:
    """Note that the published text of an act was read: for a ground, or for an entry of the prohibited list.

    In the mode `verified` this is what opens a ground. Read and found otherwise is a change of the lists, not this.

    Args:
        files: of the lists.
        name: id of the ground or entry.
        by: who read it.
        text_ref: where the published text is: its address or its place in the gazette.
        on: the day of reading.

    Raises:
        NotFoundError: there is no ground and no entry of that id.
        ConfigurationError: a name or a reference is missing, or the ground names no act that could have been read.
        LawUnreadableError: the lists cannot be understood.
    """
    if not by.strip() or not text_ref.strip():
        raise ConfigurationError("who read it, and the published text that was read, are due")
    for array in ("ground", "entry"):
        file = _PLACES[array]
        whole = read_file(file, files[file])
        for place, table in enumerate(tables_of(file, array, whole.get(array, []))):
            if table.get("id") == name:
                if not table.get("act"):
                    raise ConfigurationError(f"{name} names no act: say first which act gives it")
                said: dict[str, Any] = {"text_read": TextRead.OFFICIAL.value}
                said |= {"verified_by": by.strip(), "verified_on": on, "text_ref": text_ref.strip()}
                table |= said
                changed = {**files, file: _said(files[file], whole, array, place, said)}
                ListVersion.from_files(changed)
                return changed
    raise NotFoundError(f"no ground and no entry {name}")


def _with(content: bytes, whole: Mapping[str, Any], further: str) -> bytes:
    """The file with further tables at its end; written anew where that would not say the same."""
    before = content.decode()
    return _same(before + ("" if before.endswith("\n") or not before else "\n") + further, whole)


def _said(content: bytes, whole: Mapping[str, Any], array: str, place: int, said: Mapping[str, Any]) -> bytes:
    """The file with keys of one table said otherwise; written anew where its lines do not let that be seen."""
    lines = content.decode().split("\n")
    headings = [number for number, line in enumerate(lines) if line.lstrip().startswith("[[")]
    ours = [number for number in headings if lines[number].strip() == f"[[{array}]]"]
    if place >= len(ours):
        return _same("", whole)
    first = ours[place] + 1
    last = next((number for number in headings if number >= first), len(lines))
    while not lines[last - 1].strip() or lines[last - 1].lstrip().startswith("#"):
        last -= 1  # what stands above the next heading is about that one
    kept = [line for line in lines[first:last] if line.partition("=")[0].strip() not in said]
    written = document("", {array: [said]}).strip().split("\n")[1:]
    return _same("\n".join([*lines[:first], *kept, *written, *lines[last:]]), whole)


def _same(text: str, whole: Mapping[str, Any]) -> bytes:
    """A text that says what it is to say; else one made of what it is to say."""
    try:
        is_so = loads(text) == whole
    except (ValueError, RecursionError):
        is_so = False
    return (text if is_so else document(_HEADING, whole)).encode()
