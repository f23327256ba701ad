"""The keys of an `[[entry]]` and of a `[[ground]]`, in words, for those who write one and to tell its faults.

What the keys mean to the resolver, and the last word on whether they go together, is `prohibited_list`'s and
`access_ground`'s; here they are told all at once, with what may have been meant.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from chopar.identifiers import SubjectKind
from chopar.near import did_you_mean
from gateway.lists.reading import called
from gateway.lists.toml_text import one_value
from gateway.lists.vocabulary import Basis, DataClass, DateBasis, Disposition, TextRead

_EXAMPLES = Path(__file__).with_name("key_examples.toml")


class Kind(StrEnum):
    """What is written behind a key."""

    TEXT = "text"
    TEXTS = "list of texts"
    DAY = "day, written 2026-12-01 without quotes"
    FLAG = "true or false"


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Args:
        name: as it is written.
        kind: what is written behind it.
        says: what it says, in words.
        due: whether it must be there.
        words: the words among which it chooses.
        names: what it names by id: `agency`, `group`, `scope`, ...
        shown: whether the example has it as a key; others that are not due are remarks.
    """

    name: str
    kind: Kind
    says: str
    due: bool = False
    words: type[StrEnum] | None = None
    names: str = ""
    shown: bool = False


_T, _L, _D = Kind.TEXT, Kind.TEXTS, Kind.DAY

ENTRY_KEYS = (
    Key("id", _T, "its id: small letters, digits, hyphens; nobody else's", due=True),
    Key("document_type", _T, "the paper: id of a [[document]]", due=True, names="document type"),
    Key("name_en", _T, "what the source calls it, in English", due=True),
    Key("name_uz", _T, "the same in Uzbek (Latin)", shown=True),
    Key("name_ru", _T, "the same in Russian", shown=True),
    Key("names_in_source", _T, "languages in which the source has the name"),
    Key(
        "barred_groups", _L, "who may not ask: ids of groups; this or barred_agencies is due", names="group", shown=True
    ),
    Key("barred_agencies", _L, "who may not ask: ids of agencies", names="agency"),
    Key("from_whom", _L, "whom it protects; no object", due=True, words=SubjectKind),
    Key(
        "scope",
        _T,
        "in which procedures: a scope that some [[procedure]] has; this or every_public_service is due",
        names="scope",
        shown=True,
    ),
    Key("every_public_service", Kind.FLAG, "it holds in every public service; then no scope"),
    Key("in_force_from", _D, "since when; left out if no day was found", shown=True),
    Key("in_force_basis", _T, "what kind of day that is; unknown if there is none", due=True, words=DateBasis),
    Key("condition", _T, "code of a circumstance on which it depends"),
    Key("act", _T, "the act: kind, number, day, article", due=True),
    Key("disposition", _T, "what happens instead of asking", due=True, words=Disposition),
    Key("disposition_basis", _T, "whether a source says so", due=True, words=Basis),
    Key("replaced_by", _T, "with disposition replaced: the paper that suffices", names="document type"),
    Key("replacement_note", _T, "what suffices, where it is no paper of the lists"),
    Key("data_class", _T, "how sensitive the data are", due=True, words=DataClass),
    Key("about", _L, "whom the paper is about", due=True, words=SubjectKind),
    Key("parameters", _L, "what a demand must state beside the number"),
    Key("holder", _T, "due with disposition fetch: who has the data", names="agency"),
    Key("holder_basis", _T, "due with holder: whether a source says so", words=Basis),
    Key("reason_code", _T, "code of the reason why nothing is fetched"),
    Key("answer_data", _T, "what the holder would answer"),
    Key("text_read", _T, "how the act was read; `verify` says official, not you", due=True, words=TextRead),
    Key("confidence", _T, "whether a source says that it is barred", due=True, words=Basis),
    Key("coverage", _T, "the announced list that it stands on: id of a [[coverage]]", names="coverage"),
    Key("note", _T, "what a reader should know"),
    Key("sources", _L, "where it was read: addresses or places", due=True),
    Key("verified_by", _T, "written by `verify`"),
    Key("verified_on", _D, "written by `verify`"),
    Key("text_ref", _T, "written by `verify`"),
)

