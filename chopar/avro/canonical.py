"""What two texts of one Avro schema have in common: checks a text and gives its canonical form. Pure.

Two texts mean the same schema if they differ only in white space, the order of JSON keys, how a name is qualified, or
how a plain type is written. Everything else (docs, defaults, aliases, attributes of one's own) makes another schema,
unlike in Avro's own "parsing canonical form", which drops defaults and would give one id to contracts that read
differently. Which ids contents have is left to `model`.
"""

import json
import re
from typing import Any

import fastavro

from chopar.errors import ChoparError
from chopar.near import near_misses

MAX_DEPTH = 128
"""Levels of JSON in a schema. Ours need 10; recursion into a text from the network needs a bound."""

_MOST_LOOKS = 200_000  # at values of defaults: a union of records in each of them multiplies with every level

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_NAMED = frozenset({"record", "error", "enum", "fixed"})
_MEANT = {
    "integer": "int",
    "short": "int",
    "bigint": "long",
    "number": "double",
    "real": "double",
    "decimal": 'bytes with a "logicalType"',
    "str": "string",
    "text": "string",
    "char": "string",
    "varchar": "string",
    "uuid": 'string with a "logicalType"',
    "bool": "boolean",
    "binary": "bytes",
    "none": "null",
    "date": 'int with a "logicalType"',
    "datetime": 'long with a "logicalType"',
    "timestamp": 'long with a "logicalType"',
}
"""What plain types are called elsewhere."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ORDERS = ("ascending", "descending", "ignore")
_RANGES = {"int": 2**31, "long": 2**63}
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")  # JSON has no others for them
_STUMBLES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What fastavro raises, its own error apart, on attributes of a wrong kind."""


class InvalidSchemaError(ChoparError):
    """A text is no valid Avro schema; the message says where and why."""

    code = "invalid_schema"


def canonical_form(text: str) -> str:
    """The canonical form of a schema's text; equal for texts that mean the same schema.

    Raises:
        InvalidSchemaError: no valid Avro schema, or nested deeper than `MAX_DEPTH`.
    """
    schema = _json(text)
    _check_depth(schema)
    walk = _Walk()
    canonical = walk.schema(schema, "", "the schema")
    walk.check_defaults()
    try:
        fastavro.parse_schema(schema)  # what the walk leaves out: logical types, defaults of enums
    except (fastavro.schema.SchemaParseException, *_STUMBLES) as error:
        raise InvalidSchemaError(_short(str(error)) or "it does not parse") from error
    return json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def check_defaults_of_unions(canonical: str) -> None:
    """Refuse a default that only a later type of its union takes.

    The specification allows it since Avro 1.12. Tools of before, and Apache's for Python still, do not read such a
    schema. It is a check of its own, for what is to be registered: what lies on a log already stays a schema.

    Args:
        canonical: form of a schema.

    Raises:
        InvalidSchemaError: there is such a default.
    """
    walk = _Walk(branches=1)
    walk.schema(json.loads(canonical), "", "the schema")
    walk.check_defaults()


