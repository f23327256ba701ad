"""The decoders that are made from schemas give what fastavro gives, and for models what pydantic makes of that."""

import io
import json
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field

from chopar.avro import SchemaFiles, decode_body, decode_message, encode_body, parse_schema
from chopar.avro.reader import _uuid, make_reader
from chopar.errors import UndecodableError
from chopar.messages import civil_status, demand, dispute, evidence, exchange, law, operations, social, utility
from chopar.messages.record import Message
from tests.avro_values import LIKELY, data
from tests.builders import NOW
from tests.builders import demand as a_demand

FILES = SchemaFiles.shipped()
MODELS = {
    model.RECORD: model
    for module in (civil_status, demand, dispute, evidence, exchange, law, operations, social, utility)
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, Message) and "RECORD" in vars(model)
}
READERS = {record: make_reader(FILES.parsed(record)) for record in FILES.texts}
MODEL_READERS = {record: make_reader(FILES.parsed(record), model) for record, model in MODELS.items()}
BAD: Any = "refused"


def by_fastavro(body: bytes, schema: Any) -> Any:
    source = io.BytesIO(body)
    try:
        datum = fastavro.schemaless_reader(source, schema, None)
    except Exception:  # whatever it stumbled over
        return BAD
    return datum if source.tell() == len(body) else BAD


def body_of(schema: Any, datum: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, datum, disable_tuple_notation=True)
    return out.getvalue()


