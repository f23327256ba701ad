"""Callbacks of a durable asker that hang or fail for good hold nobody else up."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.identifiers import PersonId
from chopar.messages.demand import Demand, DemandedDocument
from chopar.requester.completion import Delivered
from chopar.requester.durable_requester import Completed, DurableRequester
from chopar.requester.requester import subject
from tests.builders import NOW, PERSON
from tests.durable_rig import DONE, PROVIDED, DurableRig

SECONDS = 20.0


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[DurableRig]:
    made = DurableRig(tmp_path)
    await made.start()
    yield made
    await made.close()


async def test_a_callback_that_hangs_has_failed_and_its_answer_becomes_a_dead_letter(rig: DurableRig) -> None:
    requester = rig.made(callback_seconds=0.05)
    requester._callbacks.receives.clear()
    calls = 0

    @requester.receives("paper-a")
    async def hangs(transaction: AsyncConnection, demand: Demand, delivered: Delivered) -> None:
        nonlocal calls
        calls += 1
        await transaction.execute(insert(DONE), {"what": "written and undone"})
        await asyncio.Event().wait()

    async with requester:
        running = asyncio.create_task(requester.run())
        demand = await rig.ask(requester)
        await rig.resolve(demand)
        await rig.provide(demand)
        async with asyncio.timeout(SECONDS):
            while not rig.bus.records(f"{PROVIDED}.dlq"):
                await asyncio.sleep(0.02)
        requester.stop()
        await running
    assert calls >= 3
    assert "written and undone" not in await rig.done()


async def test_expired_demands_that_a_callback_fails_on_keep_no_others_from_their_end(
    rig: DurableRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chopar.requester.durable_requester._AT_ONCE", 5)
    requester = rig.made()

    @requester.completed
    async def ended(transaction: AsyncConnection, demand: Demand, how: Completed) -> None:
        if demand.case_id == "bad":
            raise AttributeError("there is no resolution")
        await transaction.execute(insert(DONE), {"what": f"{demand.case_id} ended"})

    async with requester:
        await requester.submit_all([composed(requester, "bad", hours=1) for _ in range(12)])
        await requester.submit_all([composed(requester, "good", hours=2) for _ in range(3)])
        running = asyncio.create_task(requester.run())
        rig.now = NOW + timedelta(days=1)
        async with asyncio.timeout(SECONDS):
            while (await rig.done()).count("good ended") < 3:
                await asyncio.sleep(0.02)
        requester.stop()
        await running


def composed(requester: DurableRequester, case_id: str, *, hours: int) -> Demand:
    return requester.compose(
        procedure="p",
        subject=subject(PersonId(PERSON)),
        documents=[DemandedDocument(type="paper-a")],
        case_id=case_id,
        life=timedelta(hours=hours),
    )
