"""Which schemas read each other: rule by rule, and against what decoders do with generated schemas and records."""

import copy
import io
import json
import random
import string
from collections.abc import Callable
from typing import Any

import avro.compatibility
import avro.schema
import fastavro
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from chopar.avro.canonical import InvalidSchemaError, canonical_form
from chopar.avro.compatibility import MAX_BREAKS, Break, Kind, Level, breaks, merged, reasons


def record(*fields: Any, **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": "a.R", "fields": list(fields), **more}


def field(kind: Any, name: str = "x", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "a.E", "symbols": list(symbols), **more}


def fixed(size: int, name: str = "a.F", **more: Any) -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size, **more}


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


def logical(kind: str, name: str) -> dict[str, Any]:
    return {"type": kind, "logicalType": name}


def canonical(schema: Any) -> Any:
    return json.loads(canonical_form(json.dumps(schema)))


def found(writer: Any, reader: Any) -> list[Break]:
    return breaks(canonical(writer), canonical(reader))


NODE = {"type": "record", "name": "a.Node", "fields": [field(["null", "a.Node"], "next", default=None)]}

READABLE: dict[str, tuple[Any, Any]] = {
    "the same": (record(field("int")), record(field("int"))),
    "int to long": (record(field("int")), record(field("long"))),
    "int to double": (record(field("int")), record(field("double"))),
    "long to float": (record(field("long")), record(field("float"))),
    "float to double": (record(field("float")), record(field("double"))),
    "string to bytes": (record(field("string")), record(field("bytes"))),
    "field gone": (record(field("int"), field("int", "y")), record(field("int"))),
    "field new with default": (record(field("int")), record(field("int"), field("int", "y", default=0))),
    "fields in another order": (record(field("int"), field("string", "y")), record(field("string", "y"), field("int"))),
    "field by alias": (record(field("int")), record(field("int", "y", aliases=["x"]))),
    "record by alias": (record(), {**record(aliases=["R"]), "name": "a.New"}),
    "record by alias elsewhere": (record(), {**record(aliases=["a.R"]), "name": "b.New"}),
    "enum with more symbols": (enum("A"), enum("A", "B")),
    "enum with a default": (enum("A", "B"), enum("A", default="A")),
    "fixed by alias": (fixed(2), fixed(2, "a.G", aliases=["F"])),
    "into a union": ("int", ["null", "int"]),
    "promoted into a union": ("int", ["null", "double"]),
    "union in another order": (["null", "int"], ["int", "null"]),
    "union to its one type": (["int"], "long"),
    "union that has the type and a wider one": (["long", logical("int", "date")], ["long", logical("int", "date")]),
    "union widened": (["null", "int"], ["null", "long", "string"]),
    "array": ({"type": "array", "items": "int"}, {"type": "array", "items": ["null", "long"]}),
    "map": ({"type": "map", "values": "int"}, {"type": "map", "values": "long"}),
    "recursive": (NODE, NODE),
    "decimal": (decimal(9, 2), decimal(9, 2)),
    "decimal without scale": ({"type": "bytes", "logicalType": "decimal", "precision": 9}, decimal(9, 0)),
    "logical type nobody knows": (logical("string", "pinfl"), "string"),
    "logical type on another type": (logical("string", "date"), "string"),
}

