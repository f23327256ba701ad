"""From a demand's record to the messages that answer it (bad-inputs rows 16, 25, 29, 30 and the envelope)."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopar.avro import decode_body, unframe
from chopar.bus.consume import Outputs
from chopar.bus.port import Outgoing
from chopar.identifiers import agency_id
from chopar.messages.demand import MAX_CIRCUMSTANCES, MAX_PARAMETERS, MAX_PARTIES, Demand, DemandResolved
from chopar.messages.evidence import EvidenceRequested
from chopar.messages.exchange import ExchangeRecorded
from chopar.messages.record import Message
from gateway.answer import Cause, answer, demand_hmac, request_id
from gateway.standing import Standing
from tests.builders import BUSINESS, NOW, NOW_MS, PERSON, SECOND_PERSON, demand
from tests.standing import FILES, IDS, SECRET, demand_value, standing

HOLDS = standing()
COMMUNAL = (
    "psychoneurological-registration-certificate",
    "narcological-registration-certificate",
    "criminal-record-certificate",
    "tax-debt-certificate",
    "private-housing-certificate",
    "address-reference-certificate",
)


def cause(asked: Demand, **changes: Any) -> Cause:
    requester = agency_id(changes.pop("requester", asked.requester))
    fields: dict[str, Any] = {
        "topic": f"demand.submitted.{requester}",
        "partition": 3,
        "offset": 17,
        "timestamp_ms": NOW_MS + 5,
        "requester": requester,
        "demand_id": asked.demand_id,
        "value": demand_value(asked),
        "trace": None,
    }
    return Cause(**{**fields, **changes})


def read(sent: Outgoing) -> Message:
    for model in (DemandResolved, EvidenceRequested, ExchangeRecorded):
        schema_id, body = unframe(sent.value or b"")
        if IDS[model.RECORD] == schema_id:
            return model.from_avro(decode_body(body, FILES.parsed(model.RECORD)))
    raise AssertionError("not one of the gateway's records")


def resolved(outputs: Outputs) -> DemandResolved:
    [found] = [message for message in map(read, outputs.before) if isinstance(message, DemandResolved)]
    return found


def requests(outputs: Outputs) -> list[EvidenceRequested]:
    found = [read(sent) for sent in outputs.after]
    return [message for message in found if isinstance(message, EvidenceRequested)]


def papers(*types: str) -> tuple[dict[str, str], ...]:
    return tuple({"type": name} for name in types)


def test_bad_input_30_the_six_communal_papers_of_a_person() -> None:
    outputs = answer(cause(demand(documents=papers(*COMMUNAL))), HOLDS)
    found = {
        d.document_type: (d.outcome.value, d.code, d.person_may_be_asked.value) for d in resolved(outputs).documents
    }
    nothing = ("not_needed", "no_ground_to_know", "no")
    assert found == {
        COMMUNAL[0]: nothing,
        COMMUNAL[1]: nothing,
        COMMUNAL[2]: nothing,
        COMMUNAL[3]: ("fetch", "ground", "no"),
        COMMUNAL[4]: ("gap", "holder_not_connected", "no"),
        COMMUNAL[5]: ("gap", "holder_not_connected", "no"),
    }
    [request] = requests(outputs)
    assert (request.provider, request.evidence_type, request.fields) == ("tax-committee", "tax-debt", ("has_debt",))
    assert request.subject.id == PERSON
    assert {sent.topic for sent in outputs.after} == {"evidence.requested.tax-committee"}


def test_the_answer_names_its_rule_with_source_confidence_and_coverage() -> None:
    [document] = resolved(answer(cause(demand()), HOLDS)).documents
    assert document.rule is not None
    assert document.rule.entry == "tax-debt-certificate-communal"
    assert document.rule.confidence == "stated"
    assert document.rule.text_read == "press"
    assert document.rule.coverage == "knows 6 of 32"
    assert document.rule.ground
    assert document.next_step == "wait_for_evidence"
    assert document.due is not None
    assert document.due <= demand().expires_at


def test_the_notary_gets_amounts_for_a_firm() -> None:
    asked = demand(
        requester="justice-notary",
        procedure="real-estate-sale-notary-non-residential",
        subject={"kind": "business", "id": BUSINESS},
    )
    [request] = requests(answer(cause(asked), HOLDS))
    assert set(request.fields) == {"has_debt", "debts.tax", "debts.amount_tiyin"}


def test_records_and_answer_come_before_requests_and_carry_the_place() -> None:
    outputs = answer(cause(demand()), HOLDS)
    assert [sent.topic for sent in outputs.before] == ["exchange.recorded", "demand.resolved.electricity-het"]
    for sent in (*outputs.before, *outputs.after):
        assert sent.partition == 3
        assert sent.key == str(demand().demand_id).encode()
        assert dict(sent.headers)["ce_causationid"] == b"demand.submitted.electricity-het/3/17"
        assert dict(sent.headers)["ce_source"] == b"/gateway"
    ids = [dict(sent.headers)["ce_id"] for sent in (*outputs.before, *outputs.after)]
    assert len(set(ids)) == 3


def test_the_same_cause_gives_the_same_bytes_and_another_place_other_ids() -> None:
    once, again = answer(cause(demand()), HOLDS), answer(cause(demand()), standing())
    assert once == again
    elsewhere = answer(cause(demand(), offset=18), HOLDS)
    assert dict(once.before[0].headers)["ce_id"] != dict(elsewhere.before[0].headers)["ce_id"]


def test_only_the_trace_of_an_asker_reaches_the_outputs() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    plain, traced = answer(cause(demand()), HOLDS), answer(cause(demand(), trace=trace), HOLDS)
    for left, right in zip((*plain.before, *plain.after), (*traced.before, *traced.after), strict=True):
        assert left.value == right.value
        assert {k: v for k, v in left.headers if k != "traceparent"} == {
            k: v for k, v in right.headers if k != "traceparent"
        }
        assert b"0af7651916cd43dd8448eb211c80319c" in dict(right.headers)["traceparent"]


def test_the_answer_carries_the_digest_of_the_bytes() -> None:
    found = resolved(answer(cause(demand()), HOLDS))
    assert found.demand_digest == hashlib.sha256(demand_value(demand())).digest()
    assert found.on.isoformat() == "2026-11-26"
    assert found.list_digest == HOLDS.list_digest


def _refused(outputs: Outputs) -> tuple[str | None, set[tuple[str, str]]]:
    assert outputs.after == ()
    found = resolved(outputs)
    return found.refused, {(d.outcome.value, d.code) for d in found.documents}


def test_bad_input_25_the_body_names_another_requester_than_the_topic() -> None:
    outputs = answer(cause(demand(), requester="justice-notary"), HOLDS)
    assert _refused(outputs) == ("requester_mismatch", {("refused", "requester_mismatch")})
    assert outputs.before[1].topic == "demand.resolved.justice-notary"
    assert resolved(outputs).requester == "justice-notary"


def test_bad_input_16_received_after_its_expiry() -> None:
    late = cause(demand(expires_at=NOW + timedelta(seconds=1)), timestamp_ms=NOW_MS + 1000)
    assert _refused(answer(late, HOLDS)) == ("expired", {("refused", "expired")})


@pytest.mark.parametrize("code", ["expired", "clock", "id_reused"])
def test_what_was_refused_before_is_said_for_each_document(code: str) -> None:
    outputs = answer(cause(demand(documents=papers(*COMMUNAL))), HOLDS, code)
    assert _refused(outputs) == (code, {("refused", code)})
    assert len(resolved(outputs).documents) == 6


@pytest.mark.parametrize(
    "value",
    [b"", b"\x00", b"\x01" + demand_value(demand())[1:], demand_value(demand())[:-1], demand_value(demand()) + b"\x00",
     b"\x00\x00\x00\x03\xe7" + demand_value(demand())[5:]],
    ids=["empty", "short", "magic byte", "cut", "left over", "schema not accepted"],
)  # fmt: skip
def test_what_cannot_be_read_is_answered_refused_unreadable(value: bytes) -> None:
    outputs = answer(cause(demand(), value=value), HOLDS)
    assert _refused(outputs) == ("unreadable", set())
    assert resolved(outputs).demand_digest == hashlib.sha256(value).digest()


def test_a_key_that_is_not_the_bodys_id_is_unreadable() -> None:
    other = demand(demand_id=demand().demand_id)
    changed = cause(other, demand_id=type(other.demand_id)(int=other.demand_id.int + 1))
    assert _refused(answer(changed, HOLDS)) == ("unreadable", set())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"procedure": "no-such"}, "unknown_procedure"),
        ({"procedure": "gas-connection"}, "procedure_not_yours"),
        ({"subject": {"kind": "person", "id": "123456789"}}, "wrong_identifier_kind"),
        ({"subject": {"kind": "person", "id": "30101900010019"}}, "malformed_identifier"),
        ({"subject": {"kind": "person", "id": "3010190001001\x00"}}, "forbidden_characters"),
    ],
)
def test_a_refused_demand_names_its_code_and_no_value(change: dict[str, Any], code: str) -> None:
    outputs = answer(cause(demand(**change)), HOLDS)
    assert _refused(outputs) == (code, {("refused", code)})
    for sent in outputs.before:
        assert b"30101900010019" not in (sent.value or b"")


def test_the_record_names_no_identifier_and_no_request_id() -> None:
    asked = demand(
        parties=({"role": "seller", "kind": "person", "id": "43112990020153"},),
        documents=({"type": COMMUNAL[3], "parameters": {"account_address": "Bobur koʻchasi 1"}},),
    )
    outputs = answer(cause(asked), HOLDS)
    value = outputs.before[0].value or b""
    request = requests(outputs)[0]
    for secret in (PERSON.encode(), b"43112990020153", "Bobur koʻchasi".encode(), request.request_id):
        assert secret not in value
    record = read(outputs.before[0])
    assert isinstance(record, ExchangeRecorded)
    assert record.resolution is not None
    [entry] = record.resolution.documents
    assert entry.request_hash == hashlib.sha256(request.request_id).digest()
    assert entry.parameter_names == ("account_address",)
    assert record.resolution.subject_pseudonym not in (None, hashlib.sha256(PERSON.encode()).digest())


@given(st.binary(max_size=140), st.binary(max_size=300))
def test_the_hmac_is_that_of_the_standard_library(secret: bytes, value: bytes) -> None:
    message = b"\0\0\0\6demand" + len(value).to_bytes(4, "big") + value
    assert demand_hmac(secret, value) == hmac.digest(secret, message, "sha256")


def test_a_request_id_depends_on_all_that_it_names() -> None:
    base: dict[str, Any] = {
        "secret": SECRET,
        "requester": "a",
        "demand_id": demand().demand_id,
        "digest": b"d" * 32,
        "document_type": "t",
        "about": None,
        "parameters": {"x": "1", "y": "2"},
    }
    changes: list[dict[str, Any]] = [
        {},
        {"secret": b"b" * 32},
        {"requester": "b"},
        {"digest": b"e" * 32},
        {"document_type": "u"},
        {"about": ""},
        {"about": "seller"},
        {"parameters": {"x": "1", "y": "3"}},
        {"parameters": {"x": "1y", "": "2"}},
        {"parameters": {}},
    ]
    assert len({request_id(**{**base, **change}) for change in changes}) == len(changes)
    assert request_id(**base) == request_id(**{**base, "parameters": {"y": "2", "x": "1"}})
    assert len(request_id(**base)) == 32


@pytest.mark.parametrize(
    ("stamp", "day"), [("2022-06-30T18:59:59.999", "2022-06-30"), ("2022-06-30T19:00:00.000", "2022-07-01")]
)
def test_bad_input_29_the_day_is_the_brokers_receive_day_in_tashkent(stamp: str, day: str) -> None:
    at = int(datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp() * 1000)
    assert cause(demand(), timestamp_ms=at).on.isoformat() == day


def test_in_verified_mode_nothing_that_is_only_inferred_is_fetched() -> None:
    holds: Standing = standing(fetch_mode="verified")
    outputs = answer(cause(demand(documents=papers(*COMMUNAL))), holds)
    assert outputs.after == ()
    codes = {d.document_type: d.code for d in resolved(outputs).documents}
    assert codes[COMMUNAL[3]] == "ground_not_verified"


def test_the_largest_demand_that_is_a_message_has_an_answer_that_fits() -> None:
    wide = "\U0001f69a"  # four bytes, as long as a character gets
    documents = tuple(
        {
            "type": f"{number:02d}" + wide * 118,
            "about": wide * 120,
            "parameters": {f"{p:02d}" + wide * 62: "x" for p in range(MAX_PARAMETERS)},
        }
        for number in range(64)
    )
    for changes in ({}, {"documents": documents}, {"documents": documents, "procedure": wide * 120}):
        asked = demand(
            parties=tuple(
                {"role": f"{n:02d}" + wide * 118, "kind": "person", "id": SECOND_PERSON} for n in range(MAX_PARTIES)
            ),
            circumstances={f"{n:02d}" + wide * 62: "no" for n in range(MAX_CIRCUMSTANCES)},
            case_id=wide * 400,
            official=wide * 400,
            **changes,
        )
        outputs = answer(cause(asked), HOLDS)
        assert max(len(sent.value or b"") for sent in outputs.before) < 1024 * 1024
        assert len(resolved(outputs).documents) == len(asked.documents)


def test_every_document_type_of_the_list_at_once_fits() -> None:
    types = sorted(HOLDS.lists.documents)[:64]
    outputs = answer(cause(demand(documents=papers(*types))), HOLDS)
    assert max(len(sent.value or b"") for sent in (*outputs.before, *outputs.after)) < 512 * 1024
    assert len(resolved(outputs).documents) >= len(types)
