"""Reads the tables of a list file strictly: every key typed, none left over, every fault named by file and entry.

Strict, because a key that is misspelt and passed over (`untill`) would keep a right open that somebody had closed.
What the keys mean is left to the modules that hold the entries.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, TypeVar

from chopar.errors import ConfigurationError, LawUnreadableError

try:
    import tomli as toml  # what `tomllib` is, compiled: lists of 100,000 entries are read almost three times as fast
except ImportError:  # the extra `speed` is not there
    import tomllib as toml  # type: ignore[no-redef]

_Word = TypeVar("_Word", bound=StrEnum)
_DAY = re.compile(r"(?<![\w.\"-])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])")
_CALLED = 120  # characters of an id in a sentence
_PART = 1 << 17  # characters; they take some ten milliseconds
_BEGINS_WITH_A_TABLE = re.compile(r"(?:[ \t\r]*(?:#[^\n]*)?\n)*\[\[").match


class Table:
    """One entry of a list file; reading a key takes it, `finish` refuses what nobody took.

    Args:
        file: name of the file.
        name: what the entry is called in errors.
        values: its keys and values.
        array: name of the array of tables that it stands in.
    """

    def __init__(self, file: str, name: str, values: dict[str, object], array: str = "") -> None:
        self.file = file
        self.name = name
        self.array = array
        self._values = dict(values)

    def fault(self, what: str) -> LawUnreadableError:
        """The error that names file, entry and flaw."""
        return LawUnreadableError(f"{self.file}: {self.name}: {what}")

    def optional_text(self, key: str) -> str:
        """Text, or the empty string if the key is absent."""
        value = self._values.pop(key, "")
        if not isinstance(value, str):
            raise self.fault(f"{key}: text is due")
        return value

    def text(self, key: str) -> str:
        """Text that must be there."""
        value = self.optional_text(key)
        if not value:
            raise self.fault(f"{key} is missing")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty if the key is absent."""
        value = self._values.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.fault(f"{key}: a list of texts is due")
        return tuple(value)

    def day(self, key: str) -> date | None:
        """A calendar day, or None if the key is absent."""
        value = self._values.pop(key, None)
        if value is None:
            return None
        if isinstance(value, datetime) or not isinstance(value, date):
            raise self.fault(f"{key}: a day is due, written 2022-07-01 without quotes")
        return value

    def flag(self, key: str) -> bool:
        """True or false; false if the key is absent."""
        value = self._values.pop(key, False)
        if not isinstance(value, bool):
            raise self.fault(f"{key}: true or false is due")
        return value

    def number(self, key: str) -> int:
        """A whole number of zero or more that must be there."""
        value = self._values.pop(key, None)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.fault(f"{key}: a whole number is due")
        return value

    def flags(self, key: str) -> dict[str, bool]:
        """A table of true and false by name; empty if the key is absent."""
        value = self._values.pop(key, {})
        if not isinstance(value, dict) or not all(isinstance(item, bool) for item in value.values()):
            raise self.fault(f"{key}: a table of true and false is due")
        return value

    def word(self, key: str, words: type[_Word]) -> _Word:
        """One of the words of an enumeration."""
        return self._word(key, self.text(key), words)

    def words(self, key: str, words: type[_Word]) -> tuple[_Word, ...]:
        """A list of words of an enumeration."""
        return tuple(self._word(key, text, words) for text in self.texts(key))

    def _word(self, key: str, text: str, words: type[_Word]) -> _Word:
        try:
            return words(text)
        except ValueError:
            raise self.fault(f"{key}: '{called(text)}' is none of {', '.join(words)}") from None

    def finish(self) -> None:
        """Refuse keys that nobody took.

        Raises:
            LawUnreadableError: there are some.
        """
        if self._values:
            raise self.fault(f"unknown keys: {', '.join(map(called, sorted(self._values)))}")


def loads(text: str, part: int = _PART) -> dict[str, Any]:
    """What a TOML text says.

    Args:
        text: the whole of it.
        part: characters that are read at a time, about; the compiled reader lets no other thread run meanwhile.

    Raises:
        ValueError, RecursionError: it is no TOML, or nested too deeply.
    """
    return _in_parts(text, part) or toml.loads(text)


