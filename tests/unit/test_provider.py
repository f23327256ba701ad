"""A provider's handler: what it answers, cuts, records, repeats and leaves alone."""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from chopar.avro import SchemaFiles, frame
from chopar.bus.consume import Outputs
from chopar.bus.port import Record
from chopar.errors import (
    ConfigurationError,
    NotOurFramingError,
    RegisterUnavailableError,
    SchemaNotYetKnownError,
    SchemaRegistryUnavailableError,
    UndecodableError,
    UnknownSchemaError,
    WrongRecordError,
)
from chopar.messages.evidence import (
    Debt,
    EvidenceProvided,
    EvidenceRequested,
    EvidenceUnavailable,
    TaxDebt,
    UnavailableCode,
)
from chopar.messages.exchange import ExchangeRecorded
from chopar.provider.provider import (
    AmbiguousSubject,
    Answer,
    Deferred,
    NoRecord,
    NotEntitled,
    Provider,
    ProviderHandler,
    subject_of,
)
from chopar.schema_registry import Decoder, Encoder, InMemorySchemaRegistry
from tests.builders import NOW, NOW_MS, PERSON, demand_id

SECRET = b"provider secret of 32 bytes....."
FILES = SchemaFiles.shipped()


def request(**changes: Any) -> EvidenceRequested:
    fields: dict[str, Any] = {
        "request_id": bytes(range(32)),
        "demand_id": demand_id(),
        "requester": "electricity-het",
        "provider": "tax-committee",
        "evidence_type": "tax-debt",
        "subject": {"kind": "person", "id": PERSON},
        "fields": ("has_debt",),
        "procedure": "electricity-supply-contract",
        "case_id": "case-1",
        "official": "official-7",
        "access_ground": "ground-1",
        "act": "act",
        "as_of": NOW,
        "due": NOW + timedelta(days=1),
        "expires_at": NOW + timedelta(days=7),
    }
    return EvidenceRequested.model_validate({**fields, **changes})


