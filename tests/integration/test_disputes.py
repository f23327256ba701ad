"""A dispute's whole way: asker, gateway, holder and back; and a holder that corrects what it has said by itself."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from chopar.bus.memory import MemoryBus
from chopar.bus.port import Admin, Bus, Record
from chopar.cli.demand_dispute import dispute_on, objection_of, said_of
from chopar.errors import ConfigurationError, NotFoundError, UndecodableError
from chopar.identifiers import PersonId, agency_id, uuid7
from chopar.messages.dispute import DisputeReason
from chopar.messages.exchange import ExchangeRecorded
from chopar.provider.corrections import Corrections, CorrectionSent, read_identifiers
from chopar.provider.provider import subject_of
from chopar.requester.completion import Delivered, Upheld
from chopar.requester.disputes import Objection
from chopar.requester.requester import Event, Exchange
from chopar.schema_registry import Decoder
from chopar.texts import Language, Texts
from chopar.topics import DEMAND_RESOLVED, DEMAND_SUBMITTED, EVIDENCE_PROVIDED, PARTITIONS, TopicLayout
from services.tax.model import DebtEntry
from tests.alternative_lists import PAPER as ALTERNATIVE_PAPER
from tests.alternative_lists import SECOND
from tests.builders import PERSON, SECOND_PERSON
from tests.integration import test_alternatives as alternatives
from tests.world import DEADLINE_SECONDS, World, world

pytestmark = pytest.mark.filterwarnings("ignore:Unclosed AIOKafka:ResourceWarning")

HET, CONTRACT, PAPER = "electricity-het", "electricity-supply-contract", "tax-debt-certificate"
WRONG = Objection(PAPER, DisputeReason.WRONG_VALUE, ("has_debt",), official="official-9")


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
async def here(request: pytest.FixtureRequest, tmp_path: Path, kafka: Callable[[], Bus]) -> AsyncIterator[World]:
    bus: Bus = MemoryBus(lambda: time.time_ns() // 1_000_000) if request.param == "memory" else kafka()
    async with world(bus, tmp_path) as made:
        await made.prepare()
        made.start_gateway()
        await made.start_tax({PersonId(PERSON): [DebtEntry("land", 5000)]})
        yield made


async def follow(exchange: Exchange) -> list[Event]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        return [event async for event in exchange]


def has_debt(event: Event) -> bool | None:
    assert isinstance(event, Delivered)
    return None if event.evidence is None else event.evidence["has_debt"]


async def recorded(here: World) -> list[ExchangeRecorded]:
    decoder = Decoder(here.files, here.registry)
    records = await here.records("exchange.recorded")
    return [await decoder.message(record.value or b"", ExchangeRecorded) for record in records]


async def test_an_answer_is_upheld_while_the_register_says_so_and_corrected_when_it_is_put_right(here: World) -> None:
    async with here.requester(HET) as requester:
        exchange = await requester.demand(procedure=CONTRACT, subject=PersonId(PERSON), documents=[PAPER])
        _, delivered = await follow(exchange)
        assert has_debt(delivered) is True

        first = await requester.dispute(exchange, WRONG)
        [upheld] = await follow(exchange)
        assert isinstance(upheld, Upheld)
        assert (upheld.dispute_id, upheld.document.document_type) == (first, PAPER)

        await here.store.set_debts(PersonId(PERSON), [])
        second = await requester.dispute(exchange, WRONG)
        [corrected] = await follow(exchange)
        assert isinstance(corrected, Delivered)
        assert (has_debt(corrected), corrected.correction_id, corrected.final) == (False, second, True)
        assert corrected.supersedes is not None

        await here.store.set_debts(PersonId(PERSON), [DebtEntry("land", 5000)])
        third = await requester.dispute(exchange, WRONG)  # of the correction, which is the last answer
        [again] = await follow(exchange)
        assert isinstance(again, Delivered)
        assert (has_debt(again), again.correction_id) == (True, third)

    log = await recorded(here)
    assert [one.dispute.dispute_id for one in log if one.dispute] == [first, second, third]
    assert {one.dispute.official for one in log if one.dispute} == {"official-9"}
    assert [one.access.because for one in log if one.access] == ["requested", *["disputed"] * 3]


async def test_that_the_register_knows_nobody_of_that_number_may_stand(here: World) -> None:
    async with here.requester(HET) as requester:
        exchange = await requester.demand(procedure=CONTRACT, subject=PersonId(SECOND_PERSON), documents=[PAPER])
        assert has_debt((await follow(exchange))[-1]) is None
        await requester.dispute(exchange, Objection(PAPER, DisputeReason.RECORD_EXISTS))
        [upheld] = await follow(exchange)
        assert isinstance(upheld, Upheld)


async def test_an_exchange_that_is_over_is_taken_up_from_its_records(here: World) -> None:
    async with here.requester(HET) as requester:
        exchange = await requester.demand(procedure=CONTRACT, subject=PersonId(PERSON), documents=[PAPER])
        await follow(exchange)
    await here.store.set_debts(PersonId(PERSON), [])
    for status, code in (("corrected", 0), ("upheld", 1)):
        found = await said_of(here.bus, exchange.demand_id)
        assert {record.topic.rpartition(".")[0] for record in found} == {
            "demand.submitted", "demand.resolved", "evidence.provided"
        }  # fmt: skip
        asked = objection_of(PAPER, "wrong_value", ["has_debt"], None)
        review = await dispute_on(here.bus, here.registry, exchange.demand_id, asked, DEADLINE_SECONDS)
        assert (review.status, review.exit_code()) == (status, code)
        assert (review.to_json()["evidence"] or {"has_debt": False})["has_debt"] is False
        texts = Texts.shipped()
        sentence, *evidence = review.to_text(texts, Language.ENGLISH)
        assert texts.say("review", status, Language.ENGLISH) in str(sentence)
        assert len(evidence) == (status == "corrected")
    other = objection_of("housing-certificate", "wrong_value", [], None)
    with pytest.raises(NotFoundError, match=f"has no such document, it has {PAPER}$"):
        await dispute_on(here.bus, here.registry, exchange.demand_id, other, DEADLINE_SECONDS)
    unsaid = objection_of(PAPER, "wrong_value", [], "x" * 401)
    with pytest.raises(UndecodableError, match="official"):  # of the dispute, and not that there is no such demand
        await dispute_on(here.bus, here.registry, exchange.demand_id, unsaid, DEADLINE_SECONDS)
    with pytest.raises(ConfigurationError, match="record_exists"):
        objection_of(PAPER, "because", [], None)


async def test_a_demand_that_another_agency_has_sent_under_the_id_stands_in_nobodys_way(here: World) -> None:
    async with here.requester(HET) as requester:
        exchange = await requester.demand(procedure=CONTRACT, subject=PersonId(PERSON), documents=[PAPER])
        await follow(exchange)
    intruder = agency_id("aaa")  # it comes first among the topics
    families = (DEMAND_SUBMITTED, DEMAND_RESOLVED, EVIDENCE_PROVIDED)
    log_append = {"message.timestamp.type": "LogAppendTime"}
    async with admin_of(here.bus) as admin:
        await admin.create([TopicLayout(one.of(intruder), PARTITIONS, log_append) for one in families])
    async with here.requester(intruder) as requester:
        await requester.send(exchange.demand.model_copy(update={"requester": intruder}))
    asked = objection_of(PAPER, "wrong_value", [], None)
    review = await dispute_on(here.bus, here.registry, exchange.demand_id, asked, DEADLINE_SECONDS)
    assert review.status == "upheld"
    other = objection_of("address-reference-certificate", "wrong_value", [], None)
    with pytest.raises(NotFoundError, match="has no such document"):
        await dispute_on(here.bus, here.registry, exchange.demand_id, other, DEADLINE_SECONDS)


@contextlib.asynccontextmanager
async def admin_of(bus: Bus) -> AsyncIterator[Admin]:
    admin = bus.admin()
    await admin.start()
    try:
        yield admin
    finally:
        await admin.stop()


async def test_what_the_next_holder_has_said_is_disputed_in_the_same_exchange(tmp_path: Path) -> None:
    async with world(MemoryBus(lambda: time.time_ns() // 1_000_000), tmp_path) as here:
        await alternatives.start(here, {SECOND: [PERSON]})
        async with here.requester(HET) as requester:
            exchange = await alternatives.ask(requester)
            events = await follow(exchange)
            assert [has_debt(event) for event in events[1:]] == [None, False]
            dispute_id = await requester.dispute(exchange, Objection(ALTERNATIVE_PAPER, DisputeReason.WRONG_VALUE))
            [upheld] = await follow(exchange)
            assert isinstance(upheld, Upheld)
            assert (upheld.dispute_id, upheld.document.provider) == (dispute_id, SECOND[0])
            assert exchange.complete


async def test_what_cannot_be_disputed_is_said_before_anything_is_sent(here: World) -> None:
    async with here.requester(HET) as requester:
        exchange = await requester.demand(procedure=CONTRACT, subject=PersonId(PERSON), documents=[PAPER])
        with pytest.raises(NotFoundError):
            await requester.dispute(exchange, WRONG)  # nothing has come yet
        await follow(exchange)
        for wrong in (
            Objection("address-reference-certificate", DisputeReason.WRONG_VALUE),
            Objection(PAPER, DisputeReason.WRONG_VALUE, about="seller"),
            Objection(PAPER, DisputeReason.WRONG_VALUE, ("debts",)),
        ):
            with pytest.raises(NotFoundError):
                await requester.dispute(exchange, wrong)


async def test_a_dispute_of_what_nobody_asked_is_a_dead_letter_and_stops_nobody(here: World) -> None:
    async with here.requester(HET) as requester:
        exchange = await requester.demand(procedure=CONTRACT, subject=PersonId(PERSON), documents=[PAPER])
        await follow(exchange)
        message = exchange.disputed(WRONG, uuid7(here.clock(), 1), here.clock())
        await requester._send_dispute(message.model_copy(update={"request_id": b"r" * 32}))
        await requester.dispute(exchange, WRONG)
        [event] = await follow(exchange)
        assert isinstance(event, Upheld)

    async def letters() -> list[Record]:
        return await here.records(f"demand.submitted.{HET}.dlq", 1)

    [letter] = await here.eventually(letters)
    assert letter.header("dlq_code") == b"dispute_refused"


async def test_a_holder_that_was_wrong_tells_everybody_whom_it_has_told(here: World) -> None:
    people = [PersonId(PERSON), PersonId(PERSON), PersonId(SECOND_PERSON)]
    decoder = Decoder(here.files, here.registry)
    async with here.requester(HET) as requester:
        exchanges = [
            await requester.demand(procedure=CONTRACT, subject=person, documents=[PAPER, "criminal-record-certificate"])
            for person in people
        ]
        for exchange in exchanges:
            await follow(exchange)
        await here.store.set_debts(PersonId(PERSON), [])
        fixed = uuid7(here.clock(), 5)
        for exchange in exchanges:  # taken up again, as an asker with a store never stops
            exchange.reopen()
            exchange.await_dispute(fixed)
            requester._listener.follow(exchange)
        async with Corrections(here.handlers["tax-committee"], here.bus, decoder, here.clock) as corrections:
            for _ in range(2):
                sent = await corrections.correct(lambda asked: subject_of(asked) == PersonId(PERSON), fixed)
                assert sent == CorrectionSent(read=3, corrected=2)
            assert await corrections.correct_all([SECOND_PERSON]) == CorrectionSent(read=3, corrected=1)
        for exchange in exchanges[:2]:
            [corrected] = await follow(exchange)
            assert isinstance(corrected, Delivered)
            assert (has_debt(corrected), corrected.correction_id) == (False, fixed)
    answers = await here.records(f"evidence.provided.{HET}")
    kinds = [(record.header("ce_type") or b"").decode().rpartition(".")[2] for record in answers]
    assert (kinds.count("EvidenceProvided"), kinds.count("EvidenceCorrected")) == (3, 5)
    assert len({record.header("ce_id") for record in answers}) == 6  # the same again has the same id


def test_who_is_concerned_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "people"
    for codec in ("utf-8", "utf-8-sig"):
        file.write_text(f"{PERSON}\n\n  {SECOND_PERSON} \n", codec)
        assert read_identifiers(file) == {PERSON, SECOND_PERSON}
    for content in (b"", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(ConfigurationError, match="--correct"):
            read_identifiers(file)
    file.write_text(f"{PERSON}\n\nsomebody\n")
    with pytest.raises(ConfigurationError, match="line 3 is no PINFL or STIR") as refused:
        read_identifiers(file)
    assert "somebody" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="FileNotFoundError"):
        read_identifiers(tmp_path / "nothing")


async def test_nothing_of_a_person_stands_around_a_dispute(here: World, caplog: pytest.LogCaptureFixture) -> None:
    async with here.requester(HET) as requester:
        exchange = await requester.demand(procedure=CONTRACT, subject=PersonId(PERSON), documents=[PAPER])
        await follow(exchange)
        await here.store.set_debts(PersonId(PERSON), [])
        await requester.dispute(exchange, WRONG)
        await follow(exchange)
    asked = await here.records("evidence.requested.tax-committee")
    answers = await here.records(f"evidence.provided.{HET}")
    metadata = await here.records("exchange.recorded")
    for record in (*asked, *answers, *metadata):
        around = b" ".join([record.key or b"", *(value for _, value in record.headers)])
        assert PERSON.encode() not in around
    assert not any(PERSON.encode() in (record.value or b"") for record in (*answers, *metadata))
    assert PERSON not in caplog.text
