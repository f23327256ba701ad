"""Reads a list file line by line, many times as fast as `tomllib`, and the same: what is not plain goes to `tomllib`.

A list is a long row of `key = value` lines, most of which stand there many times over (an act, a source). Each line
that is new is read once, the plain kinds here, every other by `tomllib` as a file of one line; it is remembered for the
next time. A line that is whole by itself says the same between others, so the file says what its lines say. As soon as
one is not (a text of several lines, a dotted key, a table that is none of an array), or a key stands there twice,
`tomllib` reads the whole file, and it alone says what is wrong with one. Tests compare the two on broken files.
"""

import re
import tomllib
from datetime import date
from typing import Any

_HEADING = re.compile(r"\[\[([A-Za-z0-9_-]+)\]\]")
_KEY = re.compile(r"[A-Za-z0-9_-]+ *=")
_TEXT = r'"[^"\\\x00-\x1f\x7f]*"'
_PLAIN = re.compile(
    rf"([A-Za-z0-9_-]+) = (?:({_TEXT})|(\[{_TEXT}(?:, {_TEXT})*\])|([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})|(true|false))"
)


class _NotPlainError(Exception):
    """The file is not a row of lines that each are whole by themselves."""


def loads(text: str) -> dict[str, Any]:
    """What `tomllib.loads` gives. Lists and tables inside an entry may be shared by several: nobody is to change them.

    Raises:
        tomllib.TOMLDecodeError: it is no TOML.
        RecursionError: it is nested too deeply.
    """
    try:
        return _by_lines(text)
    except _NotPlainError:
        return tomllib.loads(text)


def _by_lines(text: str) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    known: dict[str, tuple[str, Any]] = {}
    table: dict[str, Any] | None = None
    due = 0  # so many keys the table has, if none stood there twice
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line:
            continue
        pair = known.get(line)
        if pair is None:
            heading = _HEADING.fullmatch(line)
            if heading is not None:
                if table is not None and len(table) != due:
                    raise _NotPlainError
                table, due = {}, 0
                arrays.setdefault(heading[1], []).append(table)
                continue
            pair = _pair(line)
            if pair is None:
                continue
            known[line] = pair
        if table is None:
            raise _NotPlainError
        table[pair[0]] = pair[1]
        due += 1
    if table is not None and len(table) != due:
        raise _NotPlainError
    return arrays


def _pair(line: str) -> tuple[str, Any] | None:
    """The key and value of a line; None for a line without."""
    plain = _PLAIN.fullmatch(line)
    if plain is not None:
        key, text, texts, day, flag = plain.groups()
        if text is not None:
            return key, text[1:-1]
        if texts is not None:
            return key, texts[2:-2].split('", "')
        if flag is not None:
            return key, flag == "true"
        try:
            return key, date.fromisoformat(day)
        except ValueError:
            raise _NotPlainError from None
    try:
        alone = tomllib.loads(line)
    except (tomllib.TOMLDecodeError, RecursionError):
        raise _NotPlainError from None
    if not alone:
        return None
    if _KEY.match(line) is None:
        raise _NotPlainError
    [pair] = alone.items()
    return pair
