"""The state machine over the records of `_schemas`: ids and versions are for ever."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopar.avro.canonical import canonical_form
from chopar.avro.compatibility import Level
from services.schema_registry.log_records import NOOP_KEY, level_key, schema_key
from services.schema_registry.model import (
    MAX_ID,
    Changed,
    Configured,
    Ignored,
    Outcome,
    Refused,
    RequestRefusedError,
    Schemas,
)


def text(name: str, **more: object) -> str:
    return json.dumps({"type": "record", "name": name, "fields": [], **more})


def put(schemas: Schemas, subject: str, version: int, schema_id: int, schema: str, **more: object) -> Outcome:
    value = {"subject": subject, "version": version, "id": schema_id, "schema": schema, "deleted": False, **more}
    return schemas.apply(schema_key(subject, version), json.dumps(value).encode())


def register(schemas: Schemas, subject: str, schema: str) -> int:
    key, value = schemas.proposal(subject, canonical_form(schema), schema)
    outcome = schemas.apply(key, value)
    assert isinstance(outcome, Changed)
    assert outcome.version is not None
    return outcome.version.schema_id


def test_the_key_is_byte_for_byte_the_fields() -> None:
    assert schema_key("Foo-ʻ", 1) == '{"keytype":"SCHEMA","subject":"Foo-ʻ","version":1,"magic":1}'.encode()


def test_one_content_has_one_id_across_subjects_and_texts() -> None:
    schemas = Schemas()
    assert register(schemas, "a", text("R")) == 1
    assert register(schemas, "b", json.dumps(json.loads(text("R")), indent=2)) == 1
    assert register(schemas, "b", text("R", doc="Another.")) == 2
    assert [(row.subject, row.version) for row in schemas.uses(1)] == [("a", 1), ("b", 1)]
    assert [row.version for row in schemas.versions("b")] == [1, 2]


def test_the_text_is_kept_as_it_was_sent() -> None:
    schemas = Schemas()
    sent = '{ "name":"R" ,\n"fields": [],"type":"record", "doc":"oʻzbekcha" }'
    register(schemas, "a", sent)
    found = schemas.by_id(1)
    assert found is not None
    assert json.loads(found.rendered)["schema"] == sent
    assert json.loads(schemas.versions("a")[0].rendered)["schema"] == sent


def test_a_taken_id_is_refused_and_said_and_never_overwritten() -> None:
    schemas = Schemas()
    put(schemas, "a", 1, 7, text("R"))
    outcome = put(schemas, "b", 1, 7, text("S"))
    assert isinstance(outcome, Refused)
    assert "7" in outcome.reason
    found = schemas.by_id(7)
    assert found is not None
    assert found.text == text("R")
    assert schemas.versions("b") == []
    assert schemas.refused == 1


def test_a_taken_version_is_refused_and_said() -> None:
    schemas = Schemas()
    put(schemas, "a", 1, 1, text("R"))
    assert isinstance(put(schemas, "a", 1, 2, text("S")), Refused)
    assert [row.schema_id for row in schemas.versions("a")] == [1]
    assert schemas.next_id == 3, "an id that was seen is not given out again, though its record was refused"


def test_bad_records_are_refused_and_the_rest_goes_on() -> None:
    schemas = Schemas()
    bad: list[tuple[bytes | None, bytes | None]] = [
        (None, b"{}"),
        (b"\xff\xfe", b"{}"),
        (b"[]", b"{}"),
        (b"[" * 100_000, b"{}"),
        (b"{}", b"{}"),
        (b'{"keytype":"SCHEMA"}', b"{}"),
        (schema_key("a", 1), b"no json"),
        (schema_key("a", 1), b'{"subject":"a","version":1,"id":0,"schema":"x"}'),
        (schema_key("a", 1), b'{"subject":"a","version":1,"id":true,"schema":"x"}'),
        (schema_key("a", 1), b'{"subject":"b","version":1,"id":1,"schema":"x"}'),
        (b'{"keytype":"DELETE_SUBJECT","subject":"a"}', b"[]"),
    ]
    for key, value in bad:
        assert isinstance(schemas.apply(key, value), Refused), (key, value)
    assert schemas.refused == len(bad)
    assert register(schemas, "a", text("R")) == 2


def test_records_that_say_nothing_here_are_ignored() -> None:
    schemas = Schemas()
    assert schemas.apply(NOOP_KEY, None) == Ignored("NOOP")
    assert schemas.apply(b'{"keytype":"MODE","subject":null,"magic":0}', b'{"mode":"READWRITE"}') == Ignored("MODE")
    assert schemas.refused == 0


def test_levels_are_read_in_the_fields_format_and_fall_back() -> None:
    schemas = Schemas()
    assert level_key(None) == b'{"keytype":"CONFIG","subject":null,"magic":0}'
    assert level_key("a") == b'{"keytype":"CONFIG","subject":"a","magic":0}'
    assert schemas.level("a") is Level.FULL_TRANSITIVE
    assert schemas.apply(level_key(None), b'{"compatibilityLevel":"BACKWARD"}') == Configured(None, Level.BACKWARD)
    assert schemas.level("a") is Level.BACKWARD
    value = b'{"subject":"a","compatibilityLevel":"NONE","normalize":true}'
    assert schemas.apply(level_key("a"), value) == Configured("a", Level.NONE)
    assert (schemas.level("a"), schemas.level("b"), schemas.own_level("b")) == (Level.NONE, Level.BACKWARD, None)
    assert schemas.apply(level_key("a"), b'{"normalize":true}') == Configured("a", None), "what is not kept here"
    schemas.apply(level_key(None), None)
    assert (schemas.level("a"), schemas.level()) == (Level.FULL_TRANSITIVE, Level.FULL_TRANSITIVE)
    for key, bad in (
        (level_key("a"), b'{"compatibilityLevel":"SOME"}'),
        (level_key("a"), b'{"compatibilityLevel":{}}'),
        (b'{"keytype":"CONFIG","subject":3,"magic":0}', b"{}"),
    ):
        assert isinstance(schemas.apply(key, bad), Refused)


def test_an_id_is_not_given_again_when_compaction_has_taken_every_trace_of_it() -> None:
    schemas = Schemas()
    register(schemas, "a", text("R"))
    register(schemas, "b", text("S"))
    mark = schemas.mark()
    again = Schemas()
    again.apply(NOOP_KEY, mark)
    put(again, "a", 1, 1, text("R"))
    assert again.next_id == 3
    assert isinstance(again.apply(NOOP_KEY, b'{"highestId":"x"}'), Ignored)
    assert again.next_id == 3


def test_a_version_of_another_registry_keeps_what_it_has_when_it_is_marked_as_deleted() -> None:
    schemas = Schemas()
    put(schemas, "a", 1, 4, "message A {}", schemaType="PROTOBUF", guid="of-theirs", references=[{"name": "x"}])
    put(schemas, "b", 1, 5, text("R"))
    for subject, due in (
        ("a", {"schemaType": "PROTOBUF", "guid": "of-theirs", "references": [{"name": "x"}]}),
        ("b", {}),
    ):
        [row] = schemas.versions(subject)
        key, value = schemas.soft_deletion(row)
        assert key == schema_key(subject, 1)
        expected = {"subject": subject, "version": 1, "id": row.schema_id, "schema": row.text, "deleted": True, **due}
        assert json.loads(value) == expected
        schemas.apply(key, value)
        assert schemas.versions(subject) == []
        assert [found.deleted for found in schemas.versions(subject, deleted=True)] == [True]


def test_a_deleted_version_leaves_the_lists_but_its_id_stays() -> None:
    schemas = Schemas()
    put(schemas, "a", 1, 1, text("R"))
    put(schemas, "a", 2, 2, text("S"))
    put(schemas, "a", 2, 2, text("S"), deleted=True)
    assert [row.version for row in schemas.versions("a")] == [1]
    assert [row.version for row in schemas.versions("a", deleted=True)] == [1, 2]
    assert schemas.by_id(2) is not None
    assert register(schemas, "a", text("S")) == 2
    assert [row.version for row in schemas.versions("a")] == [1, 3], "a version number is never given twice"


def test_a_deleted_subject_is_listed_as_such_only() -> None:
    schemas = Schemas()
    put(schemas, "a", 1, 1, text("R"))
    put(schemas, "b", 1, 1, text("R"))
    schemas.apply(b'{"keytype":"DELETE_SUBJECT","subject":"a","magic":0}', b'{"subject":"a","version":1}')
    assert schemas.subjects() == ["b"]
    assert schemas.subjects(deleted=True) == ["a", "b"]
    assert schemas.subjects(deleted_only=True) == ["a"]


def test_a_tombstone_takes_a_version_away() -> None:
    schemas = Schemas()
    put(schemas, "a", 1, 1, text("R"))
    put(schemas, "b", 1, 1, text("R"))
    schemas.apply(schema_key("a", 1), None)
    assert schemas.subjects(deleted=True) == ["b"]
    assert schemas.by_id(1) is not None
    schemas.apply(schema_key("b", 1), None)
    assert schemas.by_id(1) is None
    assert schemas.next_id == 2


def test_what_another_registry_took_is_kept_by_its_very_text() -> None:
    schemas = Schemas()
    dashed = '{"type":"record","name":"a-b","fields":[]}'
    assert isinstance(put(schemas, "old", 1, 4, dashed), Changed)
    assert isinstance(put(schemas, "proto", 1, 5, 'syntax = "proto3";', schemaType="PROTOBUF"), Changed)
    proto = schemas.by_id(5)
    assert proto is not None
    assert json.loads(proto.rendered)["schemaType"] == "PROTOBUF"
    assert isinstance(put(schemas, "old", 2, 4, dashed + " "), Refused)


def test_a_guid_names_one_content() -> None:
    schemas = Schemas()
    register(schemas, "a", text("R"))
    register(schemas, "a", text("S"))
    guids = {row.guid for row in schemas.versions("a")}
    assert len(guids) == 2
    again = Schemas()
    register(again, "other", json.dumps(json.loads(text("R")), indent=1))
    assert again.versions("other")[0].guid in guids


def test_half_a_surrogate_from_elsewhere_does_not_break_an_answer() -> None:
    schemas = Schemas()
    schemas.apply(schema_key("a", 1), rb'{"subject":"a","version":1,"id":1,"schema":"\ud800"}')
    found = schemas.by_id(1)
    assert found is not None
    assert json.loads(found.rendered)["schema"] == "\ud800"


def test_no_id_is_left() -> None:
    schemas = Schemas()
    put(schemas, "a", 1, MAX_ID, text("R"))
    with pytest.raises(RequestRefusedError, match="no schema id left"):
        schemas.proposal("a", canonical_form(text("S")), text("S"))


_STEP = st.tuples(
    st.sampled_from("abc"), st.integers(1, 3), st.integers(1, 3), st.sampled_from([text("R"), text("S"), text("T")])
)


@given(st.lists(_STEP, max_size=12), st.data())
def test_whatever_the_log_holds_an_id_keeps_its_content(
    steps: list[tuple[str, int, int, str]], data: st.DataObject
) -> None:
    schemas, contents = Schemas(), dict[int, str]()
    log = []
    for subject, version, schema_id, schema in steps:
        outcome = put(schemas, subject, version, schema_id, schema)
        log.append((subject, version, schema_id, schema))
        if isinstance(outcome, Changed):
            assert contents.setdefault(schema_id, schema) == schema
        new = data.draw(st.sampled_from([None, text("U"), text("R")]))
        if new is not None:
            given_id = register(schemas, "own", new)
            assert contents.setdefault(given_id, new) == new
    for schema_id, schema in contents.items():
        found = schemas.by_id(schema_id)
        assert found is not None
        assert found.text == schema