def _json(text: str) -> Any:
    try:
        text.encode()
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise InvalidSchemaError(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except UnicodeEncodeError:
        raise InvalidSchemaError("it holds half a surrogate pair, which is no character") from None
    except json.JSONDecodeError as error:
        raise InvalidSchemaError(f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from error
    except ValueError as error:
        raise InvalidSchemaError("it holds a number that is too long") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidSchemaError("a JSON object in it has one key twice; readers would differ on which counts")
    return found


def _no_constant(name: str) -> Any:
    raise InvalidSchemaError(f"{name} is no JSON")


def _check_depth(value: Any) -> None:
    level: list[Any] = [[value]]
    for _ in range(MAX_DEPTH + 1):
        level = [
            part
            for outer in level
            for part in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(part, dict | list)
        ]
        if not level:
            return
    raise InvalidSchemaError(f"it is nested deeper than {MAX_DEPTH} levels")


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "…"


class _Walk:
    """One pass over a schema: checks it and rewrites it with full names.

    Args:
        branches: of a union whose values a default may be; by default all of them.
    """

    def __init__(self, branches: int | None = None) -> None:
        self._branches = branches
        self._named: set[str] = set()
        self._definitions: dict[str, Any] = {}
        self._defaults: list[tuple[str, Any, Any]] = []
        self._looks = 0

    def check_defaults(self) -> None:
        """Refuse a default that is no value of its field: a reader would be given it all the same."""
        for where, schema, default in self._defaults:
            if not self._is_value(default, schema):
                if self._branches is not None:  # all else about defaults was checked before
                    raise InvalidSchemaError(
                        f"{where}: the default is no value of the union's first type; put its type first in the union"
                    )
                raise InvalidSchemaError(f"{where}: the default is no value of the field's type")

    def _is_value(self, value: Any, schema: Any) -> bool:
        self._looks += 1
        if self._looks > _MOST_LOOKS:
            raise InvalidSchemaError("its defaults are too large to be checked")
        if isinstance(schema, list):
            return any(self._is_value(value, branch) for branch in schema[: self._branches])
        schema = self._definitions.get(schema, schema) if isinstance(schema, str) else schema
        kind = schema["type"] if isinstance(schema, dict) else schema
        if kind in _RANGES:
            return type(value) is int and -_RANGES[kind] <= value < _RANGES[kind]
        if kind in ("float", "double"):
            return type(value) in (int, float) or value in _NO_NUMBERS
        if kind in ("bytes", "fixed"):
            is_text = isinstance(value, str) and all(ord(character) < 256 for character in value)
            return is_text and (kind == "bytes" or len(value) == schema["size"])
        if kind == "enum":
            return value in schema["symbols"]
        if kind == "array":
            return isinstance(value, list) and all(self._is_value(item, schema["items"]) for item in value)
        if kind == "map":
            return isinstance(value, dict) and all(self._is_value(item, schema["values"]) for item in value.values())
        if kind in ("record", "error"):
            return isinstance(value, dict) and all(
                self._is_value(value[field["name"]], field["type"]) if field["name"] in value else "default" in field
                for field in schema["fields"]
            )
        return value is None if kind == "null" else isinstance(value, bool if kind == "boolean" else str)

    def schema(self, schema: Any, namespace: str, where: str) -> Any:
        if isinstance(schema, str):
            return self._reference(schema, namespace, where)
        if isinstance(schema, list):
            return self._union(schema, namespace, where)
        if not isinstance(schema, dict) or "type" not in schema:
            raise InvalidSchemaError(f'{where}: a type name, a union or an object with "type" is due')
        kind = schema["type"]
        if isinstance(kind, dict | list):
            raise InvalidSchemaError(f'{where}: "type" of a type cannot be a type itself; write the inner one alone')
        if kind in ("array", "map"):
            part = "items" if kind == "array" else "values"
            if part not in schema:
                raise InvalidSchemaError(f'{where}: "{part}" is missing')
            return {**schema, part: self.schema(schema[part], namespace, f"{where}, {part}")}
        if isinstance(kind, str) and kind in _NAMED:
            return self._definition(schema, kind, namespace, where)
        if not isinstance(kind, str):
            raise InvalidSchemaError(f'{where}: "type" must be a name')
        name = self._reference(kind, namespace, where)
        return name if len(schema) == 1 else {**schema, "type": name}

    def _reference(self, name: str, namespace: str, where: str) -> str:
        if name in _PRIMITIVES:
            return name
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        if full not in self._named:
            raise InvalidSchemaError(
                f"{where}: the type {_short(full)!r} is not defined before it is used{_meant(name)}"
            )
        return full

    def _union(self, branches: list[Any], namespace: str, where: str) -> list[Any]:
        seen: set[str] = set()
        canonical = []
        for branch in branches:
            if isinstance(branch, list):
                raise InvalidSchemaError(f"{where}: a union stands directly in a union")
            found = self.schema(branch, namespace, where)
            kind = found if isinstance(found, str) else str(found["type"])
            kind = str(found["name"]) if kind in _NAMED else kind
            if kind in seen:
                raise InvalidSchemaError(f"{where}: the union has {_short(kind)!r} twice")
            seen.add(kind)
            canonical.append(found)
        return canonical

    def _definition(self, schema: dict[str, Any], kind: str, namespace: str, where: str) -> dict[str, Any]:
        full = self._full_name(schema, namespace, where)
        if full in self._named or full in _PRIMITIVES:
            raise InvalidSchemaError(f"{where}: the type {_short(full)!r} is defined twice")
        self._named.add(full)
        inner = full.rpartition(".")[0]
        canonical = {key: value for key, value in schema.items() if key != "namespace"}
        canonical["name"] = full
        if "aliases" in schema:
            aliases = schema["aliases"]
            _texts(aliases, f'{where}: "aliases"')
            canonical["aliases"] = [a if "." in a or not inner else f"{inner}.{a}" for a in aliases]
        if kind == "enum":
            _texts(schema.get("symbols"), f'{where}: "symbols"')
        elif kind == "fixed":
            size = schema.get("size")
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise InvalidSchemaError(f'{where}: "size" must be a number of bytes')
        else:
            canonical["fields"] = self._fields(schema.get("fields"), inner, full)
        self._definitions[full] = canonical
        return canonical

    @staticmethod
    def _full_name(schema: dict[str, Any], namespace: str, where: str) -> str:
        name, own = schema.get("name"), schema.get("namespace", namespace)
        if not isinstance(name, str) or not (isinstance(own, str) or own is None):
            raise InvalidSchemaError(f'{where}: "name" and "namespace" must be texts')
        full = name if "." in name or not own else f"{own}.{name}"
        if not all(_NAME.fullmatch(part) for part in full.split(".")):
            raise InvalidSchemaError(
                f"{where}: {_short(full)!r} is no name; letters, digits and underscores, no digit first"
            )
        return full

    def _fields(self, fields: Any, namespace: str, record: str) -> list[dict[str, Any]]:
        if not isinstance(fields, list):
            raise InvalidSchemaError(f'{record}: "fields" must be a list')
        seen: set[str] = set()
        canonical = []
        for field in fields:
            name = field.get("name") if isinstance(field, dict) else None
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise InvalidSchemaError(f"{record}: a field needs a name of letters, digits and underscores")
            where = f"{record}.{_short(name)}"
            if name in seen:
                raise InvalidSchemaError(f"{where}: the field stands twice")
            if "type" not in field:
                raise InvalidSchemaError(f'{where}: "type" is missing')
            if "aliases" in field:
                _texts(field["aliases"], f'{where}: "aliases"')
            if field.get("order", "ascending") not in _ORDERS:
                raise InvalidSchemaError(f'{where}: "order" is none of {", ".join(_ORDERS)}')
            seen.add(name)
            canonical.append({**field, "type": self.schema(field["type"], namespace, where)})
            if "default" in field:
                self._defaults.append((where, canonical[-1]["type"], field["default"]))
        return canonical


def _meant(name: str) -> str:
    """A question behind a sentence's end, if a name that nobody defined looks like a plain type."""
    near = near_misses(name.lower(), _PRIMITIVES | _MEANT.keys())
    return f"; did you mean {_MEANT.get(near[0], near[0])}?" if near else ""


def _texts(value: Any, where: str) -> None:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise InvalidSchemaError(f"{where} must be a list of texts")
