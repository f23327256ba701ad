"""How those who keep the lists change them: an entry is added, the act of a ground or of an entry is said to be read.

Works on the files of a folder of lists and gives changed files; nothing is written here, and what comes out is whole or
an error. Whether the result is sound is `lint`'s, whether it comes into force `activation`'s.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from chopar.errors import ConfigurationError, NotFoundError
from gateway.list_version import DIRECTORY, DOCUMENTS, GROUNDS, PROHIBITED, ListVersion
from gateway.lists.reading import given_tables, loads
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
        LawUnreadableError: the lists with it cannot be understood.
    """
    given = given_tables(text, tuple(_PLACES))
    changed, names = dict(files), []
    for array, name in _PLACES.items():
        if array not in given:
            continue
        whole, key = loads(files[name].decode()), _KEYS.get(array, "id")
        tables = whole.setdefault(array, [])
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
        changed[name] = _written(whole)
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
    """
    if not by.strip() or not text_ref.strip():
        raise ConfigurationError("who read it, and the published text that was read, are due")
    for array in ("ground", "entry"):
        file = _PLACES[array]
        whole = loads(files[file].decode())
        for table in whole.get(array, []):
            if table.get("id") == name:
                if not table.get("act"):
                    raise ConfigurationError(f"{name} names no act: say first which act gives it")
                table |= {"text_read": TextRead.OFFICIAL.value}
                table |= {"verified_by": by.strip(), "verified_on": on, "text_ref": text_ref.strip()}
                changed = {**files, file: _written(whole)}
                ListVersion.from_files(changed)
                return changed
    raise NotFoundError(f"no ground and no entry {name}")


def _written(whole: Mapping[str, Any]) -> bytes:
    return document(_HEADING, whole).encode()
