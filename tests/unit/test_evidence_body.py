"""An answer's bytes, made without a copy of the evidence and without models, are those of the plain way."""

import asyncio
import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from pydantic import ValidationError, field_serializer, model_validator

from chopar.avro import SchemaFiles
from chopar.avro.writer import zigzag
from chopar.bus.port import Record
from chopar.envelope import Origin, outgoing
from chopar.errors import TooLargeError
from chopar.identifiers import derived_uuid
from chopar.messages import civil_status, evidence, social, utility
from chopar.messages.entitlement import cut
from chopar.messages.evidence import (
    Debt,
    Evidence,
    EvidenceProvided,
    EvidenceRequested,
    EvidenceUnavailable,
    TaxDebt,
    UnavailableCode,
)
from chopar.messages.exchange import AccessEntry, ExchangeRecorded
from chopar.provider.answer_messages import padding_length
from chopar.provider.evidence_body import EvidenceBodies
from chopar.provider.provider import Answer, Deferred, NoRecord, Provider, ProviderHandler
from chopar.schema_registry import Decoder, Encoder, InMemorySchemaRegistry
from tests.avro_values import LIKELY, data
from tests.builders import NOW, NOW_MS, PERSON, demand_id

FILES = SchemaFiles.shipped()
SECRET = b"provider secret of 32 bytes....."
KINDS = [
    kind
    for module in (civil_status, evidence, social, utility)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Evidence) and "RECORD" in vars(kind)
]
LATER = NOW + timedelta(seconds=1)


async def prepared() -> Encoder:
    registry = InMemorySchemaRegistry()
    for name, text in FILES.texts.items():
        await registry.register(name, text)
    made = Encoder(FILES, registry)
    await made.prepare(*FILES.texts)
    return made


ENCODER = asyncio.run(prepared())


def plainly(encoder: Encoder, answer: Evidence, fields: tuple[str, ...]) -> bytes:
    return encoder.encode(type(answer).model_validate({**cut(answer.to_avro(), fields), "as_of": LATER}))


def names(schema: Any, known: dict[str, Any]) -> list[str]:
    """The fields of a record, those one level below them, and some that are none."""
    found = ["unknown", "unknown.below", "as_of", "fields_given"]
    for field in schema["fields"]:
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
        found.append(field["name"])
        found.append(f"{field['name']}.nothing")
        for kind in kinds:
            inner = kind.get("items", kind) if isinstance(kind, dict) else kind
            inner = known.get(inner, inner) if isinstance(inner, str) else inner
            if isinstance(inner, dict) and "fields" in inner:
                known[inner["name"]] = inner
                found += [f"{field['name']}.{below['name']}" for below in inner["fields"]]
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_evidence_is_cut_and_encoded_as_the_plain_way_does(kind: type[Evidence], drawn: st.DataObject) -> None:
    schema = FILES.parsed(kind.RECORD)
    try:
        answer = kind.model_validate(drawn.draw(data(schema, {}, LIKELY))[0])
    except ValidationError:
        return
    fields = tuple(drawn.draw(st.lists(st.sampled_from(names(schema, {})), max_size=6)))
    made = ENCODER
    bodies = EvidenceBodies(made)
    assert bodies.value(answer, fields, LATER) == plainly(made, answer, fields)
    assert bodies.value(answer, fields, LATER) == plainly(made, answer, fields)


