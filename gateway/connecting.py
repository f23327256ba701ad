"""Connecting a holder: a directory file of an agency's own, put into a bundle of lists; pure.

The file holds `[[holding]]` tables as `directory.toml` has them, and `[[agency]]` tables as `agencies.toml` has them
where the agency is a new one. What is named there already takes the place of what was said; nothing else changes. That
a holder is connected opens no data: access grounds do.
"""

import tomllib
from collections.abc import Mapping
from typing import Any

from chopar.errors import ConfigurationError
from gateway.list_version import AGENCIES, DIRECTORY
from gateway.lists.reading import given_tables
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
    """
    given = given_tables(text, ("holding", "agency"))
    if not given.get("holding"):
        raise ConfigurationError("a directory file holds [[holding]] tables, and [[agency]] tables of new agencies")
    merged = dict(files)
    holdings = [{"basis": "inferred", **table} for table in given["holding"]]
    if not all(isinstance(table.get("connected"), bool) for table in holdings):
        # In the lists an absent key means no, and here it would be taken for yes.
        raise ConfigurationError("[[holding]]: connected = true, or false, is due in each")
    merged[DIRECTORY] = _merged(files[DIRECTORY], "holding", holdings, ("provider", "evidence_type"))
    if "agency" in given:
        merged[AGENCIES] = _merged(files[AGENCIES], "agency", given["agency"], ("id",))
    return merged


def _merged(content: bytes, name: str, tables: list[dict[str, Any]], key: tuple[str, ...]) -> bytes:
    """A list file with these tables in the place of those with the same key, sorted as it was: new ones at the end."""
    whole = tomllib.loads(content.decode())
    others = {array: found for array, found in whole.items() if array != name}
    by_key: dict[tuple[Any, ...], dict[str, Any]] = {
        tuple(table.get(part) for part in key): table for table in whole.get(name, [])
    }
    for table in tables:
        place = tuple(table.get(part) for part in key)
        by_key[place] = {**by_key.get(place, {}), **table}
    return document(_HEADING, {name: list(by_key.values()), **others}).encode()