BROKEN: dict[str, tuple[Any, Any, list[tuple[Kind, str]]]] = {
    "another type": (record(field("string")), record(field("int")), [(Kind.TYPE_MISMATCH, "x")]),
    "long to int": (record(field("long")), record(field("int")), [(Kind.TYPE_MISMATCH, "x")]),
    "bytes are no text": (record(field("bytes")), record(field("string")), [(Kind.TYPE_MISMATCH, "x")]),
    "field new without default": (
        record(),
        record(field("int"), field("int", "y")),
        [(Kind.READER_FIELD_MISSING_DEFAULT_VALUE, "x"), (Kind.READER_FIELD_MISSING_DEFAULT_VALUE, "y")],
    ),
    "alias of the writer's does not help": (
        record(field("int", "y", aliases=["x"])),
        record(field("int")),
        [(Kind.READER_FIELD_MISSING_DEFAULT_VALUE, "x")],
    ),
    "two fields for one": (
        record(field("int"), field("int", "y")),
        record(field("int", aliases=["y"])),
        [(Kind.AMBIGUOUS_ALIAS, "x")],
    ),
    "an alias beside the name": (
        record(field("int", "y")),
        record(field("int", "y"), field("int", "w", aliases=["y"], default=0)),
        [(Kind.AMBIGUOUS_ALIAS, "y"), (Kind.AMBIGUOUS_ALIAS, "w")],
    ),
    "record of another name": (record(), {**record(), "name": "a.S"}, [(Kind.NAME_MISMATCH, "")]),
    "record of another namespace": (record(), {**record(), "name": "b.R"}, [(Kind.NAME_MISMATCH, "")]),
    "record and enum of one name": (record(), {**enum("A"), "name": "a.R"}, [(Kind.TYPE_MISMATCH, "")]),
    "enum without a symbol": (enum("A", "B"), enum("A"), [(Kind.MISSING_ENUM_SYMBOLS, "")]),
    "fixed of another size": (fixed(2), fixed(3), [(Kind.FIXED_SIZE_MISMATCH, "")]),
    "fixed of another name": (fixed(2), fixed(2, "a.G"), [(Kind.NAME_MISMATCH, "")]),
    "union narrowed": (["null", "int"], "int", [(Kind.MISSING_UNION_BRANCH, "")]),
    "union without a branch": (["null", "int", "string"], ["null", "int"], [(Kind.MISSING_UNION_BRANCH, "")]),
    "nothing of a union": ("string", ["null", "int"], [(Kind.MISSING_UNION_BRANCH, "")]),
    "bytes where a union has text first": ("bytes", ["string", "bytes"], [(Kind.TYPE_MISMATCH, "")]),
    "deep inside": (
        record(field({"type": "array", "items": {"type": "map", "values": record(field("string")) | {"name": "a.I"}}})),
        record(field({"type": "array", "items": {"type": "map", "values": record(field("int")) | {"name": "a.I"}}})),
        [(Kind.TYPE_MISMATCH, "x[]{}.x")],
    ),
    "decimal of another scale": (decimal(9, 2), decimal(9, 4), [(Kind.LOGICAL_TYPE_MISMATCH, "")]),
    "decimal of another precision": (decimal(9, 2), decimal(12, 2), [(Kind.LOGICAL_TYPE_MISMATCH, "")]),
    "date to time": (logical("int", "date"), logical("int", "time-millis"), [(Kind.LOGICAL_TYPE_MISMATCH, "")]),
    "millis to micros": (
        logical("long", "timestamp-millis"),
        logical("long", "timestamp-micros"),
        [(Kind.LOGICAL_TYPE_MISMATCH, "")],
    ),
    "date promoted to a time": (
        logical("int", "date"),
        logical("long", "timestamp-millis"),
        [(Kind.LOGICAL_TYPE_MISMATCH, "")],
    ),
    "date to a number": (logical("int", "date"), "int", [(Kind.LOGICAL_TYPE_MISMATCH, "")]),
}


@pytest.mark.parametrize(("writer", "reader"), READABLE.values(), ids=READABLE.keys())
def test_what_is_readable(writer: Any, reader: Any) -> None:
    assert found(writer, reader) == []


