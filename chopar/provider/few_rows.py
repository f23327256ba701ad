"""A few rows of a SQLite file, read at once by the thread that asks.

A look-up that goes through aiosqlite is a dozen turns between two threads and through SQLAlchemy's engine: 0.3 ms, and
1 ms where nothing of that is warm, as for a request that comes alone. SQLite itself takes 5 µs. So a small look-up is
made here, by a connection of its own that waits for nobody. Whatever it cannot do (the file is locked, damaged or not
there, a value would have to be converted on its way in) is left to the usual way, and so are the words for it. Many
keys are too: reading them from a slow disk would hold up everything else.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Select
from sqlalchemy.dialects import sqlite

_MOST_KEYS = 8
_MOST_STATEMENTS = 64

_DIALECT = sqlite.dialect(paramstyle="qmark")


class _Slot(NamedTuple):
    """In the place of a value: of which parameter, and which of a list."""

    parameter: str
    number: int | None


class _Prepared(NamedTuple):
    """A statement for so many values: its text, what goes in, and what becomes of each column."""

    text: str
    values: tuple[Any, ...]
    columns: tuple[Callable[[Any], Any] | None, ...]


class FewRows:
    """Reads a SQLite file.

    Args:
        file: the database; it is neither made nor written.
    """

    def __init__(self, file: Path) -> None:
        self._address = f"{file.absolute().as_uri()}?mode=rw"  # what is written ahead is read only by who may write
        self._connection: sqlite3.Connection | None = None

    def find(self, statement: Select[Any], parameters: Mapping[str, Any]) -> list[tuple[Any, ...]] | None:
        """The rows of a statement, as SQLAlchemy would give them; None if it is to be asked the usual way.

        Args:
            statement: ours, so that those remembered here are few.
            parameters: a list for what is expanding.
        """
        lengths = tuple((name, len(value) if isinstance(value, list) else None) for name, value in parameters.items())
        if any(length is not None and not 0 < length <= _MOST_KEYS for _, length in lengths):
            return None
        prepared = _prepared(statement, lengths)
        if prepared is None:
            return None
        values = [
            (parameters[one.parameter] if one.number is None else parameters[one.parameter][one.number])
            if isinstance(one, _Slot)
            else one
            for one in prepared.values
        ]
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self._address, timeout=0, isolation_level=None, uri=True)
                self._connection.execute("PRAGMA query_only=ON")
            rows = self._connection.execute(prepared.text, values).fetchall()
        except sqlite3.Error:
            self.close()
            return None
        if not any(prepared.columns):
            return rows
        return [
            tuple(
                [
                    value if convert is None else convert(value)
                    for value, convert in zip(row, prepared.columns, strict=True)
                ]
            )
            for row in rows
        ]

    def close(self) -> None:
        """Let go of the file; it is opened again when something is looked up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


@lru_cache(maxsize=_MOST_STATEMENTS)
def _prepared(statement: Select[Any], lengths: Sequence[tuple[str, int | None]]) -> _Prepared | None:
    """Compile a statement once for so many values; None if a value has to be converted on its way in."""
    slots = {
        name: _Slot(name, None) if length is None else [_Slot(name, number) for number in range(length)]
        for name, length in lengths
    }
    compiled = statement.compile(dialect=_DIALECT)
    if any(bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT) for bind in compiled.binds.values()):
        return None
    expanded = compiled.construct_expanded_state(slots)
    columns = (column.type.dialect_impl(_DIALECT) for column in statement.selected_columns)
    return _Prepared(
        expanded.statement,
        tuple(expanded.positional_parameters),
        tuple(column.result_processor(_DIALECT, None) for column in columns),
    )
