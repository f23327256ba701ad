"""Every row of the bad inputs has a test or waits for a part that does not exist yet; none does both."""

import ast
import re
import tomllib
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROWS = set(range(1, 76))
_NAME = re.compile(r"test_bad_inputs?((?:_\d\d|_to_\d\d|_and)+)")


def _numbers(name: str) -> set[int]:
    """`test_bad_inputs_01_to_04_06_and_more` names the rows 1, 2, 3, 4 and 6."""
    found = _NAME.match(name)
    rows: set[int] = set()
    for run in re.findall(r"\d\d(?:_to_\d\d)?", found.group(1) if found else ""):
        first, _, last = run.partition("_to_")
        rows |= set(range(int(first), int(last or first) + 1))
    return rows


def _tested() -> set[int]:
    rows: set[int] = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                rows |= _numbers(node.name)
    return rows


def _waiting() -> set[int]:
    table = tomllib.loads((TESTS / "bad_inputs.toml").read_text(encoding="utf-8"))
    return {int(number) for number in table["waiting"]}


def test_every_row_is_tested_or_waits() -> None:
    tested, waiting = _tested(), _waiting()
    assert ROWS - tested - waiting == set(), "neither tested nor waiting"
    assert tested & waiting == set(), "tested, but listed as waiting"
    assert tested | waiting <= ROWS


def test_names_are_read_as_they_are_meant() -> None:
    assert _numbers("test_bad_inputs_01_to_04_06_and_09_become_errors") == {1, 2, 3, 4, 6, 9}
    assert _numbers("test_bad_input_30_the_six_papers") == {30}
    assert _numbers("test_something_else_30") == set()
