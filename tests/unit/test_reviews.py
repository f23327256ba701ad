"""A provider that looks again: an answer stands or is corrected, recorded first, of one size, equal when repeated."""

import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from chopar.bus.consume import Outputs
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing
from chopar.errors import ConfigurationError, RegisterUnavailableError, WrongRecordError
from chopar.identifiers import uuid7
from chopar.messages.dispute import DisputeReason, EvidenceCorrected, EvidenceDisputed, EvidenceUpheld
from chopar.messages.evidence import Debt, EvidenceProvided, EvidenceRequested, EvidenceUnavailable, TaxDebt
from chopar.messages.exchange import ExchangeRecorded
from chopar.messages.record import Message
from chopar.provider.corrections import Corrections, CorrectionSent
from chopar.provider.provider import Answer, Deferred, NoRecord
from chopar.schema_registry import Decoder
from chopar.topics import TopicLayout
from tests.builders import NOW, NOW_MS, PERSON, SECOND_PERSON, demand_id
from tests.unit.test_provider import FILES, SECRET, World, request

DISPUTE = uuid7(NOW + timedelta(hours=1), 9)
NONCE = hmac.digest(SECRET, request().request_id, "sha256")


@pytest.fixture
async def world() -> World:
    return await World().start()


def owes(*, debt: bool) -> TaxDebt:
    return TaxDebt(has_debt=debt, debts=(Debt(tax="land", amount_tiyin=12),), source_register="register", as_of=NOW)


async def read(world: World, outputs: Outputs) -> tuple[ExchangeRecorded, Message]:
    decoder = Decoder(FILES, world.registry)
    recorded = await decoder.message(outputs.before[0].value or b"", ExchangeRecorded)
    said = await decoder.one_of(
        outputs.after[0].value or b"", EvidenceProvided, EvidenceUpheld, EvidenceCorrected, EvidenceDisputed
    )
    return recorded, said


async def answered(world: World, asked: EvidenceRequested) -> bytes:
    """Answer a request; the digest of the answer."""
    _, provided = await read(world, await world.handle(asked))
    assert isinstance(provided, EvidenceProvided)
    return hashlib.sha256(provided.nonce + provided.body).digest()


def dispute(world: World, asked: EvidenceRequested, answer: bytes, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "dispute_id": DISPUTE,
        "demand_id": asked.demand_id,
        "requester": asked.requester,
        "request_id": asked.request_id,
        "answer_digest": answer,
        "reason": DisputeReason.WRONG_VALUE,
        "official": "official-7",
        "disputed_at": NOW + timedelta(hours=1),
        "original": world.encoder.encode(asked),
    }
    return world.encoder.encode(EvidenceDisputed.model_validate({**fields, **changes}))


async def test_an_answer_stands_while_the_register_says_the_same(world: World) -> None:
    world.answer = owes(debt=True)
    first = await answered(world, request())
    outputs = await world.handle(dispute(world, request(), first))
    recorded, said = await read(world, outputs)
    assert isinstance(said, EvidenceUpheld)
    assert (said.upholds, said.dispute_id, said.request_id) == (first, DISPUTE, request().request_id)
    assert recorded.access is not None
    assert (recorded.access.because, recorded.access.correction_id) == ("disputed", DISPUTE)
    assert recorded.access.answer_digest == first
    assert [sent.topic for sent in outputs.before] == ["exchange.recorded"]
    assert [sent.topic for sent in outputs.after] == ["evidence.provided.electricity-het"]


