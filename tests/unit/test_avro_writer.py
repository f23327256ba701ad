"""The encoders that are made from schemas write what fastavro writes, byte for byte, for every schema of ours."""

import io
import json
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chopar.avro import SchemaFiles, encode_body, parse_schema
from chopar.avro.writer import make_writer, zigzag
from chopar.messages.exchange import AccessEntry, ExchangeRecorded
from chopar.messages.law import ListMark
from tests.avro_values import Bag, data

FILES = SchemaFiles.shipped()


def by_fastavro(schema: Any, datum: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, datum, disable_tuple_notation=True)
    return out.getvalue()


def test_there_is_one_for_every_schema_that_is_shipped() -> None:
    assert [record for record in FILES.texts if make_writer(FILES.parsed(record)) is None] == []


def record_of(kind: Any, name: str = "n") -> dict[str, Any]:
    return {"type": "record", "name": "r", "fields": [{"name": name, "type": kind}]}


@pytest.mark.parametrize("record", sorted(FILES.texts))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_it_writes_what_fastavro_writes(record: str, drawn: st.DataObject) -> None:
    schema = FILES.parsed(record)
    datum, message = drawn.draw(data(schema, {}))
    writer = make_writer(schema)
    assert writer is not None
    assert writer(message) == by_fastavro(schema, datum)


@pytest.mark.parametrize("number", [0, -1, 1, 63, 64, -64, -65, 8191, 8192, 2**63 - 1, -(2**63)])
def test_zigzag(number: int) -> None:
    assert zigzag(number) == by_fastavro(
        {"type": "record", "name": "r", "fields": [{"name": "n", "type": "long"}]}, {"n": number}
    )


@pytest.mark.parametrize(
    "kind", ["double", "float", {"type": "fixed", "name": "f", "size": 2}, ["null", "int", "long"], ["int", "null"]]
)
def test_there_is_none_for_types_that_we_do_not_use(kind: Any) -> None:
    assert make_writer(record_of(kind)) is None


@pytest.mark.parametrize("name", ["class", "__class__"])
def test_there_is_none_for_names_that_are_not_pythons(name: str) -> None:
    assert make_writer(record_of("int", name)) is None


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("boolean", 1),
        ("int", 2**31),
        ("long", 2**63),
        ("long", True),
        ("long", "1"),
        ("string", b"a"),
        ("bytes", "a"),
        ({"type": "long", "logicalType": "timestamp-millis"}, "2026-01-01"),
        ({"type": "string", "logicalType": "uuid"}, "no uuid"),
        ({"type": "enum", "name": "e", "symbols": ["a"]}, "b"),
    ],
)
def test_a_value_of_another_type_is_left_to_fastavro(kind: Any, value: Any) -> None:
    writer = make_writer(record_of(kind))
    assert writer is not None
    with pytest.raises((TypeError, AttributeError, KeyError)):
        writer(Bag({"n": value}))


def test_what_is_the_same_in_all_messages_is_encoded_once() -> None:
    schema = FILES.parsed("chopar.exchange.ExchangeRecorded")
    entry: dict[str, Any] = {
        "request_hash": bytes(32),
        "provider": "a-provider",
        "evidence_type": "a-type",
        "procedure": "a-procedure",
        "case_id": "case-1",
        "official": "official-7",
        "access_ground": "ground",
        "fields": ("a", "b"),
        "final": True,
        "answer_digest": bytes(range(32)),
        "because": "requested",
        "correction_id": None,
    }
    number = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    message = ExchangeRecorded(
        demand_id=number, recorded_by="a-provider", requester="a-requester", access=AccessEntry(**entry)
    )
    own = ("request_hash", "case_id", "answer_digest")
    writer = make_writer(
        schema,
        prefix=b"\x00\x00\x00\x00\x07",
        same={
            "recorded_by": "a-provider",
            "requester": "a-requester",
            "resolution": None,
            "dispute": None,
            **{f"access.{name}": value for name, value in entry.items() if name not in own},
        },
        encoded=("demand_id",),
        flat=("access",),
    )
    assert writer is not None
    given = Bag({name: entry[name] for name in own} | {"demand_id": b"\x48" + str(number).encode()})
    assert writer(given) == b"\x00\x00\x00\x00\x07" + encode_body(schema, message)


def test_what_is_the_same_has_to_fit_the_schema() -> None:
    with pytest.raises(TypeError):
        make_writer(record_of("long"), same={"n": "text"})


def test_a_message_with_a_datum_of_its_own_is_encoded_by_that() -> None:
    class Shouted(ListMark):
        def to_avro(self) -> dict[str, object]:
            return {"instance": self.instance.upper()}

    schema = FILES.parsed(ListMark.RECORD)
    assert encode_body(schema, Shouted(instance="a")) == encode_body(schema, ListMark(instance="A"))


def test_a_field_that_the_model_lacks_gets_its_default() -> None:
    text = """{"type": "record", "name": "ListMark", "namespace": "chopar.law", "fields": [
        {"name": "instance", "type": "string"}, {"name": "more", "type": ["null", "string"], "default": null}]}"""
    assert encode_body(parse_schema(text), ListMark(instance="a")) == b"\x02a\x00"


def test_texts_that_differ_in_white_space_are_one_schema() -> None:
    text = FILES.texts[ListMark.RECORD]
    assert parse_schema(json.dumps(json.loads(text))) is parse_schema(text)