def shown(value: Any) -> Any:
    """A value with the types of all that is in it, and everything that a model holds, in its order."""
    if isinstance(value, BaseModel):
        held = (value.__dict__, value.__pydantic_extra__, value.__pydantic_private__)
        return type(value), [shown(part) for part in held], value.model_fields_set
    if isinstance(value, dict):
        return dict, [(shown(key), shown(part)) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [shown(part) for part in value]
    if isinstance(value, datetime):
        return value, value.tzinfo
    return type(value), value


def mutated(drawn: st.DataObject, body: bytes) -> bytes:
    """Some bytes of a body replaced, put in or taken out."""
    changed = bytearray(body)
    for _ in range(drawn.draw(st.integers(0, 3))):
        place = drawn.draw(st.integers(0, len(changed)))
        until = place + drawn.draw(st.integers(0, 3))
        changed[place:until] = drawn.draw(st.binary(max_size=3))
    return bytes(changed)


def message_or_reason(read: Any) -> Any:
    try:
        return shown(read())
    except UndecodableError as error:
        return str(error)


def test_there_is_one_for_every_schema_that_is_shipped_and_every_model() -> None:
    assert sorted(MODELS) == sorted(FILES.texts)
    assert [record for record, reader in READERS.items() if reader is None] == []
    without = [record for record, reader in MODEL_READERS.items() if reader is None]
    assert without == [
        record for record, model in MODELS.items() if '"pattern":' in json.dumps(model.model_json_schema())
    ]


def _copy(schema: Any) -> Any:
    """The same schema as another object, so that everything goes by fastavro and pydantic."""
    return fastavro.parse_schema(schema, _force=True)


SLOW = {record: _copy(FILES.parsed(record)) for record in FILES.texts}
ALL = {record: data(FILES.parsed(record), {}) for record in FILES.texts}
DATA = {record: data(FILES.parsed(record), {}, LIKELY) for record in FILES.texts}


@pytest.mark.parametrize("record", sorted(FILES.texts))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_it_reads_what_fastavro_reads(record: str, drawn: st.DataObject) -> None:
    schema = FILES.parsed(record)
    body = body_of(schema, drawn.draw(ALL[record])[0])
    read = READERS[record]
    assert read is not None
    expected = by_fastavro(body, schema)
    if expected is BAD:  # it wrote a time that is none
        with pytest.raises(OverflowError):
            read(body, 0)
    else:
        assert shown(read(body, 0)) == shown(read(b"frame" + body, 5)) == shown(expected)


@pytest.mark.parametrize("record", sorted(FILES.texts))
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_of_whatever_bytes_it_gives_what_fastavro_and_pydantic_give(record: str, drawn: st.DataObject) -> None:
    schema, model = FILES.parsed(record), MODELS[record]
    body = mutated(drawn, body_of(schema, drawn.draw(DATA[record])[0]))
    expected = by_fastavro(body, schema)
    for read, make in ((READERS[record], lambda datum: datum), (MODEL_READERS[record], model.from_avro)):
        try:
            found = read(body, 0) if read is not None else make(expected)
        except Exception:  # then fastavro and pydantic are asked
            continue
        assert shown(found) == shown(make(expected))
    slow = SLOW[record]
    assert message_or_reason(lambda: decode_body(body, schema)) == message_or_reason(
        lambda: decode_body(body, slow, schema)
    )
    assert message_or_reason(lambda: decode_message(body, schema, schema, model)) == message_or_reason(
        lambda: decode_message(body, slow, schema, model)
    )


def test_a_message_made_so_is_like_any_other() -> None:
    schema, given = FILES.parsed("chopar.demand.Demand"), a_demand()
    read = MODEL_READERS["chopar.demand.Demand"]
    assert read is not None
    found = read(encode_body(schema, given), 0)
    assert found == demand.Demand.from_avro(given.to_avro())
    assert found.model_copy(update={"case_id": "other"}).case_id == "other"
    assert found.case_id == "case-1"
    assert found.model_dump_json() == given.model_dump_json()
    with pytest.raises(ValueError, match="frozen"):
        found.case_id = "other"


def record_of(*kinds: Any, name: str = "n") -> dict[str, Any]:
    fields = [{"name": f"{name}{number}", "type": kind} for number, kind in enumerate(kinds)]
    return {"type": "record", "name": "r", "fields": fields}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("long", b"\x80\x00"),  # a nought of two bytes
        ("long", b"\xff" * 9 + b"\x01"),  # of ten bytes
        ("long", b"\xff" * 12 + b"\x01"),  # of more than there are
        ("string", b"\x82\x00a"),  # a length of two bytes that one would hold
        ("boolean", b"\x02"),
        ({"type": "array", "items": "int"}, b"\x01\x02\x02\x00"),  # a block with its size
        ({"type": "array", "items": "int"}, b"\x02\x02\x02\x04\x00"),  # two blocks
        ({"type": "array", "items": "int"}, b"\x02\x02\x80\x00"),  # an end of two bytes
        ({"type": "map", "values": "int"}, b"\x04\x02a\x02\x02a\x04\x00"),  # a key twice
        ({"type": "enum", "name": "e", "symbols": ["a", "b"]}, b"\x01"),  # counted from the end
        ({"type": "string", "logicalType": "uuid"}, b"\x52" + b"urn:uuid:" + b"0" * 32),
    ],
)
def test_what_it_does_not_read_itself_fastavro_reads(kind: Any, body: bytes) -> None:
    schema = parse_schema(json.dumps(record_of(kind)))
    expected = by_fastavro(body, schema)
    if expected is BAD:
        with pytest.raises(UndecodableError):
            decode_body(body, schema)
    else:
        assert decode_body(body, schema) == expected


@pytest.mark.parametrize(
    "kind", ["double", "float", {"type": "fixed", "name": "f", "size": 2}, ["null", "int", "long"], ["int", "null"]]
)
def test_there_is_none_for_types_that_we_do_not_use(kind: Any) -> None:
    assert make_reader(record_of(kind)) is None


@pytest.mark.parametrize("name", ["cl ass", "__class__", '"]'])
def test_there_is_none_for_names_that_are_not_pythons(name: str) -> None:
    assert make_reader(record_of("int", name=name)) is None


def test_there_is_none_for_a_schema_of_more_depth_or_length_than_it_is_worth() -> None:
    deep: Any = "string"
    for _ in range(12):
        deep = {"type": "array", "items": deep}
    assert make_reader(record_of(deep)) is None
    assert make_reader(record_of(*["string"] * 2000)) is None


class Plain(Message):
    RECORD: ClassVar[str] = "r"
    n0: str


class Longer(Plain):
    more: str = ""


class Strict(BaseModel, str_strip_whitespace=True):
    n0: str


class Matching(BaseModel):
    n0: Annotated[str, Field(pattern="a+")]


class Initialised(BaseModel):
    n0: str

    def model_post_init(self, context: Any, /) -> None:
        raise AssertionError


class Number(BaseModel):
    n0: int


class Aliased(BaseModel):
    n0: str = Field(alias="other")