async def test_what_the_register_says_otherwise_takes_the_answers_place_cut_to_the_ground(world: World) -> None:
    world.answer = owes(debt=True)
    first = await answered(world, request())
    world.answer = owes(debt=False)
    recorded, said = await read(world, await world.handle(dispute(world, request(), first)))
    assert isinstance(said, EvidenceCorrected)
    assert (said.supersedes, said.correction_id, said.nonce) == (first, DISPUTE, NONCE)
    _, datum = await Decoder(FILES, world.registry).datum(said.body)
    assert (datum["has_debt"], datum["debts"], datum["as_of"]) == (False, None, NOW)
    assert recorded.access is not None
    assert recorded.access.answer_digest == hashlib.sha256(NONCE + said.body).digest()
    assert PERSON.encode() not in (recorded.demand_id.bytes + said.body)


@pytest.mark.parametrize("fields", [("has_debt",), ("has_debt", "debts.tax", "debts.amount_tiyin")])
async def test_upheld_corrected_and_no_record_have_one_size_and_the_same_request_the_same_bytes(
    world: World, fields: tuple[str, ...]
) -> None:
    asked = request(fields=fields)
    world.answer = owes(debt=True)
    first = await answered(world, asked)
    value = dispute(world, asked, first)
    stands = await world.handle(value)
    assert await world.handle(value, offset=9) == stands
    sizes = {len(stands.after[0].value or b"")}
    for other in (owes(debt=False), NoRecord("since 1997")):
        world.answer = other
        corrected = await world.handle(value)
        assert await world.handle(value, offset=9) == corrected
        assert dict(corrected.after[0].headers)["ce_id"] != dict(stands.after[0].headers)["ce_id"]
        sizes.add(len(corrected.after[0].value or b""))
    assert sizes == {1024}


async def test_a_long_answer_that_stands_is_as_long_as_its_correction(world: World) -> None:
    fields = ("has_debt", "debts.tax", "debts.amount_tiyin")
    many = tuple(Debt(tax=f"tax number {number}", amount_tiyin=number) for number in range(900))
    world.answer = TaxDebt(has_debt=True, debts=many, source_register="register", as_of=NOW)
    first = await answered(world, request(fields=fields))
    stands = await world.handle(dispute(world, request(fields=fields), first))
    corrects = await world.handle(dispute(world, request(fields=fields), b"another answer of 32 bytes long."))
    assert len(stands.after[0].value or b"") == len(corrects.after[0].value or b"") > 16_000
    assert isinstance((await read(world, stands))[1], EvidenceUpheld)


async def test_no_record_may_have_been_wrong_and_evidence_too(world: World) -> None:
    first = await answered(world, request())
    world.answer = owes(debt=True)
    _, said = await read(
        world, await world.handle(dispute(world, request(), first, reason=DisputeReason.RECORD_EXISTS))
    )
    assert isinstance(said, EvidenceCorrected)
    world.answer = NoRecord("since 1997")
    second = hashlib.sha256(NONCE + said.body).digest()
    _, said = await read(world, await world.handle(dispute(world, request(), second)))
    assert isinstance(said, EvidenceCorrected)
    assert (await Decoder(FILES, world.registry).datum(said.body))[0] == EvidenceUnavailable.RECORD


async def test_an_agency_may_look_by_a_function_of_its_own(world: World) -> None:
    seen: list[str] = []

    @world.provider.reviews("tax-debt")
    async def look_closely(disputed: EvidenceDisputed, asked: EvidenceRequested, register: object) -> Answer:
        seen.append(disputed.reason)
        return owes(debt=False)

    with pytest.raises(ConfigurationError):
        world.provider.reviews("tax-debt")(look_closely)
    world.answer = owes(debt=True)
    first = await answered(world, request())
    _, said = await read(world, await world.handle(dispute(world, request(), first)))
    assert isinstance(said, EvidenceCorrected)
    assert seen == ["wrong_value"]


async def test_a_review_that_takes_days_says_nothing_yet(world: World) -> None:
    world.answer = Deferred(NOW + timedelta(days=2))
    assert await world.handle(dispute(world, request(), b"x" * 32)) == Outputs()


