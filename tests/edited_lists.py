"""Lists with something changed in them: an entry edited, added or taken out, the rest as it is."""

import tomllib
from collections.abc import Mapping
from typing import Any

from gateway.lists.toml_text import document

Files = dict[str, bytes]


def tables(files: Mapping[str, bytes], name: str, array: str) -> list[dict[str, Any]]:
    """The tables of an array of a list file."""
    found: list[dict[str, Any]] = tomllib.loads(files[name].decode())[array]
    return found


def put(files: Mapping[str, bytes], name: str, array: str, replaced: list[dict[str, Any]]) -> Files:
    """The files with other tables in an array."""
    whole = {**tomllib.loads(files[name].decode()), array: replaced}
    return {**files, name: document("", whole).encode()}


def edited(files: Mapping[str, bytes], name: str, array: str, key: Mapping[str, Any], **changes: Any) -> Files:
    """The files with one table changed; None takes a key out."""
    found = tables(files, name, array)
    [place] = [i for i, table in enumerate(found) if all(table.get(part) == value for part, value in key.items())]
    found[place] = {part: value for part, value in {**found[place], **changes}.items() if value is not None}
    return put(files, name, array, found)


def added(files: Mapping[str, bytes], name: str, array: str, like: Mapping[str, Any], **changes: Any) -> Files:
    """The files with one more table: one that is there, copied and changed."""
    found = tables(files, name, array)
    [copied] = [table for table in found if all(table.get(part) == value for part, value in like.items())]
    one = {part: value for part, value in {**copied, **changes}.items() if value is not None}
    return put(files, name, array, [*found, one])


def without(files: Mapping[str, bytes], name: str, array: str, **key: Any) -> Files:
    """The files with every such table taken out; at least one."""
    found = tables(files, name, array)
    kept = [table for table in found if any(table.get(part) != value for part, value in key.items())]
    assert len(kept) < len(found)
    return put(files, name, array, kept)