class Chosen(BaseModel):
    n0: Literal[1, "a"]


class Either(BaseModel):
    n0: str | bytes


@pytest.mark.parametrize("model", [Longer, Strict, Matching, Initialised, Number, Aliased, Chosen, Either])
def test_there_is_none_for_a_model_that_asks_for_more_than_it_knows(model: type[BaseModel]) -> None:
    assert make_reader(record_of("string"), Plain) is not None
    assert make_reader(record_of("string"), model) is None


class Doubled(BaseModel):
    n0: Annotated[Annotated[str, AfterValidator(lambda text: text + "!")] | None, AfterValidator(repr)]


@pytest.mark.parametrize("body", [b"\x00", b"\x02\x02a"])
def test_functions_are_called_on_none_only_where_pydantic_calls_them(body: bytes) -> None:
    schema = record_of(["null", "string"])
    read = make_reader(schema, Doubled)
    assert read is not None
    assert read(body, 0) == Doubled.model_validate(by_fastavro(body, schema))


def test_a_message_with_a_reading_of_its_own_is_made_by_that() -> None:
    class Shouted(Plain):
        @classmethod
        def from_avro(cls, datum: Any) -> "Shouted":
            return cls(n0=datum["n0"].upper())

    schema = parse_schema('{"type": "record", "name": "r", "fields": [{"name": "n0", "type": "string"}]}')
    assert decode_message(b"\x02a", schema, schema, Shouted).n0 == "A"


def uuid_or_refused(make: Any, text: str) -> Any:
    try:
        made = make(text)
    except ValueError:
        return BAD
    return made, made.int, made.is_safe, hash(made), str(made)


@given(
    st.one_of(
        st.uuids().map(str),
        st.text(),
        st.text("0123456789abcdefABCDEF-{}urn:id_+ xX٣", min_size=30, max_size=50),
        st.tuples(st.uuids().map(str), st.integers(0, 36), st.sampled_from("-{}urn:id_+ xXg٣")).map(
            lambda told: told[0][: told[1]] + told[2] + told[0][told[1] + 1 :]
        ),
    )
)
@settings(max_examples=500)
def test_a_uuid_is_that_of_the_standard_library(text: str) -> None:
    assert uuid_or_refused(_uuid, text) == uuid_or_refused(UUID, text)


def resolved(words: str, act: str) -> demand.DemandResolved:
    rule = demand.Rule(
        entry="entry",
        also_binding=("another",),
        act=act,
        source=words,
        in_force_from=date(2020, 1, 1),
        in_force_basis="basis",
        confidence="read",
        disposition_basis="words",
        text_read="all",
        coverage="knows 6 of 32",
        ground=words or None,
    )
    document = demand.ResolvedDocument(
        document_type="paper",
        outcome=demand.Outcome.NOT_NEEDED,
        code="abolished",
        person_may_be_asked=demand.PersonMayBeAsked.NO,
        rule=rule,
        next_step=words,
    )
    return demand.DemandResolved(
        demand_id=a_demand().demand_id,
        demand_digest=b"d" * 32,
        requester="electricity-het",
        received_at=NOW,
        on=NOW.date(),
        list_digest="digest",
        fetch_mode=demand.FetchMode.INFERRED,
        rules_number=1,
        documents=(document, document.model_copy(update={"rule": None}), document),
    )


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3), st.floats(0, 1)), min_size=1, max_size=6))
def test_what_messages_repeat_is_read_again_as_it_was(messages: list[tuple[str, str, float]]) -> None:
    record = demand.DemandResolved.RECORD
    read, schema = MODEL_READERS[record], FILES.parsed(record)
    assert read is not None
    for words, act, part in [*messages, *messages]:
        message = resolved(words, act)
        body = encode_body(schema, message)
        cut_short = body[: round(part * len(body))]
        if cut_short != body:
            with pytest.raises(Exception):  # noqa: B017  whatever it stumbles over
                read(cut_short, 0)
        assert shown(read(body, 0)) == shown(message_by_pydantic(body, schema)) == shown(read(body, 0))


def message_by_pydantic(body: bytes, schema: Any) -> demand.DemandResolved:
    return demand.DemandResolved.from_avro(by_fastavro(body, schema))
