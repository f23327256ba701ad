"""An asker in memory that asks the next holder: when nobody answers, when the bus fails, when it stops listening."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from chopar.bus.memory.faults import SendFault
from chopar.errors import DeliveryError
from chopar.messages.demand import Demand, DemandResolved, FetchMode
from chopar.messages.evidence import EvidenceUnavailable, UnavailableCode
from chopar.requester.requester import Exchange
from chopar.schema_registry import Decoder
from tests.builders import NOW
from tests.next_holders import HOLDERS, turn_of
from tests.unit.test_requester import DEADLINE_SECONDS, FILES, HET, MARGIN, Rig, follow, one, request_id

PAPER = "paper-a"
SUBMITTED = f"demand.submitted.{HET}"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    await made.start()
    async with made.requester:
        yield made


class Answered:
    """A demand that a test answers; looks like an exchange to the rig."""

    def __init__(self, demand: Demand, value: bytes) -> None:
        self.demand = demand
        self.demand_id = demand.demand_id
        self.value = value


async def sent(rig: Rig, number: int) -> Any:
    """The demand that is the one of that number, once it was sent."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len({record.value for record in rig.bus.records(SUBMITTED)}) < number:
            await asyncio.sleep(0.01)
    decoder = Decoder(FILES, rig.registry)
    values = {record.value or b"" for record in rig.bus.records(SUBMITTED)}
    found = [Answered(await decoder.message(value, Demand), value) for value in values]
    return next(each for each in found if turn_of(each.demand) == number - 1)


async def resolve(rig: Rig, asked: Any) -> None:
    """The gateway has the next holder asked, and names the others."""
    turn = turn_of(asked.demand)
    provider, evidence_type = HOLDERS[turn]
    others = [
        {"provider": who, "evidence_type": what, "code": "already_asked" if number < turn else "ground"}
        for number, (who, what) in enumerate(HOLDERS)
        if number != turn
    ]
    document = {
        "document_type": PAPER,
        "outcome": "fetch",
        "code": "ground",
        "person_may_be_asked": "no",
        "next_step": "wait",
        "provider": provider,
        "evidence_type": evidence_type,
        "fields": ("has_debt",),
        "request_id": hashlib.sha256(request_id(PAPER) + bytes([turn])).digest(),
        "alternatives": others,
    }
    message = DemandResolved.from_avro(
        {
            "demand_id": asked.demand_id,
            "demand_digest": hashlib.sha256(asked.value).digest(),
            "requester": HET,
            "received_at": NOW,
            "on": NOW.date(),
            "list_digest": "digest",
            "fetch_mode": FetchMode.INFERRED,
            "rules_number": 2,
            "documents": [document],
            "expires_at": asked.demand.expires_at,
        }
    )
    await rig.put(asked, "demand.resolved", message)


async def answer(rig: Rig, asked: Any, *, found: bool) -> None:
    turn = turn_of(asked.demand)
    nothing = EvidenceUnavailable(code=UnavailableCode.NO_RECORD, source_register="register", as_of=NOW)
    envelope: dict[str, Any] = {
        "provider": HOLDERS[turn][0],
        "evidence_type": HOLDERS[turn][1],
        "request_id": hashlib.sha256(request_id(PAPER) + bytes([turn])).digest(),
    }
    if not found:
        envelope["body"] = rig.encoder.encode(nothing)
    await rig.provide(asked, **envelope)


async def passed(rig: Rig) -> Exchange:
    """A demand whose first holder has no record; what it said is not read yet."""
    exchange = await rig.ask(PAPER)
    first = await sent(rig, 1)
    await resolve(rig, first)
    await answer(rig, first, found=False)
    return exchange


async def test_what_the_next_holder_does_not_answer_in_time_is_undelivered(rig: Rig) -> None:
    exchange = await passed(rig)
    assert [await one(exchange), await one(exchange)] == ["resolved", f"delivered {PAPER}"]
    telling = asyncio.create_task(follow(exchange))
    await resolve(rig, await sent(rig, 2))
    rig.now = exchange.demand.expires_at + MARGIN + timedelta(seconds=1)
    assert await telling == [f"undelivered {PAPER}"]
    assert exchange.complete
    [following] = exchange.followings
    assert following.resolution is not None


async def test_a_demand_for_the_next_holder_that_was_not_acknowledged_is_sent_again(rig: Rig) -> None:
    exchange = await passed(rig)
    assert [await one(exchange), await one(exchange)] == ["resolved", f"delivered {PAPER}"]
    rig.bus.faults.send = lambda _: SendFault.WRITTEN  # and not acknowledged
    with pytest.raises(DeliveryError):
        await one(exchange)
    rig.bus.faults.send = lambda _: None
    telling = asyncio.create_task(follow(exchange))
    second = await sent(rig, 2)
    await resolve(rig, second)
    await answer(rig, second, found=True)
    assert await telling == [f"delivered {PAPER}"]
    copies = [record for record in rig.bus.records(SUBMITTED) if record.key == str(second.demand_id).encode()]
    assert len({record.value for record in copies}) == 1


async def test_an_answer_of_the_first_holder_that_comes_again_asks_nobody_again(rig: Rig) -> None:
    exchange = await passed(rig)
    await answer(rig, await sent(rig, 1), found=False)
    telling = asyncio.create_task(follow(exchange))
    second = await sent(rig, 2)
    await answer(rig, await sent(rig, 1), found=True)  # another content: the first counts
    await resolve(rig, second)
    await answer(rig, second, found=True)
    assert await telling == ["resolved", f"delivered {PAPER}", f"delivered {PAPER}"]
    assert len(rig.bus.records(SUBMITTED)) == 2


async def test_who_stops_listening_leaves_the_next_holder_too(rig: Rig) -> None:
    exchange = await passed(rig)
    telling = asyncio.create_task(follow(exchange))
    await sent(rig, 2)
    await exchange.aclose()
    assert await telling == ["resolved", f"delivered {PAPER}"]
    assert not rig.requester._listener._exchanges
