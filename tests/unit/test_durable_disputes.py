"""A durable asker disputes, and acts once on what the holder says to it, over restarts and in any order."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import insert, text

from chopar.bus.memory import SendFault
from chopar.bus.port import Outgoing, Record
from chopar.errors import NotFoundError
from chopar.identifiers import PersonId
from chopar.messages.demand import Demand, DemandedDocument
from chopar.messages.dispute import DisputeReason, EvidenceDisputed
from chopar.requester.disputes import Objection
from chopar.requester.durable_requester import DurableRequester
from chopar.requester.requester import subject
from chopar.schema_registry import Decoder
from tests import next_holders
from tests.builders import PERSON, demand_id
from tests.durable_rig import DONE, FILES, HET, PROVIDED, DurableRig, request_id

WRONG = Objection("paper-a", DisputeReason.WRONG_VALUE, official="clerk-4")
ANSWERED = ["case resolved", "case received paper-a True", "case completed"]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[DurableRig]:
    made = DurableRig(tmp_path)
    await made.start()
    yield made
    await made.close()


async def answered(rig: DurableRig, requester: DurableRequester) -> tuple[Demand, bytes]:
    demand = await rig.ask(requester)
    await rig.resolve(demand)
    first = await rig.provide(demand)
    await rig.until_done(*ANSWERED)
    return demand, first


async def sent(rig: DurableRig) -> list[EvidenceDisputed]:
    decoder = Decoder(FILES, rig.registry)
    disputes = [one for one in rig.bus.records(f"demand.submitted.{HET}") if _is_dispute(one)]
    return [await decoder.message(one.value or b"", EvidenceDisputed) for one in disputes]


async def test_what_is_disputed_is_the_answer_that_was_acted_on_last_whichever_process_did(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand, first = await answered(rig, requester)
        dispute_id = await requester.dispute(demand.demand_id, WRONG)
        second = await rig.correct(demand, dispute_id, first, has_debt=False)
        await rig.until_done(*ANSWERED, "case corrected paper-a False")
    async with rig.made() as another:
        await another.dispute(demand.demand_id, WRONG)
    before, after = await sent(rig)
    assert (before.dispute_id, before.answer_digest, before.official) == (dispute_id, first, "clerk-4")
    assert (after.answer_digest, after.original) == (second, before.original)
    assert rig.bus.records(f"demand.submitted.{HET}")[0].value == before.original


async def test_an_upheld_answer_is_told_once_for_each_dispute(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand, first = await answered(rig, requester)
        for number in (1, 1, 2):
            await rig.uphold(demand, demand_id(number), first)
        await rig.read()
        assert await rig.done() == [*ANSWERED, "case upheld paper-a", "case upheld paper-a"]
        assert rig.counted("upheld") == 3


async def test_a_holders_own_correction_is_acted_on_once_and_one_that_is_no_news_never(rig: DurableRig) -> None:
    news, no_news, late = demand_id(1), demand_id(2), demand_id(3)
    async with rig.running() as requester:
        demand, _ = await answered(rig, requester)
        await rig.correct(demand, no_news)
        await rig.read()
    async with rig.running():
        await rig.correct(demand, news, has_debt=False)
        await rig.correct(demand, no_news)  # again, when it would be news
        await rig.correct(demand, news, has_debt=False)
        await rig.read()
        assert await rig.done() == [*ANSWERED, "case corrected paper-a False"]
        await rig.correct(demand, late)
        await rig.correct(demand, news, has_debt=False)
        await rig.read()
        assert rig.counted("corrected") == 2
    assert await rig.done() == [*ANSWERED, "case corrected paper-a False", "case corrected paper-a True"]
    assert rig.letters() == []


async def test_a_correction_that_comes_first_is_the_answer_and_completes_once(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        await rig.resolve(demand)
        await rig.correct(demand, demand_id(1), has_debt=False)
        await rig.provide(demand)  # what the register said before it was put right
        await rig.correct(demand, demand_id(1), has_debt=False)
        await rig.read()
        assert await rig.done() == ["case resolved", "case received paper-a False", "case completed"]
        assert rig.counted("other_content") == 1


async def test_a_correction_of_a_disputed_answer_that_comes_before_it_is_a_dead_letter_to_be_replayed(
    rig: DurableRig,
) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        await rig.resolve(demand)
        await rig.correct(demand, demand_id(1), b"x" * 32, has_debt=False)
        await rig.uphold(demand, demand_id(2), b"x" * 32)
        await rig.provide(demand)
        await rig.read()
        assert await rig.done() == ANSWERED
    assert rig.letters() == [("evidence.provided", "unsolicited_answer")] * 2


async def test_a_correction_that_was_the_answer_is_found_among_the_askers_own_dead_letters(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester, "paper-c", "paper-d")  # nobody receives these
        await rig.resolve(demand)
        await rig.correct(demand, demand_id(1), paper="paper-c")
        await rig.correct(demand, demand_id(2), b"x" * 32, paper="paper-d")  # of an answer that is still to come
        await rig.read()
        assert len(rig.letters()) == 2
        waiting = {one.document_type: one.own_dead_letter for one in await requester.waiting()}
        assert waiting == {"paper-c": True, "paper-d": False}


async def test_what_another_agency_corrects_or_upholds_is_rejected(
    rig: DurableRig, capsys: pytest.CaptureFixture[str]
) -> None:
    async with rig.running() as requester:
        demand, first = await answered(rig, requester)
        await rig.correct(demand, demand_id(1), first, has_debt=False, provider="somebody-else")
        await rig.correct(demand, demand_id(1), first, has_debt=False, requester="justice-notary")
        await rig.read()
        assert rig.counted("rejected") == 2
        assert await rig.done() == ANSWERED
    assert capsys.readouterr().out.count("answer.rejected") == 2


async def test_a_callback_that_fails_on_an_upheld_answer_undoes_itself_alone(rig: DurableRig) -> None:
    async with rig.made() as requester:
        tried: list[UUID] = []

        @requester.upheld
        async def fails(transaction: object, demand: Demand, told: object) -> None:
            tried.append(demand.demand_id)
            raise KeyError("a flaw of the application")

        task = asyncio.create_task(requester.run())
        demand = await rig.ask(requester)
        await rig.resolve(demand)
        first = await rig.provide(demand)
        await rig.uphold(demand, demand_id(1), first)
        await rig.correct(demand, demand_id(2), first, has_debt=False)
        await rig.until_done(*ANSWERED, "case corrected paper-a False")
        requester.stop()
        await task
    assert set(tried) == {demand.demand_id}
    assert rig.letters() == [("evidence.provided", "handler_failed")]


async def test_of_several_holders_the_last_ones_answer_is_disputed_by_the_first_demands_id(
    rig: DurableRig,
) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        await next_holders.resolve(rig, demand)
        nothing = await next_holders.find_nothing(rig, demand)
        await rig.until_done("case resolved", "case received paper-a no_record")
        await requester.dispute(demand.demand_id, WRONG)
        _, following = await demands(rig)
        await next_holders.resolve(rig, following)
        first = await next_holders.find(rig, following)
        await rig.until_done("case resolved", "case received paper-a no_record", *ANSWERED[1:])
        dispute_id = await requester.dispute(demand.demand_id, WRONG)
        provider, evidence_type = next_holders.HOLDERS[1]
        who = {"provider": provider, "evidence_type": evidence_type}
        await rig.correct(following, dispute_id, first, has_debt=False, **who)
        await rig.until_done(
            "case resolved", "case received paper-a no_record", *ANSWERED[1:], "case corrected paper-a False"
        )
    disputed = {one.demand_id: one.answer_digest for one in await sent(rig)}
    assert disputed == {demand.demand_id: nothing, following.demand_id: first}


async def test_of_papers_that_are_alike_none_is_disputed_although_one_has_led_on(rig: DurableRig) -> None:
    async with rig.running() as requester:
        numbers = ("1", "2")
        demand = requester.compose(
            procedure="some-procedure",
            subject=subject(PersonId(PERSON)),
            documents=[DemandedDocument(type="paper-a", parameters={"number": number}) for number in numbers],
            case_id="case",
        )
        await requester.submit_all([demand])
        ids = [request_id(demand, number) for number in numbers]
        papers = [next_holders.paper_of(demand, 0, one, parameter_names=("number",)) for one in ids]
        await rig.resolve(demand, documents=papers)
        await next_holders.find(rig, demand, request_id=ids[0])
        await next_holders.find_nothing(rig, demand, request_id=ids[1])
        _, following = await demands(rig)
        await rig.resolve(
            following, documents=[next_holders.paper_of(following, 0, b"f" * 32, parameter_names=("number",))]
        )
        await next_holders.find(rig, following, request_id=b"f" * 32)
        received = "case received paper-a True"
        await rig.until_done("case resolved", received, "case received paper-a no_record", received, "case completed")
        with pytest.raises(NotFoundError, match="alike"):
            await requester.dispute(demand.demand_id, WRONG)
        await requester.dispute(following.demand_id, WRONG)  # that one has the one alone
    [dispute] = await sent(rig)
    assert dispute.request_id == b"f" * 32


async def demands(rig: DurableRig) -> list[Demand]:
    """The two demands on the topic, once both are there."""
    decoder, topic = Decoder(FILES, rig.registry), f"demand.submitted.{HET}"
    async with asyncio.timeout(20):
        while True:
            values = [one.value for one in rig.bus.records(topic) if one.header("ce_type") == Demand.RECORD.encode()]
            if len(set(values)) == 2:
                found = [await decoder.message(value or b"", Demand) for value in dict.fromkeys(values)]
                return sorted(found, key=next_holders.turn_of)
            await asyncio.sleep(0.01)


async def test_what_cannot_be_disputed(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand = await rig.ask(requester)
        with pytest.raises(NotFoundError, match="kept"):
            await requester.dispute(demand_id(77), WRONG)
        with pytest.raises(NotFoundError, match="accepted"):
            await requester.dispute(demand.demand_id, WRONG)
        await rig.resolve(demand)
        await rig.provide(demand)
        await rig.until_done(*ANSWERED)
        rig.now = demand.expires_at + timedelta(seconds=1)
        with pytest.raises(NotFoundError, match="expired"):
            await requester.dispute(demand.demand_id, WRONG)
    assert await sent(rig) == []
    assert len(rig.bus.records(PROVIDED)) == 1


async def test_a_dispute_is_kept_until_it_is_sent_and_open_until_the_holder_has_said_something(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand, first = await answered(rig, requester)
        rig.bus.faults.send = _not_written
        upheld, corrected = sorted([await requester.dispute(demand.demand_id, WRONG) for _ in range(2)])
        assert [(one.dispute_id, one.sent) for one in await requester.disputes()] == [
            (upheld, False),
            (corrected, False),
        ]
        assert await sent(rig) == []
    rig.bus.faults.send = lambda record: None
    async with rig.running() as requester:  # who kept them is gone
        await until_sent(rig, upheld, corrected)
        open_ones = await requester.disputes()
        assert [(one.demand_id, one.document_type, one.sent) for one in open_ones] == [
            (demand.demand_id, "paper-a", True)
        ] * 2
        await rig.uphold(demand, upheld, first)
        await rig.correct(demand, corrected, first, has_debt=False)
        await rig.until_done(*ANSWERED, "case upheld paper-a", "case corrected paper-a False")
        assert await requester.disputes() == []


async def test_a_dispute_of_the_applications_transaction_is_sent_if_that_is_committed_and_as_one_message(
    rig: DurableRig,
) -> None:
    async with rig.running() as requester:
        demand, _ = await answered(rig, requester)
        async with rig.engine.connect() as connection:
            await connection.execute(insert(DONE), {"what": "disputed"})
            await requester.dispute(demand.demand_id, WRONG, within=connection)
            await connection.rollback()
        assert await requester.disputes() == []
        async with rig.engine.begin() as connection:
            await connection.execute(insert(DONE), {"what": "disputed"})
            wanted = await requester.dispute(demand.demand_id, WRONG, within=connection)
        await until_sent(rig, wanted)
        async with rig.engine.begin() as connection:  # as if its acknowledgement had not been noted
            await connection.execute(text("UPDATE chopar_dispute SET sent = false"))
        await until_sent(rig, wanted, wanted)
    one, again = [record for record in rig.bus.records(f"demand.submitted.{HET}") if _is_dispute(record)]
    assert (one.key, one.value, one.headers) == (again.key, again.value, again.headers)


async def test_a_dispute_that_could_not_be_sent_while_its_demand_lived_is_not_sent_but_seen(rig: DurableRig) -> None:
    async with rig.running() as requester:
        demand, _ = await answered(rig, requester)
        rig.bus.faults.send = _not_written
        await requester.dispute(demand.demand_id, WRONG)
        rig.bus.faults.send = lambda record: None
        rig.now = demand.expires_at + timedelta(seconds=1)
        await requester.send_waiting()
        [one] = await requester.disputes()
        assert not one.sent
        assert one.expires_at < rig.now
    assert await sent(rig) == []


async def until_sent(rig: DurableRig, *ids: UUID) -> None:
    """Wait until these disputes were sent, and no others."""
    async with asyncio.timeout(20):
        while sorted(one.dispute_id for one in await sent(rig)) != sorted(ids):
            await asyncio.sleep(0.01)


def _is_dispute(record: Record) -> bool:
    return record.header("ce_type") == EvidenceDisputed.RECORD.encode()


def _not_written(record: Outgoing) -> SendFault | None:
    return SendFault.NOT_WRITTEN if record.topic.startswith("demand.submitted") else None
