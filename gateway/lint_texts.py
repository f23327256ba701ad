"""What is wrong with the texts of lists: ids that are no ids, characters that deceive or break a page, endless texts.

An id goes into topics, addresses, messages and other lists, a text onto a page that everybody reads. Pure.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import date
from typing import Any

from chopar.errors import IdentifierError
from chopar.identifiers import reject_forbidden
from gateway.flaw import Flaw, Level
from gateway.given_keys import placeholders
from gateway.list_version import ListVersion
from gateway.lists.reading import called
from gateway.prohibited_list import ProhibitedEntry

LONGEST = 4_000
"""Characters of a text; the longest that is shipped has a tenth of them."""

LONGEST_ID = 120

_ID = re.compile("[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_MIXED = re.compile("[A-Za-z\u00c0-\u024f][\u0400-\u04ff]|[\u0400-\u04ff][A-Za-z\u00c0-\u024f]")
"""Latin beside Cyrillic in one word: one letter was taken for another that looks like it."""

_NAMES = ("name_en", "name_uz", "name_ru")
_MADE = frozenset({"order", "source"})


def texts(lists: ListVersion, on: date) -> Iterator[Flaw]:
    """The flaws of ids and texts.

    Args:
        lists: a version that could be read.
        on: of no matter here.
    """
    del on
    # What `chopar prohibited add --example` has where one's own reading is due; kept, it would be the basis in law.
    unread = frozenset(text for array in ("entry", "ground") for text in placeholders(array))
    yield from _ids(lists)
    keys: dict[type[Any], tuple[str, ...]] = {}
    for name, one in _parts(lists):
        record = type(one)
        if record not in keys:
            keys[record] = _keys(record)
        for key in keys[record]:
            value = getattr(one, key)
            for text in (value,) if isinstance(value, str) else value if isinstance(value, tuple | frozenset) else ():
                if isinstance(text, str):
                    yield from _text(name, key, text, unread)
        for key in _NAMES:
            text = getattr(one, key, "")
            if not text.isascii() and _MIXED.search(text):
                said = f"{key} has Latin and Cyrillic letters in one word: {called(text)}"
                yield Flaw(Level.WARNING, "mixed_letters", called(name), said)


def _text(name: str, key: str, text: str, unread: frozenset[str]) -> Iterator[Flaw]:
    if len(text) > LONGEST:
        said = f"{key} has {len(text)} characters; {LONGEST} at most"
        yield Flaw(Level.ERROR, "too_long", called(name), said)
    if text in unread:
        said = f"{key} still has the words of the example, {called(text)}: say what you have read"
        yield Flaw(Level.ERROR, "example_text", called(name), said)
    if text.isascii() and text.isprintable():
        return
    try:
        reject_forbidden(text)
    except IdentifierError:
        said = f"{key} holds a control, right-to-left or private character: {called(text)}"
        yield Flaw(Level.ERROR, "forbidden_characters", called(name), said)


def _ids(lists: ListVersion) -> Iterator[Flaw]:
    ids: Iterable[tuple[str, Iterable[str]]] = (
        ("entry", lists.prohibited),
        ("ground", lists.grounds),
        ("document", lists.documents),
        ("procedure", lists.procedures),
        ("coverage", lists.coverages),
        ("group", {membership.group for membership in lists.memberships}),
        ("evidence type", {evidence_type for _, evidence_type in lists.directory}),
        ("condition", {entry.condition for entry in lists.prohibited.values() if entry.condition}),
        ("parameter", {name for entry in lists.prohibited.values() for name in entry.parameters}),
    )
    for what, names in ids:
        for name in names:
            if _ID.fullmatch(name) is None or len(name) > LONGEST_ID:
                said = f"no id of {what}: Latin small letters, digits and hyphens are due, {LONGEST_ID} at most"
                yield Flaw(Level.ERROR, "bad_id", called(name), said)


def _parts(lists: ListVersion) -> Iterator[tuple[str, Any]]:
    yield from lists.agencies.items()
    yield from ((f"{one.group}: {one.agency}", one) for one in lists.memberships)
    yield from lists.procedures.items()
    yield from lists.legal_bases.items()
    yield from lists.documents.items()
    yield from lists.coverages.items()
    yield from lists.prohibited.items()
    yield from lists.grounds.items()
    yield from lists.alternatives.items()
    yield from ((f"name of {one.what.value} {one.id}", one) for one in lists.namings.values())
    yield from ((" ".join(place), one) for place, one in lists.directory.items())


def _keys(record: type[Any]) -> tuple[str, ...]:
    """The fields that may hold texts; ids are looked at by themselves."""
    return tuple(one.name for one in fields(record) if one.name not in (*_MADE, "id", *_of_words(record)))


def _of_words(record: type[Any]) -> tuple[str, ...]:
    """Fields of entries, of which there may be very many, whose words or ids are looked at elsewhere."""
    if record is not ProhibitedEntry:
        return ()
    return ("document_type", "barred_agencies", "barred_groups", "from_whom", "scope", "about", "holder")
