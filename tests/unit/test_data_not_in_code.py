"""Documents, agencies and acts are data: no string constant of the library or the gateway names one."""

import ast
import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FACTS = ROOT / "gateway" / "lists" / "facts"


def _rows(name: str) -> list[dict[str, str]]:
    with (FACTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


AGENCIES = {row["id"] for row in _rows("agencies")}
EVIDENCE = {row["evidence_type"] for row in _rows("evidence")} - {""}
NAMES = (
    AGENCIES
    | EVIDENCE
    | {row[column] for row in _rows("prohibited-documents") for column in ("id", "document_type", "legal_act")}
    | {row["id"] for row in _rows("services")}
    | {row["procedure"] for row in _rows("procedures")}
    | {row["group"] for row in _rows("groups")}
) - {""}
# Ids that are also ordinary words of the code.
ORDINARY = {"courts", "employer", "hiring", "photo", "mahalla", "kinship", "portrait", "notaries"}


def _constants(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def _named(path: Path, names: set[str]) -> set[str]:
    constants = set(_constants(path))
    return {name for name in names if any(name == c or (len(name) > 12 and name in c) for c in constants)}


@pytest.mark.parametrize("package", ["chopar", "gateway"])
def test_library_and_gateway_name_no_document_agency_or_act(package: str) -> None:
    found = {
        path.relative_to(ROOT).as_posix(): named
        for path in sorted((ROOT / package).rglob("*.py"))
        if (named := _named(path, NAMES - ORDINARY))
    }
    assert found == {}


def test_a_service_names_only_its_own_agency_and_evidence_types() -> None:
    own = {
        "benefits": {"social-protection-agency", "social-register-category"},
        "registry_office": {
            "justice-fhdyo",
            "birth-act",
            "death-act",
            "divorce-act",
            "family-composition",
            "kinship",
            "lone-parent-status",
            "marital-status",
            "marriage-act",
            "name-change-act",
            "paternity-act",
        },
        "tax": {"tax-committee", "tax-debt"},
        "utilities": {
            "electricity-het",
            "gas-hududgaz",
            "heat-supply",
            "telecom-operator",
            "utility-debt",
            "waste-collection",
            "water-uzsuvtaminot",
        },
    }
    for folder in sorted((ROOT / "services").iterdir()):
        for path in sorted(folder.rglob("*.py")) if folder.is_dir() else []:
            assert _named(path, AGENCIES | EVIDENCE) - ORDINARY <= own.get(folder.name, set()), path


def test_the_test_finds_what_it_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('"""tax-committee may stand in a docstring."""\nAGENCY = "tax-committee"\n', encoding="utf-8")
    assert _named(path, NAMES) == {"tax-committee"}
