"""Callbacks of a durable asker that hang or fail for good hold nobody else up."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.identifiers import PersonId
from chopar.messages.demand import Demand, DemandedDocument
from chopar.requester.completion import Delivered
from chopar.requester.durable_requester import Completed, DurableRequester
from chopar.requester.requester import subject
from tests.builders import NOW, PERSON
from tests.durable_rig import DONE, PROVIDED, DurableRig

SECONDS = 20.0
COUNT = text("SELECT count(*) FROM chopar_trying WHERE tries > 0")


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
    monkeypatch.setattr("chopar.requester.expiry._AT_ONCE", 5)
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


async def test_a_callback_that_ends_the_process_has_failed_and_the_process_goes_on(rig: DurableRig) -> None:
    """`sys.exit` somewhere in a library would else be met again by the next life."""

    def leave(demand: Demand) -> None:
        if demand.case_id == "bad":
            sys.exit(3)

    rig.hook = leave
    async with rig.running() as requester:
        for case_id in ("bad", "good"):
            demand = await rig.ask(requester, case_id=case_id)
            await rig.resolve(demand)
            await rig.provide(demand)
        await rig.read()
    assert rig.letters() == [("evidence.provided", "handler_failed")]
    assert "good completed" in await rig.done()
    assert "bad received paper-a True" not in await rig.done()


async def test_a_stop_in_the_middle_of_a_callback_is_no_death_of_it(rig: DurableRig) -> None:
    begun = asyncio.Event()
    async with rig.made() as requester:

        @requester.completed
        async def hangs(transaction: AsyncConnection, demand: Demand, how: Completed) -> None:
            begun.set()
            await asyncio.Event().wait()

        running = asyncio.create_task(requester.run())
        await requester.submit_all([composed(requester, "case", hours=1)])
        rig.now = NOW + timedelta(days=1)
        async with asyncio.timeout(SECONDS):
            await begun.wait()
        async with rig.engine.connect() as connection:
            assert (await connection.execute(COUNT)).scalar_one() == 1, "noted before it begins"
        requester.stop()
        await running
        async with rig.engine.connect() as connection:
            assert (await connection.execute(COUNT)).scalar_one() == 0