async def test_nothing_is_read_or_released_when_the_demand_has_expired(world: World) -> None:
    world.answer = owes(debt=True)
    first = await answered(world, request())
    world.answer = AssertionError("the register is read")
    world.now = request().expires_at
    assert await world.handle(dispute(world, request(), first)) == Outputs()
    world.answer, world.now, world.reading_takes = owes(debt=False), NOW, timedelta(days=8)
    assert await world.handle(dispute(world, request(), first)) == Outputs()


async def test_a_register_that_is_away_is_asked_again(world: World) -> None:
    world.answer = RegisterUnavailableError("away")
    with pytest.raises(RegisterUnavailableError):
        await world.handle(dispute(world, request(), b"x" * 32))


async def test_a_dispute_of_another_providers_answer_or_with_another_request_is_a_bad_record(world: World) -> None:
    other = request(provider="social-protection-agency")
    for value in (
        dispute(world, other, b"x" * 32),
        dispute(world, request(), b"x" * 32, request_id=b"r" * 32),
        dispute(world, request(), b"x" * 32, original=world.encoder.encode(owes(debt=True))),
    ):
        with pytest.raises(WrongRecordError):
            await world.handle(value)


async def test_a_holder_corrects_by_itself_what_it_has_said(world: World) -> None:
    world.answer = owes(debt=True)
    await answered(world, request())
    world.answer = owes(debt=False)
    outputs = await world.handler.corrected(request(), 2, DISPUTE)
    assert outputs == await world.handler.corrected(request(), 2, DISPUTE)
    recorded, said = await read(world, outputs)
    assert isinstance(said, EvidenceCorrected)
    assert (said.supersedes, said.correction_id) == (None, DISPUTE)
    assert recorded.access is not None
    assert (recorded.access.because, recorded.access.correction_id) == ("corrected", DISPUTE)
    assert await world.handler.corrected(request(expires_at=NOW), 2, DISPUTE) == Outputs()
    assert demand_id() == said.demand_id
    world.reading_takes = timedelta(days=8)
    assert await world.handler.corrected(request(), 2, DISPUTE) == Outputs(), "it expired while the register was read"


async def test_a_request_that_cannot_be_answered_again_keeps_nobody_else_from_being_told(world: World) -> None:
    bus = MemoryBus(lambda: NOW_MS)
    askers = ("electricity-het", "gas-hududgaz", "justice-notary")
    topics = [world.provider.topic, "exchange.recorded", *(f"evidence.provided.{one}" for one in askers[:2])]
    await bus.admin().create([TopicLayout(name, 6, {"message.timestamp.type": "LogAppendTime"}) for name in topics])
    asked = [
        request(demand_id=demand_id(number), request_id=bytes([number]) * 32, requester=requester, subject=subject)
        for number, (requester, subject) in enumerate(
            [
                (askers[0], {"kind": "person", "id": PERSON}),
                (askers[2], {"kind": "person", "id": PERSON}),  # its topic is gone
                (askers[0], {"kind": "person", "id": SECOND_PERSON}),  # the agency's function fails on this one
                (askers[1], {"kind": "person", "id": PERSON}),
            ]
        )
    ]
    producer = bus.producer("gateway")
    await producer.start()
    await producer.send(
        [Outgoing(world.provider.topic, 3, str(one.demand_id).encode(), world.encoder.encode(one)) for one in asked]
    )
    world.answer = owes(debt=False)
    async with Corrections(world.handler, bus, Decoder(FILES, world.registry), lambda: NOW) as corrections:
        with capture_logs() as logs:
            sent = await corrections.correct(lambda _: True, DISPUTE)
    assert sent == CorrectionSent(read=4, corrected=2, failed=2)
    assert [len(bus.records(f"evidence.provided.{one}", 3)) for one in askers[:2]] == [1, 1]
    failed = [log for log in logs if log["event"] == "correction.failed"]
    assert [(log["offset"], log["error"]) for log in failed] == [(1, "NoSuchTopicError"), (2, "AssertionError")]
