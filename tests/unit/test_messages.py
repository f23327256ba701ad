"""Every pydantic model equals its Avro record, and survives the way there and back."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import chopar.messages.civil_status
import chopar.messages.demand
import chopar.messages.dispute
import chopar.messages.evidence
import chopar.messages.exchange
import chopar.messages.law
import chopar.messages.operations
import chopar.messages.social
import chopar.messages.utility
from chopar.avro import SchemaFiles, decode_body, encode_body, schema_name
from chopar.errors import UndecodableError
from chopar.messages.demand import Demand
from chopar.messages.exchange import DocumentEntry, ResolutionEntry
from chopar.messages.record import Message
from tests.builders import BUSINESS, NOW, PERSON, demand, demand_id

FILES = SchemaFiles.shipped()


def _models(base: type[Message] = Message) -> list[type[Message]]:
    found = []
    for model in base.__subclasses__():
        found += _models(model)
        if "RECORD" in model.__dict__ and model.__module__.startswith("chopar."):
            found.append(model)
    return found


MODELS = sorted(_models(), key=lambda model: model.RECORD)


def test_every_schema_has_a_model_and_every_model_a_schema() -> None:
    assert {model.RECORD for model in MODELS} == set(FILES.texts)


def _record_of(kind: Any) -> dict[str, Any] | None:
    if isinstance(kind, list):
        return next((found for found in map(_record_of, kind) if found), None)
    if isinstance(kind, dict):
        if kind.get("type") == "record":
            return kind
        return _record_of(kind.get("items") or kind.get("values"))
    return None


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_of, get_args(annotation)) if found), None)


def _nullable(kind: Any) -> bool:
    return isinstance(kind, list) and "null" in kind


def _assert_equal(model: type[BaseModel], record: dict[str, Any]) -> None:
    assert set(model.model_fields) == {field["name"] for field in record["fields"]}, record["name"]
    for field in record["fields"]:
        annotation = model.model_fields[field["name"]].annotation
        assert _nullable(field["type"]) == (type(None) in get_args(annotation)), (record["name"], field["name"])
        inner_record, inner_model = _record_of(field["type"]), _model_of(annotation)
        if inner_record:
            assert inner_model, (record["name"], field["name"])
            _assert_equal(inner_model, inner_record)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.RECORD)
def test_model_and_record_have_the_same_fields_and_the_same_nulls(model: type[Message]) -> None:
    _assert_equal(model, json.loads(FILES.texts[model.RECORD]))


def _undocumented(record: dict[str, Any], path: str) -> list[str]:
    missing = [] if record.get("doc") else [path]
    for field in record.get("fields", []):
        if not field.get("doc"):
            missing.append(f"{path}.{field['name']}")
        inner = _record_of(field["type"])
        if inner:
            missing += _undocumented(inner, f"{path}.{field['name']}")
    return missing


@pytest.mark.parametrize("record", sorted(FILES.texts))
def test_every_field_of_every_schema_has_a_doc(record: str) -> None:
    assert _undocumented(json.loads(FILES.texts[record]), record) == []


def test_one_record_a_file_named_after_it() -> None:
    for path in Path("schemas").rglob("*.avsc"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        assert (schema["namespace"], schema["name"]) == (f"chopar.{path.parent.name}", path.stem)


def test_evidence_fields_are_nullable_with_default_null() -> None:
    for model in MODELS:
        if issubclass(model, chopar.messages.evidence.Evidence):
            for field in json.loads(FILES.texts[model.RECORD])["fields"]:
                if field["name"] not in ("fields_given", "source_register", "as_of"):
                    assert field["type"][0] == "null"
                    assert field["default"] is None


def test_a_demand_survives_the_way_there_and_back() -> None:
    sent = demand(
        parties=({"role": "seller", "kind": "business", "id": "301234567"},),
        applicant={"kind": "person", "id": "1"},
        circumstances={"non-residential": "yes"},
        documents=(
            {"type": "a", "about": "seller", "parameters": {"plate": "01A123AA"}},
            {"type": "b"},
        ),
    )
    schema = FILES.parsed(Demand.RECORD)
    assert schema_name(schema) == Demand.RECORD
    assert Demand.from_avro(decode_body(encode_body(schema, sent), schema)) == sent


@settings(max_examples=200, deadline=None)
@given(
    st.text(min_size=1, max_size=40),
    st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=16),
)
def test_any_text_survives(case: str, parameters: dict[str, str]) -> None:
    sent = demand(case_id=case, documents=({"type": "a", "parameters": parameters},))
    schema = FILES.parsed(Demand.RECORD)
    assert Demand.from_avro(decode_body(encode_body(schema, sent), schema)) == sent


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"documents": ()}, "documents"),
        ({"case_id": ""}, "case_id"),
        ({"expires_at": NOW.replace(year=2027)}, "Demand"),
        ({"demand_id": "6fa459ea-ee8a-4ca4-894e-db77e160355e"}, "Demand"),
        ({"parties": ({"role": "a", "kind": "person", "id": "x"},) * 2}, "Demand"),
    ],
)
def test_valid_avro_that_is_no_valid_demand_names_the_field_and_no_value(change: dict[str, Any], named: str) -> None:
    datum = {**demand().to_avro(), "subject": {"kind": "person", "id": "12345678901234"}, **change}
    with pytest.raises(UndecodableError) as caught:
        Demand.from_avro(datum)
    assert named in str(caught.value)
    assert "12345678901234" not in str(caught.value)


def test_models_hide_identifiers_from_their_text() -> None:
    shown = repr(demand(parties=({"role": "a", "kind": "person", "id": "43112990020153"},)))
    assert "30101900010018" not in shown
    assert "43112990020153" not in shown
    assert str(demand_id()) in shown


def test_an_error_names_fields_and_never_what_a_sender_made_up() -> None:
    datum = {**demand().model_dump(), "circumstances": {"30101900010018": "perhaps"}, "somebody": 1, "case_id": ""}
    with pytest.raises(UndecodableError) as caught:
        Demand.from_avro(datum)
    assert str(caught.value) == "not a valid Demand: case_id, circumstances.…, …"


def test_a_number_that_slipped_into_an_askers_own_words_is_not_recorded() -> None:
    entry = DocumentEntry(document_type=PERSON, about=BUSINESS, parameter_names=(PERSON,), outcome="x", code="y")
    assert (entry.document_type, entry.about, entry.parameter_names) == ("…", "…", ("…",))
    resolution = ResolutionEntry.model_validate(
        {
            "received_at": NOW,
            "demand_hmac": bytes(32),
            "list_digest": "d",
            "fetch_mode": "verified",
            "rules_number": 1,
            "procedure": BUSINESS,
            "case_id": f"case 301234567 of {PERSON}",
            "circumstances": {PERSON: True},
        }
    )
    assert (resolution.procedure, resolution.case_id) == ("…", "case 301234567 of …")
    assert resolution.circumstances == {"…": True}
