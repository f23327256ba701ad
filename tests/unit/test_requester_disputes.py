"""An asker disputes what it was answered: what is sent, what it waits for, and how it ends."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from chopar.bus.memory import SendFault
from chopar.bus.port import Record
from chopar.errors import DeliveryError, NotFoundError, UndecodableError
from chopar.messages.dispute import DisputeReason, EvidenceCorrected, EvidenceDisputed, EvidenceUpheld
from chopar.requester.completion import Delivered, Rejected, Upheld
from chopar.requester.disputes import Objection
from chopar.requester.requester import Event, Exchange
from chopar.schema_registry import Decoder
from tests.unit.test_requester import FILES, HET, Rig, debt, key_of, request_id

WRONG = Objection("paper-a", DisputeReason.WRONG_VALUE)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    await made.start()
    async with made.requester:
        yield made


async def follow(exchange: Exchange) -> list[Event]:
    async with asyncio.timeout(20):
        return [event async for event in exchange]


async def answered(rig: Rig, *papers: str) -> Exchange:
    exchange = await rig.ask(*papers)
    await rig.resolve(exchange)
    for paper in papers or ["paper-a"]:
        await rig.provide(exchange, paper)
    await follow(exchange)
    return exchange


async def sent(rig: Rig) -> list[EvidenceDisputed]:
    decoder = Decoder(FILES, rig.registry)
    records = rig.bus.records(f"demand.submitted.{HET}")
    disputes = [one for one in records if one.header("ce_type") == EvidenceDisputed.RECORD.encode()]
    return [await decoder.message(one.value or b"", EvidenceDisputed) for one in disputes]


def common(exchange: Exchange, paper: str = "paper-a") -> dict[str, Any]:
    return {
        "request_id": request_id(paper),
        "demand_id": exchange.demand_id,
        "provider": "tax-committee",
        "requester": HET,
        "evidence_type": "tax-debt",
    }


async def uphold(rig: Rig, exchange: Exchange, dispute_id: UUID, upholds: bytes) -> None:
    message = EvidenceUpheld(**common(exchange), dispute_id=dispute_id, upholds=upholds)
    await rig.put(exchange, "evidence.provided", message)


async def correct(rig: Rig, exchange: Exchange, correction_id: UUID, **changes: Any) -> None:
    fields: dict[str, Any] = {
        **common(exchange),
        "correction_id": correction_id,
        "nonce": b"n" * 32,
        "body": rig.encoder.encode(debt(has_debt=False)),
        **changes,
    }
    await rig.put(exchange, "evidence.provided", EvidenceCorrected.model_validate(fields))


async def test_a_dispute_brings_the_demand_along_and_lies_behind_it(rig: Rig) -> None:
    exchange = await answered(rig)
    dispute_id = await rig.requester.dispute(exchange, WRONG)
    demand, dispute = [one for one in rig.bus.records(f"demand.submitted.{HET}") if one.key == key_of(exchange)]
    assert dispute.partition == demand.partition
    assert dispute.header("ce_correlationid") == key_of(exchange)
    [message] = await sent(rig)
    assert (message.dispute_id, message.request_id) == (dispute_id, request_id("paper-a"))
    assert message.original == demand.value
    assert message.official == exchange.demand.official
    assert not exchange.complete


async def test_it_is_followed_until_the_holder_has_said_it(rig: Rig) -> None:
    exchange = await answered(rig)
    first, second = [await rig.requester.dispute(exchange, WRONG) for _ in range(2)]
    answer = (await sent(rig))[0].answer_digest
    await uphold(rig, exchange, first, answer)
    await correct(rig, exchange, second, supersedes=answer)
    await correct(rig, exchange, second, supersedes=answer)
    upheld, corrected = await follow(exchange)
    assert isinstance(upheld, Upheld)
    assert upheld.dispute_id == first
    assert isinstance(corrected, Delivered)
    assert (corrected.correction_id, corrected.supersedes, corrected.ends) == (second, answer, False)
    third = await rig.requester.dispute(exchange, WRONG)
    assert (await sent(rig))[-1].answer_digest != answer  # the correction is what is disputed now
    await uphold(rig, exchange, third, (await sent(rig))[-1].answer_digest)
    assert [type(event) for event in await follow(exchange)] == [Upheld]


async def test_what_another_agency_says_to_it_is_rejected_and_ends_nothing(rig: Rig) -> None:
    exchange = await answered(rig)
    dispute_id = await rig.requester.dispute(exchange, WRONG)
    answer = (await sent(rig))[0].answer_digest
    await correct(rig, exchange, dispute_id, supersedes=answer, provider="somebody-else")
    await correct(rig, exchange, dispute_id, supersedes=b"x" * 32)
    await uphold(rig, exchange, dispute_id, answer)
    events = await follow(exchange)
    assert [event.code for event in events if isinstance(event, Rejected)] == ["wrong_provider", "corrects_nothing"]
    assert isinstance(events[-1], Upheld)


async def test_a_dispute_that_nobody_answers_ends_with_the_demand(rig: Rig) -> None:
    exchange = await answered(rig)
    await rig.requester.dispute(exchange, WRONG)
    rig.now = exchange.demand.expires_at + timedelta(hours=1)
    assert await follow(exchange) == []
    assert exchange.complete
    with pytest.raises(NotFoundError, match="expired"):
        await rig.requester.dispute(exchange, WRONG)


async def test_a_dispute_while_another_document_is_open_ends_neither(rig: Rig) -> None:
    exchange = await rig.ask("paper-a", "paper-b")
    await rig.resolve(exchange)
    await rig.provide(exchange, "paper-a")
    seen = []
    async with asyncio.timeout(20):
        async for event in exchange:
            seen.append(type(event).__name__)
            if seen == ["DemandResolved", "Delivered"]:
                dispute_id = await rig.requester.dispute(exchange, WRONG)
                await uphold(rig, exchange, dispute_id, (await sent(rig))[0].answer_digest)
            if seen[-1] == "Upheld":
                await rig.provide(exchange, "paper-b")
    assert seen == ["DemandResolved", "Delivered", "Upheld", "Delivered"]


async def test_a_dispute_that_was_not_acknowledged_is_an_error_and_is_not_waited_for(rig: Rig) -> None:
    exchange = await answered(rig)
    rig.bus.faults.send = lambda record: SendFault.NOT_WRITTEN
    with pytest.raises(DeliveryError):
        await rig.requester.dispute(exchange, WRONG)
    assert exchange.complete


async def test_names_of_fields_are_all_that_is_said(rig: Rig) -> None:
    exchange = await answered(rig)
    with pytest.raises(NotFoundError, match="not let through"):
        await rig.requester.dispute(exchange, Objection("paper-a", DisputeReason.WRONG_VALUE, ("owes nothing",)))
    with pytest.raises(UndecodableError, match="official"):
        await rig.requester.dispute(exchange, Objection("paper-a", DisputeReason.WRONG_VALUE, official="x" * 401))
    assert await sent(rig) == []


class Counted(Record):
    """A record that counts how often it is asked where it lies."""

    asked = 0

    @property
    def topic(self) -> str:
        Counted.asked += 1
        return self[0]


async def test_a_flood_of_what_is_rejected_costs_each_of_it_the_same(rig: Rig) -> None:
    exchange = await answered(rig)
    exchange.reopen()
    flood = 300
    for number in range(flood):
        await correct(rig, exchange, UUID(int=number), provider="somebody-else")
    key = key_of(exchange)
    lie = [one for one in rig.bus.records(f"evidence.provided.{HET}") if one.key == key][1:]
    await exchange.catch_up([Counted(*one) for one in lie])
    assert Counted.asked <= 5 * flood
    assert not exchange._waiting