@pytest.mark.parametrize("fields", [("has_debt",), ("debts.amount_tiyin",), ("debts", "has_debt"), ()])
def test_ours_are_made_without_the_plain_way(fields: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    made = ENCODER
    debts = (Debt(tax="land", amount_tiyin=5), Debt(tax="property", amount_tiyin=7))
    answer = TaxDebt(has_debt=True, debts=debts, source_register="register", as_of=NOW)
    expected = plainly(made, answer, fields)
    monkeypatch.setattr(made, "encode", None)
    assert EvidenceBodies(made).value(answer, fields, LATER) == expected


class Careful(TaxDebt):
    @model_validator(mode="after")
    def _counted(self) -> "Careful":
        if self.debts == ():
            object.__setattr__(self, "has_debt", False)
        return self


class Loud(TaxDebt):
    @field_serializer("source_register")
    def _loud(self, value: str) -> str:
        return value.upper()


class Own(TaxDebt):
    def to_avro(self) -> dict[str, object]:
        return {**super().to_avro(), "has_debt": True}


@pytest.mark.parametrize("kind", [Careful, Loud, Own])
def test_a_record_with_something_of_its_own_to_say_is_made_the_plain_way(kind: type[TaxDebt]) -> None:
    made = ENCODER
    answer = kind(has_debt=False, debts=(), source_register="register", as_of=NOW)
    for fields in (("has_debt",), ("debts",)):
        assert EvidenceBodies(made).value(answer, fields, LATER) == plainly(made, answer, fields)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_a_value_that_does_not_fit_is_said_as_before() -> None:
    wrong: Any = "perhaps"
    answer = TaxDebt.model_construct(has_debt=wrong, source_register="register", as_of=NOW)
    with pytest.raises(ValidationError, match="has_debt"):
        EvidenceBodies(ENCODER).value(answer, ("has_debt",), LATER)


def test_evidence_that_is_too_large_is_said_with_its_size() -> None:
    debts = tuple(Debt(tax="x" * 60, amount_tiyin=1) for _ in range(20_000))
    answer = TaxDebt(has_debt=True, debts=debts, source_register="register", as_of=NOW)
    with pytest.raises(TooLargeError, match=r"TaxDebt of \d{7} bytes"):
        EvidenceBodies(ENCODER).value(answer, ("debts",), LATER)


TEXTS = st.text(max_size=30) | st.sampled_from([PERSON, f"case {PERSON}.", "301234567", ""])
REQUESTS = st.fixed_dictionaries(
    {
        "request_id": st.binary(min_size=32, max_size=32),
        "demand_id": st.integers(1, 9).map(demand_id),
        "requester": st.sampled_from(["electricity-het", "gas-hududgaz"]),
        "provider": st.just("tax-committee"),
        "evidence_type": st.sampled_from(["tax-debt", "another"]),
        "subject": st.just({"kind": "person", "id": PERSON}),
        "fields": st.lists(st.sampled_from(["has_debt", "debts", "debts.tax", "b"]), max_size=3),
        "procedure": TEXTS,
        "case_id": TEXTS,
        "official": TEXTS,
        "access_ground": TEXTS,
        "act": TEXTS,
        "as_of": st.integers(-9, 9).map(lambda hours: NOW + timedelta(hours=hours)),
        "due": st.just(NOW),
        "expires_at": st.just(NOW + timedelta(days=7)),
    }
)
ANSWERS = st.sampled_from(
    [
        NoRecord("since 1997"),
        NoRecord(),
        Deferred(NOW + timedelta(days=3)),
        TaxDebt(has_debt=True, debts=(Debt(tax="land", amount_tiyin=5),), source_register="register", as_of=NOW),
    ]
)


def outputs_plainly(encoder: Encoder, record: Record, request: EvidenceRequested, answer: Answer) -> Any:
    """Both messages of an answer, put together from models."""
    if isinstance(answer, Evidence):
        datum = cut(answer.to_avro(), request.fields)
        made: Any = type(answer).model_validate({**datum, "as_of": request.as_of})
    else:
        made = EvidenceUnavailable(
            code=UnavailableCode.NO_RECORD if isinstance(answer, NoRecord) else UnavailableCode.DEFERRED,
            register_coverage=answer.coverage if isinstance(answer, NoRecord) else None,
            promised_at=answer.promised_at if isinstance(answer, Deferred) else None,
            source_register="register of taxpayers",
            as_of=request.as_of,
        )
    body, final = encoder.encode(made), not isinstance(answer, Deferred)
    nonce = hmac.digest(SECRET, request.request_id, "sha256")
    digest, request_hash = hashlib.sha256(nonce + body).digest(), hashlib.sha256(request.request_id).digest()
    entry = AccessEntry(
        request_hash=request_hash,
        final=final,
        answer_digest=digest,
        fields=tuple(sorted(request.fields)),
        **{name: getattr(request, name) for name in ("provider", "evidence_type", "procedure", "case_id", "official")},
        access_ground=request.access_ground,
    )
    recorded = ExchangeRecorded(
        demand_id=request.demand_id, recorded_by=request.provider, requester=request.requester, access=entry
    )
    provided = EvidenceProvided(
        **{name: getattr(request, name) for name in ("request_id", "demand_id", "provider", "requester")},
        evidence_type=request.evidence_type,
        final=final,
        nonce=nonce,
        body=body,
    )
    bare = encoder.encode(provided)[:-1]
    zeros = padding_length(len(bare))
    origin = Origin(
        "/agencies/tax-committee",
        int(request.as_of.timestamp() * 1000),
        request.demand_id,
        "cause",
        record.header("traceparent"),
    )
    return tuple(
        outgoing(topic, record.partition, value, derived_uuid(request_hash, digest, name), name, origin)
        for topic, value, name in (
            ("exchange.recorded", encoder.encode(recorded), ExchangeRecorded.RECORD),
            (
                f"evidence.provided.{request.requester}",
                bare + zigzag(zeros) + bytes(zeros),
                EvidenceProvided.RECORD,
            ),
        )
    )


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(REQUESTS, ANSWERS), min_size=1, max_size=4))
async def test_both_messages_are_those_put_together_from_models(given_: list[tuple[dict[str, Any], Answer]]) -> None:
    made = ENCODER
    provider = Provider("tax-committee", register="register of taxpayers")
    answers = iter([answer for _, answer in given_])

    async def answering(request: EvidenceRequested, register: object) -> Answer:
        return next(answers)

    provider.answers("tax-debt")(answering)
    provider.answers("another")(answering)
    handler = ProviderHandler(
        provider,
        None,
        encoder=made,
        decoder=Decoder(FILES, made._registry),
        secret=SECRET,
        clock=lambda: NOW,
        metrics=CollectorRegistry(),
    )
    for fields, answer in given_:
        request = EvidenceRequested.model_validate(fields)
        record = Record(
            provider.topic,
            2,
            7,
            NOW_MS,
            str(request.demand_id).encode(),
            made.encode(request),
            (("ce_id", b"cause"), ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")),
        )
        outputs = await handler.handle(record)
        assert (*outputs.before, *outputs.after) == outputs_plainly(made, record, request, answer)
