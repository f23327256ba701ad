"""What `chopar provider init` writes: a provider that runs, its schema, its tests. The texts lie under `scaffold/`."""

import keyword
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template

from chopar.errors import ConfigurationError
from chopar.identifiers import agency_id
from chopar.messages.evidence import Evidence

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_FIELD = re.compile(r"[a-z][a-z0-9_]*")
_OF_LIBRARY = frozenset({"fields_given", "source_register", "as_of", "register_coverage", "linked_by"})
# What the texts under `scaffold/` call by names of their own.
_NAMES = frozenset({"provider", "files", "conformance", "subject_of", "date", "Any", "Case", "ClassVar", "Conformance"})
_NAMES |= {"Evidence", "EvidenceRequested", "Example", "NoRecord", "Path", "PersonId", "Provider", "Register"}
_NAMES |= {"SchemaFiles"}
_SCAFFOLD = Path(__file__).parent / "scaffold"
# Made by the published rules for numbers; nobody's.
_KNOWN, _UNKNOWN = "30101900010018", "43112990020153"


@dataclass(frozen=True, slots=True)
class _Kind:
    python: str
    avro: str
    example: str


_KINDS = {
    "string": _Kind("str", '"string"', '"as an example"'),
    "boolean": _Kind("bool", '"boolean"', "True"),
    "long": _Kind("int", '"long"', "1"),
    "date": _Kind("date", '{"type": "int", "logicalType": "date"}', "date(2020, 1, 1)"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written.

    Attributes:
        name: of the project.
        agency: who answers.
        evidence_type: what it answers.
        fields: name and kind of each field.
    """

    name: str
    agency: str
    evidence_type: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, name: str, *, agency: str, evidence_type: str, fields: list[str]) -> "Plan":
        """A plan from what was typed.

        Raises:
            ConfigurationError: a name is none; says which and what is due.
        """
        if not _NAME.fullmatch(name) or keyword.iskeyword(name.replace("-", "_")):
            raise ConfigurationError("NAME: small letters, digits and hyphens, as pension-office")
        if not _NAME.fullmatch(evidence_type):
            raise ConfigurationError("--evidence: small letters, digits and hyphens, as pension-status")
        plan = cls(name, agency_id(agency), evidence_type, ())
        if plan.package in {"chopar", "tests"} | sys.stdlib_module_names:
            raise ConfigurationError(f"NAME: Python would take {plan.package} for another package of that name")
        if any(keyword.iskeyword(one) or one in _NAMES for one in (plan.function, plan.record)):
            raise ConfigurationError(f"--evidence: {evidence_type} means something else already where it would stand")
        parsed: list[tuple[str, str]] = []
        for field in fields:
            field_name, _, kind = field.partition(":")
            if kind not in _KINDS or not _FIELD.fullmatch(field_name) or keyword.iskeyword(field_name):
                raise ConfigurationError(f"--field: NAME:KIND is due, KIND one of {', '.join(_KINDS)}")
            if field_name in _OF_LIBRARY or field_name in (known for known, _ in parsed):
                raise ConfigurationError(f"--field {field_name}: every evidence has one already, or it is given twice")
            if hasattr(Evidence, field_name) or field_name in (known.python for known in _KINDS.values()):
                raise ConfigurationError(f"--field {field_name}: a model's field cannot have that name")
            parsed.append((field_name, kind))
        return replace(plan, fields=tuple(parsed))

    @property
    def package(self) -> str:
        """The Python package, which is the namespace of its record too."""
        return self.name.replace("-", "_")

    @property
    def record(self) -> str:
        """The name of the evidence record."""
        return "".join(part.capitalize() for part in self.evidence_type.split("-"))

    @property
    def function(self) -> str:
        """The name of the function that answers."""
        return self.evidence_type.replace("-", "_")

    def files(self) -> dict[str, str]:
        """Every file by its path in the project."""
        values = {
            "name": self.name,
            "agency": self.agency,
            "package": self.package,
            "prefix": self.package.upper(),
            "record": self.record,
            "function": self.function,
            "evidence_type": self.evidence_type,
            "register": f"register of {self.agency}",
            "known": _KNOWN,
            "unknown": _UNKNOWN,
            "model_fields": "\n".join(f"    {name}: {_KINDS[kind].python} | None = None" for name, kind in self.fields),
            "schema_fields": "\n".join(
                f'    {{\n      "name": "{name}",\n      "type": ["null", {_KINDS[kind].avro}],\n'
                f'      "doc": "Say here what {name} means.",\n      "default": null\n    }},'
                for name, kind in self.fields
            ),
            "example_fields": ", ".join(f'"{name}": {_KINDS[kind].example}' for name, kind in self.fields),
        }
        paths = {
            "README.md": "README.md",
            "pyproject.toml": "pyproject.toml",
            "directory.toml": "directory.toml",
            f"{self.package}/provider.py": "provider.py",
            f"{self.package}/__main__.py": "__main__.py",
            f"{self.package}/schemas/{self.record}.avsc": "schema.avsc",
            "tests/test_conformance.py": "test_conformance.py",
        }
        texts = {
            path: Template((_SCAFFOLD / f"{template}.txt").read_text("utf-8")).substitute(values)
            for path, template in paths.items()
        }
        if any(kind == "date" for _, kind in self.fields):
            provider = f"{self.package}/provider.py"
            texts[provider] = texts[provider].replace(
                "from pathlib import Path", "from datetime import date\nfrom pathlib import Path", 1
            )
        return {**texts, f"{self.package}/__init__.py": f'"""Answers {self.evidence_type} for {self.agency}."""\n'}


def write(plan: Plan, folder: Path) -> list[str]:
    """Write the files of a plan into a folder that does not exist yet, or is empty.

    Returns:
        The paths written, sorted.

    Raises:
        ConfigurationError: there is something already; nothing is overwritten.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} exists already, and nothing in it is overwritten")
    files = plan.files()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return sorted(files)
