"""How data is printed: for a program one record is one line, whole; as JSON the same."""

import io
import json
from datetime import UTC, datetime

from chopar.cli.output import Format, Output, Table

LONG = "a note that is far longer than any screen is wide " * 20
TABLE = Table(
    ("name", "count", "since", "note"),
    [("a", 7, datetime(2026, 1, 15, 10, tzinfo=UTC), LONG), ("longer", 12345, None, "two\nlines")],
    right=frozenset({"count"}),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(form: Format = Format.TEXT, out: io.StringIO | None = None) -> str:
    out = out or io.StringIO()
    Output(form, out, io.StringIO()).show({"rows": 2}, TABLE, "2 rows")
    return out.getvalue()


def test_in_a_pipe_a_record_is_a_line_and_nothing_is_cut_or_folded() -> None:
    lines = printed().splitlines()
    assert lines == [
        "name    count  since                     note",
        f"a           7  2026-01-15T10:00:00.000Z  {LONG.strip()}",
        "longer  12345  -                         two lines",
        "2 rows",
    ]


def test_an_empty_table_is_its_headings() -> None:
    out = io.StringIO()
    Output(Format.TEXT, out, io.StringIO()).show([], Table(("name", "count"), []))
    assert out.getvalue() == "name  count\n"


def test_on_a_terminal_it_fits() -> None:
    lines = printed(out=Terminal()).splitlines()
    assert max(len(line) for line in lines) < 100
    [first] = [number for number, line in enumerate(lines) if line.startswith("  note") and "a note" in line]
    assert lines[first + 1].startswith(" " * lines[first].index("a note")), "it goes on below itself"
    assert " ".join(" ".join(lines).split()).count("than any screen is wide") == 20


def test_as_json_there_is_no_table() -> None:
    assert json.loads(printed(Format.JSON)) == {"rows": 2}
