"""Small bodies that claim to be huge, and schemas that lead nowhere good: bounded before anything is allocated."""

import json
import tracemalloc
from typing import Any

import pytest

from chopar.avro import MAX_VALUE_BYTES, SchemaFiles, decode_body, encode_body, parse_schema
from chopar.errors import UndecodableError
from chopar.messages.demand import Demand
from chopar.schema_registry import Decoder, InMemorySchemaRegistry
from tests.builders import demand

FILES = SchemaFiles.shipped()
COUNTS = (2**31, 2**40, 2**62, 2**63 - 1, -1, -(2**62))
LITTLE_BYTES = 256 * 1024
MOST_BYTES = 128 * 1024 * 1024
"""Of a demand of one mebibyte that holds nothing but the smallest documents (85 MB measured)."""


def varint(number: int) -> bytes:
    """A zigzag long, as Avro has it."""
    left = ((number << 1) ^ (number >> 63)) & (2**64 - 1)
    out = bytearray()
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    return bytes(out) + bytes([left])


def schema_text(*types: Any) -> str:
    """A record with a field of each type."""
    fields = [{"name": f"f{number}", "type": kind} for number, kind in enumerate(types)]
    return json.dumps({"type": "record", "name": "R", "namespace": "t", "fields": fields})


def peak_bytes(body: bytes, schema: Any) -> int:
    """The most memory that refusing a body takes."""
    tracemalloc.start()
    try:
        with pytest.raises(UndecodableError):
            decode_body(body, schema)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(
    "kind", ["string", "bytes", {"type": "array", "items": "string"}, {"type": "map", "values": "string"}]
)
def test_bad_input_10_a_huge_length_is_refused_without_the_memory_for_it(kind: Any, count: int) -> None:
    schema = parse_schema(schema_text(kind))
    assert peak_bytes(varint(count) + b"\x00" * 100, schema) < LITTLE_BYTES


@pytest.mark.parametrize("count", COUNTS)
def test_bad_input_10_a_huge_length_at_every_place_of_a_demand(count: int) -> None:
    schema = FILES.parsed(Demand.RECORD)
    body = encode_body(schema, demand())
    bomb = varint(count)
    decodes = 0
    tracemalloc.start()
    try:
        for place in range(len(body)):
            try:
                decode_body(body[:place] + bomb + body[place + 1 :], schema)
            except UndecodableError:
                continue
            decodes += 1  # within a text it is only other characters; in the time at the end, another time
        assert tracemalloc.get_traced_memory()[1] < LITTLE_BYTES
    finally:
        tracemalloc.stop()
    assert decodes < len(body)


def test_bad_input_10_the_largest_demand_of_the_smallest_documents() -> None:
    schema = FILES.parsed(Demand.RECORD)
    body = encode_body(schema, demand().model_copy(update={"documents": ()}))
    start = len(body) - len(varint(int(demand().expires_at.timestamp() * 1000))) - 1
    assert body[start] == 0, "the empty array of documents"
    items = (MAX_VALUE_BYTES - 1000) // 3
    bomb = body[:start] + varint(2**62) + bytes(3 * items)
    assert peak_bytes(bomb, schema) < MOST_BYTES


def test_bad_input_10_what_a_compressed_batch_hid_is_not_decoded() -> None:
    schema = parse_schema(schema_text("bytes"))
    size = 64 * MAX_VALUE_BYTES
    assert peak_bytes(varint(size) + bytes(size), schema) < LITTLE_BYTES


EMPTY = {"type": "record", "name": "Empty", "fields": []}
DOUBLING = [EMPTY] + [
    {
        "type": "record",
        "name": f"D{n}",
        "fields": [{"name": f, "type": f"t.D{n - 1}" if n else "t.Empty"} for f in "ab"],
    }
    for n in range(40)
]


@pytest.mark.parametrize(
    "types",
    [
        [{"type": "array", "items": "null"}],
        [{"type": "array", "items": EMPTY}],
        [{"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}],
        [{"type": "array", "items": {"type": "record", "name": "Nulls", "fields": [
            {"name": f"n{n}", "type": "null" if n else "int"} for n in range(100)]}}],
        DOUBLING,
    ],
    ids=["nulls", "empty records", "fixed of none", "mostly nulls", "doubling"],
)  # fmt: skip
def test_bad_input_10_a_schema_by_which_few_bytes_hold_much_is_refused(types: list[Any]) -> None:
    with pytest.raises(UndecodableError, match="writer's schema"):
        parse_schema(schema_text(*types))


def nested(depth: int) -> Any:
    """Arrays in arrays."""
    kind: Any = "string"
    for _ in range(depth):
        kind = {"type": "array", "items": kind}
    return kind


# Each knows the one before by name, so the text is flat and the value is not.
CHAIN = [EMPTY | {"fields": [{"name": "a", "type": "int"}]}] + [
    {"type": "record", "name": f"C{n}", "fields": [
        {"name": "a", "type": {"type": "array", "items": f"t.C{n - 1}" if n else "t.Empty"}}]}
    for n in range(2000)
]  # fmt: skip


TOO_DEEP_FOR_JSON = schema_text("string").replace(
    '"string"', '{"type":"array","items":' * 50_000 + '"string"' + "}" * 50_000
)


@pytest.mark.parametrize(
    "text",
    [
        schema_text(["null", "t.R"]),
        schema_text({"type": "array", "items": "t.R"}),
        schema_text(nested(100)),
        schema_text(*CHAIN),
        TOO_DEEP_FOR_JSON,
    ],
    ids=["union", "array", "nested", "chain", "too deep for JSON"],
)
def test_bad_input_11_deep_recursion_is_refused_by_its_schema(text: str) -> None:
    with pytest.raises(UndecodableError):
        parse_schema(text)


async def test_bad_input_11_a_provider_outlives_a_recursive_schema_of_somebody() -> None:
    registry = InMemorySchemaRegistry(lambda: 0.0)
    registry._texts[7] = schema_text(["null", "t.R"])
    decoder = Decoder(FILES, registry)
    with pytest.raises(UndecodableError, match="recursive"):
        await decoder.datum(b"\x00\x00\x00\x00\x07" + b"\x02" * 500_000 + b"\x00")


def test_every_schema_of_ours_is_within_the_bounds_and_so_is_an_ordinary_one() -> None:
    for record in FILES.texts:
        FILES.parsed(record)
    parse_schema(schema_text(nested(10), ["null", {"type": "map", "values": ["null", "double"]}]))
