"""What makes the gateway's outputs reads no clock, no random number, no environment: checked in the syntax tree."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PURE = [
    *(ROOT / "gateway" / f"{name}.py" for name in (
        "access_ground", "agencies", "alternatives", "answer", "demand", "disputes", "evidence_directory", "handlers",
        "law", "legal_basis", "list_version", "prohibited_list", "reading", "rendering", "resolution", "resolver",
        "standing", "store",
    )),
    *(ROOT / "chopar" / f"{name}.py" for name in ("envelope", "identifiers", "topics")),
    *sorted((ROOT / "chopar" / "avro").glob("*.py")),
    *sorted((ROOT / "chopar" / "messages").glob("*.py")),
]  # fmt: skip

FORBIDDEN_MODULES = {"time", "random", "secrets", "socket", "platform", "locale", "zoneinfo"}
FORBIDDEN_NAMES = {
    "now", "utcnow", "today", "environ", "getenv", "urandom", "uuid1", "uuid4", "uuid6", "monotonic", "getpid",
    "localtime", "gethostname", "hash", "id", "fromtimestamp_local", "getrandbits", "token_bytes",
}  # fmt: skip
ALLOWED_HEADERS = {"traceparent"}


def _found(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
                yield node.module or ""
            yield from (alias.name for alias in node.names if alias.name in FORBIDDEN_NAMES)
        elif isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_NAMES - {"id", "hash"}:
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_NAMES:
            yield node.func.id


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_clock_no_random_number_no_environment(path: Path) -> None:
    assert list(_found(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from random import random",
        "from uuid import uuid4",
        "import os\nos.environ['A']",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import date\ndate.today()",
        "hash('a')",
        "import os\nos.urandom(3)",
    ],
)
def test_the_test_finds_what_it_looks_for(source: str) -> None:
    assert list(_found(ast.parse(source)))


def test_nothing_of_the_gateway_follows_pythons_unicode_data() -> None:
    """It changes with Python's version; `name_key` is for the registers' searches."""
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert "unicodedata" not in text
        assert "name_key" not in text


def test_no_header_of_an_agency_but_the_trace_reaches_an_output() -> None:
    for name in ("answer", "disputes", "handlers", "reading", "rendering"):
        tree = ast.parse((ROOT / "gateway" / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "header":
                assert [ast.literal_eval(argument) for argument in node.args] == ["traceparent"]
            if isinstance(node, ast.Attribute):
                assert node.attr != "headers", f"gateway/{name}.py reads all headers"
