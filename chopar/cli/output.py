"""The one formatter of all commands: data on standard output, as text or as JSON; words on standard error.

Rich is imported only where a table is drawn, on a terminal. What is shown is the commands' matter.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum, StrEnum
from typing import Any, TextIO

_FOLDABLE = 1.7  # a table that is wider than that many terminals is shown row below row, not folded
_DIGITS = re.compile(r"(\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b)|\w*\d{9,}\w*")
_MOVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Format(StrEnum):
    """How data is printed."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; None is shown as a dash."""

    columns: Sequence[str]
    rows: Iterable[Sequence[object]]
    title: str = ""
    right: frozenset[str] = field(default_factory=frozenset)
    """Columns whose values are aligned to the right."""


def hide_rejected(text: str) -> str:
    """Take out of a sentence what may be an identifier: words with nine or more digits in a row, control characters.

    For sentences that may repeat what was typed. A UUID stays: a demand's id is no identifier of a person.
    """
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return _DIGITS.sub(lambda found: found.group(1) or "…", printable)


def legible(text: str) -> str:
    """A text without what moves the cursor or turns the direction of writing: it may come from anybody's file."""
    return _MOVING.sub("\N{REPLACEMENT CHARACTER}", text)


def cell(value: object) -> str:
    """A value as it stands in a table."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return instant(value)
    return legible(str(value))


def instant(value: datetime) -> str:
    """An instant in UTC with milliseconds."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """A value of any of our types, as JSON can carry it."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part) for part in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


class Output:
    """Where a command's data and words go.

    Args:
        form: of the data.
        out: for data.
        err: for words.
    """

    def __init__(self, form: Format, out: TextIO, err: TextIO) -> None:
        self.form = form
        self._out = out
        self._err = err
        self._line = 0

    def show(self, data: Any, *parts: Table | str) -> None:
        """Print data: as JSON `data`, as text `parts`, which say the same."""
        if self.form is Format.JSON:
            import json

            print(json.dumps(plain(data), ensure_ascii=False, indent=2), file=self._out, flush=True)
            return
        for part in parts:
            if isinstance(part, str):
                print(legible(part), file=self._out)
            else:
                self._table(part)
        self._out.flush()

    def say(self, words: str) -> None:
        """Print words for a person."""
        self.end_step()
        print(words, file=self._err, flush=True)

    def step(self, words: str) -> None:
        """Say how far something is; on a terminal each step overwrites the one before."""
        if not self._err.isatty():
            print(words, file=self._err, flush=True)
            return
        print(f"\r{words:<{self._line}}", end="", file=self._err, flush=True)
        self._line = len(words)

    def end_step(self) -> None:
        """What is printed next begins on a line of its own."""
        if self._line:
            print(file=self._err)
            self._line = 0

    def _table(self, table: Table) -> None:
        rows = [[cell(value) for value in row] for row in table.rows]
        if self._out.isatty():
            self._drawn(table, rows)
            return
        # Nobody looks, a program does: each record is a line, whole, with its columns where those of the others are.
        if table.title:
            print(table.title, file=self._out)
        lines = [[" ".join(text.split()) for text in row] for row in (table.columns, *rows)]
        widths = [max(len(text) for text in column) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = zip(line, widths, table.columns, strict=True)
            aligned = (text.rjust(width) if name in table.right else text.ljust(width) for text, width, name in cells)
            print("  ".join(aligned).rstrip(), file=self._out)

    def _drawn(self, table: Table, rows: Sequence[Sequence[str]]) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table as RichTable
        from rich.text import Text

        # Rich reads NO_COLOR, TERM and COLUMNS by itself.
        console = Console(file=self._out, highlight=False, markup=False, emoji=False)
        if table.title:
            console.print(Text(table.title, style="bold"))
        if _natural_width(table.columns, rows) > _FOLDABLE * console.width:
            for row in rows:
                console.print(Text(row[0], style="bold"), soft_wrap=True)
                below = RichTable.grid(padding=(0, 2, 0, 0))
                below.add_column(no_wrap=True)
                below.add_column(overflow="fold")  # a long value goes on below itself, not at the screen's edge
                for column, value in zip(table.columns[1:], row[1:], strict=True):
                    below.add_row(Text(f"  {column}"), Text(value))
                console.print(below)
            return
        drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in table.columns:
            drawn.add_column(column, justify="right" if column in table.right else "left", overflow="fold")
        for row in rows:
            drawn.add_row(*(Text(value) for value in row))
        console.print(drawn)


def _natural_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """How wide a table is that folds nothing."""
    return sum(max(len(text) for text in column) + 2 for column in zip(columns, *rows, strict=True))
