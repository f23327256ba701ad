"""The frame and the codec, fed with what networks and strangers send (bad-inputs rows 1 to 4, 6, 9, 12)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopar.avro import SchemaFiles, decode_body, encode_body, frame, parse_schema, unframe
from chopar.errors import (
    ConfigurationError,
    NotOurFramingError,
    TooLargeError,
    UndecodableError,
    WrongRecordError,
)
from chopar.messages.demand import Demand
from chopar.messages.law import ListMark
from tests.builders import demand

FILES = SchemaFiles.shipped()
SCHEMA = FILES.parsed(Demand.RECORD)
BODY = encode_body(SCHEMA, demand())


def test_frame_and_unframe() -> None:
    assert unframe(frame(7, b"body")) == (7, b"body")
    assert frame(7, b"body")[:5] == b"\x00\x00\x00\x00\x07"


@pytest.mark.parametrize("cut", range(len(BODY)))
def test_bad_input_01_truncated(cut: int) -> None:
    with pytest.raises(UndecodableError):
        decode_body(BODY[:cut], SCHEMA)


@given(st.binary(max_size=300))
def test_bad_input_02_random_bytes(noise: bytes) -> None:
    with pytest.raises(UndecodableError):
        Demand.from_avro(decode_body(noise, SCHEMA))


def test_bad_input_03_wrong_magic_byte() -> None:
    with pytest.raises(NotOurFramingError):
        unframe(b"\x01" + frame(7, BODY)[1:])


@pytest.mark.parametrize("length", range(5))
def test_bad_input_04_fewer_than_five_bytes(length: int) -> None:
    with pytest.raises(NotOurFramingError):
        unframe(bytes(length))


def test_bad_input_06_schema_of_another_record() -> None:
    mark = FILES.parsed(ListMark.RECORD)
    with pytest.raises(WrongRecordError):
        decode_body(encode_body(mark, ListMark(instance="a")), mark, SCHEMA)


def test_bad_input_09_trailing_bytes() -> None:
    with pytest.raises(UndecodableError, match="left over"):
        decode_body(BODY + b"\x00", SCHEMA)


def test_bad_input_12_too_large_is_refused_at_the_client_with_its_size() -> None:
    documents = tuple({"type": "a", "parameters": {f"p{i}": "x" * 400 for i in range(16)}} for _ in range(200))
    with pytest.raises(TooLargeError, match=r"Demand of \d{7} bytes"):
        encode_body(SCHEMA, demand(documents=documents))


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(UndecodableError):
        parse_schema('{"type": "record"}')


def test_a_record_that_was_not_built_in_is_said_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"chopar\.demand\.Nothing"):
        FILES.parsed("chopar.demand.Nothing")


def test_writer_is_resolved_to_reader() -> None:
    old = parse_schema('{"type":"record","name":"R","namespace":"t","fields":[{"name":"a","type":"int"}]}')
    new = parse_schema(
        '{"type":"record","name":"R","namespace":"t","fields":'
        '[{"name":"a","type":"int"},{"name":"b","type":["null","string"],"default":null}]}'
    )
    assert decode_body(b"\x02", old, new) == {"a": 1, "b": None}
