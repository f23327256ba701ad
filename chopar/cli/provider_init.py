"""What `chopar provider init` writes: a provider that runs, its schema, its tests. The texts lie under `scaffold/`.

The fields of its evidence are those that are typed, else those of the record that the library ships for the evidence
type, else those that the grounds in force let through.
"""

import json
import keyword
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from string import Template
from typing import Any

from chopar.cli.provider_fields import Field, avro_fields, example, guessed, has_alias, python_classes, typed
from chopar.cli.provider_grounds import Ground
from chopar.errors import ConfigurationError
from chopar.identifiers import agency_id
from chopar.messages.evidence import Evidence

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# What the texts under `scaffold/` call by names of their own.
_NAMES = frozenset({"provider", "conformance", "subject_of", "date", "Any", "Case", "ClassVar", "Conformance", "Part"})
_NAMES |= {"Evidence", "EvidenceRequested", "Example", "NoRecord", "Path", "PersonId", "BusinessId", "Provider"}
_NAMES |= {"Register", "SchemaFiles", "ConfigDict", "Field"}
_SCAFFOLD = Path(__file__).parent / "scaffold"
# Made by the published rules for numbers; nobody's.
_PERSONS, _BUSINESSES = ("30101900010018", "43112990020153"), ("301234567", "305678901")
_SHIPPED_IN = ("evidence", "civil_status", "social", "utility")
_EXAMPLES: Mapping[str, Any] = {"string": '"as an example"', "boolean": "True", "long": "1", "int": "1"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be written.

    Attributes:
        name: of the project.
        agency: who answers.
        evidence_type: what it answers.
        fields: of its record; none where that is the library's.
        shipped: the library's record for this evidence type, if its fields are to be had.
        grounds: that let it through, as far as they are known.
        made_up: whether its one field is nothing but an example.
        bootstrap: where Kafka is, for its README.
        registry: where the schema registry is, for the same.
    """

    name: str
    agency: str
    evidence_type: str
    fields: tuple[Field, ...]
    shipped: type[Evidence] | None = None
    grounds: tuple[Ground, ...] = ()
    made_up: bool = False
    bootstrap: str = "127.0.0.1:19092"
    registry: str = "http://127.0.0.1:18081"

    @classmethod
    def of(
        cls,
        name: str,
        *,
        agency: str,
        evidence_type: str,
        fields: Sequence[str],
        grounds: Sequence[Ground] = (),
        addresses: Mapping[str, Any] | None = None,
    ) -> "Plan":
        """A plan from what was typed, and from the grounds in force for the evidence type; `addresses` as of the class.

        Raises:
            ConfigurationError: a name is none; says which and what is due.
        """
        if not _NAME.fullmatch(name) or keyword.iskeyword(name.replace("-", "_")):
            raise ConfigurationError("NAME: small letters, digits and hyphens, as pension-office")
        if not _NAME.fullmatch(evidence_type):
            raise ConfigurationError("--evidence: small letters, digits and hyphens, as pension-status")
        plan = cls(name, agency_id(agency), evidence_type, (), grounds=tuple(grounds), **(addresses or {}))
        if plan.package in {"chopar", "tests"} | sys.stdlib_module_names:
            raise ConfigurationError(f"NAME: Python would take {plan.package} for another package of that name")
        if any(keyword.iskeyword(one) or one in _NAMES for one in (plan.function, plan.record)):
            raise ConfigurationError(f"--evidence: {evidence_type} means something else already where it would stand")
        shipped = None if fields else shipped_record(plan.record)
        if shipped is not None:
            return replace(plan, shipped=shipped)
        named = [name for ground in grounds for name in ground.fields]
        return replace(
            plan, fields=typed(fields) if fields else guessed(named or ["status"]), made_up=not (fields or named)
        )

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
            "bootstrap": self.bootstrap,
            "registry_url": self.registry,
            "register": f"register of {self.agency}",
            **self._subjects(),
            **(self._of_library() if self.shipped is not None else self._own()),
        }
        paths = {
            "README.md": "README.md",
            "pyproject.toml": "pyproject.toml",
            "directory.toml": "directory.toml",
            f"{self.package}/provider.py": "provider.py",
            f"{self.package}/__main__.py": "__main__.py" if self.shipped is None else "__main__.shipped.py",
            "tests/test_conformance.py": "test_conformance.py",
        }
        if self.shipped is None:
            paths[f"{self.package}/schemas/{self.record}.avsc"] = "schema.avsc"
        texts = {
            path: Template((_SCAFFOLD / f"{template}.txt").read_text("utf-8")).substitute(values)
            for path, template in paths.items()
        }
        return {**texts, f"{self.package}/__init__.py": f'"""Answers {self.evidence_type} for {self.agency}."""\n'}

    def _subjects(self) -> dict[str, str]:
        """Somebody to ask about, of a kind that the grounds are about, and with the parameters that they need."""
        about = {kind for ground in self.grounds for kind in ground.about}
        business = "business" in about and "person" not in about
        known, unknown = _BUSINESSES if business else _PERSONS
        needed = dict.fromkeys(name for ground in self.grounds for name in ground.parameters)
        parameters = "".join(f'"{name}": "an example", ' for name in needed).rstrip(", ")
        return {
            "subject": "BusinessId" if business else "PersonId",
            "known": known,
            "unknown": unknown,
            "parameters": f", {{{parameters}}}" if parameters else "",
        }

    def _own(self) -> dict[str, str]:
        imports = "from pathlib import Path\nfrom typing import Any, ClassVar\n\n"
        if any(field.is_date for field in self.fields):
            imports = f"from datetime import date\n{imports}"
        if has_alias(self.fields):
            imports += "from pydantic import ConfigDict, Field\n\n"
        subject = self._subjects()["subject"]
        names = sorted([subject, "Evidence", "EvidenceRequested", "NoRecord", "Provider", "SchemaFiles"])
        imports += f"from chopar import {', '.join(names)}, subject_of\n"
        imports += "from chopar.conformance import Case, Conformance, Example\n"
        if any(field.parts for field in self.fields):
            imports += "from chopar.messages.record import Part\n"
        return {
            "imports": imports,
            "classes": f"\n\n\n{python_classes(self.fields, self.record, f'{self.package}.{self.record}')}",
            "schemas": '\nSCHEMAS = Path(__file__).parent / "schemas"',
            "more": ", files",
            "made": "\n    files = SchemaFiles.shipped().with_texts(SchemaFiles.from_folder(SCHEMAS).texts)",
            "schema_fields": avro_fields(self.fields),
            "example_fields": example(self.fields),
            "about_record": (
                f"2. `{self.package}/schemas/{self.record}.avsc`: the record, a sentence on every field. The class in "
                f"`provider.py` has the same\n   fields; their kinds were guessed from their names where they were not "
                f"given: correct both."
            ),
            "push": f"    chopar schema push {self.package}/schemas        # once for each change of the schema\n",
        }

    def _of_library(self) -> dict[str, str]:
        assert self.shipped is not None
        subject = self._subjects()["subject"]
        names = sorted([subject, "EvidenceRequested", "NoRecord", "Provider"])
        imports = (
            f"from typing import Any\n\nfrom chopar import {', '.join(names)}, subject_of\n"
            f"from chopar.conformance import Case, Conformance, Example\n"
            f"from {self.shipped.__module__} import {self.record}\n"
        )
        return {
            "imports": imports,
            "module": self.shipped.__module__,
            "classes": "",
            "schemas": "",
            "more": "",
            "made": "",
            "example_fields": _example_of(self.shipped),
            "about_record": (
                f"2. `{self.shipped.RECORD}` is the record of this evidence type; the library ships it, and its schema."
            ),
            "push": "",
        }


def shipped_record(name: str) -> type[Evidence] | None:
    """The class that the library ships for a record of this name, if it does."""
    for module in _SHIPPED_IN:
        found = getattr(import_module(f"chopar.messages.{module}"), name, None)
        if isinstance(found, type) and issubclass(found, Evidence) and getattr(found, "RECORD", "").endswith(name):
            return found
    return None


def _example_of(record: type[Evidence]) -> str:
    """An entry with the simple fields of a shipped record; what is a list or a date is left unknown."""
    from chopar.avro import SchemaFiles

    schema = json.loads(SchemaFiles.shipped().text(record.RECORD))
    said = []
    for field in schema["fields"]:
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
        kind = next((one for one in kinds if isinstance(one, str) and one != "null"), "")
        if field["name"] not in Evidence.model_fields and kind in _EXAMPLES and "null" in kinds:
            said.append(f'"{field["name"]}": {_EXAMPLES[kind]}')
    return ", ".join(said)


def write(plan: Plan, folder: Path) -> list[str]:
    """Write the files of a plan into a folder that does not exist yet, or is empty.

    Returns:
        The paths written, sorted.

    Raises:
        ConfigurationError: there is something already, and nothing is overwritten; or it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} exists already, and nothing in it is overwritten")
    files = plan.files()
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror}") from error
    return sorted(files)