class World:
    """A provider whose register is one answer that tests set."""

    def __init__(self) -> None:
        self.registry = InMemorySchemaRegistry(lambda: self.monotonic)
        self.monotonic = 0.0
        self.now = NOW
        self.answer: Answer | Exception = NoRecord("since 1997")
        self.reading_takes = timedelta(0)
        self.encoder = Encoder(FILES, self.registry)
        provider = Provider("tax-committee", register="register of taxpayers")

        @provider.answers("tax-debt")
        async def tax_debt(asked: EvidenceRequested, register: object) -> Answer:
            assert subject_of(asked).text == PERSON
            assert register == "the register"
            self.now += self.reading_takes
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        self.provider = provider
        self.handler = ProviderHandler(
            provider,
            "the register",
            encoder=self.encoder,
            decoder=Decoder(FILES, self.registry),
            secret=SECRET,
            clock=lambda: self.now,
            metrics=CollectorRegistry(),
        )

    async def start(self) -> "World":
        for name, text in FILES.texts.items():
            await self.registry.register(name, text)
        await self.encoder.prepare(*FILES.texts)
        return self

    async def handle(self, asked: EvidenceRequested | bytes, offset: int = 5) -> Outputs:
        value = asked if isinstance(asked, bytes) else self.encoder.encode(asked)
        headers = (("ce_id", b"cause"), ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"))
        key = str(demand_id()).encode()
        record = Record(self.provider.topic, 2, offset, NOW_MS + offset, key, value, headers)
        return await self.handler.handle(record)

    async def read(self, outputs: Outputs) -> tuple[ExchangeRecorded, EvidenceProvided, dict[str, Any]]:
        decoder = Decoder(FILES, self.registry)
        recorded = await decoder.message(outputs.before[0].value or b"", ExchangeRecorded)
        provided = await decoder.message(outputs.after[0].value or b"", EvidenceProvided)
        return recorded, provided, (await decoder.datum(provided.body))[1]


@pytest.fixture
async def world() -> World:
    return await World().start()


def owes() -> TaxDebt:
    debts = (Debt(tax="income", amount_tiyin=700), Debt(tax="land", amount_tiyin=12))
    return TaxDebt(has_debt=True, debts=debts, source_register="register of taxpayers", as_of=NOW - timedelta(days=9))


async def test_bad_input_34_fields_beyond_the_ground_are_cut_before_digest_and_release(world: World) -> None:
    world.answer = owes()
    recorded, provided, datum = await world.read(await world.handle(request()))
    assert datum == {
        "has_debt": True,
        "debts": None,
        "fields_given": ["has_debt"],
        "source_register": "register of taxpayers",
        "as_of": NOW,
    }
    assert recorded.access is not None
    assert recorded.access.fields == ("has_debt",)
    nonce = hmac.digest(SECRET, request().request_id, "sha256")
    assert provided.nonce == nonce
    assert recorded.access.answer_digest == hashlib.sha256(nonce + provided.body).digest()


async def test_a_ground_with_amounts_gets_amounts(world: World) -> None:
    world.answer = owes()
    fields = ("has_debt", "debts.tax", "debts.amount_tiyin")
    _, _, datum = await world.read(await world.handle(request(fields=fields)))
    assert datum["debts"] == [{"tax": "income", "amount_tiyin": 700}, {"tax": "land", "amount_tiyin": 12}]


async def test_the_record_comes_before_the_answer_and_knows_the_request_by_its_hash_alone(world: World) -> None:
    outputs = await world.handle(request())
    assert [sent.topic for sent in outputs.before] == ["exchange.recorded"]
    assert [sent.topic for sent in outputs.after] == ["evidence.provided.electricity-het"]
    recorded, _, _ = await world.read(outputs)
    assert recorded.access is not None
    assert recorded.access.request_hash == hashlib.sha256(request().request_id).digest()
    assert request().request_id not in (outputs.before[0].value or b"")
    for sent in (*outputs.before, *outputs.after):
        assert sent.partition == 2
        assert sent.key == str(demand_id()).encode()
        assert dict(sent.headers)["ce_source"] == b"/agencies/tax-committee"
        assert b"a" * 32 in dict(sent.headers)["traceparent"]


async def test_bad_input_36_nobody_there_is_no_record_of_the_same_size_as_a_hit(world: World) -> None:
    nothing = await world.handle(request())
    world.answer = owes()
    hit = await world.handle(request())
    world.answer = TaxDebt(has_debt=False, debts=(), source_register="register of taxpayers", as_of=NOW)
    clean = await world.handle(request())
    sizes = {len(outputs.after[0].value or b"") for outputs in (nothing, hit, clean)}
    assert sizes == {1024}
    assert len({len(outputs.before[0].value or b"") for outputs in (nothing, hit, clean)}) == 1
    _, provided, datum = await world.read(nothing)
    assert datum["code"] == "no_record"
    assert datum["register_coverage"] == "since 1997"
    assert provided.final


async def test_a_repeated_request_gets_the_same_answer_under_the_same_ids(world: World) -> None:
    first, again = await world.handle(request(), offset=5), await world.handle(request(), offset=9)
    assert first == again
    world.answer = owes()
    changed = await world.handle(request(), offset=10)
    assert dict(changed.after[0].headers)["ce_id"] != dict(first.after[0].headers)["ce_id"]


@pytest.mark.parametrize(
    ("answer", "code", "final"),
    [
        (AmbiguousSubject(), "ambiguous_subject", True),
        (NotEntitled(), "not_entitled", True),
        (Deferred(NOW + timedelta(days=2)), "deferred", False),
    ],
)
async def test_the_other_reasons_for_no_evidence(world: World, answer: Answer, code: str, final: bool) -> None:
    world.answer = answer
    recorded, provided, datum = await world.read(await world.handle(request()))
    assert (datum["code"], provided.final) == (code, final)
    assert recorded.access is not None
    assert recorded.access.final is final


async def test_an_evidence_type_without_a_function_is_an_error_for_good(world: World) -> None:
    _, provided, datum = await world.read(await world.handle(request(evidence_type="unknown")))
    assert EvidenceUnavailable.from_avro(datum).code == "provider_error"
    assert provided.final


async def test_nothing_is_read_or_released_after_expiry(world: World) -> None:
    world.answer = AssertionError("the register was asked after expiry")
    world.now = request().expires_at
    assert await world.handle(request()) == Outputs()
    world.now = datetime.fromtimestamp(request().expires_at.timestamp() - 0.001, NOW.tzinfo)
    world.answer = NoRecord()
    assert (await world.handle(request())).after


async def test_nothing_is_released_if_the_request_expired_while_the_register_was_read(world: World) -> None:
    world.reading_takes = timedelta(seconds=5)
    world.now = request().expires_at - timedelta(seconds=5)
    assert await world.handle(request()) == Outputs()
    world.now = request().expires_at - timedelta(seconds=5, milliseconds=1)
    assert (await world.handle(request())).after


async def test_a_register_that_does_not_answer_is_retriable(world: World) -> None:
    world.answer = RegisterUnavailableError("down")
    with pytest.raises(RegisterUnavailableError):
        await world.handle(request())


async def test_a_request_to_another_provider_is_no_request_of_ours(world: World) -> None:
    with pytest.raises(WrongRecordError):
        await world.handle(request(provider="cadastre-agency"))


async def test_bad_inputs_01_to_04_06_09_become_errors_that_are_not_retriable(world: World) -> None:
    good = world.encoder.encode(request())
    other = world.encoder.encode(EvidenceUnavailable(code=UnavailableCode.NO_RECORD, source_register="r", as_of=NOW))
    for value, error in (
        (good[:-1], UndecodableError),
        (good + b"\x00", UndecodableError),
        (good[:5] + b"\xff" * 40, UndecodableError),
        (b"\x01" + good[1:], NotOurFramingError),
        (b"\x00\x00", NotOurFramingError),
        (other, WrongRecordError),
    ):
        with pytest.raises(error) as caught:
            await world.handle(value)
        assert not caught.value.retriable


async def test_bad_input_05_an_unknown_schema_is_asked_for_ten_seconds_and_then_bad(world: World) -> None:
    unknown = frame(999, b"x")
    with pytest.raises(SchemaNotYetKnownError):
        await world.handle(unknown)
    world.monotonic = 9.9
    with pytest.raises(SchemaNotYetKnownError):
        await world.handle(unknown)
    world.monotonic = 10.0
    with pytest.raises(UnknownSchemaError):
        await world.handle(unknown)


async def test_bad_input_07_with_the_registry_down_cached_ids_work_and_others_wait(world: World) -> None:
    await world.handle(request())
    world.registry.available = False
    assert (await world.handle(request())).after
    with pytest.raises(SchemaRegistryUnavailableError):
        await world.handle(frame(999, b"x"))


def test_two_functions_for_one_evidence_type_are_refused() -> None:
    provider = Provider("a", register="r")

    @provider.answers("t")
    async def first(_: EvidenceRequested, __: object) -> Answer:
        return NoRecord()

    with pytest.raises(ConfigurationError):
        provider.answers("t")(first)
    assert provider.evidence_types == ("t",)
