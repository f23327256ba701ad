"""The reader of list files reads and refuses as `tomllib` does: on the lists, and on broken ones."""

import random
import tomllib
from typing import Any

import pytest

from gateway.lists.quick_toml import _by_lines, loads
from tests.oracle.asking import list_files

FILES = {name: content.decode() for name, content in list_files().items()}
SAMPLE = FILES["prohibited.toml"].splitlines(keepends=True)[:80]
PIECES = (
    '"', '""', '"""', "'", "'''", "\\", "\\n", "\\u0041", "\\ud800", "\\/", "[", "]", "[[", "]]", "{", "}", "#", "=",
    ".", ",", "\n", "\r\n", "\r", "\t", "\x00", "\x7f", "\ufeff", "\u2028", "\x85", " ", "\n\n", "[[entry]]\n",
    "[entry]\n", "[[entry.more]]\n", "entry = 1\n", 'id = "again"\n', "a.b = 1\n", '"a" = 1\n', "x = [\n",
    "x = [ 1,\n 2 ]\n", "x = 0x1F\n", "x = 01\n", "x = +1\n", "x = 2022-02-30\n", "x = 2022-07-01T00:00:00\n",
    "x = 07:00:00\n", "x = inf\n", "x = {a = 1, a = 2}\n", "x = { a = true }\n", "x = []\n", 'x = ["a",]\n',
    "x = true # so\n", "# a comment\n", "# \x01\n", "   \n", "  x = 1\n", "x =1\n", "x=1\n", 'x = """a\n', 'b"""\n',
    "x = '''\n", "x\n", "= 1\n", "x = \n", "й = 1\n", "x = trueish\n", 'x = "a" "b"\n', "x = 1 y = 2\n",
    "[[ entry ]]\n", "[[entry]] # so\n", "[[entry]\n", "[]\n", "[[]]\n",
)  # fmt: skip


def read(reader: Any, text: str) -> Any:
    """What it gives; or that it refuses, and how."""
    try:
        return reader(text)
    except tomllib.TOMLDecodeError as error:
        return f"refused: {error}"


@pytest.mark.parametrize("name", FILES)
def test_the_shipped_lists_are_read_as_tomllib_reads_them(name: str) -> None:
    assert loads(FILES[name]) == tomllib.loads(FILES[name])
    assert _by_lines(FILES[name]) == tomllib.loads(FILES[name])  # none is handed over whole


def test_broken_files_are_read_or_refused_as_tomllib_does() -> None:
    drawn, refused, taken = random.Random(29), 0, 0
    for _ in range(1500):
        text = "".join(SAMPLE[: drawn.randrange(8, 80)])
        for _ in range(drawn.choice((1, 1, 1, 2, 3))):
            place = drawn.randrange(len(text))
            if drawn.random() < 0.8:
                place = text.find("\n", place) + 1  # pieces that are lines stand as lines
            kind = drawn.random()
            if kind < 0.75:
                text = text[:place] + drawn.choice(PIECES) + text[place:]
            elif kind < 0.9:
                text = text[:place] + text[place + drawn.randrange(1, 9) :]
            else:
                other = drawn.randrange(len(text))
                text = text[:place] + text[other : other + 60] + text[place:]
        expected = read(tomllib.loads, text)
        assert read(loads, text) == expected
        refused, taken = refused + isinstance(expected, str), taken + isinstance(expected, dict)
    assert min(refused, taken) > 100  # both kinds were met


@pytest.mark.parametrize("piece", PIECES)
def test_each_piece_alone_before_within_and_behind_an_entry(piece: str) -> None:
    for text in (
        piece,
        piece + "[[entry]]\na = 1\n",
        "[[entry]]\n" + piece + "\nb = 1\n",
        "[[entry]]\na = 1\n" + piece,
    ):
        assert read(loads, text) == read(tomllib.loads, text)


def test_a_file_that_is_nested_too_deeply_is_refused_and_not_a_crash() -> None:
    with pytest.raises((RecursionError, tomllib.TOMLDecodeError)):
        loads("[[entry]]\na = " + "[" * 50_000)