@pytest.mark.parametrize(("writer", "reader", "due"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_not_and_where(writer: Any, reader: Any, due: list[tuple[Kind, str]]) -> None:
    assert [(one.kind, one.path) for one in found(writer, reader)] == due


ONE, TWO = record(field("int")), record(field("int"), field("int", "y"))


@pytest.mark.parametrize(
    ("level", "is_allowed"),
    [
        ("NONE", True),
        ("BACKWARD", False),
        ("BACKWARD_TRANSITIVE", False),
        ("FORWARD", True),
        ("FORWARD_TRANSITIVE", True),
        ("FULL", False),
        ("FULL_TRANSITIVE", False),
    ],
)
def test_a_field_without_default_is_added_or_taken_away(level: str, is_allowed: bool) -> None:
    one, two = canonical_form(json.dumps(ONE)), canonical_form(json.dumps(TWO))
    assert (reasons(Level(level), two, {1: one}) == []) is is_allowed
    mirrored = {"BACKWARD": "FORWARD", "FORWARD": "BACKWARD"}
    direction, _, rest = level.partition("_")
    other_way = Level("_".join(filter(None, [mirrored.get(direction, direction), rest])))
    assert (reasons(other_way, one, {1: two}) == []) is is_allowed


def test_only_a_transitive_level_looks_behind_the_latest() -> None:
    texts = {
        number: canonical_form(json.dumps(schema))
        for number, schema in ((1, record(field("string"))), (2, record()), (3, record(field("int", default=0))))
    }
    earlier = {1: texts[1], 2: texts[2]}
    assert reasons(Level.BACKWARD, texts[3], earlier) == []
    [said] = reasons(Level.BACKWARD_TRANSITIVE, texts[3], earlier)
    assert said == "x is int, but version 1 wrote string; keep that type, or use a field of another name"


def test_each_direction_says_what_its_author_can_do() -> None:
    one, two = canonical_form(json.dumps(ONE)), canonical_form(json.dumps(TWO))
    assert reasons(Level.FULL, two, {4: one}) == ["y is not in version 4 and has no default; give it one"]
    assert reasons(Level.FULL, one, {4: two}) == [
        "y is missing, and readers with version 4 have no default for it; keep it"
    ]


def test_a_change_of_a_union_has_one_remedy() -> None:
    one, two = (canonical_form(json.dumps(record(field(["null", kind])))) for kind in ("int", "string"))
    remedy = "keep the type as it was, or use a field of another name"
    assert reasons(Level.FULL, two, {1: one}) == [
        f"x does not take int, which version 1 may have written; {remedy}",
        f"x may be string, which readers with version 1 do not take; {remedy}",
    ]


def test_what_the_guide_warns_of_is_not_refused() -> None:
    old, new = (canonical_form(json.dumps(record(field(["null", "int"], x, default=None)))) for x in "ab")
    assert reasons(Level.FULL_TRANSITIVE, new, {1: old}) == []
    enum = {"type": "enum", "name": "E", "default": "A"}
    old, new = (canonical_form(json.dumps(record(field({**enum, "symbols": s})))) for s in (["A", "B"], ["A"]))
    assert reasons(Level.FULL_TRANSITIVE, new, {1: old}) == []


def test_reasons_that_differ_in_the_version_alone_are_one() -> None:
    said = [f"x is not in version {number} and has no default" for number in (12, 7, 3, 2, 1)]
    strange = ["version 4 is no schema; delete that version", "version 5 is no schema; delete that version"]
    others = ["y is not in version 9 and has no default", "somebody else's words", "somebody else's words"]
    assert merged([*strange, *said, *others]) == [
        *strange,
        "x is not in versions 1 to 3, 7 and 12 and has no default",
        "y is not in version 9 and has no default",
        "somebody else's words",
    ]
    assert merged([]) == []
    assert merged(["in version 2", "in version 1"]) == ["in versions 1 and 2"]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_words_for_both_directions(kind: Kind) -> None:
    writer, reader = next((w, r) for w, r, due in BROKEN.values() if due[0][0] is kind)
    one, other = canonical_form(json.dumps(writer)), canonical_form(json.dumps(reader))
    for level, new, old in ((Level.BACKWARD, other, one), (Level.FORWARD, one, other)):
        [said, *_] = reasons(level, new, {7: old})
        assert "version 7" in said
        assert "{" not in said.replace("{}", "")


def test_a_chain_of_names_and_a_wide_union_are_compared_in_bounds() -> None:
    chain = [field(record() | {"name": "a.N0"}, "f0")]
    for number in range(1, 3000):
        inner = record(field(f"a.N{number - 1}")) | {"name": f"a.N{number}"}
        chain.append(field(inner, f"f{number}"))
    reader = record(*reversed([{**one, "default": {}} for one in chain]))
    for number, one in enumerate(reader["fields"]):  # defined outside in: the longest way first
        one["type"] = chain[len(chain) - 1 - number]["type"] if number == 0 else f"a.N{len(chain) - 1 - number}"
    assert breaks(record(*chain), record(*chain)) == []
    wide = [fixed(1, f"a.F{number}") for number in range(5000)]
    strange = [fixed(1, f"a.G{number}") for number in range(5000)]
    assert breaks(wide, wide) == []
    assert len(breaks(wide, strange)) == MAX_BREAKS
    assert all(len(one.expected) <= 120 for one in breaks(wide, strange))


def test_what_would_take_minutes_is_refused() -> None:
    writers = [field(record(field("int")) | {"name": f"a.W{number}"}, f"f{number}") for number in range(2000)]
    aliases = [f"a.W{number}" for number in range(2000)]
    many = [field("int", f"x{number}", default=0) for number in range(2000)]
    reader = [field({**record(*many), "name": "a.V", "aliases": aliases}, "f0")]
    reader += [field("a.V", f"f{number}") for number in range(1, 2000)]
    with pytest.raises(InvalidSchemaError, match="too large"):
        breaks(record(*writers), record(*reader))


# Generated schemas: a writer's, and a reader's made from it by a few changes.

_PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
_LOGICAL = (
    logical("int", "date"),
    logical("int", "time-millis"),
    logical("long", "timestamp-millis"),
    logical("string", "uuid"),
    decimal(9, 2),
    decimal(9, 3),
)


class Maker:
    """Makes schemas, changes of them, and values by them."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._names = 0
        self._known: dict[str, Any] = {}

    def schema(self, depth: int = 0) -> Any:
        pick = self._chance.randrange(14 if depth < 3 else 9)
        if pick < 8:
            return _PRIMITIVES[pick]
        if pick == 8:
            return self._chance.choice(_LOGICAL)
        if pick == 9:
            return {"type": "array", "items": self.schema(depth + 1)}
        if pick == 10:
            return {"type": "map", "values": self.schema(depth + 1)}
        if pick == 11:
            return self._union(depth)
        if pick == 12 and self._known:
            return self._chance.choice(sorted(self._known))
        return self._definition(depth)

    def _union(self, depth: int) -> list[Any]:
        branches: dict[str, Any] = {}
        for _ in range(self._chance.randint(1, 4)):
            branch = self.schema(depth + 1)
            if not isinstance(branch, list):
                kind = branch if isinstance(branch, str) else branch["type"]
                branches.setdefault(branch["name"] if kind in ("record", "enum", "fixed") else kind, branch)
        return list(branches.values()) or ["null"]

    def _definition(self, depth: int) -> Any:
        name = f"{self._chance.choice('ab')}.N{self._names}"
        self._names += 1
        pick = self._chance.randrange(4)
        if pick == 0:
            made: Any = {"type": "enum", "name": name, "symbols": list("ABC"[: self._chance.randint(1, 3)])}
        elif pick == 1:
            made = fixed(self._chance.randint(0, 3), name)
        else:
            made = {"type": "record", "name": name, "fields": []}
            made["fields"] = [self.field(depth, letter) for letter in "xyz"[: self._chance.randint(0, 3)]]
        self._known[name] = made
        return made

    def field(self, depth: int, name: str) -> dict[str, Any]:
        kind = self.schema(depth + 1)
        made = {"name": name, "type": kind}
        if self._chance.random() < 0.3:
            made |= {"type": ["null", kind] if kind in ("int", "string") else "int"}
            made["default"] = None if isinstance(made["type"], list) else 0
        return made

    def changed(self, schema: Any) -> Any:
        """A copy with some changes, that need not be a valid schema."""
        made = copy.deepcopy(schema)
        for _ in range(self._chance.randint(0, 3)):
            made = self._change(made)
        return made

    def _change(self, schema: Any) -> Any:
        chance = self._chance
        if isinstance(schema, list):
            index = chance.randrange(len(schema))
            pick = chance.randrange(4)
            if pick == 0:
                return schema[:index] + schema[index + 1 :] or "null"
            if pick == 1:
                return [*schema[:index], chance.choice(_PRIMITIVES), *schema[index:]]
            if pick == 2:
                return list(reversed(schema))
            return [*schema[:index], self._change(schema[index]), *schema[index + 1 :]]
        if isinstance(schema, str) or schema["type"] in _PRIMITIVES:
            pick = chance.randrange(3)
            wider = {"int": "long", "long": "double", "float": "double", "string": "bytes", "bytes": "string"}
            if pick == 0 and isinstance(schema, str):
                return ["null", schema] if schema != "null" else ["null", "int"]
            return wider.get(schema, "int") if pick == 1 and isinstance(schema, str) else self._other(schema)
        if schema["type"] in ("array", "map"):
            part = "items" if schema["type"] == "array" else "values"
            return {**schema, part: self._change(schema[part])} if chance.random() < 0.8 else schema[part]
        return self._change_named(schema)

    def _other(self, schema: Any) -> Any:
        return self._chance.choice([schema, *_LOGICAL, "string"])

    def _change_named(self, schema: dict[str, Any]) -> Any:
        chance = self._chance
        if chance.random() < 0.1:
            named = f"{chance.choice('ab')}.{chance.choice(['N0', 'N1', 'M'])}"
            return {**schema, "name": named, "aliases": chance.choice([[], [schema["name"]]])}
        if schema["type"] == "enum":
            more = {"default": schema["symbols"][0]} if chance.random() < 0.5 else {}
            return {**schema, "symbols": list("ABCD"[: chance.randint(1, 4)]), **more}
        if schema["type"] == "fixed":
            return {**schema, "size": chance.randint(0, 3)}
        fields = schema["fields"]
        pick = chance.randrange(6)
        if pick == 0 or not fields:
            new = self.field(3, "n")
            return {**schema, "fields": [*fields, new if chance.random() < 0.3 else field("int", "n", default=1)]}
        index = chance.randrange(len(fields))
        rest = fields[:index] + fields[index + 1 :]
        if pick == 1:
            return {**schema, "fields": rest}
        if pick == 2:
            return {**schema, "fields": [fields[index], *rest]}
        if pick == 3:
            renamed = {**fields[index], "name": "w", "aliases": [chance.choice(["x", "y", fields[index]["name"]])]}
            return {**schema, "fields": [*rest, renamed]}
        kind = self._change(fields[index]["type"])
        return {**schema, "fields": [*fields[:index], {**fields[index], "type": kind}, *fields[index + 1 :]]}

    def value(self, schema: Any, names: dict[str, Any], depth: int = 0) -> Any:
        """A value by a canonical schema; of a union as fastavro wants it, with the name of the branch."""
        chance = self._chance
        if isinstance(schema, list):
            branch = "null" if depth > 4 and "null" in schema else chance.choice(schema)
            named = names.get(branch) if isinstance(branch, str) else branch if "name" in branch else None
            made = self.value(branch, names, depth + 1)
            return (named["name"], made) if named is not None else made
        if isinstance(schema, str) and schema in names:
            schema = names[schema]
        kind = schema["type"] if isinstance(schema, dict) else schema
        if kind == "record":
            return {one["name"]: self.value(one["type"], names, depth + 1) for one in schema["fields"]}
        if kind in ("enum", "fixed"):
            return chance.choice(schema["symbols"]) if kind == "enum" else chance.randbytes(schema["size"])
        if kind == "array":
            return [self.value(schema["items"], names, depth + 1) for _ in range(chance.randint(0, 2))]
        if kind == "map":
            return {key: self.value(schema["values"], names, depth + 1) for key in "kl"[: chance.randint(0, 2)]}
        return self._plain(kind)

    def _plain(self, kind: str) -> Any:
        chance = self._chance
        made: dict[str, Callable[[], Any]] = {
            "null": lambda: None,
            "boolean": lambda: chance.random() < 0.5,
            "int": lambda: chance.randint(-(2**31), 2**31 - 1),
            "long": lambda: chance.randint(-(2**63), 2**63 - 1),
            "float": lambda: float(chance.randint(-1000, 1000)),
            "double": lambda: float(chance.randint(-1000, 1000)),
            "bytes": lambda: bytes([chance.randrange(256), 0x80]),
            "string": lambda: chance.choice(["", "oʻ", string.ascii_letters]),
        }
        return made[kind]()


def definitions(schema: Any) -> dict[str, Any]:
    """The named types in a schema."""
    found: dict[str, Any] = {}
    for part in schema if isinstance(schema, list) else schema.values() if isinstance(schema, dict) else ():
        found |= definitions(part)
    if isinstance(schema, dict) and schema.get("type") in ("record", "enum", "fixed"):
        found[schema["name"]] = schema
    return found


def without_logical(schema: Any) -> Any:
    """Values are made of the types underneath: a writer of any language writes those."""
    if isinstance(schema, list):
        return [without_logical(part) for part in schema]
    if isinstance(schema, dict):
        return {key: without_logical(part) for key, part in schema.items() if key != "logicalType"}
    return schema


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**64))
def test_whatever_is_called_compatible_is_decoded(seed: int) -> None:
    chance = random.Random(seed)  # drawn one by one by Hypothesis, the choices cost ten times as much
    maker = Maker(chance)
    made = record(*(maker.field(0, letter) for letter in "xyz"[: chance.randint(1, 3)]))
    try:
        writer, reader = canonical(made), canonical(maker.changed(made))
    except InvalidSchemaError:
        event("no valid pair")
        return
    if breaks(writer, reader):
        event("incompatible")
        own = {(one.written, one.expected) for one in breaks(writer, writer)}
        assert own <= {("bytes", "string")}, "a schema reads itself, but for bytes after text in one union"
        return
    event("compatible, changed" if writer != reader else "compatible")
    plain, due = without_logical(writer), without_logical(reader)
    assert is_readable(writer, reader), "the field's own checker refuses it"
    parsed, wanted = fastavro.parse_schema(plain), fastavro.parse_schema(due)
    for _ in range(4):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, maker.value(plain, definitions(plain)))
        size = out.tell()
        out.seek(0)
        datum = fastavro.schemaless_reader(out, parsed, wanted)
        assert out.tell() == size
        again = io.BytesIO()
        fastavro.schemaless_writer(again, wanted, datum)  # what was read is a value of the reader's schema


def is_readable(writer: Any, reader: Any) -> bool:
    """What the checker of the Java libraries, in its Python port, says; it knows no logical types."""
    of_reader, of_writer = (avro.schema.parse(json.dumps(without_logical(schema))) for schema in (reader, writer))
    checker: Any = avro.compatibility.ReaderWriterCompatibilityChecker  # it says no types
    result = checker().get_compatibility(of_reader, of_writer)
    return bool(result.compatibility is avro.compatibility.SchemaCompatibilityType.compatible)


STRICTER = {
    "bytes where a union has text first",
    "bytes are no text",
    "record of another namespace",
    "two fields for one",
    "an alias beside the name",
    "decimal of another scale",
    "decimal of another precision",
    "date to time",
    "millis to micros",
    "date promoted to a time",
    "date to a number",
}


@pytest.mark.parametrize("case", [*READABLE, *BROKEN])
def test_the_fields_checker_agrees_but_where_this_one_is_stricter(case: str) -> None:
    writer, reader = (canonical(schema) for schema in ({**READABLE, **BROKEN}[case])[:2])
    assert is_readable(writer, reader) is (case in READABLE or case in STRICTER)
