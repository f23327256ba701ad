"""How those who keep the lists change them: an entry is added, the act of a ground or of an entry is said to be read.

Works on the files of a folder of lists and gives changed files; nothing is written here, and what comes out is whole or
an error. What else stands in a file, remarks and order, stays as it is wherever the file is written plainly. Whether it
is sound is `lint`'s, whether it comes into force `activation`'s.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from chopar.errors import ConfigurationError, LawUnreadableError, NotFoundError
from gateway.given_keys import KEYS, faults
from gateway.list_version import DIRECTORY, DOCUMENTS, GROUNDS, PROHIBITED, ListVersion
from gateway.lists.reading import called, given_tables, loads, read_file, tables_of
from gateway.lists.toml_text import document
from gateway.lists.vocabulary import TextRead

_HEADING = "Kept by `chopar prohibited`."
_PLACES = {"entry": PROHIBITED, "ground": GROUNDS, "document": DOCUMENTS, "alternatives": DIRECTORY}
_MOST_TOLD = 50
_KEYS = {"alternatives": "document_type"}
"""By what a table is named, where that is not its id."""


def add(files: Mapping[str, bytes], text: str) -> tuple[dict[str, bytes], list[str]]:
    """Add the `[[entry]]`, `[[ground]]`, `[[document]]` and `[[alternatives]]` tables of a text to lists.

    Returns:
        The changed files, and the ids of what was added.

    Raises:
        ConfigurationError: the text is no TOML, holds something else or nothing, an id is taken, or a table does not
            say what is due; names every such fault that can be seen at once.
        LawUnreadableError: the lists as they were cannot be understood.
    """
    given = given_tables(text, tuple(_PLACES))
    _require_understandable(given, ListVersion.from_files(files))
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
    try:
        ListVersion.from_files(changed)
    except LawUnreadableError as error:  # the lists could be understood before, so what is wrong was given
        said = str(error).partition(": ")[2]
        raise ConfigurationError(f"the given file: {said}") from error
    return changed, names


def _require_understandable(given: Mapping[str, list[dict[str, Any]]], lists: ListVersion) -> None:
    known = {
        "agency": frozenset(lists.agencies),
        "group": frozenset(one.group for one in lists.memberships),
        "scope": frozenset(scope for one in lists.procedures.values() for scope in one.scopes),
        "procedure": frozenset(lists.procedures),
        "coverage": frozenset(lists.coverages),
        "document type": frozenset(lists.documents) | _ids(given.get("document", [])),
        "entry": frozenset(lists.prohibited) | _ids(given.get("entry", [])),
        "evidence type": frozenset(evidence_type for _, evidence_type in lists.directory),
    }
    found = [
        f"{array} {called(table.get('id', f'number {number}'))}: {fault}"
        for array in KEYS
        for number, table in enumerate(given.get(array, []), 1)
        for fault in faults(array, table, known)
    ]
    if found:
        told = "".join(f"\n  {one}" for one in found[:_MOST_TOLD])
        more = f"\n  and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
        raise ConfigurationError(
            f"the given file cannot be added:{told}{more}\n"
            "what may stand there: chopar prohibited add --example entry, or ground"
        )


def _ids(tables: list[dict[str, Any]]) -> frozenset[str]:
    return frozenset(str(table.get("id", "")) for table in tables)


def verify(
    files: Mapping[str, bytes], name: str, *, by: str, text_ref: str, on: date, again: bool = False
) -> dict[str, bytes]:
    """Note that the published text of an act was read: for a ground, or for an entry of the prohibited list.

    In the mode `verified` this is what opens a ground. Read and found otherwise is a change of the lists, not this.

    Args:
        files: of the lists.
        name: id of the ground or entry.
        by: who read it.
        text_ref: where the published text is: its address or its place in the gazette.
        on: the day of reading.
        again: whether it takes the place of what somebody has said before.

    Raises:
        NotFoundError: there is no ground and no entry of that id.
        ConfigurationError: a name or a reference is missing, the ground names no act that could have been read, or
            somebody has said it before.
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
                    raise ConfigurationError(
                        f"{name} names no act to be read: write first, in {file} of the lists, under the "
                        f'[[{array}]] of that id, which act gives it: act = "kind, number, day, article"'
                    )
                if table.get("verified_by") and not again:
                    raise ConfigurationError(
                        f"{name}: {called(table['verified_by'])} has read it on {table.get('verified_on')}, at "
                        f"{called(table.get('text_ref'))}; --again puts yours in the place of that"
                    )
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