GROUND_KEYS = (
    Key("id", _T, "its id: small letters, digits, hyphens; nobody else's", due=True),
    Key(
        "requester_groups",
        _L,
        "who may know: ids of groups; this or requester_agencies is due",
        names="group",
        shown=True,
    ),
    Key("requester_agencies", _L, "who may know: ids of agencies", names="agency"),
    Key("procedures", _L, "in which procedures: ids", due=True, names="procedure"),
    Key("about", _L, "whom the data are about", due=True, words=SubjectKind),
    Key("condition", _T, "code of a circumstance on which it depends"),
    Key("document_type", _T, "the paper that the data prove", due=True, names="document type"),
    Key("evidence_type", _T, "the data: a type that the holder holds", due=True, names="evidence type"),
    Key("holder", _T, "the agency that holds them", due=True, names="agency"),
    Key("parameters", _L, "what a demand must state beside the number"),
    Key("fields", _L, "the fields that are given, and no others", due=True),
    Key("data_class", _T, "how sensitive; other than ordinary needs an act", due=True, words=DataClass),
    Key("act", _T, "the act that gives the right; due before `verify`", shown=True),
    Key("text_read", _T, "how the act was read; `verify` says official, not you", due=True, words=TextRead),
    Key("basis", _T, "whether a source says so; stated needs an act", due=True, words=Basis),
    Key("from", _D, "first day", shown=True),
    Key("until", _D, "last day"),
    Key("made_from", _T, "the entry that it serves alone, about the same paper", names="entry"),
    Key("note", _T, "what a reader should know"),
    Key("sources", _L, "where it was read: addresses or places", due=True),
    Key("verified_by", _T, "written by `verify`"),
    Key("verified_on", _D, "written by `verify`"),
    Key("text_ref", _T, "written by `verify`"),
)

KEYS: Mapping[str, tuple[Key, ...]] = {"entry": ENTRY_KEYS, "ground": GROUND_KEYS}
"""By the array of tables."""


def examples(array: str) -> dict[str, Any]:
    """A value for each key of a table."""
    values: dict[str, Any] = tomllib.loads(_EXAMPLES.read_text("utf-8"))[array]
    return values


def placeholders(array: str) -> tuple[str, ...]:
    """The values of a table's example that name no act and no source, but say that one is due."""
    values = examples(array)
    return (values["act"], *values["sources"])


def example(array: str) -> str:
    """A table to begin with, in TOML: what is due as keys, what may be left out as remarks."""
    values = examples(array)
    lines = [f"# A table for `chopar prohibited add`. Lines with # may be left out.\n[[{array}]]"]
    for key in KEYS[array]:
        if key.says.startswith("written by"):
            continue
        among = f" ({_among(key)})" if key.words else ""
        due = "" if key.due else "may be left out: "
        lines.append(f"# {due}{key.says}{among}")
        lines.append(f"{'' if key.due or key.shown else '# '}{key.name} = {one_value(values[key.name])}")
    return "\n".join(lines) + "\n"


def described(array: str) -> Iterator[str]:
    """The keys as lines of a table for a document."""
    yield "| Key of `[[" + array + "]]` | Due | What it says | Written as |"
    yield "|---|---|---|---|"
    for key in KEYS[array]:
        written = f"{key.kind} of: {_among(key)}" if key.words and key.kind is _L else _among(key) or key.kind.value
        yield f"| `{key.name}` | {'yes' if key.due else ''} | {key.says} | {written} |"


def faults(array: str, table: Mapping[str, Any], known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """What is wrong with the keys of a table, each by itself.

    Args:
        array: `entry` or `ground`.
        table: as it was written.
        known: the ids that the lists have, by what they are ids of.
    """
    keys = {key.name: key for key in KEYS[array]}
    for name in table:
        if name not in keys:
            yield f"unknown key: {called(name)}{did_you_mean(name, set(keys) - set(table))}"
    for key in keys.values():
        if key.name not in table:
            if key.due:
                among = f"; one of: {_among(key)}" if key.words else ""
                yield f"{key.name} is missing: {key.says}{among}"
            continue
        value = table[key.name]
        if not _is_kind(key.kind, value):
            yield f"{key.name}: a {key.kind} is due"
            continue
        for word in [value] if isinstance(value, str) else value if isinstance(value, list) else []:
            if key.words and word not in tuple(key.words):
                yield f"{key.name}: '{called(word)}' is none of: {_among(key)}"
            elif key.names and word not in known[key.names]:
                yield f"{key.name}: unknown {key.names}: {called(word)}{did_you_mean(word, known[key.names])}"
    yield from _together(array, table)


def _together(array: str, table: Mapping[str, Any]) -> Iterator[str]:
    """What no key lacks by itself; the readers of the lists have further rules, and the last word."""
    if array == "ground":
        if not table.get("requester_groups") and not table.get("requester_agencies"):
            yield "requester_groups or requester_agencies is due: it entitles nobody"
        return
    if not table.get("barred_groups") and not table.get("barred_agencies"):
        yield "barred_groups or barred_agencies is due: it binds nobody"
    if bool(table.get("scope")) is (table.get("every_public_service") is True):
        yield "either a scope or every_public_service = true is due"
    if table.get("disposition") == Disposition.FETCH and not table.get("holder"):
        yield "holder is due: it fetches from nobody"
    if table.get("holder") and not table.get("holder_basis"):
        yield f"holder_basis is due with holder, one of: {', '.join(Basis)}"


def _among(key: Key) -> str:
    return ", ".join(key.words) if key.words else ""


def _is_kind(kind: Kind, value: object) -> bool:
    if kind is Kind.TEXTS:
        return isinstance(value, list) and all(isinstance(item, str) and item for item in value)
    if kind is Kind.DAY:
        return isinstance(value, date) and not isinstance(value, datetime)
    return isinstance(value, bool if kind is Kind.FLAG else str)
