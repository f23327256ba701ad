"""The fields of an evidence record as `chopar provider init` writes them: in Python, in Avro, and as an example.

A field is named as grounds name it: `since`, or `periods.from` for a field of each record in the list `periods`.
"""

import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chopar.errors import ConfigurationError
from chopar.messages.evidence import Evidence

_FIELD = re.compile(r"[a-z][a-z0-9_]*")
_OF_LIBRARY = frozenset({"fields_given", "source_register", "as_of", "register_coverage", "linked_by"})
_INDENT = " " * 4


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
_GUESSED = (
    (re.compile(r".*_on|since|from|until|valid_until|in_force_since|.*_date"), "date"),
    (
        re.compile(r"has_.*|is_.*|matches|registered|in_force|.*_valid|examined|cancelled|lone_parent|employed"),
        "boolean",
    ),
    (re.compile(r".*_tiyin|.*_soum|.*_grams|.*_metres|.*_days|count"), "long"),
)
"""The kind of a field of which only the name is known, by how names are built; what else, is text."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the record, or a list of records with fields of their own (`kind` is empty)."""

    name: str
    kind: str = ""
    parts: tuple["Field", ...] = ()

    @property
    def is_date(self) -> bool:
        """Whether Python's `date` is needed for it."""
        return self.kind == "date" or any(part.is_date for part in self.parts)


def typed(fields: Iterable[str]) -> tuple[Field, ...]:
    """Fields as they are typed, `NAME:KIND`.

    Raises:
        ConfigurationError: says which is none, and what is due.
    """
    named: dict[str, str] = {}
    for field in fields:
        name, _, kind = field.partition(":")
        if kind not in _KINDS:
            raise ConfigurationError(f"--field: NAME:KIND is due, KIND one of {', '.join(_KINDS)}")
        if name in named:
            raise ConfigurationError(f"--field {name}: it is given twice")
        named[name] = kind
    return _fields(named)


def guessed(names: Iterable[str]) -> tuple[Field, ...]:
    """Fields of which the grounds say the names alone.

    Raises:
        ConfigurationError: a name cannot be one of Python's; `--field` says others.
    """
    found = {}
    for name in dict.fromkeys(names):
        last = name.rpartition(".")[2]
        found[name] = next((kind for pattern, kind in _GUESSED if pattern.fullmatch(last)), "string")
    whole = {name.partition(".")[0] for name in found if "." in name}
    return _fields({name: kind for name, kind in found.items() if name not in whole})


def _fields(named: Mapping[str, str]) -> tuple[Field, ...]:
    parts: dict[str, list[Field]] = {}
    simple: dict[str, Field] = {}
    for name, kind in named.items():
        outer, dot, inner = name.partition(".")
        if not all(_FIELD.fullmatch(part) for part in (outer, *([inner] if dot else []))):
            raise ConfigurationError("--field: small letters, digits and low lines, at most one dot between two names")
        if outer in _OF_LIBRARY:
            raise ConfigurationError(f"--field {outer}: every evidence has one already")
        if (
            hasattr(Evidence, outer)
            or hasattr(Evidence, inner)
            or {outer, inner} & {one.python for one in _KINDS.values()}
        ):
            raise ConfigurationError(f"--field {name}: a model's field cannot have that name")
        if dot:
            parts.setdefault(outer, []).append(Field(inner, kind))
        else:
            simple[outer] = Field(outer, kind)
    both = sorted(simple.keys() & parts.keys())
    if both:
        raise ConfigurationError(f"--field {both[0]}: it is a list of records and something else at once")
    made = {**simple, **{name: Field(name, parts=tuple(found)) for name, found in parts.items()}}
    return tuple(made[name] for name in dict.fromkeys(full.partition(".")[0] for full in named))


def part_name(field: Field) -> str:
    """The name of the record in a list: `Period` for `periods`."""
    name = "".join(part.capitalize() for part in field.name.split("_"))
    return name.removesuffix("s") if name.endswith("s") and not name.endswith("ss") else f"{name}Part"


def python_classes(fields: Iterable[Field], record: str, full_name: str) -> str:
    """The classes: one of each record in a list, then the evidence itself."""
    blocks = []
    for field in fields:
        if field.parts:
            doc = f'    """One of the {field.name}."""'
            blocks.append(f"class {part_name(field)}(Part):\n{doc}\n\n{_python_fields(field.parts)}")
    doc = '    """What is known. Every field may be null: the library cuts what the asker has no ground to know."""'
    name = f'    RECORD: ClassVar[str] = "{full_name}"'
    blocks.append(f"class {record}(Evidence):\n{doc}\n\n{name}\n\n{_python_fields(fields)}")
    return "\n\n\n".join(blocks)


def _python_fields(fields: Iterable[Field]) -> str:
    lines, aliased = [], False
    for field in fields:
        kind = f"tuple[{part_name(field)}, ...]" if field.parts else _KINDS[field.kind].python
        if keyword.iskeyword(field.name):
            aliased = True
            lines.append(f'{_INDENT}{field.name}_: {kind} | None = Field(default=None, alias="{field.name}")')
        else:
            lines.append(f"{_INDENT}{field.name}: {kind} | None = None")
    if aliased:  # a name that Python keeps for itself
        lines.insert(0, f"{_INDENT}model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)\n")
    return "\n".join(lines)


def has_alias(fields: Iterable[Field]) -> bool:
    """Whether a field has a name that Python keeps for itself."""
    return any(keyword.iskeyword(one.name) for field in fields for one in (field, *field.parts))


def avro_fields(fields: Iterable[Field], margin: int = 4) -> str:
    """The fields in the record's `.avsc`, each behind a comma's."""
    return "\n".join(f"{_avro_field(field, ' ' * margin)}," for field in fields)


def _avro_field(field: Field, margin: str) -> str:
    kind = '["null", ' + (_avro_list(field, margin) if field.parts else _KINDS[field.kind].avro) + "]"
    lines = (
        f'"name": "{field.name}",',
        f'"type": {kind},',
        f'"doc": "Say here what {field.name} means.",',
        '"default": null',
    )
    return "\n".join((f"{margin}{{", *(f"{margin}  {line}" for line in lines), f"{margin}}}"))


def _avro_list(field: Field, margin: str) -> str:
    inner = ",\n".join(_avro_field(part, f"{margin}      ") for part in field.parts)
    lines = (
        '    "type": "record",',
        f'    "name": "{part_name(field)}",',
        f'    "doc": "Say here what one of the {field.name} is.",',
        '    "fields": [',
    )
    head = "\n".join(f"{margin}{line}" for line in lines)
    return f'{{"type": "array", "items": {{\n{head}\n{inner}\n{margin}    ]\n{margin}  }}}}'


def example(fields: Iterable[Field]) -> str:
    """An entry of the register, as Python writes it."""
    said = []
    for field in fields:
        value = f"[{{{example(field.parts)}}}]" if field.parts else _KINDS[field.kind].example
        said.append(f'"{field.name}": {value}')
    return ", ".join(said)