def _in_parts(text: str, size: int) -> dict[str, Any] | None:
    """What a large text of nothing but arrays of tables says; None where it is not plain that parts say the same."""
    if len(text) <= size or '"""' in text or "'''" in text or not _BEGINS_WITH_A_TABLE(text):
        return None
    whole: dict[str, Any] = {}
    first = 0
    while first < len(text):
        last = text.find("\n[[", first + size) + 1 or len(text)
        try:
            part = toml.loads(text[first:last])
        except (ValueError, RecursionError):
            return None
        for array, tables in part.items():
            if not isinstance(tables, list):  # it may belong to a table of another part
                return None
            whole.setdefault(array, []).extend(tables)
        first = last
    return whole


def read_file(name: str, content: bytes) -> dict[str, Any]:
    """What a list file says.

    Raises:
        LawUnreadableError: it is no TOML.
    """
    if content.startswith(BOM_UTF8):
        raise LawUnreadableError(f"{name}: it begins with a byte-order mark: save it as UTF-8 without one")
    try:
        return loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise LawUnreadableError(f"{name}: no readable TOML: {error}") from error


def tables_of(name: str, array: str, values: object) -> list[dict[str, Any]]:
    """The entries of an array of tables of a list file.

    Raises:
        LawUnreadableError: it is none.
    """
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise LawUnreadableError(f"{name}: {array}: write it as [[{array}]]")
    return values


def _no_day(text: str) -> str:
    """The first day of a text that there is not, which TOML's reader calls everything but that; else nothing."""
    for number, line in enumerate(text.splitlines(), 1):
        for found in _DAY.findall(line.partition("#")[0]):
            try:
                date.fromisoformat(found)
            except ValueError:
                return f"line {number}: {found} is no day"
    return ""


def called(value: object) -> str:
    """What an entry calls itself, fit to stand in a sentence."""
    text = str(value)
    text = text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= _CALLED else f"{text[:_CALLED]}…"


def given_tables(text: str, arrays: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """The tables of a file that somebody has written to be put into lists, by array.

    Args:
        text: of the file.
        arrays: names of the arrays of tables that it may hold.

    Raises:
        ConfigurationError: it is no TOML, holds something else, or nothing.
    """
    try:
        given = loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"the file is no TOML: {_no_day(text) or error}") from error
    due = ", ".join(f"[[{array}]]" for array in arrays)
    others = ", ".join(f"[[{called(name)}]]" for name in given if name not in arrays)
    if not given or others:
        what = f"it holds something else: {others}" if others else "it holds nothing"
        raise ConfigurationError(f"the file: {what}; due are tables: {due}")
    for array, tables in given.items():
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise ConfigurationError(f"{array}: write it as [[{array}]]")
    return given


@dataclass(frozen=True, slots=True)
class Verification:
    """Who read the published text of an act, when, and where it stands."""

    by: str
    on: date
    text_ref: str

    @classmethod
    def read(cls, table: Table) -> "Verification | None":
        """Take the keys of a verification; None where there are none.

        Raises:
            LawUnreadableError: one of the three is missing.
        """
        by, on, text_ref = table.optional_text("verified_by"), table.day("verified_on"), table.optional_text("text_ref")
        if not by and on is None and not text_ref:
            return None
        if not by or on is None or not text_ref:
            raise table.fault("verified_by, verified_on and text_ref: all three are due, or none")
        return cls(by, on, text_ref)


class ListFile:
    """One list file, read: arrays of tables, and nothing beside them.

    Args:
        name: name of the file.
        content: its bytes.

    Raises:
        LawUnreadableError: it is no TOML.
    """

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self._arrays = read_file(name, content)

    def tables(self, array: str, key: str = "id") -> Iterator[Table]:
        """The entries of an array of tables; each is finished when the next one is asked for.

        Args:
            array: name of the array.
            key: the key whose value names the entry in errors.
        """
        for index, value in enumerate(tables_of(self.name, array, self._arrays.pop(array, []))):
            table = Table(self.name, f"{array} {called(value.get(key, f'number {index + 1}'))}", value, array)
            yield table
            table.finish()

    def finish(self) -> None:
        """Refuse arrays that nobody asked for.

        Raises:
            LawUnreadableError: there are some.
        """
        if self._arrays:
            raise LawUnreadableError(f"{self.name}: unknown parts: {', '.join(map(called, sorted(self._arrays)))}")
