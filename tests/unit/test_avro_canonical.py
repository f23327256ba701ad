"""Which texts mean the same schema, and which are none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopar.avro import SchemaFiles
from chopar.avro.canonical import MAX_DEPTH, InvalidSchemaError, canonical_form, check_defaults_of_unions


def record(fields: object, **more: object) -> str:
    return json.dumps({"type": "record", "name": "R", "namespace": "a.b", "fields": fields, **more})


def record_type(fields: object) -> dict[str, object]:
    return {"type": "record", "name": "Inner", "fields": fields}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            '{"type":"record","name":"a.b.R","fields":[]}',
            '{ "fields": [], "namespace":"a.b", "name":"R","type":"record"}',
        ),
        (record([{"name": "x", "type": "int"}]), record([{"type": {"type": "int"}, "name": "x"}])),
        (
            record([{"name": "n", "type": ["null", "R"], "default": None}]),
            record([{"name": "n", "type": ["null", "a.b.R"], "default": None}]),
        ),
        (record([], aliases=["Old"]), record([], aliases=["a.b.Old"])),
        ('"string"', '{"type": "string"}'),
    ],
    ids=["qualified-name", "plain-type", "reference", "alias", "primitive"],
)
def test_texts_that_mean_the_same_have_one_canonical_form(one: str, other: str) -> None:
    assert one != other
    assert canonical_form(one) == canonical_form(other)


@pytest.mark.parametrize(
    "other",
    [
        record([{"name": "x", "type": "int", "default": 1}]),
        record([{"name": "x", "type": "int", "default": 0, "doc": "Said."}]),
        record([{"name": "x", "type": "long", "default": 0}]),
        record([{"name": "x", "type": {"type": "int", "logicalType": "date"}, "default": 0}]),
        record([{"name": "x", "type": "int", "default": 0}], namespace="a.c"),
        record([{"name": "x", "type": "int", "default": 0, "aliases": ["y"]}]),
    ],
    ids=["default", "doc", "type", "logical-type", "namespace", "alias"],
)
def test_what_readers_could_see_makes_another_schema(other: str) -> None:
    assert canonical_form(record([{"name": "x", "type": "int", "default": 0}])) != canonical_form(other)


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        (["null", "string"], None),
        (["null", "string"], "a"),
        ("long", -(2**63)),
        ("double", "NaN"),
        ("double", 1),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4}, "\u00ff"),
        ({"type": "fixed", "name": "F", "size": 2}, "ab"),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "A"),
        ({"type": "map", "values": {"type": "array", "items": "boolean"}}, {"a": [True]}),
        (record_type([{"name": "y", "type": "int", "default": 0}]), {}),
        (["null", "R"], None),
    ],
)
def test_a_default_that_is_a_value_is_taken(kind: object, default: object) -> None:
    canonical_form(record([{"name": "x", "type": kind, "default": default}]))


def test_defaults_that_would_take_minutes_to_check_are_refused() -> None:
    names = [f"N{number}" for number in range(10)]
    fields: list[dict[str, object]] = []
    for number, name in enumerate(names):  # each may hold itself and those before it
        held = {"name": "f", "type": ["null", *names[: number + 1]]}
        fields.append({"name": f"d{number}", "type": {"type": "record", "name": name, "fields": [held]}})
    nested: dict[str, object] = {"f": 3}
    for _ in range(20):
        nested = {"f": nested}
    with pytest.raises(InvalidSchemaError, match="too large to be checked"):
        canonical_form(record([*fields, {"name": "x", "type": "N9", "default": nested}]))


def test_the_shipped_schemas_are_valid_and_differ() -> None:
    texts = SchemaFiles.shipped().texts
    assert len({canonical_form(text) for text in texts.values()}) == len(texts)


DEEP = '{"type":"array","items":' * (MAX_DEPTH + 1) + '"int"' + "}" * (MAX_DEPTH + 1)
INVALID = {
    "no_json": '{"type":',
    "not_a_type": "3",
    "half_a_surrogate": '"\ud800"',
    "not_a_number": '{"type":"int","x":NaN}',
    "long_number": '{"type":"int","x":' + "9" * 5000 + "}",
    "key_twice": '{"type":"int","type":"string"}',
    "unknown_type": '"money"',
    "record_without_fields": '{"type":"record","name":"R"}',
    "field_twice": record([{"name": "x", "type": "int"}, {"name": "x", "type": "int"}]),
    "field_without_type": record([{"name": "x"}]),
    "field_name_with_dash": record([{"name": "x-y", "type": "int"}]),
    "wrong_default": record([{"name": "x", "type": "int", "default": "one"}]),
    "default_of_no_branch": record(
        [{"name": "x", "type": ["null", {"type": "bytes", "logicalType": "d"}], "default": 0}]
    ),
    "default_out_of_range": record([{"name": "x", "type": "int", "default": 2**31}]),
    "default_no_symbol": record(
        [{"name": "x", "type": {"type": "enum", "name": "E", "symbols": ["A"]}, "default": "B"}]
    ),
    "default_too_short": record([{"name": "x", "type": {"type": "fixed", "name": "F", "size": 2}, "default": "a"}]),
    "default_without_a_field": record(
        [{"name": "x", "type": record_type([{"name": "y", "type": "int"}]), "default": {}}]
    ),
    "default_with_a_wrong_item": record([{"name": "x", "type": {"type": "array", "items": "int"}, "default": ["a"]}]),
    "order_is_a_list": record([{"name": "x", "type": "int", "order": []}]),
    "name_with_dash": '{"type":"record","name":"a-b","fields":[]}',
    "name_is_a_number": '{"type":"record","name":3,"fields":[]}',
    "defined_twice": record([{"name": "x", "type": {"type": "fixed", "name": "R", "size": 1}}]),
    "union_in_union": '["int",["string"]]',
    "union_repeats": '["int","int"]',
    "enum_repeats": '{"type":"enum","name":"E","symbols":["A","A"]}',
    "enum_of_a_text": '{"type":"enum","name":"E","symbols":"AB"}',
    "fixed_negative": '{"type":"fixed","name":"F","size":-1}',
    "type_of_a_type": '{"type":{"type":"string"}}',
    "too_deep": DEEP,
    "far_too_deep": '{"type":"array","items":' * 100_000,
    "brackets": "[" * 1_000_000,
}


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID.keys())
def test_bad_input_11_no_valid_schema_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(InvalidSchemaError) as caught:
        canonical_form(text)
    assert 0 < len(str(caught.value)) < 400


def test_a_schema_as_deep_as_allowed_is_taken() -> None:
    assert canonical_form('{"type":"array","items":' * MAX_DEPTH + '"int"' + "}" * MAX_DEPTH)


@pytest.mark.parametrize(
    ("kind", "default", "is_read_by_all"),
    [
        (["null", "int"], None, True),
        (["int", "null"], 0, True),
        (["int", "null"], None, False),
        (record_type([{"name": "y", "type": ["null", "int"]}]), {"y": 1}, False),
        ({"type": "array", "items": ["null", "int"]}, [None, 1], False),
        ({"type": "array", "items": ["null", "int"]}, [None], True),
    ],
)
def test_a_default_must_be_of_the_first_type_of_a_union_to_be_registered(
    kind: object, default: object, is_read_by_all: bool
) -> None:
    canonical = canonical_form(record([{"name": "x", "type": kind, "default": default}]))
    if is_read_by_all:
        check_defaults_of_unions(canonical)
    else:
        with pytest.raises(InvalidSchemaError, match=r"R\.x: .* put its type first"):
            check_defaults_of_unions(canonical)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("integer", "int"),
        ("bool", "boolean"),
        ("str", "string"),
        ("text", "string"),
        ("String", "string"),
        ("Int", "int"),
        ("bigint", "long"),
        ("date", 'int with a "logicalType"'),
        ("strng", "string"),
    ],
)
def test_an_unknown_type_that_looks_like_a_plain_one_says_what_may_be_meant(name: str, meant: str) -> None:
    with pytest.raises(InvalidSchemaError) as caught:
        canonical_form(record([{"name": "x", "type": ["null", name]}]))
    assert str(caught.value).endswith(f"is not defined before it is used; did you mean {meant}?")


@pytest.mark.parametrize("name", ["Money", "Address", "Status", "Period", "a.b.Person"])
def test_a_name_of_ones_own_that_is_not_defined_gets_no_guess(name: str) -> None:
    with pytest.raises(InvalidSchemaError, match=r"before it is used$"):
        canonical_form(record([{"name": "x", "type": name}]))


_NAMES = st.sampled_from(["type", "name", "fields", "symbols", "items", "size", "default", "namespace", "aliases", "x"])
_LEAVES = st.sampled_from(["record", "enum", "fixed", "array", "map", "int", "string", "null", "R", "a.R", ""]) | (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
)


@given(st.recursive(_LEAVES, lambda part: st.lists(part, max_size=4) | st.dictionaries(_NAMES, part, max_size=5)))
def test_whatever_json_is_sent_nothing_but_our_error_leaves(value: object) -> None:
    try:
        canonical = canonical_form(json.dumps(value))
    except InvalidSchemaError:
        return
    assert canonical_form(canonical) == canonical
